//! [`Probe`]: what the ring of this kernel can do, found by trial and not by version.
#![expect(
    unsafe_code,
    reason = "registering and submitting are unsafe; each names its memory"
)]

use std::fmt;
use std::io;

use super::buf_ring::BufRing;
use super::ring::{Ring, Setup, Wait, opcode, types};

/// What a trial on a small ring has shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Probe {
    /// Rings wake each other with `IORING_OP_MSG_RING` (Linux 5.18).
    pub(crate) message_ring: bool,
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

impl fmt::Display for Probe {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bell = if self.message_ring {
            "message ring"
        } else {
            "eventfd"
        };
        write!(
            out,
            "single issuer, deferred task run, provided buffers, doorbell by {bell}"
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
    }
}
