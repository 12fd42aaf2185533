//! [`FileOp`]: what can be asked of a file, by a ring or by a call that blocks.
//!
//! What must hold: an operation owns all that it names, so that whoever waits for it may go; what
//! it brings is the same whoever carries it out.

use std::fmt;
use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::FileExt;
use std::sync::Arc;

use crate::mem::Block;
use crate::sys::file::{self, Opening};

/// What is asked.
pub(crate) enum FileOp {
    /// Opens what is at a path: below a directory, or anywhere.
    Open(Opening),
    /// Reads from a place on into all of `room` but its first `from` bytes.
    Read {
        file: Arc<File>,
        at: u64,
        room: Block,
        from: usize,
    },
    /// Writes what `block` holds behind its first `from` bytes, perhaps less, to a place.
    Write {
        file: Arc<File>,
        at: u64,
        block: Block,
        from: usize,
    },
    /// Waits until what was written is on the disk: all, or what is needed to read it again.
    Sync { file: Arc<File>, all: bool },
    /// Sets disk space aside; the file grows up to its end.
    Allocate { file: Arc<File>, at: u64, len: u64 },
}

/// What came of it.
#[derive(Debug)]
pub(crate) enum FileDone {
    /// The file.
    Opened(OwnedFd),
    /// So many bytes were read into, or written from, the memory.
    Moved { block: Block, len: usize },
    /// Nothing but that.
    Done,
}

impl FileOp {
    /// Carries it out, and blocks for as long as that takes.
    pub(crate) fn call(self) -> io::Result<FileDone> {
        match self {
            FileOp::Open(opening) => Ok(FileDone::Opened(opening.open()?.into())),
            FileOp::Read {
                file,
                at,
                mut room,
                from,
            } => {
                let len = file.read_at(&mut room.room()[from..], at)?;
                Ok(FileDone::Moved { block: room, len })
            }
            FileOp::Write {
                file,
                at,
                block,
                from,
            } => {
                let len = file.write_at(&block[from..], at)?;
                Ok(FileDone::Moved { block, len })
            }
            FileOp::Sync { file, all } => {
                if all {
                    file.sync_all()?;
                } else {
                    file.sync_data()?;
                }
                Ok(FileDone::Done)
            }
            FileOp::Allocate { file, at, len } => {
                file::allocate(&file, at, len)?;
                Ok(FileDone::Done)
            }
        }
    }
}

impl fmt::Debug for FileOp {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            FileOp::Open(opening) => write!(out, "Open({:?})", opening.path),
            FileOp::Read { at, room, from, .. } => write!(out, "Read({at}, {room:?}, {from})"),
            FileOp::Write {
                at, block, from, ..
            } => write!(out, "Write({at}, {block:?}, {from})"),
            FileOp::Sync { all, .. } => write!(out, "Sync(all: {all})"),
            FileOp::Allocate { at, len, .. } => write!(out, "Allocate({at}, {len})"),
        }
    }
}
