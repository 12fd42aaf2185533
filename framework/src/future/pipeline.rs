//! [`Pipeline`]: items that pass through stages, each of which works on so many at a time.
//!
//! What must hold: items come out in the order in which they went in; each queue and each stage
//! has a bound, so whoever pushes waits as soon as the end stands still; when one stage ends, by a
//! panic too, all end.

use std::cell::{Cell, RefCell};
use std::fmt;
use std::future::Future;
use std::rc::Rc;

use crate::runtime::{Task, spawn};
use crate::sync::{Closed, Queue, Semaphore, Units};

/// A chain of stages, each a function that may wait, with a bounded queue before and behind each.
///
/// It runs on the shard that made it, as tasks of its own: items move on whether or not anybody
/// waits for them, until the queues are full. Dropping it cancels all of it.
///
/// # Examples
/// ```
/// # use sunstar::runtime::{Config, Placement, run_on_all_shards};
/// use sunstar::future::{Pipeline, when_both};
///
/// # let config = Config::new(Placement::unpinned(1));
/// # run_on_all_shards(&config, |_shard| async {
/// let pipeline = Pipeline::new(2)
///     .stage("parse", 4, |text: &str| async move { text.parse().unwrap_or(0) })
///     .stage("square", 1, |n: u64| async move { n * n });
/// let feed = async {
///     for text in ["1", "x", "3"] {
///         pipeline.push(text).await.expect("nobody closes it");
///     }
///     pipeline.close();
/// };
/// let read = async {
///     let mut all = Vec::new();
///     while let Ok(square) = pipeline.pop().await {
///         all.push(square);
///     }
///     all
/// };
/// assert_eq!(when_both(feed, read).await.1, [1, 0, 9]);
/// assert_eq!(pipeline.stats()[0].ended, 3);
/// # })?;
/// # Ok::<(), sunstar::Error>(())
/// ```
pub struct Pipeline<I, O> {
    input: Queue<I>,
    output: Queue<O>,
    len_max: usize,
    /// The tasks of all stages, which end by themselves once it is closed.
    tasks: RefCell<Vec<Task<()>>>,
    books: Vec<Books>,
}

/// What a stage of a [`Pipeline`] holds at this moment and has done so far.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StageStats {
    /// Its name.
    pub name: &'static str,
    /// Items that wait for it.
    pub waiting: usize,
    /// Items that it works on.
    pub running: usize,
    /// Items that it has ended with, and for which the next queue may have had no room yet.
    pub ended: u64,
    /// How often an item that was ready found the next queue full: the stage behind is slower.
    pub blocked: u64,
}

/// The counters of a stage, and how to look into the queue before it.
struct Books {
    name: &'static str,
    waiting: Box<dyn Fn() -> usize>,
    counts: Rc<Counts>,
}

#[derive(Default)]
struct Counts {
    running: Cell<usize>,
    ended: Cell<u64>,
    blocked: Cell<u64>,
}

impl<T: 'static> Pipeline<T, T> {
    /// Makes a pipeline without stages, each of whose queues will hold `len_max` items.
    ///
    /// # Panics
    /// If `len_max` is 0.
    pub fn new(len_max: usize) -> Pipeline<T, T> {
        let queue = Queue::new(len_max);
        Pipeline {
            input: queue.clone(),
            output: queue,
            len_max,
            tasks: RefCell::default(),
            books: Vec::new(),
        }
    }
}

impl<I: 'static, O: 'static> Pipeline<I, O> {
    /// Adds a stage that runs `f` for each item, for at most `count_max` of them at a time: those
    /// included that have ended and find no room in the next queue.
    ///
    /// # Panics
    /// If `count_max` is 0, or outside of every shard.
    #[must_use]
    pub fn stage<F, R>(self, name: &'static str, count_max: usize, f: F) -> Pipeline<I, R::Output>
    where
        F: FnMut(O) -> R + 'static,
        R: Future<Output: 'static> + 'static,
    {
        assert!(count_max > 0, "stage `{name}`: at least one has to run");
        let (counts, output) = (Rc::default(), Queue::new(self.len_max));
        let stage = Stage {
            input: self.output.clone(),
            started: Queue::new(count_max),
            room: Semaphore::new(count_max),
            output: output.clone(),
            counts: Rc::clone(&counts),
        };
        let mut tasks = self.tasks.into_inner();
        tasks.push(spawn(stage.clone().take_in(f)));
        tasks.push(spawn(stage.give_out()));
        let before = self.output;
        let mut books = self.books;
        books.push(Books {
            name,
            waiting: Box::new(move || before.len()),
            counts,
        });
        Pipeline {
            input: self.input,
            output,
            len_max: self.len_max,
            tasks: RefCell::new(tasks),
            books,
        }
    }

    /// Waits for room before the first stage and puts an item there.
    ///
    /// # Errors
    /// When the pipeline is closed, or has ended because a stage has panicked.
    ///
    /// # Cancel safety
    /// Dropping the future drops the item, unless it has gone in.
    pub async fn push(&self, item: I) -> Result<(), Closed> {
        self.input.push(item).await
    }

    /// Waits for the next item that comes out.
    ///
    /// # Errors
    /// When the pipeline was closed and nothing is left in it.
    ///
    /// # Panics
    /// If a stage has panicked: the panic goes on here, behind what has come out before.
    ///
    /// # Cancel safety
    /// Dropping the future takes nothing.
    pub async fn pop(&self) -> Result<O, Closed> {
        let popped = self.output.pop().await;
        if popped.is_err() {
            let tasks = std::mem::take(&mut *self.tasks.borrow_mut());
            for task in tasks {
                task.await;
            }
        }
        popped
    }

    /// Lets nothing more in. What is in it still comes out.
    pub fn close(&self) {
        self.input.close();
    }

    /// Reads the books of all stages, in order.
    pub fn stats(&self) -> Vec<StageStats> {
        let stats = |books: &Books| StageStats {
            name: books.name,
            waiting: (books.waiting)(),
            running: books.counts.running.get(),
            ended: books.counts.ended.get(),
            blocked: books.counts.blocked.get(),
        };
        self.books.iter().map(stats).collect()
    }
}

impl<I: 'static, O: 'static> fmt::Debug for Pipeline<I, O> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_list().entries(self.stats()).finish()
    }
}

/// One stage, as its two tasks see it.
struct Stage<I, O> {
    input: Queue<I>,
    /// What has begun, in order, with the units it holds.
    started: Queue<(Task<O>, Units)>,
    room: Semaphore,
    output: Queue<O>,
    counts: Rc<Counts>,
}

impl<I: 'static, O: 'static> Stage<I, O> {
    /// Begins with an item whenever there is one, and room for it.
    async fn take_in<F, R>(self, mut f: F)
    where
        F: FnMut(I) -> R,
        R: Future<Output = O> + 'static,
    {
        while let Ok(units) = self.room.acquire(1).await
            && let Ok(item) = self.input.pop().await
        {
            self.counts.running.set(self.counts.running.get() + 1);
            let (work, counts) = (f(item), Rc::clone(&self.counts));
            let task = spawn(async move {
                let output = work.await;
                counts.running.set(counts.running.get() - 1);
                counts.ended.set(counts.ended.get() + 1);
                output
            });
            if self.started.push((task, units)).await.is_err() {
                break;
            }
        }
        self.started.close();
    }

    /// Passes on what has ended, in order.
    async fn give_out(self) {
        let stage = Ending(self);
        let stage = &stage.0;
        while let Ok((task, units)) = stage.started.pop().await {
            let output = task.await;
            if let Err(output) = stage.output.try_push(output) {
                stage.counts.blocked.set(stage.counts.blocked.get() + 1);
                if stage.output.push(output).await.is_err() {
                    break;
                }
            }
            drop(units);
        }
    }
}

impl<I, O> Clone for Stage<I, O> {
    fn clone(&self) -> Stage<I, O> {
        Stage {
            input: self.input.clone(),
            started: self.started.clone(),
            room: self.room.clone(),
            output: self.output.clone(),
            counts: Rc::clone(&self.counts),
        }
    }
}

/// Closes all that a stage has when it ends, by a panic too: so do its neighbours then.
struct Ending<I, O>(Stage<I, O>);

impl<I, O> Drop for Ending<I, O> {
    fn drop(&mut self) {
        self.0.input.close();
        self.0.started.close();
        self.0.room.close();
        self.0.output.close();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::future::when_both;
    use crate::runtime::{Config, Placement, run_on_all_shards, stats, yield_now};
    use crate::sync::testing::poll;

    fn on_a_shard<F: Future<Output = ()> + 'static>(main: fn() -> F) {
        let config = Config::new(Placement::unpinned(1));
        run_on_all_shards(&config, move |_| main()).unwrap();
    }

    /// Lets all tasks go as far as they come.
    async fn settle() {
        for _ in 0..40 {
            yield_now().await;
        }
    }

    #[test]
    fn whoever_pushes_waits_when_the_end_stands_still() {
        on_a_shard(|| async {
            let pipeline = Pipeline::new(2)
                .stage("first", 3, |n: u32| async move { n })
                .stage("second", 1, |n| async move { n });
            let mut pushed = 0;
            while poll(&mut Box::pin(pipeline.push(pushed))).is_some() {
                pushed += 1;
                settle().await;
            }
            // Three queues of two, and four in the stages.
            assert_eq!(pushed, 10);
            let second = pipeline.stats()[1];
            assert_eq!((second.waiting, second.running, second.ended), (2, 0, 3));
            assert!(second.blocked > 0 && pipeline.stats()[0].blocked > 0);
            pipeline.close();
            for n in 0..pushed {
                assert_eq!(pipeline.pop().await, Ok(n));
            }
            assert_eq!(pipeline.pop().await, Err(Closed));
            assert_eq!(pipeline.push(0).await, Err(Closed));
        });
    }

    #[test]
    fn a_stage_works_on_no_more_than_its_bound_and_keeps_the_order() {
        on_a_shard(|| async {
            let gates = Rc::new([(); 6].map(|()| Semaphore::new(0)));
            let at = Rc::clone(&gates);
            let pipeline = Pipeline::new(9).stage("wait", 3, move |n: usize| {
                let unit = at[n].acquire(1);
                async move { unit.await.map(|_unit| n) }
            });
            for n in 0..6 {
                pipeline.push(n).await.unwrap();
            }
            for n in (0..6).rev() {
                settle().await;
                assert!(pipeline.stats()[0].running <= 3, "{pipeline:?}");
                gates[n].add(1);
            }
            for n in 0..6 {
                assert_eq!(pipeline.pop().await, Ok(Ok(n)));
            }
        });
    }

    #[test]
    #[should_panic(expected = "planted in a stage")]
    fn a_panic_in_a_stage_ends_all_and_reaches_whoever_waits() {
        on_a_shard(|| async {
            let pipeline = Pipeline::new(1)
                .stage("before", 1, |n: u32| async move { n })
                .stage("panics", 1, |n| async move {
                    assert_ne!(n, 3, "planted in a stage");
                    n
                })
                .stage("behind", 1, |n| async move { n });
            let feed = async {
                let mut n = 0;
                while pipeline.push(n).await.is_ok() {
                    n += 1;
                }
            };
            let read = async {
                for n in 0..3 {
                    assert_eq!(pipeline.pop().await, Ok(n));
                }
                pipeline.pop().await
            };
            let _ = when_both(feed, read).await;
        });
    }

    #[test]
    fn a_pipeline_that_is_dropped_leaves_no_task() {
        on_a_shard(|| async {
            let before = stats().tasks;
            for turns in 0..12 {
                let pipeline = Pipeline::new(1)
                    .stage("one", 2, |n: u32| async move {
                        yield_now().await;
                        n
                    })
                    .stage("two", 1, |n| async move {
                        yield_now().await;
                        n
                    });
                let mut push = Box::pin(async { while pipeline.push(1).await.is_ok() {} });
                for _ in 0..turns {
                    assert!(poll(&mut push).is_none());
                    yield_now().await;
                }
                drop(push);
                drop(pipeline);
                settle().await;
                assert_eq!(stats().tasks, before, "after {turns} turns");
            }
        });
    }

    #[test]
    #[should_panic(expected = "stage `idle`: at least one")]
    fn a_stage_that_may_do_nothing_is_refused() {
        on_a_shard(|| async {
            let _ = Pipeline::new(1).stage("idle", 0, |n: u32| async move { n });
        });
    }
}
