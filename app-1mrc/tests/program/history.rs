//! What clients see over time, checked against what they did: read your writes, and every answer
//! of `/stats` a cut, while events come in.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use serde_json::Value;

use crate::harness::{Client, Server, ZEROS, request};

/// Writes on a connection of one shard, then reads on one of the other.
fn read_your_writes(pair_count: usize) {
    let server = Server::start(&["--smp", "2"]);
    let mut clients = server.connect_to_both_shards();
    for number in 1..=pair_count {
        let writer = number / 2 % 2;
        let body = format!(r#"{{"userId":"user_{}","value":1}}"#, number % 75_000);
        assert_eq!(clients[writer].post(&body), 200);
        let users = number.min(75_000);
        let expected =
            format!(r#"{{"totalRequests":{number},"uniqueUsers":{users},"sum":{number},"avg":1}}"#);
        assert_eq!(clients[1 - writer].stats(), expected);
    }
}

#[test]
fn every_shard_reads_what_another_has_written() {
    read_your_writes(10_000);
}

#[test]
#[ignore = "a minute or two: scripts/history-1mrc.sh runs it"]
fn every_shard_reads_what_another_has_written_a_million_times() {
    read_your_writes(1_000_000);
}

const WRITER_COUNT: usize = 4;
/// The values of a writer's events are the next digit of the sum.
const DIGIT: usize = 1 << 13;
/// Events of one writer between two resets: fewer than its digit can hold.
const EVENT_MAX: usize = DIGIT - 8;
/// So many events of a writer in a row are of one user.
const USER_RUN: usize = 4;
/// Events in flight on one connection.
const DEPTH: usize = 8;

/// What one writer has done.
#[derive(Default)]
struct Written {
    sent: AtomicUsize,
    acknowledged: AtomicUsize,
}

impl Written {
    /// Sends all events of writer `number`.
    fn write(&self, client: &mut Client, number: usize) {
        let value = DIGIT.pow(u32::try_from(number).unwrap());
        for first in (0..EVENT_MAX).step_by(DEPTH) {
            let requests = (first..first + DEPTH).map(|at| {
                let user = at / USER_RUN;
                let body = format!(r#"{{"userId":"{number}_{user}","value":{value}}}"#);
                request("POST", "/event", body.as_bytes())
            });
            self.sent.store(first + DEPTH, Ordering::SeqCst);
            assert!(client.try_send(&requests.collect::<Vec<_>>().concat()));
            for at in first..first + DEPTH {
                assert_eq!(client.reply().0, 200);
                self.acknowledged.store(at + 1, Ordering::SeqCst);
            }
        }
    }
}

/// How many events of each writer are in an answer, from the digits of its sum.
fn counts_in(stats: &Value) -> [usize; WRITER_COUNT] {
    let sum = stats["sum"].as_f64().unwrap();
    assert!(sum < 2_f64.powi(53) && sum.fract() == 0.0, "{stats}");
    let mut rest = format!("{sum}").parse::<usize>().unwrap();
    let mut counts = [0; WRITER_COUNT];
    for count in &mut counts {
        *count = rest % DIGIT;
        rest /= DIGIT;
    }
    counts
}

/// Asks for `/stats` until `done`; each answer must be a cut, and none fall behind another.
fn check_answers(client: &mut Client, written: &[Written], done: &AtomicBool) -> usize {
    let (mut answer_count, mut before) = (0, [0; WRITER_COUNT]);
    while !done.load(Ordering::SeqCst) {
        let least = written
            .iter()
            .map(|it| it.acknowledged.load(Ordering::SeqCst));
        let least: Vec<usize> = least.collect();
        let text = client.stats();
        let most = written.iter().map(|it| it.sent.load(Ordering::SeqCst));
        let stats: Value = serde_json::from_str(&text).unwrap();
        let counts = counts_in(&stats);
        assert_eq!(
            stats["totalRequests"],
            counts.iter().sum::<usize>(),
            "{text}"
        );
        let users: usize = counts.iter().map(|count| count.div_ceil(USER_RUN)).sum();
        assert_eq!(stats["uniqueUsers"], users, "{text}");
        for (writer, most) in most.enumerate() {
            let count = counts[writer];
            assert!(
                (least[writer]..=most).contains(&count),
                "writer {writer}: {text}"
            );
            assert!(count >= before[writer], "writer {writer} went back: {text}");
        }
        (answer_count, before) = (answer_count + 1, counts);
    }
    answer_count
}

/// Writers on both shards and readers on both shards at the same time.
fn every_answer_is_a_cut(round_count: usize) {
    let server = Server::start(&["--smp", "2"]);
    for round in 0..round_count {
        let mut writers: Vec<Client> = (0..WRITER_COUNT / 2)
            .flat_map(|_| server.connect_to_both_shards())
            .collect();
        let mut readers = server.connect_to_both_shards();
        let written: [Written; WRITER_COUNT] = Default::default();
        let done = AtomicBool::new(false);
        let answer_count: usize = std::thread::scope(|scope| {
            let (written, done) = (&written, &done);
            let checks = readers.iter_mut();
            let checks: Vec<_> = checks
                .map(|reader| scope.spawn(move || check_answers(reader, written, done)))
                .collect();
            let writes = writers.iter_mut().zip(written).enumerate();
            let writes: Vec<_> = writes
                .map(|(number, (client, it))| scope.spawn(move || it.write(client, number)))
                .collect();
            for write in writes {
                write.join().unwrap();
            }
            done.store(true, Ordering::SeqCst);
            checks.into_iter().map(|check| check.join().unwrap()).sum()
        });
        assert!(answer_count > 10, "{answer_count} answers in round {round}");
        let total = WRITER_COUNT * EVENT_MAX;
        let expected = format!(
            r#"{{"totalRequests":{total},"uniqueUsers":{},"#,
            total / USER_RUN
        );
        assert!(readers[0].stats().starts_with(&expected));
        assert_eq!(readers[1].ask("POST", "/reset", b"").0, 200);
        assert_eq!(readers[0].stats(), ZEROS);
    }
}

#[test]
fn every_answer_under_load_is_a_cut() {
    every_answer_is_a_cut(1);
}

#[test]
#[ignore = "a minute or two: scripts/history-1mrc.sh runs it"]
fn every_answer_under_load_is_a_cut_for_three_million_events() {
    every_answer_is_a_cut(100);
}

/// A reset that comes while events do forgets a beginning of every writer's, and nothing else.
#[test]
fn a_reset_under_load_splits_every_history_once() {
    let server = Server::start(&["--smp", "2"]);
    let [mut writer, mut other] = server.connect_to_both_shards();
    for round in 0..20 {
        let asked = AtomicUsize::new(0);
        let bodies: Vec<String> = (0..2000)
            .map(|at| format!(r#"{{"userId":"{round}_{at}","value":{at}}}"#))
            .collect();
        let (before, after) = std::thread::scope(|scope| {
            let asked = &asked;
            let write = scope.spawn(|| {
                for body in &bodies {
                    assert_eq!(writer.post(body), 200);
                    asked.fetch_add(1, Ordering::SeqCst);
                }
            });
            while asked.load(Ordering::SeqCst) < 500 {
                std::thread::yield_now();
            }
            let before = asked.load(Ordering::SeqCst);
            assert_eq!(other.ask("POST", "/reset", b"").0, 200);
            let after = asked.load(Ordering::SeqCst);
            write.join().unwrap();
            (before, after)
        });
        let stats: Value = serde_json::from_str(&other.stats()).unwrap();
        let kept = usize::try_from(stats["totalRequests"].as_u64().unwrap()).unwrap();
        let first = bodies.len() - kept;
        // One event may have been under way at either moment.
        assert!(
            (before..=after + 1).contains(&first),
            "{before} {first} {after}"
        );
        assert_eq!(stats["uniqueUsers"], kept);
        let sum: usize = (first..bodies.len()).sum();
        assert_eq!(stats["sum"], sum);
        assert_eq!(other.ask("POST", "/reset", b"").0, 200);
    }
}
