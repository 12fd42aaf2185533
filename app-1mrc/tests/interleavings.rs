//! Every interleaving of some clients' requests, step by step as messages arrive, checked by what
//! the clients saw: when each request began and ended, and which events an answer held. Messages of
//! one request reach the shards in their order; that of different requests is any.
//!
//! What must hold: the checker knows nothing of epochs, marks and prefixes. An event has a value of
//! a power of two of its own, so a sum says which events are in it.
#![expect(clippy::cast_precision_loss, reason = "powers of two are doubles")]

use std::collections::HashSet;

use app_1mrc::event::Event;
use app_1mrc::stats::Stats;
use app_1mrc::tally::{Report, Tally};
use app_1mrc::union::{Ask, Union};

/// The first, which counts in the union, and two others.
const SHARD_COUNT: usize = 3;
/// A request that has not ended yet.
const NEVER: usize = usize::MAX;

/// What a client asks for, in order; it waits for each answer.
#[derive(Clone, Copy, Debug)]
enum Request {
    /// `POST /event` of this user, received by this shard.
    Post(usize, &'static str),
    /// `GET /stats`.
    Read,
    /// `POST /reset`.
    Reset,
    /// `GET /stats`, but the client goes away before the answer.
    HangUp,
}

/// What has happened, as clients see it. Times are counts of steps.
#[derive(Clone, Default)]
struct History {
    events: Vec<(usize, &'static str)>,
    resets: Vec<(usize, usize)>,
    answers: Vec<(usize, usize, HashSet<usize>)>,
}

impl History {
    /// Which events an answer holds, which has the figures of just these.
    fn events_in(&self, stats: &Stats) -> HashSet<usize> {
        let sum = stats
            .sum
            .to_string()
            .parse::<u64>()
            .expect("a whole number");
        let held: HashSet<usize> = (0..64).filter(|bit| sum >> bit & 1 == 1).collect();
        let users: HashSet<_> = held.iter().map(|&event| self.events[event].1).collect();
        assert_eq!(stats.total_requests, held.len() as u64, "torn: {stats:?}");
        assert_eq!(stats.unique_users, users.len() as u64, "torn: {stats:?}");
        held
    }

    /// Whether some reset was under way at some moment from `start` to `end`.
    fn has_reset(&self, start: usize, end: usize) -> bool {
        self.resets
            .iter()
            .any(|&(begun, ended)| begun <= end && ended >= start)
    }

    fn check(&self) {
        for (at, (start, end, held)) in self.answers.iter().enumerate() {
            for (event, &(when, _)) in self.events.iter().enumerate() {
                let is_held = held.contains(&event);
                assert!(!is_held || when < *end, "an event before it was sent");
                if when < *start && !self.has_reset(when, *end) {
                    assert!(is_held, "a write is not read");
                }
                let forgotten = |&(begun, ended): &(usize, usize)| when < begun && ended < *start;
                assert!(
                    !is_held || !self.resets.iter().any(forgotten),
                    "a reset is not seen"
                );
            }
            for (later, _, held_later) in &self.answers[at + 1..] {
                if later < end {
                    continue;
                }
                if !self.has_reset(*start, *later) {
                    assert!(
                        held.is_subset(held_later),
                        "an answer falls behind an earlier one"
                    );
                }
                let lost = |&event: &usize| self.events[event].0 < *start && !held.contains(&event);
                let back = held_later.iter().any(lost);
                assert!(!back, "what a reset has forgotten comes back");
            }
        }
    }
}

/// A `/stats` under way: begun at a time, asking this, with these reports.
#[derive(Clone)]
struct Question {
    start: usize,
    ask: Ask,
    reports: Vec<Report>,
}

/// How far a client's request has come.
#[derive(Clone)]
enum Stage {
    New,
    Asking(Question),
    /// The reset's number in the history, its epoch, and how many shards have been told.
    Resetting(usize, u64, usize),
}

#[derive(Clone)]
struct Client {
    requests: &'static [Request],
    stage: Stage,
}

/// The shards, the clients and the time.
#[derive(Clone)]
struct World {
    union: Union,
    tallies: [Tally; SHARD_COUNT - 1],
    clients: Vec<Client>,
    history: History,
    now: usize,
}

impl World {
    fn new(clients: &[&'static [Request]]) -> World {
        let client = |&requests: &&'static [Request]| Client {
            requests,
            stage: Stage::New,
        };
        World {
            union: Union::new(SHARD_COUNT, usize::MAX),
            tallies: [1, 2].map(|shard| Tally::new(shard, usize::MAX)),
            clients: clients.iter().map(client).collect(),
            history: History::default(),
            now: 0,
        }
    }

    /// Tries every way to go on from here; returns how many ways there are to the end.
    fn explore(&self) -> usize {
        let mut count = 0;
        for client in 0..self.clients.len() {
            if !self.clients[client].requests.is_empty() {
                let mut world = self.clone();
                world.step(client);
                count += world.explore();
            }
        }
        if count == 0 {
            self.history.check();
            return 1;
        }
        count
    }

    fn step(&mut self, client: usize) {
        self.now += 1;
        let request = self.clients[client].requests[0];
        let stage = std::mem::replace(&mut self.clients[client].stage, Stage::New);
        let next = match (request, stage) {
            (Request::Post(shard, user), _) => self.post(shard, user),
            (Request::Reset, Stage::Resetting(number, epoch, told)) => {
                self.tell(number, epoch, told)
            }
            (Request::Reset, _) => {
                self.history.resets.push((self.now, NEVER));
                let number = self.history.resets.len() - 1;
                Some(Stage::Resetting(number, self.union.reset(), 0))
            }
            (_, Stage::Asking(question)) => self.go_on(question, request),
            (Request::Read | Request::HangUp, _) => Some(self.ask(self.now)),
        };
        let client = &mut self.clients[client];
        match next {
            Some(stage) => client.stage = stage,
            None => client.requests = &client.requests[1..],
        }
    }

    fn post(&mut self, shard: usize, user: &'static str) -> Option<Stage> {
        let value = (1_u64 << self.history.events.len()) as f64;
        let recorded = if shard == 0 {
            let user = self.union.users().seek(user);
            self.union.record(&Event { user, value })
        } else {
            let tally = &mut self.tallies[shard - 1];
            let user = tally.users().seek(user);
            tally.record(&Event { user, value })
        };
        assert_eq!(recorded, Ok(()));
        self.history.events.push((self.now, user));
        None
    }

    fn ask(&self, start: usize) -> Stage {
        Stage::Asking(Question {
            start,
            ask: self.union.ask(),
            reports: Vec::new(),
        })
    }

    /// The next shard reports, or the union answers when all have.
    fn go_on(&mut self, mut question: Question, request: Request) -> Option<Stage> {
        if let Some(tally) = self.tallies.get_mut(question.reports.len()) {
            question.reports.push(tally.report(&question.ask));
            let all = question.reports.len() == self.tallies.len();
            let gone = all && matches!(request, Request::HangUp);
            return (!gone).then_some(Stage::Asking(question));
        }
        let Some(stats) = self.union.answer(&question.ask, &question.reports) else {
            return Some(self.ask(question.start));
        };
        let held = self.history.events_in(&stats);
        self.history.answers.push((question.start, self.now, held));
        None
    }

    /// The next shard is told of a reset, which ends when all have been.
    fn tell(&mut self, number: usize, epoch: u64, told: usize) -> Option<Stage> {
        self.tallies[told].reset(epoch);
        if told + 1 < self.tallies.len() {
            return Some(Stage::Resetting(number, epoch, told + 1));
        }
        self.history.resets[number].1 = self.now;
        None
    }
}

use Request::{HangUp, Post, Read, Reset};

/// Explores what these clients may do after these posts; there must be more than `least` ways.
#[track_caller]
fn explore(before: &'static [Request], clients: &[&'static [Request]], least: usize) {
    let mut world = World::new(clients);
    world.clients.push(Client {
        requests: before,
        stage: Stage::New,
    });
    for _ in before {
        world.step(clients.len());
    }
    let count = world.explore();
    assert!(count > least, "only {count} interleavings");
}

#[test]
fn two_readers_and_a_writer_on_all_shards() {
    let writer = &[Post(1, "a"), Post(0, "b"), Post(2, "a")];
    explore(&[], &[&[Read], &[Read], writer], 11_000);
}

#[test]
fn a_writer_who_reads_on_and_one_who_does_not() {
    let reads = &[Post(1, "a"), Read, Post(2, "b"), Read];
    explore(&[], &[reads, &[Post(2, "a"), Post(0, "a")]], 65);
}

#[test]
fn users_who_are_known_already() {
    let again = &[Post(1, "a"), Read, Post(1, "a"), Read];
    explore(&[], &[again, &[Read]], 1000);
    let before = &[Post(2, "a"), Post(1, "a")];
    explore(before, &[&[Post(1, "a"), Read], &[Read, Post(2, "a")]], 250);
}

#[test]
fn a_reset_between_a_reader_and_a_writer() {
    explore(&[Post(2, "a")], &[&[Read], &[Reset], &[Post(1, "a")]], 280);
    explore(
        &[Post(1, "a")],
        &[&[Read], &[Reset], &[Post(0, "a"), Post(2, "b")]],
        1200,
    );
}

#[test]
fn a_reader_after_a_reset_of_its_own_beside_a_writer() {
    let client = &[Post(2, "a"), Reset, Read];
    explore(
        &[Post(1, "a")],
        &[client, &[Post(1, "a"), Post(2, "b")]],
        40,
    );
}

#[test]
fn reports_that_a_client_has_left_behind_change_nothing() {
    let before = &[Post(1, "a"), Post(2, "b")];
    explore(
        before,
        &[&[HangUp], &[Post(1, "a"), Read], &[Post(2, "b")]],
        500,
    );
    explore(before, &[&[HangUp], &[Reset], &[Post(1, "a"), Read]], 2000);
}

#[test]
fn two_resets_at_once() {
    explore(
        &[Post(1, "a"), Post(2, "b")],
        &[&[Reset], &[Reset], &[Read]],
        4200,
    );
}
