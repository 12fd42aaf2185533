//! [`Watch`]: what the shards and the rest of the process tell each other during a run: how far it
//! is, and that it is to stop.
//!
//! What must hold: a shard touches this ten times a second and never for a request.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};

use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::flag;

/// Shared by all shards of a run and the threads around them.
#[derive(Debug)]
pub(crate) struct Watch {
    /// Answers so far, by shard.
    answered: Box<[AtomicU64]>,
    /// The signal that asked for the end, or 0.
    signal: Arc<AtomicUsize>,
}

impl Watch {
    /// A watch over so many shards that no signal reaches yet.
    pub(crate) fn new(shard_count: usize) -> Watch {
        let answered = (0..shard_count).map(|_| AtomicU64::new(0)).collect();
        Watch {
            answered,
            signal: Arc::default(),
        }
    }

    /// Makes SIGINT and SIGTERM ask for the end instead of ending the process; the second one ends
    /// it at once.
    ///
    /// # Errors
    /// As `sigaction(2)`.
    pub(crate) fn listen(&self) -> io::Result<()> {
        let asked = Arc::new(AtomicBool::new(false));
        for signal in [SIGINT, SIGTERM] {
            let number = usize::try_from(signal).expect("signals are small numbers");
            flag::register_conditional_default(signal, Arc::clone(&asked))?;
            flag::register_usize(signal, Arc::clone(&self.signal), number)?;
            flag::register(signal, Arc::clone(&asked))?;
        }
        Ok(())
    }

    /// Says how many answers a shard has had so far.
    pub(crate) fn publish(&self, shard: usize, answered: u64) {
        self.answered[shard].store(answered, Ordering::Relaxed);
    }

    /// How many answers there were so far, on all shards.
    pub(crate) fn answered(&self) -> u64 {
        self.answered
            .iter()
            .map(|count| count.load(Ordering::Relaxed))
            .sum()
    }

    /// The number of the signal that asked for the end.
    pub(crate) fn signal(&self) -> Option<u8> {
        let signal = self.signal.load(Ordering::Relaxed);
        u8::try_from(signal).ok().filter(|&signal| signal != 0)
    }
}
