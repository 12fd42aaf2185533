//! [`run`]: a plan on all shards.
//!
//! What must hold: the clock starts when all connections stand, or have been tried; sending ends
//! when the plan or a signal says so; what is in flight then has the plan's time to be answered;
//! the accounts of all shards are in the result.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use sunstar::runtime::{
    self, Config, ShardId, Task, run_on_all_shards, sleep, sleep_until, spawn, yield_now,
};

use crate::connection;
use crate::connector::Connector;
use crate::number::approximate;
use crate::pacer::Pacer;
use crate::plan::{Limit, Plan};
use crate::stint::Stint;
use crate::tally::Tally;
use crate::watch::Watch;

/// How often to look whether the connections stand.
const LOOK: Duration = Duration::from_millis(1);
/// How many connections a shard opens at once before the start: what opening takes is needed for
/// so many only, and a server's queue of new connections holds as many.
const CONNECTING_MAX: usize = 256;
/// How many connections may be under way at once because a run grows.
const GROWING_MAX: usize = 16;

/// Runs a plan to its end, or until `watch` has seen a signal.
///
/// # Errors
/// When the shards cannot be started.
pub(crate) fn run(plan: Plan, watch: &Arc<Watch>) -> Result<Tally, String> {
    let mut sum = Tally::new(plan.phase_count(), plan.work.template_count());
    let (plan, watch) = (Arc::new(plan), Arc::clone(watch));
    let mut config = Config::new(plan.placement.clone());
    config.driver = plan.driver;
    let tallies = run_on_all_shards(&config, move |shard| {
        run_shard(shard, Arc::clone(&plan), Arc::clone(&watch))
    });
    for tally in tallies.map_err(|error| error.to_string())? {
        sum.merge(tally?);
    }
    Ok(sum)
}

/// Whether the accounts of a whole run add up.
pub(crate) fn is_balanced(limit: Limit, tally: &Tally) -> bool {
    let sent: u64 = tally.phases.iter().map(|phase| phase.ledger.sent).sum();
    let all_claimed = match limit {
        Limit::Requests(count) => sent + tally.unclaimed + tally.unsent.sum() == count,
        Limit::Time(_) => true,
    };
    all_claimed && tally.is_balanced()
}

async fn run_shard(shard: ShardId, plan: Arc<Plan>, watch: Arc<Watch>) -> Result<Tally, String> {
    let part = plan.part(shard.index());
    let connector = Connector::new(&plan)
        .map_err(|error| format!("cannot start a thread that connects: {error}"))?;
    let stint = Stint::new(plan, shard.index(), &part, connector, runtime::pool());
    let stint = Rc::new(stint);
    let opening =
        stint.connect_gap().unwrap_or_default().as_secs_f64() * approximate(part.connection_count);
    let patience = runtime::now() + stint.plan.timeout + Duration::from_secs_f64(opening);
    let tasks = RefCell::new(Vec::new());
    let open = || {
        let at = tasks.borrow().len();
        let at = u32::try_from(at).expect("at most CONNECTION_COUNT_MAX connections");
        let task = spawn(connection::run(Rc::clone(&stint), at));
        tasks.borrow_mut().push(task);
    };
    let open_up_to = |most: usize| {
        let opened = tasks.borrow().len();
        (opened..most.min(stint.opened.get())).for_each(|_| open());
    };
    while stint.tried() < stint.opened.get()
        && runtime::now() < patience
        && watch.signal().is_none()
    {
        open_up_to(stint.tried() + CONNECTING_MAX);
        sleep(LOOK).await;
    }
    open_up_to(usize::MAX);
    start_together(&stint, &watch).await;
    let grow = || {
        let opened = stint.opened.get();
        if opened < stint.lanes.len() && opened < stint.tried() + GROWING_MAX {
            stint.opened.set(opened + 1);
            open();
        }
    };
    stint.tally.borrow_mut().driver = Some(runtime::driver_name());
    let ended = Pacer::new(&stint, &watch, &grow).run().await;
    end_tasks(tasks.into_inner(), &stint).await;
    let stint = Rc::into_inner(stint).expect("nobody else has it any more");
    let tally = stint.into_tally(ended);
    let answered = tally
        .phases
        .iter()
        .map(|phase| phase.ledger.answered())
        .sum();
    watch.publish(shard.index(), answered, 0);
    Ok(tally)
}

async fn start_together(stint: &Stint, watch: &Watch) {
    watch.arrive();
    let start = loop {
        match watch.start(runtime::now()) {
            Some(start) => break start,
            None => sleep(LOOK).await,
        }
    };
    sleep_until(start).await;
    stint.start(start);
}

/// Takes all connections down. A dropped task is gone only after its next turn.
async fn end_tasks(tasks: Vec<Task<()>>, stint: &Rc<Stint>) {
    drop(tasks);
    while Rc::strong_count(stint) > 1 {
        yield_now().await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::accounts::Batch;
    use crate::ledger::Outcome;
    use crate::moment::Moment;

    #[test]
    fn a_request_that_is_nowhere_breaks_the_balance() {
        let (limit, time) = (Limit::Requests(3), Limit::Time(LOOK));
        let batch = Batch {
            intended: Moment(0),
            sent: Moment(0),
            count: 2,
            phase: 1,
            template: 0,
        };
        let mut tally = Tally::new(2, 1);
        tally.note_sent(&batch, 0);
        tally.unclaimed = 1;
        tally.settle(&batch, Outcome::Reset, 2);
        assert!(is_balanced(limit, &tally) && is_balanced(time, &tally));
        tally.unclaimed = 0;
        assert!(!is_balanced(limit, &tally) && is_balanced(time, &tally));
        tally.unsent.shed = 1;
        assert!(is_balanced(limit, &tally));
        tally.note_sent(&Batch { count: 1, ..batch }, 0);
        tally.unsent.shed = 0;
        assert!(!is_balanced(limit, &tally), "sent and not settled");
        tally.settle(&batch, Outcome::Ok, 1);
        tally.phases[1].ledger.note_status(200, 1);
        assert!(!is_balanced(limit, &tally), "answered and not measured");
        tally.phases[1].note_times(&batch, Moment(5), 1);
        assert!(is_balanced(limit, &tally));
    }
}
