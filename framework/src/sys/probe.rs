//! [`Probe`]: what the ring of this kernel can do, found by trial and not by version.
#![expect(
    unsafe_code,
    reason = "registering and submitting are unsafe; each names its memory"
)]

use std::fmt;
use std::io::{self, Read};
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixStream;

use super::buf_ring::BufRing;
use super::ring::{Flags, Ring, Setup, Wait, number, opcode, types};

/// How a send is told not to wait, and to call less than everything a failure.
pub(crate) const QUIET: i32 = number::MSG_DONTWAIT | number::MSG_WAITALL;

/// What a trial on a small ring has shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Probe {
    /// Rings wake each other with `IORING_OP_MSG_RING` (Linux 5.18).
    pub(crate) message_ring: bool,
    /// A send that is not to wait is over within its enter, and tells if it was short (Linux 6.1).
    pub(crate) quiet_sends: bool,
}

impl Probe {
    /// Tries out what shards need on a small ring of the calling thread.
    ///
    /// # Errors
    /// When something is missing that shards cannot do without; the message names it.
    pub(crate) fn run() -> io::Result<Probe> {
        let mut ring = Ring::new(Setup::of(16, 128))?;
        if !ring.has_needed_features() {
            return Err(io::Error::other("the kernel is older than Linux 5.11"));
        }
        // SAFETY: no operation ever selects from this group, and the ring is closed below.
        let buffers = unsafe { BufRing::register(&ring, 0, 1, 4096) };
        buffers.map_err(|_| io::Error::other("no provided-buffer rings (Linux 5.19)"))?;
        Ok(Probe {
            message_ring: message_ring(&mut ring),
            quiet_sends: quiet_sends(&mut ring).unwrap_or(false),
        })
    }
}

/// Sends a message from the ring to itself.
#[expect(
    unsafe_code,
    reason = "submitting is unsafe; a message names no memory"
)]
fn message_ring(ring: &mut Ring) -> bool {
    let to_itself = types::Fd(ring.raw());
    let entry = opcode::MsgRingData::new(to_itself, 0, 7, None)
        .build()
        .user_data(1);
    // SAFETY: the entry names no memory.
    unsafe { ring.push(&entry) };
    // An enter may end early, by a signal for instance.
    loop {
        ring.enter(Wait::Forever);
        if let Some(first) = ring.completion() {
            return first.user_data == 7
                || std::iter::from_fn(|| ring.completion()).any(|it| it.user_data == 7);
        }
    }
}

/// Sends more than a socket takes, then into the full socket, then what has room, each as
/// the driver does: there must be a count, a refusal, and nothing.
#[expect(
    unsafe_code,
    reason = "submitting is unsafe; the data outlives the enter that takes it"
)]
fn quiet_sends(ring: &mut Ring) -> io::Result<bool> {
    let (ours, mut peer) = UnixStream::pair()?;
    socket2::SockRef::from(&ours).set_send_buffer_size(4096)?;
    let data = vec![0; 1 << 16];
    let mut send = |len: u32| {
        let entry = opcode::Send::new(types::Fd(ours.as_raw_fd()), data.as_ptr(), len)
            .flags(number::MSG_NOSIGNAL | QUIET)
            .build()
            .flags(Flags::SKIP_SUCCESS);
        // SAFETY: `data` outlives all operations: none waits, and each is taken by the enter below.
        unsafe { ring.push(&entry) };
        ring.enter(Wait::No);
        ring.completion().map(|completion| completion.result)
    };
    let (short, full) = (send(1 << 16), send(1));
    let taken = short.and_then(|len| usize::try_from(len).ok()).unwrap_or(0);
    if !(1..data.len()).contains(&taken) || full != Some(-number::EAGAIN) {
        return Ok(false);
    }
    peer.read_exact(&mut vec![0; taken])?;
    Ok(send(1).is_none() && peer.read(&mut [0; 2])? == 1)
}

impl fmt::Display for Probe {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bell = if self.message_ring {
            "message ring"
        } else {
            "eventfd"
        };
        write!(
            out,
            "single issuer, deferred task run, provided buffers, {}doorbell by {bell}",
            if self.quiet_sends {
                "quiet sends, "
            } else {
                ""
            }
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_kernel_is_probed_without_an_error() {
        let probe = Probe::run().unwrap();
        assert!(probe.to_string().contains("doorbell"), "{probe}");
        assert!(probe.quiet_sends, "since Linux 6.1: {probe}");
    }
}
