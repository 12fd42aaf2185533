//! [`run`]: a plan on all shards, closed loop: a connection sends again when an answer has come.
//!
//! What must hold: sending ends when the plan or a signal says so; what is in flight then has
//! [`DRAIN_TIME`] to be answered; the accounts of all shards are in the result.

use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use sunstar::runtime::{self, Config, ShardId, Task, run_on_all_shards, sleep, spawn, yield_now};

use crate::connection;
use crate::plan::{Limit, Plan};
use crate::stint::Stint;
use crate::tally::Tally;
use crate::watch::Watch;

/// How long the last requests may take to be answered.
const DRAIN_TIME: Duration = Duration::from_secs(2);
/// How often a shard says how far it is and asks whether to stop.
const TICK: Duration = Duration::from_millis(100);

/// Runs a plan to its end, or until `watch` has seen a signal.
///
/// # Errors
/// When the shards cannot be started.
pub(crate) fn run(plan: Plan, watch: &Arc<Watch>) -> sunstar::Result<Tally> {
    let (plan, watch) = (Arc::new(plan), Arc::clone(watch));
    let config = Config::new(plan.placement.clone());
    let tallies = run_on_all_shards(&config, move |shard| {
        run_shard(shard, Arc::clone(&plan), Arc::clone(&watch))
    })?;
    let mut sum = Tally::new();
    for tally in tallies {
        sum.merge(tally);
    }
    Ok(sum)
}

/// Whether the accounts of a whole run add up.
pub(crate) fn is_balanced(limit: Limit, tally: &Tally) -> bool {
    let all_claimed = match limit {
        Limit::Requests(count) => tally.ledger.sent + tally.unsent == count,
        Limit::Time(_) => true,
    };
    all_claimed && tally.ledger.is_balanced() && tally.ledger.answered() == tally.latency.count()
}

async fn run_shard(shard: ShardId, plan: Arc<Plan>, watch: Arc<Watch>) -> Tally {
    let part = plan.part(shard.index());
    let stint = Stint::new(plan, part.requests, runtime::pool(), runtime::now());
    let stint = Rc::new(stint);
    let connect = |_| spawn(connection::run(Rc::clone(&stint)));
    let mut tasks: Vec<_> = (0..part.connection_count).map(connect).collect();
    while !ended_within(TICK, &mut tasks).await {
        let now = runtime::now();
        watch.publish(shard.index(), stint.tally.borrow().ledger.answered());
        if watch.signal().is_some() {
            stint.stop(now);
        }
        if stint.until().is_some_and(|until| now >= until + DRAIN_TIME) {
            break;
        }
    }
    // A dropped task is gone only after its next turn.
    drop(tasks);
    while Rc::strong_count(&stint) > 1 {
        yield_now().await;
    }
    let stint = Rc::into_inner(stint).expect("nobody else has it any more");
    let tally = stint.into_tally();
    watch.publish(shard.index(), tally.ledger.answered());
    tally
}

/// Waits until all tasks have ended, but no longer than `timeout`; whether they have.
async fn ended_within(timeout: Duration, tasks: &mut Vec<Task<()>>) -> bool {
    let mut timeout = pin!(sleep(timeout));
    poll_fn(|context| match poll_all(tasks, context) {
        Poll::Ready(()) => Poll::Ready(true),
        Poll::Pending => timeout.as_mut().poll(context).map(|()| false),
    })
    .await
}

/// Ready when all tasks have ended.
fn poll_all(tasks: &mut Vec<Task<()>>, context: &mut Context<'_>) -> Poll<()> {
    while let Some(last) = tasks.last_mut() {
        if Pin::new(last).poll(context).is_pending() {
            return Poll::Pending;
        }
        tasks.pop();
    }
    Poll::Ready(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ledger::Outcome;

    #[test]
    fn a_request_that_is_nowhere_breaks_the_balance() {
        let (limit, time) = (Limit::Requests(3), Limit::Time(TICK));
        let mut tally = Tally::new();
        (tally.ledger.sent, tally.unsent) = (2, 1);
        tally.ledger.settle(Outcome::Reset, 2);
        assert!(is_balanced(limit, &tally) && is_balanced(time, &tally));
        tally.unsent = 0;
        assert!(!is_balanced(limit, &tally) && is_balanced(time, &tally));
        tally.ledger.sent = 3;
        assert!(!is_balanced(limit, &tally), "sent and not settled");
        tally.ledger.settle(Outcome::Ok, 1);
        tally.ledger.note_status(200);
        assert!(!is_balanced(limit, &tally), "answered and not measured");
        tally.latency.record(TICK);
        assert!(is_balanced(limit, &tally));
    }
}
