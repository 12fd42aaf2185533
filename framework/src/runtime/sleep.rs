//! [`Sleep`] and [`YieldNow`]: futures that wait for time, or for nothing.

use std::future::Future;
use std::marker::PhantomData;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use super::clock::deadline;
use super::current;
use super::timer::TimerKey;
use super::wakee::Wakee;

/// Waits until the shard's clock has reached a deadline. See [`sleep_until`].
///
/// It stays on its shard:
/// ```compile_fail,E0277
/// fn is_send<T: Send>() {}
/// is_send::<sunstar::runtime::Sleep>();
/// ```
#[derive(Debug)]
#[must_use = "a future does nothing until it is awaited"]
pub struct Sleep {
    deadline: Instant,
    timer: Option<TimerKey>,
    /// When the timer was set to fire: `deadline`, or earlier if that has moved away since.
    fires: Instant,
    /// The timer belongs to a shard, so this may not leave it.
    shard_local: PhantomData<*const ()>,
}

/// Waits until `deadline`; at once when it has passed. Resolution: 1,024 ns, never early.
///
/// # Cancel safety
/// Dropping it cancels the timer.
pub fn sleep_until(deadline: Instant) -> Sleep {
    Sleep {
        deadline,
        timer: None,
        fires: deadline,
        shard_local: PhantomData,
    }
}

/// Waits for `timeout`, counted from the beginning of the current turn; for ever with
/// [`Duration::MAX`].
///
/// # Panics
/// Outside of every shard.
pub fn sleep(timeout: Duration) -> Sleep {
    sleep_until(deadline(super::now(), timeout))
}

impl Sleep {
    /// When it ends.
    pub fn deadline(&self) -> Instant {
        self.deadline
    }

    /// Sets another deadline. A later one costs nothing: the timer is moved when it fires.
    pub fn reset(&mut self, deadline: Instant) {
        if deadline < self.deadline {
            self.cancel();
        }
        self.deadline = deadline;
    }

    /// Whether a timer waits that will wake the task which polled last, at `deadline` or before.
    ///
    /// For a task that polls it by itself: it need not poll again before it is woken.
    #[inline]
    pub(crate) fn is_set(&self, now: Instant) -> bool {
        self.timer.is_some() && now < self.fires
    }

    fn cancel(&mut self) {
        if let Some(timer) = self.timer.take() {
            current::try_with(|shard| {
                let waker = shard.and_then(|shard| shard.timers.borrow_mut().cancel(timer));
                drop(waker);
            });
        }
    }
}

impl Future for Sleep {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        current::with(|shard| {
            if shard.clock.now() >= self.deadline {
                self.cancel();
                return Poll::Ready(());
            }
            let mut timers = shard.timers.borrow_mut();
            let before = self
                .timer
                .and_then(|timer| timers.rewake(timer, context.waker()));
            if before.is_none() {
                self.timer = Some(timers.insert(self.deadline, Wakee::of(context.waker())));
                self.fires = self.deadline;
            }
            drop((timers, before));
            Poll::Pending
        })
    }
}

impl Drop for Sleep {
    fn drop(&mut self) {
        self.cancel();
    }
}

/// Goes on in the shard's next turn. See [`yield_now`].
#[derive(Debug)]
#[must_use = "a future does nothing until it is awaited"]
pub struct YieldNow {
    yielded: bool,
}

/// Gives up the rest of the turn: the shard's other ready tasks run first, and so does whoever is
/// woken by what its sockets, its timers and other shards have brought meanwhile.
pub fn yield_now() -> YieldNow {
    YieldNow { yielded: false }
}

impl Future for YieldNow {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        if self.yielded {
            return Poll::Ready(());
        }
        self.yielded = true;
        current::try_with(|shard| match shard {
            Some(shard) => shard.executor.wake_next_turn(Wakee::of(context.waker())),
            None => context.waker().wake_by_ref(),
        });
        Poll::Pending
    }
}
