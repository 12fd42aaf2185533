//! [`Peers`]: the futures of scripted peers, which run beside the shards and belong to none.

use std::cell::RefCell;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake, Waker};

/// A peer that has not ended.
struct Peer {
    name: String,
    future: Pin<Box<dyn Future<Output = ()>>>,
    woken: Arc<Woken>,
}

struct Woken(AtomicBool);

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// All peers of a simulation.
#[derive(Default)]
pub(crate) struct Peers {
    alive: Vec<Peer>,
}

thread_local! {
    static PEERS: RefCell<Option<Peers>> = const { RefCell::new(None) };
}

/// Lets peers take part in the simulation that begins on this thread.
pub(crate) fn take_part(peers: Peers) {
    PEERS.with(|place| *place.borrow_mut() = Some(peers));
}

impl Peers {
    /// The peers of this thread's simulation.
    pub(super) fn of_this_thread() -> Peers {
        PEERS.with(|place| place.borrow_mut().take().unwrap_or_default())
    }

    /// Adds a peer, which begins with the simulation.
    pub(crate) fn add(&mut self, name: String, future: impl Future<Output = ()> + 'static) {
        let woken = Arc::new(Woken(AtomicBool::new(true)));
        let future = Box::pin(future);
        self.alive.push(Peer {
            name,
            future,
            woken,
        });
    }

    /// Polls those that were woken. Tells whether there were any.
    pub(super) fn run(&mut self) -> bool {
        let mut any = false;
        self.alive.retain_mut(|peer| {
            if !peer.woken.0.swap(false, Ordering::Relaxed) {
                return true;
            }
            any = true;
            let waker = Waker::from(Arc::clone(&peer.woken));
            let polled = peer.future.as_mut().poll(&mut Context::from_waker(&waker));
            polled == Poll::Pending
        });
        any
    }

    /// Who has not ended.
    pub(super) fn names(&self) -> Vec<&str> {
        self.alive.iter().map(|peer| peer.name.as_str()).collect()
    }
}
