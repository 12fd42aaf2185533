//! [`Challenge`]: what every shard holds, and what is left of it when the server has stopped.
//!
//! What must hold: the first shard holds the [`Union`], every other one a [`Tally`]; when a shard
//! ends, whatever it held goes to whoever started it, so a stop loses nothing.

use std::sync::mpsc::{Receiver, Sender};
use std::time::{Duration, Instant};

use app_1mrc::event::{Event, Reject};
use app_1mrc::metrics::ShardFigures;
use app_1mrc::pulse::Pulse;
use app_1mrc::snapshot::Snapshot;
use app_1mrc::tally::{Report, Tally};
use app_1mrc::union::{Ask, Union};
use app_1mrc::users::Full;
use sunstar::{ShardId, Sharded, runtime};

/// How often the rates are taken.
const BEAT: Duration = Duration::from_secs(1);

/// What a shard has counted.
#[derive(Debug)]
pub(crate) enum Counted {
    /// The first shard's events, and what it has heard of the others'.
    First(Union),
    /// The events of another shard.
    Other(Tally),
}

/// The state of one shard.
pub(crate) struct Challenge {
    counted: Counted,
    reject_counts: [u64; Reject::ALL.len()],
    full_count: u64,
    pulse: Pulse,
    heirs: Sender<Counted>,
}

/// Why an event is not counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// It is none.
    Reject(Reject),
    /// There is no room for its user.
    Full,
}

/// How many bytes of users `shard` may hold, so that all together keep within `memory_len`.
///
/// The union gets what all others have, and a half of all for the first shard's own.
pub(crate) fn user_memory_len_max(memory_len: usize, shard: ShardId, shard_count: usize) -> usize {
    match (shard, shard_count) {
        (_, 1) => memory_len,
        (ShardId::ZERO, _) => memory_len / 2,
        _ => memory_len / 4 / (shard_count - 1),
    }
}

impl Challenge {
    /// The state of a shard that has counted this. When the shard ends, `heirs` get it.
    pub(crate) fn new(counted: Counted, heirs: Sender<Counted>) -> Challenge {
        Challenge {
            counted,
            reject_counts: [0; _],
            full_count: 0,
            pulse: Pulse::default(),
            heirs,
        }
    }

    /// Counts the event in a body; `Some` is to be sent to the first shard.
    ///
    /// # Errors
    /// If it is none, or its user is new and there is no room for more: then no statistic has
    /// changed.
    #[inline]
    pub(crate) fn record(&mut self, body: &[u8]) -> Result<Option<Report>, Refusal> {
        let users = match &self.counted {
            Counted::First(union) => union.users(),
            Counted::Other(tally) => tally.users(),
        };
        let event = match Event::parse(body, |user| users.seek(user)) {
            Ok(event) => event,
            Err(reason) => {
                self.reject_counts[reason as usize] += 1;
                return Err(Refusal::Reject(reason));
            }
        };
        let batch = match &mut self.counted {
            Counted::First(union) => union.record(&event).map(|()| None),
            Counted::Other(tally) => tally.record(&event).map(|()| tally.batch()),
        };
        match batch {
            Ok(_) => self.pulse.count(),
            Err(Full) => self.full_count += 1,
        }
        batch.map_err(|Full| Refusal::Full)
    }

    /// The union.
    ///
    /// # Panics
    /// On every shard but the first.
    pub(crate) fn union(&mut self) -> &mut Union {
        match &mut self.counted {
            Counted::First(union) => union,
            Counted::Other(_) => panic!("only the first shard holds the union"),
        }
    }

    /// The tally; none on the first shard.
    pub(crate) fn tally(&mut self) -> Option<&mut Tally> {
        match &mut self.counted {
            Counted::First(_) => None,
            Counted::Other(tally) => Some(tally),
        }
    }

    /// Answers the union's question; the first shard has nothing to say.
    pub(crate) fn report(&mut self, ask: &Ask) -> Option<Report> {
        self.tally().map(|tally| tally.report(ask))
    }

    /// Figures for the operator.
    pub(crate) fn figures(&self) -> ShardFigures {
        ShardFigures {
            gauges: match &self.counted {
                Counted::First(union) => union.gauges(),
                Counted::Other(tally) => tally.gauges(),
            },
            reject_counts: self.reject_counts,
            full_count: self.full_count,
            rates: self.pulse.rates().to_vec(),
        }
    }
}

impl Drop for Challenge {
    fn drop(&mut self) {
        let nothing = Counted::Other(Tally::new(1, 0));
        let counted = std::mem::replace(&mut self.counted, nothing);
        // Nobody waits for it in a test, or when another shard has panicked.
        let _ = self.heirs.send(counted);
    }
}

/// Takes the rate of the current shard once a second, for ever.
pub(crate) async fn beat(challenge: Sharded<Challenge>) {
    let mut last = runtime::now();
    loop {
        runtime::sleep_until(last + BEAT).await;
        let now = runtime::now();
        challenge.local(|challenge| challenge.pulse.beat(elapsed(last, now)));
        last = now;
    }
}

fn elapsed(from: Instant, to: Instant) -> Duration {
    to.saturating_duration_since(from)
}

/// Merges what all shards have left, after the last has ended.
///
/// # Panics
/// If the first shard has left nothing.
pub(crate) fn inherit(left: &Receiver<Counted>) -> Union {
    let (mut union, mut tallies) = (None, Vec::new());
    for counted in left.try_iter() {
        match counted {
            Counted::First(first) => union = Some(first),
            Counted::Other(tally) => tallies.push(tally),
        }
    }
    let mut union = union.expect("every shard leaves what it has counted");
    for tally in tallies {
        union.absorb(tally);
    }
    union
}

/// What a shard begins with: nothing, but for the first one's snapshot.
pub(crate) fn beginning(
    shard: ShardId,
    shard_count: usize,
    memory_len: usize,
    snapshot: Option<Snapshot>,
) -> Counted {
    let memory_len_max = user_memory_len_max(memory_len, shard, shard_count);
    if shard != ShardId::ZERO {
        return Counted::Other(Tally::new(shard.index(), memory_len_max));
    }
    let mut union = Union::new(shard_count, memory_len_max);
    if let Some(snapshot) = snapshot {
        union.restore(snapshot);
    }
    Counted::First(union)
}
