//! [`SiteFile`]: an open file of a site, and its bytes.
//!
//! Here, and nowhere else, files are opened and read, by system calls that block: a file that is
//! not in the page cache holds its shard up for as long as the disk takes. What must hold: no turn
//! reads more than [`PIECE_LEN`] bytes.

use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::time::{SystemTime, UNIX_EPOCH};

use crate::runtime;
use crate::sys::file::Directory;

/// How much is read in one turn.
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
    file: File,
    /// How long it was when it was opened.
    pub(super) len: u64,
    /// When it was changed last.
    pub(super) modified: SystemTime,
}

/// Opens what is at `path` below `root`.
pub(super) fn find(root: &Directory, path: &[u8]) -> io::Result<Found> {
    let file = root.open_beneath(path)?;
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
        file,
    }))
}

impl SiteFile {
    /// Appends the bytes in `range`, which is at most [`PIECE_LEN`] long.
    ///
    /// # Errors
    /// What the disk says; `UnexpectedEof` if the file has become shorter.
    pub(super) fn read_piece(&self, range: Range<u64>, into: &mut Vec<u8>) -> io::Result<()> {
        debug_assert!(
            range.end - range.start <= PIECE_LEN,
            "more than a turn reads"
        );
        let start = into.len();
        let len = usize::try_from(range.end - range.start).expect("a piece fits into memory");
        into.resize(start + len, 0);
        self.file.read_exact_at(&mut into[start..], range.start)
    }

    /// Appends the bytes in `range`, one piece per turn.
    ///
    /// # Errors
    /// As [`read_piece`](SiteFile::read_piece).
    pub(super) async fn read(&self, mut range: Range<u64>, into: &mut Vec<u8>) -> io::Result<()> {
        while !range.is_empty() {
            let end = range.end.min(range.start + PIECE_LEN);
            self.read_piece(range.start..end, into)?;
            range.start = end;
            runtime::yield_now().await;
        }
        Ok(())
    }
}
