//! The stall detector: what it reports and what not, by counts and contents and never by time.
//!
//! What must hold: whoever stalls here goes on until that was counted, and whoever does not goes on
//! for many thresholds of CPU time, so a crowded machine changes how long a test takes and nothing
//! else.
#![expect(clippy::unwrap_used, reason = "a test may fail by unwrapping")]

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use sunstar::runtime::{
    Config, Group, Placement, Stall, Stalls, Stats, run_on_all_shards, stats, yield_if_needed,
    yield_now,
};

const THRESHOLD: Duration = Duration::from_millis(10);
/// For those who must not stall: a virtual machine that is stopped for a while has its books say
/// that it ran.
const LONG_THRESHOLD: Duration = Duration::from_millis(50);

/// A configuration of one shard, and what is reported with it.
fn watched(stalls: Stalls) -> (Config, Receiver<Stall>) {
    let (told, reports) = channel();
    let mut config = Config::new(Placement::unpinned(1));
    config.stalls = Stalls {
        threshold: Some(THRESHOLD),
        tell: Arc::new(move |stall| told.send(stall.clone()).unwrap()),
        ..stalls
    };
    (config, reports)
}

/// How long this thread has had a CPU.
fn cpu_time() -> Duration {
    let books = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap();
    let ran = books.split(' ').next().unwrap();
    Duration::from_nanos(ran.parse().unwrap())
}

/// Keeps its shard to itself until that was counted once more.
#[inline(never)]
fn stall_once() {
    let before = stats().stalls;
    while stats().stalls == before {
        std::hint::spin_loop();
    }
}

async fn ten_stalls() -> Stats {
    for _ in 0..10 {
        stall_once();
        yield_now().await;
    }
    stats()
}

#[test]
fn ten_stalls_are_counted_and_five_of_them_reported() {
    let (config, reports) = watched(Stalls::default());
    let stats = run_on_all_shards(&config, |_| ten_stalls()).unwrap()[0];
    drop(config);
    let reports: Vec<_> = reports.iter().collect();
    assert_eq!(
        (stats.stalls, stats.stalls_unreported, reports.len()),
        (10, 5, 5)
    );
    for stall in &reports {
        assert_eq!((stall.shard.index(), stall.unreported), (0, 0));
        assert!(
            stall.lasted >= THRESHOLD && stall.ran > Duration::ZERO,
            "{stall:?}"
        );
        assert_eq!(stall.group, "main");
    }
}

#[test]
fn a_report_names_the_functions_and_the_group_of_the_task() {
    let (mut config, _) = watched(Stalls {
        reports_per_minute_max: u32::MAX,
        ..Stalls::default()
    });
    let search = Arc::new(Search::default());
    let told = Arc::clone(&search);
    config.stalls.tell = Arc::new(move |stall| {
        let frames = stall.frames();
        let place = |part: &str| frames.iter().position(|frame| frame.contains(part));
        let places = [
            place("stalls::stall_once"),
            place("stalls::stall_until"),
            place("sunstar::runtime::reactor::turn"),
        ];
        let is_whole = places.iter().all(Option::is_some) && places.is_sorted();
        let is_found = is_whole && stall.group == "heavy";
        told.is_found.fetch_or(is_found, Ordering::AcqRel);
        told.count.fetch_add(1, Ordering::AcqRel);
    });
    // A shard that waits for a CPU does not answer the signal in time: then a later report does.
    let searched = Arc::clone(&search);
    let stall = move |_| {
        let search = Arc::clone(&searched);
        async { Group::start("heavy", 10).spawn(stall_until(search)).await }
    };
    run_on_all_shards(&config, stall).unwrap();
    assert!(search.is_found.load(Ordering::Acquire), "{search:?}");
}

/// What the reports have had so far.
#[derive(Debug, Default)]
struct Search {
    is_found: AtomicBool,
    count: AtomicUsize,
}

async fn stall_until(search: Arc<Search>) {
    while !search.is_found.load(Ordering::Acquire) && search.count.load(Ordering::Acquire) < 100 {
        stall_once();
        yield_now().await;
    }
}

#[test]
fn how_many_are_reported_can_be_set() {
    let (config, reports) = watched(Stalls {
        reports_per_minute_max: 9,
        ..Stalls::default()
    });
    let stats = run_on_all_shards(&config, |_| ten_stalls()).unwrap()[0];
    drop(config);
    assert_eq!((stats.stalls_unreported, reports.iter().count()), (1, 9));
}

#[test]
fn a_task_that_is_busy_for_long_and_yields_is_no_stall() {
    let (mut config, reports) = watched(Stalls::default());
    config.stalls.threshold = Some(LONG_THRESHOLD);
    let spin = |_| async {
        let end = cpu_time() + 10 * LONG_THRESHOLD;
        while cpu_time() < end {
            yield_if_needed().await;
        }
        stats()
    };
    let stats = run_on_all_shards(&config, spin).unwrap()[0];
    drop(config);
    assert_eq!((stats.stalls, reports.iter().count()), (0, 0));
}

#[test]
fn a_shard_that_sleeps_is_no_stall() {
    let (mut config, reports) = watched(Stalls::default());
    config.stalls.threshold = Some(LONG_THRESHOLD);
    let sleep = |_| async {
        sunstar::runtime::sleep(6 * LONG_THRESHOLD).await;
        stats()
    };
    let stats = run_on_all_shards(&config, sleep).unwrap()[0];
    drop(config);
    assert_eq!((stats.stalls, reports.iter().count()), (0, 0));
}

#[test]
fn a_shard_that_is_blocked_in_a_system_call_stalls() {
    let (mut config, _) = watched(Stalls::default());
    let (here, there) = UnixStream::pair().unwrap();
    let (told, reports) = channel();
    // The report itself sets the shard free again.
    config.stalls.tell = Arc::new(move |stall| {
        told.send(stall.clone()).unwrap();
        (&there).write_all(b"!").unwrap();
    });
    let here = Arc::new(here);
    let block = move |_| {
        let here = Arc::clone(&here);
        async move {
            (&*here).read_exact(&mut [0]).unwrap();
            yield_now().await;
            stats().stalls
        }
    };
    assert_eq!(run_on_all_shards(&config, block).unwrap(), [1]);
    let stall = reports.recv().unwrap();
    assert!(stall.ran < stall.lasted, "{stall}");
    // None if it did not get a CPU in time to answer.
    let frames = stall.frames();
    assert!(
        frames.is_empty() || frames.iter().any(|frame| frame.contains("read")),
        "{frames:?}"
    );
}

#[test]
fn by_default_nobody_watches_and_nothing_is_counted() {
    let config = Config::new(Placement::unpinned(1));
    let spin = |_| async {
        let end = cpu_time() + 10 * THRESHOLD;
        while cpu_time() < end {}
        yield_now().await;
        stats().stalls
    };
    assert_eq!(run_on_all_shards(&config, spin).unwrap(), [0]);
}

/// Set for the process that is to die.
const DIES: &str = "SUNSTAR_TEST_DIES";

#[test]
fn a_shard_that_is_dead_ends_the_process_and_says_where_it_was() {
    if std::env::var(DIES).is_ok() {
        return die();
    }
    let name = "a_shard_that_is_dead_ends_the_process_and_says_where_it_was";
    let mut process = Command::new(std::env::current_exe().unwrap());
    let process = process
        .args([name, "--exact", "--nocapture"])
        .env(DIES, "1");
    let output = process.output().unwrap();
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success(), "{text}");
    assert!(
        text.contains("shard 0 is dead after 100 ms; aborting"),
        "{text}"
    );
    // It may not have got a CPU in time to say where it was.
    let places = ["stalls::stall_for_ever", "could not be found out"];
    assert!(places.iter().any(|place| text.contains(place)), "{text}");
}

#[inline(never)]
fn stall_for_ever() {
    loop {
        std::hint::spin_loop();
    }
}

fn die() {
    let mut config = Config::new(Placement::unpinned(2));
    config.stalls = Stalls {
        dead_after: Some(10 * THRESHOLD),
        ..Stalls::default()
    };
    let main = |shard: sunstar::ShardId| async move {
        if shard == sunstar::ShardId::ZERO {
            stall_for_ever();
        }
    };
    run_on_all_shards(&config, main).unwrap();
}
