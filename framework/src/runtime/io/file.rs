//! Operations on files, each with the one who waits for it.

use std::io;
use std::task::{Context, Poll};

use super::Io;
use crate::runtime::file_op::{FileDone, FileOp};
use crate::runtime::op::{Op, Outcome, Target};
use crate::runtime::wakee::Wakee;

/// What became of an operation.
pub(super) enum FileSlot {
    /// It is in flight, and somebody may wait for it.
    Begun(Option<Wakee>),
    /// It has ended, and nobody has asked.
    Ended(io::Result<FileDone>),
    /// Nobody wants to know any more.
    Given,
}

impl Io {
    /// Starts an operation on a file, which the driver must take. Returns the name that
    /// [`poll_file`](Io::poll_file) and [`give_up_file`](Io::give_up_file) know it by.
    pub(crate) fn start_file(&mut self, op: FileOp) -> u32 {
        let place = self.files.insert(FileSlot::Begun(None));
        let place = u32::try_from(place).expect("far fewer operations in flight");
        self.driver
            .push(Target::File(place), Op::File(Box::new(op)));
        place
    }

    /// What the operation has brought. Once it is ready the name is another's.
    pub(crate) fn poll_file(
        &mut self,
        place: u32,
        context: &Context<'_>,
    ) -> Poll<io::Result<FileDone>> {
        match &mut self.files[place as usize] {
            FileSlot::Begun(waiter) => {
                self.wakers.remember(waiter, context.waker());
                return Poll::Pending;
            }
            FileSlot::Ended(_) => {}
            FileSlot::Given => unreachable!("nobody asks for what they gave up"),
        }
        match self.files.remove(place as usize) {
            FileSlot::Ended(outcome) => Poll::Ready(outcome),
            _ => unreachable!("looked at just now"),
        }
    }

    /// Nobody waits for the operation any more. It goes on to its end, which a disk has.
    pub(crate) fn give_up_file(&mut self, place: u32) {
        let before = std::mem::replace(&mut self.files[place as usize], FileSlot::Given);
        match before {
            FileSlot::Begun(waiter) => self.wakers.forget(waiter),
            FileSlot::Ended(_) | FileSlot::Given => drop(self.files.remove(place as usize)),
        }
    }

    /// An operation has ended. What it brings to nobody is dropped: an opened file is closed.
    pub(super) fn file_done(&mut self, place: u32, outcome: io::Result<Outcome>) {
        let outcome = outcome.map(|outcome| match outcome {
            Outcome::File(done) => *done,
            _ => unreachable!("an operation on a file ends as one"),
        });
        match &mut self.files[place as usize] {
            FileSlot::Begun(waiter) => {
                self.wakers.wake(waiter);
                self.files[place as usize] = FileSlot::Ended(outcome);
            }
            _ => drop(self.files.remove(place as usize)),
        }
    }
}
