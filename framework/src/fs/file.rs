//! [`File`]: an open file.
//!
//! What must hold: a block that an operation has is nobody else's until it ends; what has ended
//! without an error is complete.

use std::fs;
use std::io;
use std::os::unix::fs::FileTypeExt;
use std::path::Path;
use std::sync::Arc;

use super::OpenOptions;
use crate::mem::Block;
use crate::runtime::file::{carry_out, on_a_thread};
use crate::runtime::file_op::{FileDone, FileOp};

/// An open file. It can be used on every shard, and by several at a time: each operation says where
/// in the file it works. The file is closed when it is dropped and nothing is under way any more.
///
/// # Errors
/// All operations have those of the disk. On a driver without a ring also one of the kind
/// `ResourceBusy`, when all threads that may block are busy
/// ([`BlockingLimits`](crate::runtime::BlockingLimits)).
///
/// # Panics
/// All operations do outside of every shard.
///
/// # Cancel safety
/// What is dropped goes on to its end and tells nobody: a write may have been carried out wholly,
/// partly or not at all. Its block is gone.
#[derive(Clone, Debug)]
pub struct File {
    file: Arc<fs::File>,
    direct: bool,
}

impl File {
    /// Takes what was opened at `path`, if places in it have numbers.
    pub(super) fn new(file: fs::File, direct: bool, path: &Path) -> io::Result<File> {
        let kind = file.metadata()?.file_type();
        if kind.is_file() || kind.is_block_device() {
            let file = Arc::new(file);
            return Ok(File { file, direct });
        }
        let why = format!("{}: neither a file nor a block device", path.display());
        Err(io::Error::new(io::ErrorKind::InvalidInput, why))
    }

    /// Opens what is at `path`, for reading.
    ///
    /// # Errors
    /// See [`OpenOptions::open`].
    pub async fn open(path: impl AsRef<Path>) -> io::Result<File> {
        File::options().read(true).open(path).await
    }

    /// Makes a file at `path` for writing, or empties the one that is there.
    ///
    /// # Errors
    /// See [`OpenOptions::open`].
    pub async fn create(path: impl AsRef<Path>) -> io::Result<File> {
        let mut options = File::options();
        options
            .write(true)
            .create(true)
            .truncate(true)
            .open(path)
            .await
    }

    /// How to open one otherwise.
    pub fn options() -> OpenOptions {
        OpenOptions::new()
    }

    /// Reads from `at` on, as many bytes as `block` has room for, or up to the end of the file.
    /// What the block held before is gone.
    ///
    /// # Errors
    /// See [`File`]. A direct read from within a block is of the kind `InvalidInput`.
    pub async fn read_at(&self, mut block: Block, at: u64) -> io::Result<Block> {
        self.check(at, block.capacity())?;
        block.clear();
        let mut read = 0;
        while read < block.capacity() {
            let op = FileOp::Read {
                file: Arc::clone(&self.file),
                at: at.saturating_add(read as u64),
                room: block,
                from: read,
            };
            let (room, len) = moved(op).await?;
            block = room;
            read += len;
            if len == 0 {
                break;
            }
            if self.direct && !read.is_multiple_of(Block::ALIGN) {
                self.check_end(at + read as u64)?;
                break;
            }
        }
        block.set_len(read);
        Ok(block)
    }

    /// Writes all that `block` holds to the place `at` and behind it, and gives the block back. The
    /// bytes are in the page cache then, on the disk after [`sync_data`](File::sync_data).
    ///
    /// # Errors
    /// See [`File`]; some bytes may have been written. A direct write that is not of whole blocks
    /// is of the kind `InvalidInput`.
    pub async fn write_at(&self, mut block: Block, at: u64) -> io::Result<Block> {
        self.check(at, block.len())?;
        let mut written = 0;
        while written < block.len() {
            let op = FileOp::Write {
                file: Arc::clone(&self.file),
                at: at.saturating_add(written as u64),
                block,
                from: written,
            };
            let (rest, len) = moved(op).await?;
            if len == 0 {
                return Err(io::ErrorKind::WriteZero.into());
            }
            block = rest;
            written += len;
        }
        Ok(block)
    }

    /// Waits until all that was written is on the disk, with what is needed to read it again: its
    /// length, but not its times.
    ///
    /// # Errors
    /// See [`File`]. After an error nobody knows what of it is on the disk, and asking again does
    /// not tell.
    pub async fn sync_data(&self) -> io::Result<()> {
        self.sync(false).await
    }

    /// Waits until all that was written is on the disk, and all that is known of the file.
    ///
    /// # Errors
    /// See [`sync_data`](File::sync_data).
    pub async fn sync_all(&self) -> io::Result<()> {
        self.sync(true).await
    }

    async fn sync(&self, all: bool) -> io::Result<()> {
        let file = Arc::clone(&self.file);
        done(FileOp::Sync { file, all }).await
    }

    /// Sets disk space aside for the `len` bytes from `at` on, so that writing them cannot fail for
    /// want of it. They read as zeros, and the file is at least so long.
    ///
    /// # Errors
    /// See [`File`]; `fallocate(2)` has more of them.
    pub async fn allocate(&self, at: u64, len: u64) -> io::Result<()> {
        let file = Arc::clone(&self.file);
        done(FileOp::Allocate { file, at, len }).await
    }

    /// Cuts the file to `len` bytes, or fills it up with zeros. No ring of this kernel's age does
    /// that: it runs on a thread that may block.
    ///
    /// # Errors
    /// See [`File`].
    pub async fn set_len(&self, len: u64) -> io::Result<()> {
        let file = Arc::clone(&self.file);
        on_a_thread(move || file.set_len(len)).await
    }

    /// What is known of the file. Of an open file that is in memory, unless it lies on a network.
    ///
    /// # Errors
    /// As `fstat(2)`.
    pub fn metadata(&self) -> io::Result<fs::Metadata> {
        self.file.metadata()
    }

    /// Only at its end does a file give less than whole blocks. From within one a direct read
    /// cannot go on.
    fn check_end(&self, at: u64) -> io::Result<()> {
        if at >= self.metadata()?.len() {
            return Ok(());
        }
        let why = format!("a direct read ended at {at}, within a block, and the file does not");
        Err(io::Error::other(why))
    }

    /// Refuses what the kernel would call an invalid argument, or take for something else: the
    /// highest place means to a ring where the file's own cursor is.
    fn check(&self, at: u64, len: usize) -> io::Result<()> {
        if i64::try_from(at.saturating_add(len as u64)).is_err() {
            let why = format!("{len} bytes at {at}: files end at {}", i64::MAX);
            return Err(io::Error::new(io::ErrorKind::InvalidInput, why));
        }
        let whole = at.is_multiple_of(Block::ALIGN as u64) && len.is_multiple_of(Block::ALIGN);
        if whole || !self.direct {
            return Ok(());
        }
        let why = format!(
            "direct I/O of {len} bytes at {at}: both must be multiples of {}; pad the block, or \
             open the file without direct(true)",
            Block::ALIGN
        );
        Err(io::Error::new(io::ErrorKind::InvalidInput, why))
    }
}

/// Carries out what moves bytes.
async fn moved(op: FileOp) -> io::Result<(Block, usize)> {
    match carry_out(op).await? {
        FileDone::Moved { block, len } => Ok((block, len)),
        _ => unreachable!("it moves bytes"),
    }
}

/// Carries out what brings nothing.
async fn done(op: FileOp) -> io::Result<()> {
    match carry_out(op).await? {
        FileDone::Done => Ok(()),
        _ => unreachable!("it brings nothing"),
    }
}
