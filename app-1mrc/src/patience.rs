//! How long a handler waits: [`within`] gives up, and an [`Unstoppable`] task goes on all the same.

use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::task::{Context, Poll};
use std::time::Duration;

use sunstar::runtime::{self, Task};

/// What `future` gives; `None`, and it is dropped, if that takes longer than `timeout`.
pub(crate) async fn within<T>(timeout: Duration, future: impl Future<Output = T>) -> Option<T> {
    let (mut future, mut sleep) = (pin!(future), pin!(runtime::sleep(timeout)));
    poll_fn(|context| match future.as_mut().poll(context) {
        Poll::Ready(output) => Poll::Ready(Some(output)),
        Poll::Pending => sleep.as_mut().poll(context).map(|()| None),
    })
    .await
}

/// A task that runs to its end even if nobody waits for it any more.
pub(crate) struct Unstoppable<T>(Option<Task<T>>);

impl<T> Unstoppable<T> {
    pub(crate) fn new(task: Task<T>) -> Unstoppable<T> {
        Unstoppable(Some(task))
    }
}

impl<T> Future for Unstoppable<T> {
    type Output = T;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<T> {
        let task = self
            .0
            .as_mut()
            .expect("it is taken only when this is dropped");
        Pin::new(task).poll(context)
    }
}

impl<T> Drop for Unstoppable<T> {
    fn drop(&mut self) {
        if let Some(task) = self.0.take() {
            task.detach();
        }
    }
}
