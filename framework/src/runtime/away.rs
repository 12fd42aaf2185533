//! [`call`]: has another shard run a closure; [`Away`] is the future of its result.
//!
//! What must hold: a closure that was sent runs, whether or not anybody waits for it, unless the
//! shards end before; what needs more room than a letter has is in a box, which comes back, but for
//! a panic, to be freed where it was made.

use std::future::Future;
use std::marker::PhantomData;
use std::panic::resume_unwind;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::thread;

use super::current;
use super::placement::ShardId;
use crate::sys::parcel::Parcel;

/// Runs `f` on `shard` in the scope of that shard, and gives back what it returns.
///
/// # Panics
/// If there is no such shard, or it is the calling one: there `f` can be called directly.
pub(crate) fn call<F, R>(shard: ShardId, f: F) -> Away<F, R>
where
    F: FnOnce() -> R + Send + 'static,
    R: Send + 'static,
{
    Away {
        shard: shard.index(),
        f: Some(f),
        state: State::New,
        shard_local: PhantomData,
    }
}

/// How far a call is.
#[derive(Clone, Copy)]
enum State {
    New,
    /// Too many are away: it has this ticket.
    Refused(u64),
    /// It has this number.
    Sent(u16),
    Done,
}

/// The future of a call to another shard.
///
/// # Cancel safety
/// Dropped before its first poll nothing happens; later the closure runs all the same and its
/// result is dropped on this shard.
pub(crate) struct Away<F, R> {
    shard: usize,
    /// Until it was sent.
    f: Option<F>,
    state: State,
    /// The call's place belongs to a shard, so this may not leave it.
    shard_local: PhantomData<*const R>,
}

impl<F, R> Unpin for Away<F, R> {}

impl<F, R> Future for Away<F, R>
where
    F: FnOnce() -> R + Send + 'static,
    R: Send + 'static,
{
    type Output = R;

    /// # Panics
    /// If the closure has panicked on the other shard: the panic goes on here.
    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<R> {
        let this = &mut *self;
        let waker = context.waker();
        let before = match this.state {
            State::Sent(call) => {
                return current::with(|here| {
                    let take = take::<F, R>;
                    let back = here.mesh.poll_back(this.shard, call, waker, take);
                    if back.is_ready() {
                        this.state = State::Done;
                    }
                    back
                })
                .map(|result| result.unwrap_or_else(|panic| resume_unwind(panic)));
            }
            State::New => None,
            State::Refused(ticket) => Some(ticket),
            State::Done => panic!("a call was polled after it had ended"),
        };
        let f = &mut this.f;
        let put = |letter: &mut Parcel| put(letter, f.take().expect("it was not sent"));
        let sent = current::with(|here| here.mesh.try_send(this.shard, put, before, waker));
        this.state = sent.map_or_else(State::Refused, State::Sent);
        Poll::Pending
    }
}

impl<F, R> Drop for Away<F, R> {
    fn drop(&mut self) {
        let shard = self.shard;
        current::try_with(|here| match (here, self.state) {
            (Some(here), State::Sent(call)) => here.mesh.abandon(shard, call),
            (Some(here), State::Refused(ticket)) => here.mesh.give_up(shard, ticket),
            _ => {}
        });
    }
}

/// Work, or its result, that a letter has no room for.
struct Large<F, R> {
    work: Option<F>,
    result: Option<R>,
}

/// Puts work into a letter.
#[inline]
fn put<F, R>(letter: &mut Parcel, f: F)
where
    F: FnOnce() -> R + Send + 'static,
    R: Send + 'static,
{
    if Parcel::has_room_for::<F, R>() {
        return letter.put(f);
    }
    let mut large = Box::new(Large {
        work: Some(f),
        result: None,
    });
    letter.put(move || {
        large.result = large.work.take().map(|work| work());
        large
    });
}

/// Takes the result of such work out.
#[inline]
fn take<F, R>(letter: &mut Parcel) -> thread::Result<R>
where
    F: FnOnce() -> R + Send + 'static,
    R: Send + 'static,
{
    if Parcel::has_room_for::<F, R>() {
        return letter.take().expect("it was run");
    }
    let large = letter.take::<Box<Large<F, R>>>().expect("it was run");
    large.map(|large| large.result.expect("it was run"))
}

#[cfg(test)]
mod tests {
    use std::panic::AssertUnwindSafe;

    use futures_util::FutureExt;

    use super::*;
    use crate::runtime::{Config, Placement, run_on_all_shards};

    /// Runs on the first of two shards, which can call the second one.
    fn on_two_shards<F>(main: impl Fn(ShardId) -> F + Send + Sync + 'static)
    where
        F: Future<Output = ()> + 'static,
    {
        let config = Config::new(Placement::unpinned(2));
        let ran = run_on_all_shards(&config, move |here| {
            let second = ShardId::new(1).expect("there are two");
            let main = (here == ShardId::ZERO).then(|| main(second));
            async move {
                if let Some(main) = main {
                    main.await;
                }
            }
        });
        assert_eq!(ran.unwrap().len(), 2);
    }

    #[test]
    fn work_and_results_of_any_size_go_and_come_back() {
        on_two_shards(|second| async move {
            let (few, many) = ([1_u64; 2], [2_u64; 100]);
            assert_eq!(call(second, move || few[0] + few[1]).await, 2);
            // As much as a letter has room for, and a word more.
            let (room, more) = ([1_usize; 7], [1_usize; 8]);
            assert_eq!(call(second, move || room).await, room);
            assert_eq!(call(second, move || more).await, more);
            assert_eq!(call(second, move || u128::MAX).await, u128::MAX);
            assert_eq!(call(second, move || many.iter().sum::<u64>()).await, 200);
            assert_eq!(call(second, move || [few[0]; 100]).await, [1; 100]);
            assert_eq!(call(second, move || many.map(|it| it + 1)).await, [3; 100]);
            assert_eq!(call(second, current::current_shard).await, second);
        });
    }

    #[test]
    fn a_panic_of_large_work_goes_on_at_the_caller() {
        on_two_shards(|second| async move {
            let many = [3_u64; 100];
            let panics = call(second, move || {
                assert_eq!(many.len(), 3, "on purpose");
                many
            });
            let panic = AssertUnwindSafe(panics).catch_unwind().await.unwrap_err();
            let text = panic.downcast::<String>().unwrap();
            assert!(text.contains("on purpose"), "{text}");
        });
    }
}
