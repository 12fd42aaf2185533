//! [`Snapshot`]: the figures of one process in a file, for the next one.
//!
//! What must hold: a file is read whole and right or not at all: it begins with its kind and
//! version, and ends with a checksum of everything before. It is written beside its place, synced,
//! and renamed into it, so at any moment the place holds the old file or the new one.
//!
//! All numbers are little-endian: `1MRCSNAP`, version (4 bytes), count of events (8), the 67 chunks
//! of the exact sum (8 each), count of users (8), the users in the encoding of the
//! [log](crate::name_log), CRC-32 (4).

use std::fmt;
use std::fs::{self, File, TryLockError};
use std::io::{self, BufReader, BufWriter, Read, Write};
use std::path::{Path, PathBuf};

use crc32fast::Hasher;

use crate::exact_sum::{CHUNK_COUNT, ExactSum};
use crate::name_log;
use crate::users::Users;

const KIND: &[u8; 8] = b"1MRCSNAP";
const VERSION: u32 = 1;
const BUFFER_LEN: usize = 1 << 18;

/// What is kept: a cut through the events of all shards.
#[derive(Clone, Debug)]
pub struct Snapshot {
    /// How many events there are.
    pub event_count: u64,
    /// The exact sum of their values.
    pub sum: ExactSum,
    /// Their users.
    pub users: Users,
}

/// Why a snapshot cannot be read or written.
#[derive(Debug)]
pub enum Error {
    /// The system says so.
    Io(io::Error),
    /// The file is not a snapshot.
    Kind,
    /// The file was written by another version.
    Version(u32),
    /// The file has been changed or cut since it was written.
    Damaged,
    /// Another process keeps its figures in the file.
    Taken,
}

impl Snapshot {
    /// Reads the file at `path`; `None` if there is none.
    ///
    /// # Errors
    /// If there is one that cannot be read, is not a snapshot, or is damaged.
    pub fn read(path: &Path) -> Result<Option<Snapshot>, Error> {
        let file = match File::open(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            file => file?,
        };
        let from = BufReader::with_capacity(BUFFER_LEN, file);
        Snapshot::decode(from).map(Some)
    }

    /// Writes the file at `path`, in the place of an earlier one.
    ///
    /// # Errors
    /// If it cannot be written whole: then the earlier one is still there.
    pub fn write(&self, path: &Path) -> Result<(), Error> {
        let beside = beside(path);
        let written = self.write_beside(&beside, path);
        if written.is_err() {
            let _ = fs::remove_file(&beside); // What is left of it is of no use.
        }
        Ok(written?)
    }

    fn write_beside(&self, beside: &Path, path: &Path) -> io::Result<()> {
        let mut out = BufWriter::with_capacity(BUFFER_LEN, File::create(beside)?);
        self.encode(&mut out)?;
        out.into_inner()?.sync_all()?;
        fs::rename(beside, path)?;
        // The name is on the disk when its directory is.
        File::open(directory(path))?.sync_all()
    }

    fn encode(&self, out: impl Write) -> io::Result<()> {
        let mut out = Summed::new(out);
        out.write_all(KIND)?;
        out.write_all(&VERSION.to_le_bytes())?;
        out.write_all(&self.event_count.to_le_bytes())?;
        for chunk in self.sum.chunks() {
            out.write_all(&chunk.to_le_bytes())?;
        }
        out.write_all(&self.users.len().to_le_bytes())?;
        for entries in self.users.entries() {
            out.write_all(entries)?;
        }
        let checksum = out.hasher.finalize();
        out.inner.write_all(&checksum.to_le_bytes())
    }

    fn decode(from: impl Read) -> Result<Snapshot, Error> {
        let mut from = Summed::new(from);
        check_kind(&mut from)?;
        let version = u32::from_le_bytes(read_array(&mut from)?);
        if version != VERSION {
            return Err(Error::Version(version));
        }
        let event_count = u64::from_le_bytes(read_array(&mut from)?);
        let mut chunks = [0; CHUNK_COUNT];
        for chunk in &mut chunks {
            *chunk = i64::from_le_bytes(read_array(&mut from)?);
        }
        let user_count = u64::from_le_bytes(read_array(&mut from)?);
        let mut users = Users::default();
        let mut name = Vec::new();
        for _ in 0..user_count {
            name_log::read_name(&mut from, &mut name)?;
            users.keep(&name);
        }
        let checksum = from.hasher.clone().finalize();
        let is_whole = u32::from_le_bytes(read_array(&mut from)?) == checksum
            && from.read(&mut [0])? == 0
            && users.len() == user_count;
        let sum = ExactSum::from_chunks(chunks).filter(|_| is_whole);
        Ok(Snapshot {
            event_count,
            sum: sum.ok_or(Error::Damaged)?,
            users,
        })
    }
}

/// Reads how a snapshot begins.
fn check_kind(from: &mut impl Read) -> Result<(), Error> {
    match read_array(from) {
        Ok(kind) if &kind == KIND => Ok(()),
        Err(error) if error.kind() != io::ErrorKind::UnexpectedEof => Err(error.into()),
        _ => Err(Error::Kind),
    }
}

/// Makes sure that a snapshot could be written at `path`, before there is something to lose.
fn check_place(path: &Path) -> Result<(), Error> {
    let beside = beside(path);
    File::create(&beside)?;
    Ok(fs::remove_file(&beside)?)
}

/// The right to keep figures in a file, for as long as this lives: of two processes that write the
/// same one, the second to stop would destroy what the first has counted.
#[derive(Debug)]
pub struct Claim {
    _lock: File,
}

impl Claim {
    /// Claims the file at `path`, by a lock on an empty one beside it, which stays there. The
    /// system gives the lock back when the process ends, however it does.
    ///
    /// # Errors
    /// If another process has claimed it, or no snapshot could be written there. If what is there
    /// is no snapshot: then nothing is left beside it, where it could mean something to its owner.
    pub fn on(path: &Path) -> Result<Claim, Error> {
        match File::open(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            file => check_kind(&mut file?)?,
        }
        let lock = File::create(path.with_added_extension("lock"))?;
        match lock.try_lock() {
            Ok(()) => check_place(path).map(|()| Claim { _lock: lock }),
            Err(TryLockError::WouldBlock) => Err(Error::Taken),
            Err(TryLockError::Error(error)) => Err(error.into()),
        }
    }
}

/// Where a snapshot is written before it is renamed.
fn beside(path: &Path) -> PathBuf {
    path.with_added_extension("tmp")
}

fn directory(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    }
}

fn read_array<const LEN: usize>(from: &mut impl Read) -> io::Result<[u8; LEN]> {
    let mut bytes = [0; LEN];
    from.read_exact(&mut bytes)?;
    Ok(bytes)
}

/// A reader or writer that computes the checksum of what passes.
struct Summed<T> {
    inner: T,
    hasher: Hasher,
}

impl<T> Summed<T> {
    fn new(inner: T) -> Summed<T> {
        Summed {
            inner,
            hasher: Hasher::new(),
        }
    }
}

impl<T: Read> Read for Summed<T> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let len = self.inner.read(into)?;
        self.hasher.update(&into[..len]);
        Ok(len)
    }
}

impl<T: Write> Write for Summed<T> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let len = self.inner.write(bytes)?;
        self.hasher.update(&bytes[..len]);
        Ok(len)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

impl From<io::Error> for Error {
    fn from(error: io::Error) -> Error {
        match error.kind() {
            io::ErrorKind::UnexpectedEof | io::ErrorKind::InvalidData => Error::Damaged,
            _ => Error::Io(error),
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::Io(error) => write!(out, "{error}"),
            Error::Kind => out.write_str("it is empty, or not a snapshot of app-1mrc"),
            Error::Version(version) => {
                write!(
                    out,
                    "it has version {version}, and this program reads {VERSION}"
                )
            }
            Error::Damaged => out.write_str("it is damaged: it was changed or cut since"),
            Error::Taken => out.write_str("another app-1mrc keeps its figures there"),
        }
    }
}

impl std::error::Error for Error {}

#[cfg(test)]
mod tests {
    use super::*;

    fn snapshot(user_count: u32) -> Snapshot {
        let (mut sum, mut users) = (ExactSum::new(), Users::default());
        for number in 0..user_count {
            sum.add(f64::from(number) * -0.1e-300);
            users.insert(&format!("user_{number}")).unwrap();
        }
        Snapshot {
            event_count: u64::from(user_count) * 3,
            sum,
            users,
        }
    }

    fn encoded(snapshot: &Snapshot) -> Vec<u8> {
        let mut bytes = Vec::new();
        snapshot.encode(&mut bytes).unwrap();
        bytes
    }

    fn decoded(bytes: &[u8]) -> Result<Snapshot, Error> {
        Snapshot::decode(bytes)
    }

    #[test]
    fn what_was_written_is_read_back() {
        for user_count in [0, 1, 20_000] {
            let written = snapshot(user_count);
            let read = decoded(&encoded(&written)).unwrap();
            assert_eq!(read.event_count, written.event_count);
            assert_eq!(read.sum.sum().to_bits(), written.sum.sum().to_bits());
            assert!(read.users.iter().eq(written.users.iter()));
        }
    }

    #[test]
    fn a_file_that_is_cut_or_longer_is_refused() {
        let mut bytes = encoded(&snapshot(3));
        for end in 0..bytes.len() {
            let error = decoded(&bytes[..end]).unwrap_err();
            let expected = if end < KIND.len() {
                "not a snapshot"
            } else {
                "damaged"
            };
            assert!(error.to_string().contains(expected), "{end}: {error}");
        }
        bytes.push(0);
        assert!(matches!(decoded(&bytes), Err(Error::Damaged)));
    }

    #[test]
    fn every_changed_bit_is_noticed() {
        let bytes = encoded(&snapshot(3));
        for bit in 0..bytes.len() * 8 {
            let mut changed = bytes.clone();
            changed[bit / 8] ^= 1 << (bit % 8);
            assert!(decoded(&changed).is_err(), "bit {bit}");
        }
    }

    #[test]
    fn another_version_is_named() {
        let mut bytes = encoded(&snapshot(0));
        bytes[KIND.len()] = 9;
        let error = decoded(&bytes).unwrap_err();
        assert_eq!(
            error.to_string(),
            "it has version 9, and this program reads 1"
        );
    }

    #[test]
    fn a_sum_out_of_its_range_is_refused_though_the_checksum_is_right() {
        let mut bytes = encoded(&snapshot(0));
        let end = bytes.len() - 4;
        bytes[20..28].copy_from_slice(&i64::MAX.to_le_bytes());
        let checksum = crc32fast::hash(&bytes[..end]);
        bytes[end..].copy_from_slice(&checksum.to_le_bytes());
        assert!(matches!(decoded(&bytes), Err(Error::Damaged)));
    }

    #[test]
    fn a_name_of_any_claimed_length_is_bounded_by_the_file() {
        let mut bytes = encoded(&snapshot(1));
        let first = 8 + 4 + 8 + 8 * CHUNK_COUNT + 8;
        bytes.splice(
            first..=first,
            [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f],
        );
        assert!(matches!(decoded(&bytes), Err(Error::Damaged)));
        bytes.splice(first..first, [0xff; 12]);
        assert!(matches!(decoded(&bytes), Err(Error::Damaged)));
    }

    #[test]
    fn a_failed_write_leaves_the_earlier_file() {
        let directory = std::env::temp_dir().join(format!("1mrc-{}", std::process::id()));
        fs::create_dir_all(&directory).unwrap();
        let path = directory.join("stats");
        snapshot(5).write(&path).unwrap();
        // Its place beside is taken by a directory: no file can be made there.
        fs::create_dir(beside(&path)).unwrap();
        assert!(check_place(&path).is_err());
        assert!(snapshot(6).write(&path).is_err());
        let kept = Snapshot::read(&path).unwrap().unwrap();
        assert_eq!(kept.event_count, 15);
        fs::remove_dir(beside(&path)).unwrap();
        check_place(&path).unwrap();
        snapshot(6).write(&path).unwrap();
        let new = Snapshot::read(&path).unwrap().unwrap();
        assert_eq!(new.event_count, 18);
        assert!(!beside(&path).exists());
        assert!(Snapshot::read(&directory.join("none")).unwrap().is_none());
        fs::remove_dir_all(&directory).unwrap();
    }
}
