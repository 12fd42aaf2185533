//! Futures put together: all of them, any of them, one after another, so many at a time.
//!
//! | function | waits for |
//! |---|---|
//! | [`when_all`], [`when_both`] | all, and gives back what each has ended with |
//! | [`when_all_succeed`] | all, and gives back their values or the first error |
//! | [`when_any`] | the first, and gives the others back |
//! | [`parallel_for_each`] | what a function does with every item, all at once |
//! | [`max_concurrent_for_each`] | the same, so many at a time |
//! | [`repeat`], [`do_until`] | a step that is taken again and again |
//! | [`map`], [`filter`], [`reduce`] | the futures of a stream, so many at a time |
//! | [`with_timeout`], [`with_deadline`] | a future, but no longer than that |
//! | [`with_abort`] | a future, unless somebody asks to give up |
//! | [`Pipeline`] | items that pass through stages, each with a bound |
//!
//! Nothing here needs to be `Send`, and nothing starts a task but [`Pipeline`]: a future that is
//! given to one of these makes progress while that one is awaited, and is dropped with it. Whoever
//! repeats what never waits gives up the turn now and then, so that a long loop starves nobody.

mod all;
mod bounded;
mod concurrent;
mod each;
mod outcome;
mod pipeline;
mod repeat;

pub use all::{Any, when_all, when_all_succeed, when_any, when_both};
pub use bounded::{TimedOut, with_abort, with_deadline, with_timeout};
pub use concurrent::{filter, items, map, reduce};
pub use each::{max_concurrent_for_each, parallel_for_each};
pub use outcome::Outcome;
pub use pipeline::{Pipeline, StageStats};
pub use repeat::{do_until, repeat};
