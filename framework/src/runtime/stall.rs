//! [`Stalls`]: what is done about a task that keeps a shard to itself; [`Stall`]: one that was
//! found; [`Watch`]: the thread that finds them.
//!
//! What must hold: a turn is a stall only by time in which the shard had a CPU or waited for
//! something else than one, so neither a crowded machine nor a stopped process makes any; a shard
//! that sleeps is not watched; each turn is reported once. The watcher looks twice in each
//! threshold, so it finds a stall when that has lasted for one to one and a half times as long.

use std::collections::VecDeque;
use std::fmt;
use std::sync::{Arc, mpsc};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use super::clock::Clock;
use super::placement::ShardId;
use super::pulse::Pulse;
use super::shard::Outside;
use crate::error::{Error, Result};
use crate::sys::frames::frames;
use crate::sys::snapshot::{self, Snapshot};
use crate::sys::thread::{Thread, Times};

/// What the reports are counted over.
const MINUTE: Duration = Duration::from_mins(1);
/// The shortest time between two looks.
const LOOK_MIN: Duration = Duration::from_millis(1);

/// What to do about tasks that keep their shard to themselves for too long: everybody else who is
/// served by that shard waits meanwhile.
///
/// By default nothing. Asked to, one thread watches all shards and looks twice in a threshold
/// whether each has ended its turn. Where one has not, it is told with the functions that it is in.
/// A signal (`SIGRTMIN` + 7) has the shard's thread copy its registers and stack for that. Of the
/// system calls that it interrupts, those go on that can (signal(7)); others, such as a sleep, end
/// with EINTR. Without symbols in the program the names are missing.
///
/// # Examples
/// ```
/// use std::sync::Arc;
/// use std::time::Duration;
/// use sunstar::runtime::{Config, Placement, Stalls};
///
/// let mut config = Config::new(Placement::unpinned(1));
/// config.stalls = Stalls {
///     threshold: Some(Duration::from_millis(10)),
///     tell: Arc::new(|stall| eprintln!("{stall}: {:#?}", stall.frames())),
///     ..Stalls::default()
/// };
/// ```
#[derive(Clone)]
pub struct Stalls {
    /// How long a turn may last before it is reported. `None`: none is counted or reported.
    /// Default: `None`. 25 ms are a good start.
    pub threshold: Option<Duration>,
    /// How many stalls of each shard are reported in a minute; more are only counted. Default: 5.
    pub reports_per_minute_max: u32,
    /// How long a turn may last before the shard counts as dead: then the process says where it was
    /// and aborts (SIGABRT), so that a supervisor starts it anew. Its connections are lost in
    /// either case; those of the other shards would get answers that lack a part of the state.
    /// `None`: never. Default: `None`. Not below a few hundred milliseconds: that would end
    /// programs that only have to wait for their disk.
    pub dead_after: Option<Duration>,
    /// Takes the reports, on the watcher's thread. The stall is counted by then. Default: prints
    /// one line to standard error, then the functions, which take a while to find out.
    pub tell: Tell,
}

/// Takes reports. See [`Stalls::tell`].
pub type Tell = Arc<dyn Fn(&Stall) + Send + Sync>;

/// A turn of a shard that has lasted for too long.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Stall {
    /// The shard.
    pub shard: ShardId,
    /// How long the turn had lasted when it was found, less the time in which others had the CPU.
    pub lasted: Duration,
    /// How much of that the shard was on a CPU; the rest it was blocked.
    pub ran: Duration,
    /// The name of the group whose task ran.
    pub group: String,
    /// How many stalls of the shard were not reported since the last one that was.
    pub unreported: u64,
    snapshot: Option<Arc<Snapshot>>,
}

impl Default for Stalls {
    fn default() -> Stalls {
        Stalls {
            threshold: None,
            reports_per_minute_max: 5,
            dead_after: None,
            tell: Arc::new(|stall| tell(&stall.to_string(), stall)),
        }
    }
}

/// First what is known already, then what takes a while.
fn tell(line: &str, stall: &Stall) {
    eprintln!("{line}");
    let frames = stall.frames();
    if frames.is_empty() {
        eprintln!("  where it is could not be found out");
    }
    for (number, frame) in frames.iter().enumerate() {
        eprintln!("  {number:2}: {frame}");
    }
}

impl Stalls {
    /// The time between two looks, if anybody is to watch.
    pub(super) fn step(&self) -> Option<Duration> {
        let least = self.threshold.into_iter().chain(self.dead_after).min()?;
        Some((least / 2).max(LOOK_MIN))
    }
}

impl Stall {
    /// Names the functions that the turn was in, innermost first. Empty if that could not be found
    /// out.
    ///
    /// Reads the program's debug information, so it takes from tens of milliseconds to seconds.
    pub fn frames(&self) -> Vec<String> {
        self.snapshot.as_deref().map(frames).unwrap_or_default()
    }
}

impl fmt::Debug for Stalls {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Stalls")
            .field("threshold", &self.threshold)
            .field("reports_per_minute_max", &self.reports_per_minute_max)
            .field("dead_after", &self.dead_after)
            .finish_non_exhaustive()
    }
}

impl fmt::Display for Stall {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (lasted, ran) = (
            self.lasted.as_millis(),
            self.ran.min(self.lasted).as_millis(),
        );
        write!(
            out,
            "shard {} stalls: one turn for {lasted} ms so far, {ran} ms of it on the CPU, \
             in group {}",
            self.shard, self.group
        )?;
        if self.unreported > 0 {
            write!(out, "; {} more were not reported", self.unreported)?;
        }
        Ok(())
    }
}

/// The thread that watches the shards of a runtime. It ends when this is dropped.
pub(super) struct Watch {
    /// Dropped, it ends the thread.
    end: Option<mpsc::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Watch {
    /// Begins to watch, if `stalls` want it.
    pub(super) fn start(stalls: &Stalls, shards: &Arc<[Arc<Outside>]>) -> Result<Watch> {
        let Some(step) = stalls.step() else {
            return Ok(Watch {
                end: None,
                thread: None,
            });
        };
        let (end, ended) = mpsc::channel();
        let (stalls, shards) = (stalls.clone(), Arc::clone(shards));
        let watch = move || watch(&stalls, step, &shards, &ended);
        let thread = thread::Builder::new()
            .name("stall-watch".into())
            .spawn(watch);
        let thread = thread.map_err(|error| Error::io("cannot start a thread", error))?;
        Ok(Watch {
            end: Some(end),
            thread: Some(thread),
        })
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.end = None;
        if let Some(thread) = self.thread.take() {
            // What told of a stall may have panicked: that is no reason to lose results.
            let _ = thread.join();
        }
    }
}

fn watch(stalls: &Stalls, step: Duration, shards: &[Arc<Outside>], ended: &mpsc::Receiver<()>) {
    let mut lanes: Vec<_> = shards.iter().map(|shard| Lane::new(&shard.pulse)).collect();
    let mut before = Clock::monotonic();
    while ended.recv_timeout(step) == Err(mpsc::RecvTimeoutError::Timeout) {
        let now = Clock::monotonic();
        // Whoever stops the process stops this thread as well, and that is nobody's stall.
        let passed = now.saturating_duration_since(before).min(step * 2);
        before = now;
        for (index, lane) in lanes.iter_mut().enumerate() {
            lane.look(ShardId::of(index), passed, stalls);
        }
    }
}

/// What the watcher knows of one shard.
struct Lane<'a> {
    pulse: &'a Pulse,
    thread: Option<Thread>,
    /// What was seen last.
    beat: u64,
    /// How long that has been seen.
    age: Duration,
    /// The shard's times when it was first seen.
    start: Times,
    told: bool,
    budget: Budget,
}

impl Lane<'_> {
    fn new(pulse: &Pulse) -> Lane<'_> {
        Lane {
            pulse,
            thread: None,
            beat: 0,
            age: Duration::ZERO,
            start: Times::default(),
            told: false,
            budget: Budget::default(),
        }
    }

    fn look(&mut self, shard: ShardId, passed: Duration, stalls: &Stalls) {
        let beat = self.pulse.look();
        if !Pulse::is_turn(beat) {
            self.beat = beat;
            return;
        }
        if self.thread.is_none() {
            self.thread = self.pulse.thread().map(Thread::numbered);
        }
        if beat != self.beat {
            self.beat = beat;
            self.begin();
            return;
        }
        self.age += passed;
        let dead_after = stalls
            .dead_after
            .filter(|dead_after| self.age >= *dead_after);
        if let Some(dead_after) = dead_after
            && let Some(stall) = self.examine(shard, dead_after, true)
        {
            let dead_after = dead_after.as_millis();
            let line = format!("{stall}\nshard {shard} is dead after {dead_after} ms; aborting");
            tell(&line, &stall);
            std::process::abort();
        }
        let threshold = stalls.threshold.filter(|threshold| self.age >= *threshold);
        if !self.told
            && let Some(threshold) = threshold
        {
            self.report(shard, threshold, stalls);
        }
    }

    /// A turn is seen for the first time.
    fn begin(&mut self) {
        self.age = Duration::ZERO;
        self.told = false;
        self.start = self
            .thread
            .as_ref()
            .map_or_else(Times::default, Thread::times);
    }

    fn report(&mut self, shard: ShardId, threshold: Duration, stalls: &Stalls) {
        let now = Clock::monotonic();
        let may_tell = self.budget.has_room(now, stalls.reports_per_minute_max);
        let Some(stall) = self.examine(shard, threshold, may_tell) else {
            return;
        };
        self.told = true;
        // First, so that whoever is told finds it counted.
        self.pulse.count_stall(may_tell);
        if may_tell {
            self.budget.take(now);
            (stalls.tell)(&stall);
        } else {
            self.budget.unreported += 1;
        }
    }

    /// Whether the turn is a stall of at least `least`; what kind of one, if so.
    fn examine(&self, shard: ShardId, least: Duration, with_frames: bool) -> Option<Stall> {
        let thread = self.thread.as_ref()?;
        let number = self.pulse.thread()?;
        let snapshot = with_frames.then(|| snapshot::take(number)).flatten();
        let times = thread.times().since(self.start);
        // Whoever has answered a signal has just had a CPU, so all its waits for one are in the
        // books; of others only what they ran is known, or that they wait for something else.
        let is_known = snapshot.is_some() || times.ran >= least || thread.is_blocked();
        let lasted = self.age.saturating_sub(times.waited);
        let is_over = self.pulse.look() != self.beat;
        if is_over || !is_known || lasted < least {
            return None;
        }
        Some(Stall {
            shard,
            lasted,
            ran: times.ran,
            group: self.pulse.group().to_owned(),
            unreported: self.budget.unreported,
            snapshot: snapshot.map(Arc::new),
        })
    }
}

/// When a shard's stalls were reported within the last minute.
#[derive(Debug, Default)]
struct Budget {
    told: VecDeque<Instant>,
    unreported: u64,
}

impl Budget {
    /// Whether one more may be reported.
    fn has_room(&mut self, now: Instant, most: u32) -> bool {
        self.told
            .retain(|then| now.saturating_duration_since(*then) < MINUTE);
        self.told.len() < usize::try_from(most).unwrap_or(usize::MAX)
    }

    fn take(&mut self, now: Instant) {
        self.told.push_back(now);
        self.unreported = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn so_many_reports_fit_into_a_minute_and_no_more() {
        let (mut budget, start) = (Budget::default(), Clock::monotonic());
        for second in 0..5 {
            let now = start + Duration::from_secs(second);
            assert!(budget.has_room(now, 5));
            budget.take(now);
        }
        assert!(!budget.has_room(start + Duration::from_secs(59), 5));
        assert!(budget.has_room(start + MINUTE, 5));
        budget.take(start + MINUTE);
        assert!(!budget.has_room(start + MINUTE, 5));
        assert!(!Budget::default().has_room(start, 0));
    }

    #[test]
    fn a_report_says_which_shard_for_how_long_and_in_which_group() {
        let stall = Stall {
            shard: ShardId::of(3),
            lasted: Duration::from_millis(40),
            ran: Duration::from_millis(38),
            group: "compaction".into(),
            unreported: 2,
            snapshot: None,
        };
        let text = "shard 3 stalls: one turn for 40 ms so far, 38 ms of it on the CPU, in \
                    group compaction; 2 more were not reported";
        assert_eq!(stall.to_string(), text);
        assert!(stall.frames().is_empty());
    }

    #[test]
    fn nobody_watches_unless_asked_to_and_then_twice_in_the_shorter_time() {
        let ms = |count| Some(Duration::from_millis(count));
        let step = |threshold, dead_after| {
            let stalls = Stalls {
                threshold,
                dead_after,
                ..Stalls::default()
            };
            stalls.step()
        };
        assert_eq!(Stalls::default().step(), None);
        assert_eq!(step(ms(25), None), Some(Duration::from_micros(12_500)));
        assert_eq!(step(None, ms(2000)), ms(1000));
        assert_eq!(step(ms(2000), ms(100)), ms(50));
        assert_eq!(step(Some(Duration::ZERO), None), Some(LOOK_MIN));
    }
}
