//! The protocol between tallies and their union, on a network that delays, reorders, repeats and
//! loses: every answer is a cut, holds what was acknowledged before it was asked, and never less
//! than an earlier one. A seed decides everything.
#![expect(clippy::float_cmp, reason = "sums of small whole numbers are exact")]

#[path = "oracle/random.rs"]
mod random;

use std::collections::HashSet;

use app_1mrc::event::Event;
use app_1mrc::stats::Stats;
use app_1mrc::tally::{BATCH_LEN, Report, Tally};
use app_1mrc::union::{Ask, Receipt, Union};
use app_1mrc::users::Full;
use random::Random;

/// The first, which counts in the union, and two others: so every pair of prefixes can be tried.
const SHARD_COUNT: usize = 3;

/// What the model remembers of an event. Values are small whole numbers, so sums are exact.
struct Recorded {
    epoch: u64,
    user: String,
    value: i32,
}

/// One `GET /stats` under way, and what its answer must not fall behind.
struct Question {
    ask: Ask,
    ask_epoch: u64,
    reports: [Option<Report>; SHARD_COUNT - 1],
    acknowledged: [usize; SHARD_COUNT],
    acknowledged_epoch: u64,
    seen: Seen,
}

/// The epoch and the count of an answer.
#[derive(Clone, Copy, Debug, Default, PartialEq, PartialOrd)]
struct Seen(u64, u64);

/// One `POST /reset` under way.
struct Reset {
    epoch: u64,
    told: [bool; SHARD_COUNT - 1],
}

struct Simulation {
    random: Random,
    union: Union,
    /// Of all shards but the first.
    tallies: [Tally; SHARD_COUNT - 1],
    questions: Vec<Question>,
    resets: Vec<Reset>,
    batches: Vec<(usize, Report)>,
    receipts: Vec<(usize, Receipt)>,
    // The model.
    history: [Vec<Recorded>; SHARD_COUNT],
    /// The first shard's is the union's.
    epochs: [u64; SHARD_COUNT],
    acknowledged_epoch: u64,
    seen: Seen,
    answer_count: usize,
}

impl Simulation {
    fn new(seed: u64) -> Simulation {
        Simulation {
            random: Random::new(seed),
            union: Union::new(SHARD_COUNT, usize::MAX),
            tallies: [1, 2].map(|shard| Tally::new(shard, usize::MAX)),
            questions: Vec::new(),
            resets: Vec::new(),
            batches: Vec::new(),
            receipts: Vec::new(),
            history: [const { Vec::new() }; SHARD_COUNT],
            epochs: [0; SHARD_COUNT],
            acknowledged_epoch: 0,
            seen: Seen::default(),
            answer_count: 0,
        }
    }

    fn step(&mut self) {
        match self.random.below(100) {
            0..30 => self.record(),
            30..40 => self.ask(),
            40..70 => self.report(),
            70..85 => self.answer(),
            85..86 => self.hang_up(),
            86..90 => self.deliver_batch(),
            90..94 => self.deliver_receipt(),
            94 if self.random.below(4) == 0 => self.reset(),
            _ => self.tell(),
        }
    }

    /// A shard serves some events, most of them of users whom it has not met.
    fn record(&mut self) {
        let shard = self.random.below(SHARD_COUNT);
        for _ in 0..self.random.below(200) {
            let user = format!("user_{}", self.random.below(30_000));
            let value = i32::try_from(self.random.below(2001)).expect("small") - 1000;
            let recorded = match shard {
                0 => count(&mut self.union, &user, value.into()),
                _ => record(&mut self.tallies[shard - 1], &user, value.into()),
            };
            assert_eq!(recorded, Ok(()));
            let epoch = self.epochs[shard];
            self.history[shard].push(Recorded { epoch, user, value });
        }
        if shard > 0 {
            let batch = self.tallies[shard - 1].batch();
            self.batches.extend(batch.map(|report| (shard, report)));
        }
    }

    fn ask(&mut self) {
        self.questions.push(Question {
            ask: self.union.ask(),
            ask_epoch: self.epochs[0],
            reports: [None, None],
            acknowledged: self.history.each_ref().map(Vec::len),
            acknowledged_epoch: self.acknowledged_epoch,
            seen: self.seen,
        });
    }

    /// A shard reports to a question.
    fn report(&mut self) {
        let Some(at) = pick(&mut self.random, &self.questions) else {
            return;
        };
        let other = self.random.below(SHARD_COUNT - 1);
        let question = &mut self.questions[at];
        if question.reports[other].is_none() {
            question.reports[other] = Some(self.tallies[other].report(&question.ask));
            let epoch = &mut self.epochs[other + 1];
            *epoch = question.ask_epoch.max(*epoch);
        }
    }

    /// A question to which all have reported is answered, or asked again after a reset.
    fn answer(&mut self) {
        let Some(at) = pick(&mut self.random, &self.questions) else {
            return;
        };
        let mut question = self.questions.swap_remove(at);
        let [Some(first), Some(second)] = &question.reports else {
            self.questions.push(question);
            return;
        };
        let reports = [second.clone(), first.clone()];
        if let Some(stats) = self.union.answer(&question.ask, &reports) {
            self.check(&question, &stats);
            return;
        }
        assert_ne!(question.ask_epoch, self.epochs[0]);
        question.ask = self.union.ask();
        question.ask_epoch = self.epochs[0];
        question.reports = [None, None];
        self.questions.push(question);
    }

    /// A client goes away before its answer: the reports taken for it are lost.
    fn hang_up(&mut self) {
        if let Some(at) = pick(&mut self.random, &self.questions) {
            self.questions.swap_remove(at);
        }
    }

    /// A batch arrives: perhaps out of order, perhaps twice, perhaps never.
    fn deliver_batch(&mut self) {
        let Some(at) = pick(&mut self.random, &self.batches) else {
            return;
        };
        let (shard, report) = self.batches.swap_remove(at);
        match self.random.below(8) {
            0 => return,
            1 => self.batches.push((shard, report.clone())),
            _ => {}
        }
        let receipt = self.union.merge(&report);
        self.receipts.push((shard, receipt));
    }

    fn deliver_receipt(&mut self) {
        if let Some(at) = pick(&mut self.random, &self.receipts) {
            let (shard, receipt) = self.receipts.swap_remove(at);
            self.tallies[shard - 1].shipped(receipt);
        }
    }

    fn reset(&mut self) {
        self.epochs[0] += 1;
        assert_eq!(self.union.reset(), self.epochs[0]);
        self.resets.push(Reset {
            epoch: self.epochs[0],
            told: [false; _],
        });
    }

    /// A shard is told of a reset, which is acknowledged once all are told.
    fn tell(&mut self) {
        let Some(at) = pick(&mut self.random, &self.resets) else {
            return;
        };
        let other = self.random.below(SHARD_COUNT - 1);
        let reset = &mut self.resets[at];
        reset.told[other] = true;
        self.tallies[other].reset(reset.epoch);
        let epoch = &mut self.epochs[other + 1];
        *epoch = reset.epoch.max(*epoch);
        if reset.told == [true; SHARD_COUNT - 1] {
            self.acknowledged_epoch = self.acknowledged_epoch.max(reset.epoch);
            self.resets.swap_remove(at);
        }
    }

    fn check(&mut self, question: &Question, stats: &Stats) {
        self.answer_count += 1;
        let epoch = self.epochs[0];
        assert!(
            epoch >= question.acknowledged_epoch,
            "a reset was forgotten"
        );
        assert!(
            self.epochs == [epoch; SHARD_COUNT],
            "an answer shows a reset of which a shard has not been told"
        );
        let seen = Seen(epoch, stats.total_requests);
        assert!(seen >= question.seen, "{seen:?} after {:?}", question.seen);
        if seen > self.seen {
            self.seen = seen;
        }
        assert!(self.is_cut(question.acknowledged, stats), "torn: {stats:?}");
        let count = u32::try_from(stats.total_requests.max(1)).expect("small");
        assert_eq!(stats.avg, stats.sum / f64::from(count));
    }

    /// Whether there are prefixes of the shards' events, with all that was acknowledged in them,
    /// that have these figures. The first shard's is all that it has recorded.
    fn is_cut(&self, acknowledged: [usize; SHARD_COUNT], stats: &Stats) -> bool {
        let is_current = |event: &&Recorded| event.epoch == self.epochs[0];
        let current = |events: &'_ [Recorded]| events.iter().filter(is_current).count();
        let [own, events @ ..] = self
            .history
            .each_ref()
            .map(|events| events.iter().filter(is_current).collect::<Vec<_>>());
        let bounds = [1, 2].map(|shard| current(&self.history[shard][..acknowledged[shard]]));
        let sums = events.each_ref().map(|events| prefix_sums(events));
        let own_sum: i32 = own.iter().map(|event| event.value).sum();
        let total = usize::try_from(stats.total_requests).expect("small");
        let Some(others) = total.checked_sub(own.len()) else {
            return false;
        };
        (bounds[0]..=events[0].len().min(others)).any(|first| {
            let second = others - first;
            (bounds[1]..=events[1].len()).contains(&second)
                && f64::from(own_sum + sums[0][first] + sums[1][second]) == stats.sum
                && user_count([&own, &events[0][..first], &events[1][..second]])
                    == stats.unique_users
        })
    }

    /// Asks once more in quiet: everything recorded must be there.
    fn finish(mut self) {
        let ask = self.union.ask();
        let reports = self.tallies.each_mut().map(|tally| tally.report(&ask));
        self.epochs = [self.epochs[0]; SHARD_COUNT];
        let stats = self
            .union
            .answer(&ask, &reports)
            .expect("there is no reset in between");
        let acknowledged = self.history.each_ref().map(Vec::len);
        assert!(
            self.is_cut(acknowledged, &stats),
            "lost or doubled: {stats:?}"
        );
    }

    /// All shards end at once, whatever is on its way: everything recorded must be kept.
    fn stop(mut self) {
        self.tallies
            .iter()
            .for_each(|tally| self.union.absorb(tally.clone()));
        self.epochs = [self.epochs[0]; SHARD_COUNT];
        let acknowledged = self.history.each_ref().map(Vec::len);
        let stats = self.union.stats();
        assert!(
            self.is_cut(acknowledged, &stats),
            "lost or doubled: {stats:?}"
        );
        let mut next = Union::new(1, usize::MAX);
        next.restore(self.union.into_snapshot());
        assert_eq!(next.stats(), stats);
    }
}

fn pick<T>(random: &mut Random, items: &[T]) -> Option<usize> {
    (!items.is_empty()).then(|| random.below(items.len()))
}

fn prefix_sums(events: &[&Recorded]) -> Vec<i32> {
    let running = events.iter().scan(0, |sum, event| {
        *sum += event.value;
        Some(*sum)
    });
    [0].into_iter().chain(running).collect()
}

fn user_count(prefixes: [&[&Recorded]; SHARD_COUNT]) -> u64 {
    let users: HashSet<&str> = prefixes
        .concat()
        .iter()
        .map(|event| event.user.as_str())
        .collect();
    users.len() as u64
}

fn record(tally: &mut Tally, user: &str, value: f64) -> Result<(), Full> {
    let user = tally.users().seek(user);
    tally.record(&Event { user, value })
}

/// Records an event of the first shard.
fn count(union: &mut Union, user: &str, value: f64) -> Result<(), Full> {
    let user = union.users().seek(user);
    union.record(&Event { user, value })
}

#[test]
fn every_answer_is_a_cut_whatever_the_interleaving() {
    let (mut answers, mut epochs) = (0, 0);
    for seed in 0..24 {
        let mut simulation = Simulation::new(seed);
        for _ in 0..1500 {
            simulation.step();
        }
        answers += simulation.answer_count;
        epochs += simulation.epochs[0];
        if seed % 2 == 0 {
            simulation.finish();
        } else {
            simulation.stop();
        }
    }
    assert!(
        answers > 400 && epochs > 40,
        "{answers} answers, {epochs} resets"
    );
}

#[test]
fn a_user_is_shipped_once() {
    let (mut tally, mut union) = (Tally::new(1, usize::MAX), Union::new(2, usize::MAX));
    let mut shipped = 0;
    for number in 0..10_000 {
        assert_eq!(
            record(&mut tally, &format!("user_{}", number % 5000), 1.0),
            Ok(())
        );
        if let Some(report) = tally.batch() {
            shipped += report.user_count();
            tally.shipped(union.merge(&report));
        }
        if number % 777 == 0 {
            let ask = union.ask();
            let report = tally.report(&ask);
            shipped += report.user_count();
            union.answer(&ask, &[report]).expect("there was no reset");
        }
    }
    let ask = union.ask();
    let report = tally.report(&ask);
    assert_eq!(shipped + report.user_count(), 5000);
    assert_eq!(
        union
            .answer(&ask, &[report])
            .map(|stats| stats.unique_users),
        Some(5000)
    );
}

/// Records events of this many users whom the tally has not met.
fn record_new(tally: &mut Tally, count: u64) {
    let known = tally.gauges().name_count;
    for number in known..known + count {
        assert_eq!(record(tally, &number.to_string(), 1.0), Ok(()));
    }
}

#[test]
fn a_batch_leaves_when_enough_users_wait_and_one_at_a_time() {
    let (mut tally, mut union) = (Tally::new(1, usize::MAX), Union::new(2, usize::MAX));
    record_new(&mut tally, BATCH_LEN - 1);
    assert!(tally.batch().is_none());
    record_new(&mut tally, 1);
    let report = tally.batch().expect("enough users wait");
    assert_eq!(report.user_count(), BATCH_LEN);
    record_new(&mut tally, 3 * BATCH_LEN);
    assert!(tally.batch().is_none(), "one is on its way");
    tally.shipped(union.merge(&report));
    assert_eq!(
        tally.batch().map(|report| report.user_count()),
        Some(3 * BATCH_LEN)
    );
}

#[test]
fn a_batch_that_overtakes_a_report_is_sent_again() {
    let (mut tally, mut union) = (Tally::new(1, usize::MAX), Union::new(2, usize::MAX));
    record_new(&mut tally, 10);
    let lost = tally.report(&union.ask());
    assert_eq!(lost.user_count(), 10);
    record_new(&mut tally, BATCH_LEN);
    let early = tally.batch().expect("enough users wait");
    tally.shipped(union.merge(&early));
    assert_eq!(
        union.stats(),
        Stats::default(),
        "there is a gap before the batch"
    );
    let whole = tally.batch().expect("enough users wait again");
    tally.shipped(union.merge(&whole));
    assert_eq!(union.stats().unique_users, 10 + BATCH_LEN);
    assert_eq!(union.stats().total_requests, 10 + BATCH_LEN);
}

#[test]
fn a_receipt_from_before_a_reset_frees_nothing_after_it() {
    let (mut tally, mut union) = (Tally::new(1, usize::MAX), Union::new(2, usize::MAX));
    record_new(&mut tally, BATCH_LEN);
    let stale = union.merge(&tally.batch().expect("enough users wait"));
    tally.reset(union.reset());
    record_new(&mut tally, BATCH_LEN);
    let fresh = tally.batch().expect("enough users wait");
    tally.shipped(stale);
    record_new(&mut tally, BATCH_LEN);
    assert!(tally.batch().is_none(), "one is on its way");
    tally.shipped(union.merge(&fresh));
    assert!(tally.batch().is_some());
}

#[test]
fn an_event_without_room_for_its_user_changes_nothing() {
    let (mut tally, mut union) = (Tally::new(1, 0), Union::new(2, 0));
    assert_eq!(record(&mut tally, "new", 1.0), Err(Full));
    assert_eq!(count(&mut union, "new", 1.0), Err(Full));
    assert_eq!(tally.gauges().event_count, 0);
    assert_eq!(union.stats(), Stats::default());
    // What another shard has acknowledged is merged all the same, and known from then on.
    let mut other = Tally::new(1, usize::MAX);
    assert_eq!(record(&mut other, "new", 1.0), Ok(()));
    union.merge(&other.report(&union.ask()));
    assert_eq!(count(&mut union, "new", 1.0), Ok(()));
    assert_eq!(union.stats().total_requests, 2);
    union.reset();
    assert_eq!(
        count(&mut union, "new", 1.0),
        Err(Full),
        "a reset keeps the bound"
    );
}

#[test]
fn what_was_restored_comes_before_all_else_and_ends_with_a_reset() {
    let mut earlier = Union::new(1, usize::MAX);
    for value in [1e16, 1.0, 0.5] {
        let user = if value > 1.0 { "a" } else { "b" };
        count(&mut earlier, user, value).expect("there is room");
    }
    let mut union = Union::new(2, usize::MAX);
    union.restore(earlier.into_snapshot());
    let mut tally = Tally::new(1, usize::MAX);
    assert_eq!(record(&mut tally, "a", -1e16), Ok(()));
    let ask = union.ask();
    let stats = union.answer(&ask, &[tally.report(&ask)]);
    let expected = Stats {
        total_requests: 4,
        unique_users: 2,
        sum: 1.5,
        avg: 0.375,
    };
    assert_eq!(stats, Some(expected));
    assert_eq!((union.restored_count(), union.gauges().event_count), (3, 0));
    union.reset();
    assert_eq!(union.stats(), Stats::default());
}
