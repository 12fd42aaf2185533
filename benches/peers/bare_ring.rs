//! The limit: one thread, one ring, canned answers, nothing parsed. `bare_ring PORT [--post]`.
//!
//! Whatever speaks TCP through this kernel costs at least this much, so every server of ours is
//! held against it. It is honest work for its one purpose and no server: it counts the ends of
//! heads (`\r\n\r\n`) in what arrives, sends that many copies of one answer, and panics when a
//! read ends within a request, which small requests of a load generator on loopback never do.
//! `--post` answers the challenge's `POST /event`: no content, and a read may end with a body.
//!
//! What must hold: one enter per turn; a buffer goes back to its ring in the turn in which it
//! came, as nothing outlives the count; the memory that the kernel reads and writes lives as long
//! as the process.
#![expect(
    unsafe_code,
    reason = "the limit stands on the ring itself: nothing of ours may lie between"
)]

#[path = "canned.rs"]
mod canned;

use std::alloc::{Layout, alloc_zeroed};
use std::io;
use std::os::fd::{AsRawFd, RawFd};
use std::process::ExitCode;
use std::sync::atomic::{AtomicU16, Ordering};

use io_uring::types::{BufRingEntry, Fd};
use io_uring::{Builder, IoUring, SubmissionQueue, Submitter, cqueue, opcode, squeue};

use canned::{announce, answer, count_heads, listen};

const SUBMISSIONS_MAX: u32 = 1024;
const COMPLETIONS_MAX: u32 = 4 * SUBMISSIONS_MAX;
/// A power of two, as the kernel wants it.
const BUFFER_COUNT: u16 = 512;
/// Sixteen of the challenge's posts at once.
const BUFFER_LEN: usize = 4096;
/// More answers than one buffer holds requests.
const ANSWERS_MAX: usize = BUFFER_LEN / 16;
const BUFFER_GROUP: u16 = 0;

/// What `user_data` says when it is not the descriptor that a receive was for.
const ACCEPT: u64 = u64::MAX;
const SEND: u64 = u64::MAX - 1;

fn main() -> ExitCode {
    canned::run("bare_ring", serve)
}

/// Serves until the process is ended.
fn serve(port: u16, is_post: bool) -> io::Result<()> {
    let listener = listen(port)?;
    let mut builder: Builder<squeue::Entry, cqueue::Entry> = IoUring::builder();
    builder
        .setup_single_issuer()
        .setup_defer_taskrun()
        .setup_no_sqarray()
        .setup_cqsize(COMPLETIONS_MAX);
    let mut ring = builder.build(SUBMISSIONS_MAX)?;
    let (mut submitter, submissions, mut completions) = ring.split();
    submitter.register_ring_fd()?;
    let mut turn = Turn {
        listener: listener.as_raw_fd(),
        buffers: BufferRing::register(&submitter)?,
        submissions,
        answers: answer(is_post).repeat(ANSWERS_MAX),
        is_post,
    };
    turn.accept();
    announce(&listener)?;
    loop {
        turn.submissions.sync();
        match submitter.submit_and_wait(1) {
            // A debugger or strace has come or gone.
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            entered => drop(entered?),
        }
        completions.sync();
        for completion in &mut completions {
            turn.complete(&completion);
        }
        turn.buffers.publish();
    }
}

/// What one pass of the loop works on.
struct Turn<'a> {
    listener: RawFd,
    buffers: BufferRing,
    submissions: SubmissionQueue<'a>,
    /// The answer, [`ANSWERS_MAX`] times.
    answers: Vec<u8>,
    is_post: bool,
}

impl Turn<'_> {
    #[inline]
    fn complete(&mut self, completion: &cqueue::Entry) {
        match completion.user_data() {
            ACCEPT => self.accepted(completion),
            // Only a failed send says so; the receive then ends as well.
            SEND => {}
            socket => {
                let socket = RawFd::try_from(socket).expect("made from a descriptor");
                self.received(socket, completion);
            }
        }
    }

    fn accepted(&mut self, completion: &cqueue::Entry) {
        if completion.result() >= 0 {
            self.receive(completion.result());
        }
        if !cqueue::more(completion.flags()) {
            self.accept();
        }
    }

    #[inline]
    fn received(&mut self, socket: RawFd, completion: &cqueue::Entry) {
        let (result, flags) = (completion.result(), completion.flags());
        if let (Ok(len @ 1..), Some(buffer)) =
            (usize::try_from(result), cqueue::buffer_select(flags))
        {
            let input = self.buffers.bytes(buffer, len);
            let count = count_heads(input, self.is_post);
            self.buffers.give_back(buffer);
            if count > 0 {
                self.send(socket, count);
            }
        }
        if !cqueue::more(flags) {
            if result > 0 || result == -libc::ENOBUFS {
                self.receive(socket);
            } else {
                // SAFETY: no operation on it is left but sends that fail, and nobody else has it.
                unsafe { libc::close(socket) };
            }
        }
    }

    fn accept(&mut self) {
        let entry = opcode::AcceptMulti::new(Fd(self.listener)).build();
        self.push(&entry.user_data(ACCEPT));
    }

    fn receive(&mut self, socket: RawFd) {
        let entry = opcode::RecvMulti::new(Fd(socket), BUFFER_GROUP).build();
        let socket = u64::try_from(socket).expect("a descriptor is not negative");
        self.push(&entry.user_data(socket));
    }

    #[inline]
    fn send(&mut self, socket: RawFd, count: usize) {
        let len = count * (self.answers.len() / ANSWERS_MAX);
        let len = u32::try_from(len).expect("all answers are far below 4 GiB");
        let entry = opcode::Send::new(Fd(socket), self.answers.as_ptr(), len)
            .flags(libc::MSG_NOSIGNAL | libc::MSG_WAITALL)
            .build();
        self.push(&entry.flags(squeue::Flags::SKIP_SUCCESS).user_data(SEND));
    }

    #[inline]
    fn push(&mut self, entry: &squeue::Entry) {
        // SAFETY: what an entry points to is `answers` or the buffers, which live until the
        // process ends.
        unsafe { self.submissions.push(entry) }.expect("a turn has fewer operations than entries");
    }
}

/// The ring of buffers that receives take from, and the buffers.
struct BufferRing {
    entries: *mut BufRingEntry,
    memory: *mut u8,
    tail: u16,
}

impl BufferRing {
    fn register(submitter: &Submitter<'_>) -> io::Result<BufferRing> {
        let count = usize::from(BUFFER_COUNT);
        let mut buffers = BufferRing {
            entries: allocate_pages(count * size_of::<BufRingEntry>()).cast(),
            memory: allocate_pages(count * BUFFER_LEN),
            tail: 0,
        };
        let address = buffers.entries as u64;
        // SAFETY: the entries are never freed, page-aligned, and as many as is said.
        unsafe {
            submitter.register_buf_ring_with_flags(address, BUFFER_COUNT, BUFFER_GROUP, 0)?;
        }
        (0..BUFFER_COUNT).for_each(|buffer| buffers.give_back(buffer));
        buffers.publish();
        Ok(buffers)
    }

    #[inline]
    fn bytes(&self, buffer: u16, len: usize) -> &[u8] {
        assert!(buffer < BUFFER_COUNT && len <= BUFFER_LEN);
        // SAFETY: inside the memory by the line above; the kernel has filled it and does not
        // write there before the buffer is given back, which borrows `self` anew.
        unsafe {
            let start = self.memory.add(usize::from(buffer) * BUFFER_LEN);
            std::slice::from_raw_parts(start, len)
        }
    }

    #[inline]
    fn give_back(&mut self, buffer: u16) {
        let place = usize::from(self.tail & (BUFFER_COUNT - 1));
        // SAFETY: `place` is below the count, and the kernel does not read entries from the tail
        // onwards.
        let entry = unsafe { &mut *self.entries.add(place) };
        entry.set_addr(self.memory as u64 + u64::from(buffer) * BUFFER_LEN as u64);
        entry.set_len(u32::try_from(BUFFER_LEN).expect("a small constant"));
        entry.set_bid(buffer);
        self.tail = self.tail.wrapping_add(1);
    }

    /// Shows the kernel what was given back.
    #[inline]
    fn publish(&self) {
        // SAFETY: the entries start a registered ring, whose first entry holds the tail; the
        // kernel only reads it.
        let tail = unsafe { &*BufRingEntry::tail(self.entries).cast::<AtomicU16>() };
        tail.store(self.tail, Ordering::Release);
    }
}

/// Memory that is never freed, at the start of a page.
fn allocate_pages(len: usize) -> *mut u8 {
    let layout = Layout::from_size_align(len, 4096).expect("a small constant");
    // SAFETY: the layout is not empty.
    let memory = unsafe { alloc_zeroed(layout) };
    assert!(!memory.is_null(), "out of memory");
    memory
}
