//! Whole servers in a simulation, seed after seed (rows C24 to C26 and C76 of the fault matrix).
//!
//! A failing seed is printed as the line that runs it again. `SUNSTAR_SEED=N` runs one seed,
//! `SUNSTAR_SEEDS=N` so many; `SUNSTAR_CLIENTS_MAX=N` lets no more clients of a server begin.

mod http;
mod script;
mod service;
mod streams;
mod waiting;

use std::cell::{Cell, RefCell};
use std::panic::{self, AssertUnwindSafe, catch_unwind, resume_unwind};
use std::rc::Rc;
use std::sync::Once;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use sunstar::runtime::{Config, Placement, Task, run_on_all_shards, sleep, spawn, yield_now};
use sunstar::sync::{Reply, oneshot};
use sunstar::testing::{Mishaps, Report, Seed, Simulation};

/// How many seeds run if nobody says otherwise.
const SEEDS: u64 = 200;
/// After how many polls each future is dropped, at the latest, in the test of that.
const AWAITS: u64 = 40;

/// Runs everything that follows from one seed.
fn run(number: u64) -> Report {
    let mut seed = Seed::new(number);
    match seed.below(4) {
        0 => streams::run(seed, of_streams(None)).0,
        kind => http::run(seed, of_http(kind > 1, false)),
    }
}

fn of_streams(polls: Option<u64>) -> streams::Conditions {
    let peers_max = clients_max();
    streams::Conditions { peers_max, polls }
}

fn of_http(losses: bool, endings: bool) -> http::Conditions {
    http::Conditions {
        losses,
        endings,
        clients_max: clients_max(),
    }
}

fn from_environment(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok()?;
    let parsed = match text.strip_prefix("0x") {
        Some(digits) => u64::from_str_radix(digits, 16),
        None => text.parse(),
    };
    Some(parsed.unwrap_or_else(|_| panic!("{name}={text}: a number is expected")))
}

/// Fewer clients make a run that Miri ends in a minute.
fn clients_max() -> usize {
    from_environment("SUNSTAR_CLIENTS_MAX").map_or(usize::MAX, |most| {
        usize::try_from(most).expect("a count of clients")
    })
}

/// How many seeds the test of one row takes.
fn row_seeds() -> u64 {
    from_environment("SUNSTAR_SEEDS").unwrap_or(SEEDS)
}

/// Panics that the service has planned are not worth a message.
fn keep_quiet_about_planned_panics() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let before = panic::take_hook();
        panic::set_hook(Box::new(move |panic| {
            let text = panic.payload_as_str().unwrap_or_default();
            if !text.starts_with("planned") {
                before(panic);
            }
        }));
    });
}

/// Runs a seed; a failure prints the line that runs it again.
fn check(number: u64) -> Option<Report> {
    let ran = catch_unwind(|| run(number));
    if ran.is_err() {
        println!("seed {number:#x} fails; again: scripts/simulate.sh --seed {number:#x}");
    }
    ran.ok()
}

#[test]
fn every_client_gets_what_is_due_to_it() {
    keep_quiet_about_planned_panics();
    let first = from_environment("SUNSTAR_FIRST_SEED").unwrap_or(0);
    let (first, count) = match from_environment("SUNSTAR_SEED") {
        Some(seed) => (seed, 1),
        None => (first, from_environment("SUNSTAR_SEEDS").unwrap_or(SEEDS)),
    };
    let threads = thread::available_parallelism().map_or(1, |count| count.get() as u64);
    let part = move |thread: u64| {
        let seeds = (0..count).filter(|seed| seed % threads == thread);
        let mut sums = (0_u64, 0_u64);
        for number in seeds {
            match check(first.wrapping_add(number)) {
                Some(report) => sums.1 += report.events,
                None => sums.0 += 1,
            }
        }
        sums
    };
    let parts: Vec<_> = (0..threads)
        .map(|index| thread::spawn(move || part(index)))
        .collect();
    let sums = parts.into_iter().map(|part| part.join().unwrap());
    let (failed, events) = sums.fold((0, 0), |all, one| (all.0 + one.0, all.1 + one.1));
    println!("{count} seeds from {first:#x}, {events} events, {failed} failed");
    assert_eq!(failed, 0, "seeds have failed; see above");
}

#[test]
fn the_same_seed_gives_the_same_transcript() {
    keep_quiet_about_planned_panics();
    for number in 1000..1020 {
        assert_eq!(run(number), run(number), "seed {number}");
    }
    assert_ne!(run(1000).transcript, run(1001).transcript);
}

/// Runs the seeds of a row, and adds up what their kernels have done that they need not do.
fn mishaps(run: impl Fn(Seed) -> Report) -> Mishaps {
    (0..row_seeds()).fold(Mishaps::default(), |sum, number| {
        let ran = catch_unwind(AssertUnwindSafe(|| run(Seed::new(number)))).map(|it| it.mishaps);
        let one = ran.unwrap_or_else(|panic| {
            println!("seed {number:#x} of this test fails");
            resume_unwind(panic)
        });
        Mishaps {
            endings: sum.endings + one.endings,
            failings: sum.failings + one.failings,
            overtakings: sum.overtakings + one.overtakings,
            late_cancels: sum.late_cancels + one.late_cancels,
        }
    })
}

/// C24: by a success, by `ENOBUFS` or by `ECANCELED`, after every second shot.
#[test]
fn multishots_that_end_for_no_reason_leave_nobody_stuck() {
    keep_quiet_about_planned_panics();
    let seen = mishaps(|seed| http::run(seed, of_http(false, true)));
    assert!(seen.endings > 10 * row_seeds(), "{seen:?}");
    assert!(seen.failings > 10 * row_seeds(), "{seen:?}");
}

/// C25: completions in any order, and such as come when somebody has given their operation up.
#[test]
fn completions_out_of_order_and_late_reach_nobody_else() {
    let seen = mishaps(|seed| streams::run(seed, of_streams(None)).0);
    assert!(seen.overtakings > 10 * row_seeds(), "{seen:?}");
    assert!(seen.late_cancels > row_seeds(), "{seen:?}");
}

/// C26: at their first await, at their second, and so on.
#[test]
fn futures_dropped_at_any_await_leave_nothing_behind() {
    let dropped = |number, polls| streams::run(Seed::new(number), of_streams(Some(polls))).1;
    for polls in 0..AWAITS {
        let sum: u64 = (0..row_seeds().div_ceil(20).max(4))
            .map(|it| dropped(it, polls))
            .sum();
        assert!(sum > 0, "nothing was left to drop after {polls} polls");
    }
}

/// Whatever tasks wait for: units, gates, locks, signals, items, values, answers, threads.
#[test]
fn whoever_waits_and_is_dropped_takes_nothing_away_from_others() {
    let dropped = AtomicU64::new(0);
    mishaps(|seed| {
        let (report, count) = waiting::run(seed);
        dropped.fetch_add(count, Ordering::Relaxed);
        report
    });
    let dropped = dropped.into_inner();
    assert!(dropped > 10 * row_seeds(), "{dropped} dropped");
}

#[test]
fn the_same_seed_lets_the_same_ones_wait() {
    for number in 2000..2010 {
        let run = || waiting::run(Seed::new(number));
        assert_eq!(run(), run(), "seed {number}");
    }
}

thread_local! {
    /// What one simulated shard hands to another, which no real one could.
    static HANDED: RefCell<Option<Handed>> = const { RefCell::new(None) };
}

/// Both belong to the first shard.
struct Handed {
    reply: Reply<u8>,
    task: Task<()>,
}

/// Tells when it is dropped.
struct Dropped(Rc<Cell<bool>>);

impl Drop for Dropped {
    fn drop(&mut self) {
        self.0.set(true);
    }
}

async fn hands_over() {
    let (reply, awaiting) = oneshot();
    let is_dropped = Rc::new(Cell::new(false));
    let held = Dropped(Rc::clone(&is_dropped));
    let task = spawn(async move {
        let _held = held;
        std::future::pending::<()>().await;
    });
    HANDED.set(Some(Handed { reply, task }));
    assert_eq!(awaiting.await, Ok(7), "woken from the other shard");
    yield_now().await;
    assert!(is_dropped.get(), "cancelled from the other shard");
}

async fn takes_over() {
    let handed = loop {
        match HANDED.take() {
            Some(handed) => break handed,
            None => yield_now().await,
        }
    };
    // The first shard has nothing else to do: only this wakes it.
    sleep(Duration::from_secs(1)).await;
    drop(handed.task);
    assert_eq!(handed.reply.send(7), Ok(()));
}

/// All shards are on one thread here, as a hosted one is beside its host's own tasks.
#[test]
fn what_belongs_to_another_shard_of_the_thread_is_woken_there() {
    for seed in 0..20 {
        let (ended, _) = Simulation::new(seed).run(|| {
            let config = Config::new(Placement::unpinned(2));
            run_on_all_shards(&config, |shard| async move {
                match shard.index() {
                    0 => hands_over().await,
                    _ => takes_over().await,
                }
            })
        });
        ended.unwrap();
    }
}
