//! The set of users at ten million: what a new one costs, the worst of them, memory for each, and
//! what names cost that were chosen to collide. Not a criterion bench: the worst case is one event.
//!
//! What must hold: every insertion is timed. The machine may take the CPU away meanwhile, so the
//! worst are told with what the set did then: only a growing set is the set's own fault, and what
//! it did in one insertion it does again in the same one of a copy.
#![expect(clippy::print_stdout, reason = "it reports to whoever runs it")]

mod clock;

use std::hash::{BuildHasher, BuildHasherDefault, DefaultHasher};
use std::time::Duration;

use app_1mrc::users::Users;
use clock::clock;

const USER_COUNT: usize = 10_000_000;
/// So many of the slowest insertions are told.
const WORST_COUNT: usize = 5;
/// How often an insertion is repeated on a copy; the fastest counts.
const REPEAT_COUNT: usize = 3;
/// Of so many names those are chosen that collide.
const TRIED_COUNT: usize = 20_000_000;

fn main() {
    ten_million();
    flood();
}

/// An insertion that took long.
struct Slow {
    number: usize,
    took: Duration,
    grew: bool,
}

fn ten_million() {
    let mut users = Users::default();
    let mut name = String::new();
    let (mut worst, mut over): (Vec<Slow>, usize) = (Vec::new(), 0);
    let (start, mut memory_len) = (clock(), users.memory_len());
    for number in 0..USER_COUNT {
        write_name(&mut name, number);
        let begin = clock();
        users.insert(&name).expect("there is room");
        let took = begin.elapsed();
        let grew = users.memory_len() > memory_len;
        memory_len = users.memory_len();
        over += usize::from(took > Duration::from_micros(50));
        if worst.len() < WORST_COUNT || took > worst[WORST_COUNT - 1].took {
            worst.push(Slow { number, took, grew });
            worst.sort_by_key(|slow| std::cmp::Reverse(slow.took));
            worst.truncate(WORST_COUNT);
        }
    }
    let each = start.elapsed() / u32::try_from(USER_COUNT).expect("ten million");
    println!("{USER_COUNT} users of 25 bytes: {each:?} each with the clock read twice");
    let tenths = users.memory_len() * 10 / USER_COUNT;
    println!("{}.{} bytes per user", tenths / 10, tenths % 10);
    println!("{over} insertions over 50 us; the worst:");
    for Slow { number, took, grew } in worst {
        println!("  {took:?} at user {number}, the set grew: {grew}");
    }
    drop(users);
    own_worst();
}

/// The worst insertion that is the set's own fault: three sets with the same key, so that each
/// insertion does the same in all, and of each insertion the fastest.
fn own_worst() {
    let first = Users::default();
    let mut copies: Vec<Users> = (0..REPEAT_COUNT).map(|_| first.clone()).collect();
    let mut name = String::new();
    let (mut worst, mut over): (Vec<(Duration, usize)>, usize) = (Vec::new(), 0);
    for number in 0..USER_COUNT {
        write_name(&mut name, number);
        let took = copies.iter_mut().map(|users| {
            let begin = clock();
            users.insert(&name).expect("there is room");
            begin.elapsed()
        });
        let took = took.min().expect("there are copies");
        over += usize::from(took > Duration::from_micros(50));
        if worst.len() < WORST_COUNT || took > worst[WORST_COUNT - 1].0 {
            worst.push((took, number));
            worst.sort_by_key(|&(took, _)| std::cmp::Reverse(took));
            worst.truncate(WORST_COUNT);
        }
    }
    println!("the fastest of {REPEAT_COUNT} equal insertions: {over} over 50 us; the worst:");
    for (took, number) in worst {
        println!("  {took:?} at user {number}");
    }
}

fn write_name(name: &mut String, number: usize) {
    use std::fmt::Write as _;
    name.clear();
    write!(name, "user_{number:020}").expect("writing to a string cannot fail");
}

/// Names that fall into one place under the standard hasher without a key, which an attacker can
/// compute, beside names that nobody chose.
fn flood() {
    let unkeyed = BuildHasherDefault::<DefaultHasher>::default();
    let collides = |name: &String| unkeyed.hash_one(name.as_bytes()) >> 36 & 1023 == 7;
    let all = (0..TRIED_COUNT).map(|number| format!("user_{number:08}"));
    let chosen: Vec<String> = all.filter(collides).collect();
    let usual: Vec<String> = (0..chosen.len())
        .map(|at| format!("user_{at:08}"))
        .collect();
    let fill = |names: &[String]| {
        let mut users = Users::default();
        let start = clock();
        for name in names {
            users.insert(name).expect("there is room");
        }
        start.elapsed() / u32::try_from(names.len()).expect("few")
    };
    let [random, flood] = [&usual, &chosen].map(|names| (0..9).map(|_| fill(names)).min());
    let (random, flood) = (random.expect("nine tries"), flood.expect("nine tries"));
    println!(
        "{} new names: {random:?} each, chosen to collide {flood:?}",
        chosen.len()
    );
}
