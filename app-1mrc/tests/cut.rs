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
use random::Random;

/// Two, so that every pair of prefixes can be tried.
const SHARD_COUNT: usize = 2;

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
    reports: [Option<Report>; SHARD_COUNT],
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
    told: [bool; SHARD_COUNT],
}

struct Simulation {
    random: Random,
    tallies: [Tally; SHARD_COUNT],
    union: Union,
    questions: Vec<Question>,
    resets: Vec<Reset>,
    batches: Vec<(usize, Report)>,
    receipts: Vec<(usize, Receipt)>,
    // The model.
    history: [Vec<Recorded>; SHARD_COUNT],
    shard_epochs: [u64; SHARD_COUNT],
    union_epoch: u64,
    acknowledged_epoch: u64,
    seen: Seen,
    answer_count: usize,
}

impl Simulation {
    fn new(seed: u64) -> Simulation {
        Simulation {
            random: Random::new(seed),
            tallies: [Tally::new(0), Tally::new(1)],
            union: Union::new(SHARD_COUNT),
            questions: Vec::new(),
            resets: Vec::new(),
            batches: Vec::new(),
            receipts: Vec::new(),
            history: [Vec::new(), Vec::new()],
            shard_epochs: [0; SHARD_COUNT],
            union_epoch: 0,
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
            let event = Event {
                user: user.as_str().into(),
                value: value.into(),
            };
            self.tallies[shard].record(&event);
            let epoch = self.shard_epochs[shard];
            self.history[shard].push(Recorded { epoch, user, value });
        }
        let batch = self.tallies[shard].batch();
        self.batches.extend(batch.map(|report| (shard, report)));
    }

    fn ask(&mut self) {
        self.questions.push(Question {
            ask: self.union.ask(),
            ask_epoch: self.union_epoch,
            reports: [None, None],
            acknowledged: [self.history[0].len(), self.history[1].len()],
            acknowledged_epoch: self.acknowledged_epoch,
            seen: self.seen,
        });
    }

    /// A shard reports to a question.
    fn report(&mut self) {
        let Some(at) = pick(&mut self.random, &self.questions) else {
            return;
        };
        let shard = self.random.below(SHARD_COUNT);
        let question = &mut self.questions[at];
        if question.reports[shard].is_none() {
            question.reports[shard] = Some(self.tallies[shard].report(&question.ask));
            self.shard_epochs[shard] = self.shard_epochs[shard].max(question.ask_epoch);
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
        assert_ne!(question.ask_epoch, self.union_epoch);
        question.ask = self.union.ask();
        question.ask_epoch = self.union_epoch;
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
            self.tallies[shard].shipped(receipt);
        }
    }

    fn reset(&mut self) {
        self.union_epoch += 1;
        assert_eq!(self.union.reset(), self.union_epoch);
        self.resets.push(Reset {
            epoch: self.union_epoch,
            told: [false; SHARD_COUNT],
        });
    }

    /// A shard is told of a reset, which is acknowledged once all are told.
    fn tell(&mut self) {
        let Some(at) = pick(&mut self.random, &self.resets) else {
            return;
        };
        let shard = self.random.below(SHARD_COUNT);
        let reset = &mut self.resets[at];
        reset.told[shard] = true;
        self.tallies[shard].reset(reset.epoch);
        self.shard_epochs[shard] = self.shard_epochs[shard].max(reset.epoch);
        if reset.told == [true; SHARD_COUNT] {
            self.acknowledged_epoch = self.acknowledged_epoch.max(reset.epoch);
            self.resets.swap_remove(at);
        }
    }

    fn check(&mut self, question: &Question, stats: &Stats) {
        self.answer_count += 1;
        assert!(
            self.union_epoch >= question.acknowledged_epoch,
            "a reset was forgotten"
        );
        let shown = self
            .shard_epochs
            .iter()
            .all(|&epoch| epoch == self.union_epoch);
        assert!(
            shown,
            "an answer shows a reset of which a shard has not been told"
        );
        let seen = Seen(self.union_epoch, stats.total_requests);
        assert!(seen >= question.seen, "{seen:?} after {:?}", question.seen);
        if seen > self.seen {
            self.seen = seen;
        }
        assert!(self.is_cut(question.acknowledged, stats), "torn: {stats:?}");
        let count = u32::try_from(stats.total_requests.max(1)).expect("small");
        assert_eq!(stats.avg, stats.sum / f64::from(count));
    }

    /// Whether there are prefixes of the shards' events, with all that was acknowledged in them,
    /// that have these figures.
    fn is_cut(&self, acknowledged: [usize; SHARD_COUNT], stats: &Stats) -> bool {
        let events = [0, 1].map(|shard| {
            let of_epoch = |event: &&Recorded| event.epoch == self.union_epoch;
            self.history[shard]
                .iter()
                .filter(of_epoch)
                .collect::<Vec<_>>()
        });
        let bounds = [0, 1].map(|shard| {
            let before = &self.history[shard][..acknowledged[shard]];
            before
                .iter()
                .filter(|event| event.epoch == self.union_epoch)
                .count()
        });
        let sums = events.each_ref().map(|events| prefix_sums(events));
        let total = usize::try_from(stats.total_requests).expect("small");
        (bounds[0]..=events[0].len().min(total)).any(|first| {
            let second = total - first;
            (bounds[1]..=events[1].len()).contains(&second)
                && f64::from(sums[0][first] + sums[1][second]) == stats.sum
                && user_count([&events[0][..first], &events[1][..second]]) == stats.unique_users
        })
    }

    /// Asks once more in quiet: everything recorded must be there.
    fn finish(&mut self) {
        let ask = self.union.ask();
        let reports = self.tallies.each_mut().map(|tally| tally.report(&ask));
        self.shard_epochs = [self.union_epoch; SHARD_COUNT];
        let stats = self
            .union
            .answer(&ask, &reports)
            .expect("there is no reset in between");
        let acknowledged = [self.history[0].len(), self.history[1].len()];
        assert!(
            self.is_cut(acknowledged, &stats),
            "lost or doubled: {stats:?}"
        );
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

fn record(tally: &mut Tally, user: &str, value: f64) {
    tally.record(&Event {
        user: user.into(),
        value,
    });
}

#[test]
fn every_answer_is_a_cut_whatever_the_interleaving() {
    let (mut answers, mut epochs) = (0, 0);
    for seed in 0..24 {
        let mut simulation = Simulation::new(seed);
        for _ in 0..1500 {
            simulation.step();
        }
        simulation.finish();
        answers += simulation.answer_count;
        epochs += simulation.union_epoch;
    }
    assert!(
        answers > 400 && epochs > 40,
        "{answers} answers, {epochs} resets"
    );
}

#[test]
fn a_user_is_shipped_once() {
    let (mut tally, mut union) = (Tally::new(0), Union::new(1));
    let mut shipped = 0;
    for number in 0..10_000 {
        record(&mut tally, &format!("user_{}", number % 5000), 1.0);
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
    let known = tally.gauges().user_count;
    for number in known..known + count {
        record(tally, &number.to_string(), 1.0);
    }
}

#[test]
fn a_batch_leaves_when_enough_users_wait_and_one_at_a_time() {
    let (mut tally, mut union) = (Tally::new(0), Union::new(1));
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
    let (mut tally, mut union) = (Tally::new(0), Union::new(1));
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
    let (mut tally, mut union) = (Tally::new(0), Union::new(1));
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
fn a_reject_changes_no_statistic() {
    let (mut tally, mut union) = (Tally::new(0), Union::new(1));
    let reason = Event::parse(b"[]").expect_err("an array is no event");
    tally.reject(reason);
    let ask = union.ask();
    let report = tally.report(&ask);
    assert_eq!(union.answer(&ask, &[report]), Some(Stats::default()));
    assert_eq!(tally.gauges().reject_counts[reason as usize], 1);
    assert_eq!(tally.gauges().event_count, 0);
}
