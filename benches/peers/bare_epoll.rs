//! The limit without a ring: one thread, one epoll instance, canned answers, nothing parsed.
//! `bare_epoll PORT [--post]`.
//!
//! It does for `--driver epoll` what `bare_ring` does for the ring, and by the same rules.
//!
//! What must hold: each socket is registered once, edge-triggered; a read that brings less than it
//! could is the last one of its turn; an answer is sent at once and fits, as loopback's buffers are
//! larger than what a load generator has under way.
#![expect(
    unsafe_code,
    reason = "the limit stands on the system calls themselves: nothing of ours may lie between"
)]

#[path = "canned.rs"]
mod canned;

use std::io;
use std::os::fd::{AsRawFd, RawFd};
use std::process::ExitCode;

use canned::{announce, answer, count_heads, listen};

/// How many sockets are reported at once.
const REPORTS_MAX: usize = 512;
/// Sixteen of the challenge's posts at once.
const BUFFER_LEN: usize = 4096;
/// More answers than one buffer holds requests.
const ANSWERS_MAX: usize = BUFFER_LEN / 16;

fn main() -> ExitCode {
    canned::run("bare_epoll", serve)
}

/// Serves until the process is ended.
fn serve(port: u16, is_post: bool) -> io::Result<()> {
    let listener = listen(port)?;
    listener.set_nonblocking(true)?;
    // SAFETY: takes no pointers.
    let epoll = result(unsafe { libc::epoll_create1(libc::EPOLL_CLOEXEC) } as isize)?;
    let mut turn = Turn {
        epoll: RawFd::try_from(epoll).expect("a descriptor"),
        listener: listener.as_raw_fd(),
        answers: answer(is_post).repeat(ANSWERS_MAX),
        buffer: vec![0; BUFFER_LEN],
        is_post,
    };
    turn.watch(turn.listener)?;
    announce(&listener)?;
    let mut reports = vec![libc::epoll_event { events: 0, u64: 0 }; REPORTS_MAX];
    let reports_max = i32::try_from(REPORTS_MAX).expect("a small constant");
    loop {
        // SAFETY: the kernel writes at most as many reports as there is room for.
        let count = unsafe { libc::epoll_wait(turn.epoll, reports.as_mut_ptr(), reports_max, -1) };
        let count = match result(count as isize) {
            // A debugger or strace has come or gone.
            Err(error) if error.kind() == io::ErrorKind::Interrupted => 0,
            count => count?,
        };
        for report in &reports[..count] {
            turn.take(RawFd::try_from(report.u64).expect("made from a descriptor"))?;
        }
    }
}

/// What one pass of the loop works on.
struct Turn {
    epoll: RawFd,
    listener: RawFd,
    /// The answer, [`ANSWERS_MAX`] times.
    answers: Vec<u8>,
    buffer: Vec<u8>,
    is_post: bool,
}

impl Turn {
    #[inline]
    fn take(&mut self, socket: RawFd) -> io::Result<()> {
        if socket == self.listener {
            return self.accept();
        }
        loop {
            let (start, len) = (self.buffer.as_mut_ptr(), self.buffer.len());
            // SAFETY: the kernel writes at most `len` bytes into a buffer of that length.
            let received = unsafe { libc::recv(socket, start.cast(), len, 0) };
            match result(received) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Ok(0) | Err(_) => {
                    // SAFETY: nobody else has it; epoll forgets it.
                    unsafe { libc::close(socket) };
                    return Ok(());
                }
                Ok(received) => {
                    let count = count_heads(&self.buffer[..received], self.is_post);
                    if count > 0 {
                        self.send(socket, count);
                    }
                    if received < len {
                        return Ok(());
                    }
                }
            }
        }
    }

    fn accept(&self) -> io::Result<()> {
        let flags = libc::SOCK_CLOEXEC | libc::SOCK_NONBLOCK;
        let null = std::ptr::null_mut();
        loop {
            // SAFETY: with null the kernel writes no address.
            let accepted =
                unsafe { libc::accept4(self.listener, null, std::ptr::null_mut(), flags) };
            if accepted < 0 {
                return Ok(());
            }
            self.watch(accepted)?;
        }
    }

    fn watch(&self, socket: RawFd) -> io::Result<()> {
        let bits = libc::EPOLLIN | libc::EPOLLRDHUP | libc::EPOLLET;
        let mut event = libc::epoll_event {
            events: bits.cast_unsigned(),
            u64: u64::try_from(socket).expect("a descriptor is not negative"),
        };
        // SAFETY: reads a live local.
        let added =
            unsafe { libc::epoll_ctl(self.epoll, libc::EPOLL_CTL_ADD, socket, &raw mut event) };
        result(added as isize).map(drop)
    }

    #[inline]
    fn send(&self, socket: RawFd, count: usize) {
        let len = count * (self.answers.len() / ANSWERS_MAX);
        let answers = &self.answers[..len];
        // SAFETY: reads the bytes of a live slice.
        let sent = unsafe { libc::send(socket, answers.as_ptr().cast(), len, libc::MSG_NOSIGNAL) };
        // A peer that has gone ends its receives, too.
        assert!(
            sent < 0 || sent.cast_unsigned() == len,
            "an answer did not fit"
        );
    }
}

#[inline]
fn result(returned: isize) -> io::Result<usize> {
    usize::try_from(returned).map_err(|_| io::Error::last_os_error())
}
