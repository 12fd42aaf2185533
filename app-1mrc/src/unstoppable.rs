//! A task that is not ended with the request that began it.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use sunstar::runtime::Task;

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
