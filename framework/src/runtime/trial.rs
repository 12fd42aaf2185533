//! The trial of `io_uring`: one connection through a small ring, before the shards start.
//!
//! What a kernel answers to questions is not what it does: a profile may permit the set-up and
//! forbid the rest, an emulation may know the calls and not the operations. So the trial does once
//! what a shard does all day: accept, receive into a provided buffer, send, close. It takes about a
//! millisecond and at most `STEPS_MAX` steps. Over a Unix socket, since that needs no network.

use std::io;
use std::os::fd::{AsRawFd, OwnedFd};

use super::doorbell::Doorbell;
use super::driver::{Driver, Wait};
use super::op::{Completion, Op, OpId, Outcome, Target};
use super::uring::Uring;
use super::uring_options::{UringOptions, UringSizes};
use crate::mem::{Buf, Pool};
use crate::sys::immediate;
use crate::sys::socket::{self, Descriptor};

/// How often the driver is entered for one completion, and how long each time at most.
const STEPS_MAX: usize = 5;
const STEP: std::time::Duration = std::time::Duration::from_millis(4);
/// The smallest ring, with a few small buffers.
const SIZES: UringSizes = UringSizes {
    submissions: 16,
    completions: 64,
    buffers: 4,
    buffer_len: 64,
};
const MESSAGE: &[u8] = b"sunstar";

/// Tries `io_uring` on the calling thread.
///
/// # Errors
/// What the kernel has answered where it would not go on.
pub(super) fn uring() -> io::Result<()> {
    let bell = Doorbell::new()?;
    let options = UringOptions {
        sizes: SIZES,
        ..UringOptions::default()
    };
    let driver = Uring::new(options, &bell).map(Driver::Uring)?;
    Trial::new(driver, bell).connection()
}

/// A driver on which one connection is tried.
struct Trial {
    driver: Driver,
    bell: Doorbell,
    pool: Pool,
    completed: Vec<Completion>,
}

impl Trial {
    fn new(driver: Driver, bell: Doorbell) -> Trial {
        Trial {
            driver,
            bell,
            pool: Pool::new(),
            completed: Vec::new(),
        }
    }

    /// Accepts a connection, receives a message, sends it back and closes.
    fn connection(mut self) -> io::Result<()> {
        let (listener, client) = socket::unix_connection()?;
        let accepted = self.accept(&listener)?;
        immediate::send(client.as_raw_fd(), MESSAGE, false)?;
        let received = self.receive(&accepted)?;
        self.send(&accepted, received)?;
        let mut echoed = [0; MESSAGE.len()];
        let len = immediate::receive(client.as_raw_fd(), &mut echoed)?;
        if &echoed[..len] != MESSAGE {
            return Err(io::Error::other("what was sent did not arrive"));
        }
        let close = Op::Close {
            socket: accepted.into_number(),
        };
        self.driver.push(Target::Nobody, close);
        self.await_completion(Target::Nobody).map(drop)
    }

    fn accept(&mut self, listener: &OwnedFd) -> io::Result<Descriptor> {
        let target = Target::Listener(0);
        let accept = Op::Accept {
            listener: listener.as_raw_fd(),
        };
        let id = self.driver.push(target, accept);
        let accepted = self.await_completion(target)?;
        self.stop(id, target)?;
        match accepted {
            Outcome::Accepted(accepted) => Ok(accepted),
            other => Err(odd(&other)),
        }
    }

    fn receive(&mut self, socket: &Descriptor) -> io::Result<Buf> {
        let target = Target::Receiver(0);
        let receive = Op::Receive {
            socket: socket.number(),
        };
        let id = self.driver.push(target, receive);
        let received = self.await_completion(target)?;
        self.stop(id, target)?;
        match received {
            Outcome::Received(received) => Ok(received),
            other => Err(odd(&other)),
        }
    }

    fn send(&mut self, socket: &Descriptor, data: Buf) -> io::Result<()> {
        let target = Target::Sender(0);
        let send = Op::Send {
            socket: socket.number(),
            data,
            more: false,
            stalled: false,
        };
        self.driver.push(target, send);
        self.driver.await_sends();
        match self.await_completion(target)? {
            Outcome::Sent { .. } => Ok(()),
            other => Err(odd(&other)),
        }
    }

    /// Cancels an operation that goes on, and waits until it has ended.
    fn stop(&mut self, id: OpId, target: Target) -> io::Result<()> {
        self.driver.cancel(id);
        match self.await_completion(target) {
            Err(error) if error.raw_os_error() != immediate::cancelled().raw_os_error() => {
                Err(error)
            }
            _ => Ok(()),
        }
    }

    /// The next completion for `target`.
    fn await_completion(&mut self, target: Target) -> io::Result<Outcome> {
        for _ in 0..STEPS_MAX {
            let mine = self.completed.iter().position(|one| one.target == target);
            if let Some(mine) = mine {
                return self.completed.remove(mine).outcome;
            }
            self.driver.enter(Wait::AtMost(STEP));
            let completed = &mut self.completed;
            self.driver.reap(&self.bell, &self.pool, |completion| {
                completed.push(completion);
            });
        }
        Err(io::Error::new(
            io::ErrorKind::TimedOut,
            "an operation did not complete",
        ))
    }
}

fn odd(outcome: &Outcome) -> io::Error {
    io::Error::other(format!("an operation has completed as {outcome:?}"))
}

#[cfg(test)]
mod tests {
    use super::super::epoll::Epoll;
    use super::*;

    #[test]
    fn one_connection_goes_through_either_driver() {
        uring().unwrap();
        let bell = Doorbell::new().unwrap();
        let driver = Driver::Epoll(Epoll::new(&bell).unwrap());
        Trial::new(driver, bell).connection().unwrap();
    }
}
