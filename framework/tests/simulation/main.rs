//! Whole servers in a simulation, seed after seed (rows C22 to C26 and C76 of the fault matrix).
//!
//! A failing seed is printed as the line that runs it again. `SUNSTAR_SEED=N` runs one seed,
//! `SUNSTAR_SEEDS=N` so many.

mod http;
mod script;
mod service;
mod streams;

use std::panic;
use std::sync::Once;
use std::thread;

use sunstar::testing::{Report, Seed};

/// How many seeds run if nobody says otherwise.
const SEEDS: u64 = 200;

/// Runs everything that follows from one seed.
fn run(number: u64) -> Report {
    let mut seed = Seed::new(number);
    match seed.below(4) {
        0 => streams::run(seed),
        1 => http::run(seed, false),
        _ => http::run(seed, true),
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
    let ran = panic::catch_unwind(|| run(number));
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
