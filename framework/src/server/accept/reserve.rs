//! [`Reserve`]: descriptors that are held so that, when no other is left, a connection can still be
//! accepted, told so, and closed.
//!
//! What must hold: a connection is served only while the reserve for the next one stays whole.

use crate::runtime;
use crate::sys::event::EventFd;

/// Descriptors in reserve, for one listener.
pub(super) struct Reserve {
    held: Vec<EventFd>,
    /// How many descriptors a connection takes: its own, and what the driver needs besides.
    per_stream: usize,
}

impl Reserve {
    pub(super) fn new() -> Reserve {
        let mut reserve = Reserve {
            held: Vec::new(),
            per_stream: runtime::descriptors_per_stream(),
        };
        reserve.is_filled();
        reserve
    }

    /// Makes it whole again, and tells whether it is: enough for one connection to be told that it
    /// is not served, and what the one at hand needs besides its own.
    pub(super) fn is_filled(&mut self) -> bool {
        while self.held.len() < 2 * self.per_stream - 1 {
            match EventFd::new() {
                Ok(one) => self.held.push(one),
                Err(_) => return false,
            }
        }
        true
    }

    /// Gives up what the connection at hand needs besides its own. Tells whether that is anything:
    /// the connection must then have its turn before the reserve is filled again.
    pub(super) fn lend(&mut self) -> bool {
        self.held.truncate(self.per_stream);
        self.per_stream > 1
    }

    /// Gives everything up, for a connection to be told.
    pub(super) fn give_up(&mut self) {
        self.held.clear();
    }

    /// Whether it was not given up.
    pub(super) fn is_held(&self) -> bool {
        !self.held.is_empty()
    }

    /// Whether it was given up and a connection could have all of it at this moment: the one before
    /// was told, and is gone.
    pub(super) fn is_free(&self) -> bool {
        let all = (0..self.per_stream).map(|_| EventFd::new());
        !self.is_held() && all.collect::<Result<Vec<_>, _>>().is_ok()
    }
}
