//! [`repeat`] and [`do_until`]: loops of steps that may wait; [`Pace`]: gives up turns meanwhile.
//!
//! What must hold: a loop whose steps never wait lets others have their turn all the same.

use std::ops::ControlFlow;

use super::Outcome;
use crate::runtime::{YieldNow, yield_now};

/// How many steps a loop takes before it gives up the rest of the turn. At some nanoseconds for a
/// step that is a few microseconds.
const STEPS_PER_TURN: u32 = 256;

/// Takes `step` again and again until it breaks, and gives back what it broke with.
///
/// # Cancel safety
/// Dropping it drops the step that is being taken; no other one begins.
///
/// # Examples
/// ```
/// # use sunstar::runtime::{Config, Placement, run_on_all_shards};
/// use std::ops::ControlFlow;
/// use sunstar::future::repeat;
///
/// # let config = Config::new(Placement::unpinned(1));
/// # run_on_all_shards(&config, |_shard| async {
/// let mut left = 3;
/// let said = repeat(async || {
///     left -= 1;
///     if left == 0 { ControlFlow::Break("lift off") } else { ControlFlow::Continue(()) }
/// });
/// assert_eq!(said.await, "lift off");
/// # })?;
/// # Ok::<(), sunstar::Error>(())
/// ```
pub async fn repeat<B>(mut step: impl AsyncFnMut() -> ControlFlow<B>) -> B {
    let mut pace = Pace::default();
    loop {
        if let ControlFlow::Break(value) = step().await {
            return value;
        }
        if let Some(pause) = pace.step() {
            pause.await;
        }
    }
}

/// Takes `step` until `is_done` says so, which is asked before each, or until one fails.
///
/// # Errors
/// The failure that has ended it.
///
/// # Cancel safety
/// Dropping it drops the step that is being taken; no other one begins.
///
/// # Examples
/// ```
/// # use sunstar::runtime::{Config, Placement, run_on_all_shards};
/// use std::cell::Cell;
/// use sunstar::future::do_until;
///
/// # let config = Config::new(Placement::unpinned(1));
/// # run_on_all_shards(&config, |_shard| async {
/// let level = Cell::new(0);
/// do_until(|| level.get() == 5, async || level.set(level.get() + 1)).await;
/// assert_eq!(level.get(), 5);
/// # })?;
/// # Ok::<(), sunstar::Error>(())
/// ```
pub async fn do_until<R: Outcome>(
    mut is_done: impl FnMut() -> bool,
    mut step: impl AsyncFnMut() -> R,
) -> R {
    let mut pace = Pace::default();
    while !is_done() {
        let ended = step().await;
        if ended.is_failure() {
            return ended;
        }
        if let Some(pause) = pace.step() {
            pause.await;
        }
    }
    R::success()
}

/// Counts the steps of a loop, and says when it is time to give up the turn.
#[derive(Default)]
pub(super) struct Pace {
    steps: u32,
}

impl Pace {
    /// What to wait for before the next step, if it is time.
    #[inline]
    pub(super) fn step(&mut self) -> Option<YieldNow> {
        self.steps += 1;
        if self.steps < STEPS_PER_TURN {
            return None;
        }
        self.steps = 0;
        Some(yield_now())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::runtime::{Config, Placement, run_on_all_shards, spawn};
    use crate::sync::testing::{at_every_await, poll};
    use std::cell::Cell;
    use std::rc::Rc;

    #[test]
    fn a_step_that_fails_is_the_last_one() {
        let taken = Cell::new(0);
        let step = async || {
            taken.set(taken.get() + 1);
            if taken.get() < 3 {
                Ok(())
            } else {
                Err(taken.get())
            }
        };
        assert_eq!(poll(&mut Box::pin(do_until(|| false, step))), Some(Err(3)));
        assert_eq!(poll(&mut Box::pin(do_until(|| true, step))), Some(Ok(())));
        assert_eq!(taken.get(), 3, "who is done takes no step");
    }

    #[test]
    fn a_loop_that_never_waits_starves_nobody() {
        let config = Config::new(Placement::unpinned(1));
        let ran = run_on_all_shards(&config, |_| async {
            let over = Rc::new(Cell::new(false));
            let end = Rc::clone(&over);
            spawn(async move { end.set(true) }).detach();
            let mut steps = 0_u64;
            repeat(async || {
                steps += 1;
                if over.get() {
                    ControlFlow::Break(())
                } else {
                    ControlFlow::Continue(())
                }
            })
            .await;
            let left = Cell::new(steps);
            do_until(|| left.get() == 0, async || left.set(left.get() - 1)).await;
        });
        assert_eq!(ran.unwrap().len(), 1);
    }

    #[test]
    fn dropped_at_any_await_they_drop_the_step() {
        at_every_await(|steps| async move {
            let mut left = 3;
            repeat(async || {
                steps.of(left).await;
                left -= 1;
                match left {
                    0 => ControlFlow::Break(()),
                    _ => ControlFlow::Continue(()),
                }
            })
            .await;
        });
        at_every_await(|steps| async move {
            let left = Cell::new(3);
            do_until(
                || left.get() == 0,
                async || {
                    steps.of(left.get()).await;
                    left.set(left.get() - 1);
                },
            )
            .await;
        });
    }
}
