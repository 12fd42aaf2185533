//! [`SiteFile`]: an open file of a site, and its bytes.
//!
//! What must hold: between two pieces of [`PIECE_LEN`] bytes others have their turn; what is not in
//! memory is waited for where the driver can.

use std::fs::File;
use std::io;
use std::ops::Range;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use crate::runtime;
use crate::runtime::file;
use crate::sys::file::Directory;

/// How much is read without a break.
pub(super) const PIECE_LEN: u64 = 64 * 1024;

/// What is at a path.
pub(super) enum Found {
    File(SiteFile),
    Directory,
    /// A FIFO, a socket, a device: nothing to be served.
    Other,
}

/// An open regular file.
pub(super) struct SiteFile {
    file: Arc<File>,
    /// How long it was when it was opened.
    pub(super) len: u64,
    /// When it was changed last.
    pub(super) modified: SystemTime,
}

/// Opens what is at `path` below `root`.
pub(super) async fn find(root: &Directory, path: &[u8]) -> io::Result<Found> {
    let file = file::open(root, path).await?;
    // Of an open file all of this is in memory.
    let metadata = file.metadata()?;
    if metadata.is_dir() {
        return Ok(Found::Directory);
    }
    if !metadata.is_file() {
        return Ok(Found::Other);
    }
    Ok(Found::File(SiteFile {
        len: metadata.len(),
        modified: metadata.modified().unwrap_or(UNIX_EPOCH),
        file: Arc::new(file),
    }))
}

impl SiteFile {
    /// Appends the bytes in `range`, and lets others run behind each [`PIECE_LEN`] of them.
    ///
    /// # Errors
    /// What the disk says; `UnexpectedEof` if the file has become shorter.
    pub(super) async fn read(&self, mut range: Range<u64>, into: &mut Vec<u8>) -> io::Result<()> {
        loop {
            let end = range.end.min(range.start + PIECE_LEN);
            self.read_piece(range.start..end, into).await?;
            range.start = end;
            if range.is_empty() {
                return Ok(());
            }
            runtime::yield_now().await;
        }
    }

    /// Appends the bytes in `range`, which is at most [`PIECE_LEN`] long.
    ///
    /// # Errors
    /// As [`read`](SiteFile::read).
    pub(super) async fn read_piece(
        &self,
        mut range: Range<u64>,
        into: &mut Vec<u8>,
    ) -> io::Result<()> {
        while !range.is_empty() {
            let left = range.end - range.start;
            let left = usize::try_from(left).expect("a piece fits into memory");
            match file::read(&self.file, range.start, left, into).await? {
                0 => return Err(io::ErrorKind::UnexpectedEof.into()),
                len => range.start += len as u64,
            }
        }
        Ok(())
    }
}
