//! Files without holding the shard up. What is served is taken at once if it is in memory, and
//! asked of the ring if not; a driver that has none does it by a call that blocks. What a program
//! asks of its own files goes to the ring, or to a thread that may block.

use std::fs::File;
use std::future::poll_fn;
use std::io;
use std::os::unix::fs::FileExt;
use std::rc::Rc;
use std::sync::Arc;

use super::blocking::blocking;
use super::current;
use super::file_op::{FileDone, FileOp};
use super::shard::Shard;
use crate::mem::Block;
use crate::sys::file::{self, Directory};

/// Opens what is at `path` below `root`, for reading: see [`Directory::open_beneath`].
///
/// # Errors
/// As `openat2(2)`.
///
/// # Cancel safety
/// What is opened for nobody is closed.
pub(crate) async fn open(root: &Directory, path: &[u8]) -> io::Result<File> {
    match root.open_cached(path) {
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
        opened => return opened,
    }
    match shard_that_takes_files() {
        Some(shard) => open_by_ring(shard, root, path).await,
        None => root.open_beneath(path),
    }
}

async fn open_by_ring(shard: Rc<Shard>, root: &Directory, path: &[u8]) -> io::Result<File> {
    match InFlight::start(shard, FileOp::Open(root.opening(path)?))
        .end()
        .await
    {
        Ok(FileDone::Opened(file)) => Ok(file.into()),
        Ok(_) => unreachable!("an open opens"),
        // Somebody has renamed something on the way, or the kernel does not let rings open files.
        Err(error) if is_to_be_repeated(&error) => root.open_beneath(path),
        Err(error) => Err(error),
    }
}

/// Appends at most `len` bytes of the file from `at` on; returns how many, 0 at its end.
///
/// # Errors
/// What the disk says.
///
/// # Cancel safety
/// Dropping the future leaves `into` as it was.
pub(crate) async fn read(
    file: &Arc<File>,
    at: u64,
    len: usize,
    into: &mut Vec<u8>,
) -> io::Result<usize> {
    let start = into.len();
    into.resize(start + len, 0);
    let cached = file::read_cached(file, at, &mut into[start..]);
    into.truncate(start + *cached.as_ref().unwrap_or(&0));
    match cached {
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
        read => return read,
    }
    if let Some(shard) = shard_that_takes_files() {
        return read_by_ring(shard, file, at, len, into).await;
    }
    into.resize(start + len, 0);
    let read = file.read_at(&mut into[start..], at);
    into.truncate(start + *read.as_ref().unwrap_or(&0));
    read
}

async fn read_by_ring(
    shard: Rc<Shard>,
    file: &Arc<File>,
    at: u64,
    len: usize,
    into: &mut Vec<u8>,
) -> io::Result<usize> {
    let op = FileOp::Read {
        file: Arc::clone(file),
        at,
        room: Block::with_capacity(len),
        from: 0,
    };
    match InFlight::start(shard, op).end().await? {
        FileDone::Moved {
            mut block,
            len: read,
        } => {
            let read = read.min(len);
            block.set_len(read);
            into.extend_from_slice(&block);
            Ok(read)
        }
        _ => unreachable!("a read reads"),
    }
}

/// Carries an operation out, by the ring or on a thread that may block.
///
/// # Errors
/// What the disk says; what [`blocking`] says.
///
/// # Panics
/// Outside of every shard.
///
/// # Cancel safety
/// What has begun goes on to its end, and what it brings is dropped.
pub(crate) async fn carry_out(op: FileOp) -> io::Result<FileDone> {
    match shard_that_takes_files() {
        Some(shard) => InFlight::start(shard, op).end().await,
        None => on_a_thread(move || op.call()).await,
    }
}

/// Does what blocks elsewhere.
///
/// # Errors
/// What `f` says; of the kind `ResourceBusy` what [`blocking`] says.
///
/// # Panics
/// Outside of every shard.
pub(crate) async fn on_a_thread<T: Send + 'static>(
    f: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> io::Result<T> {
    let busy = |error| io::Error::new(io::ErrorKind::ResourceBusy, error);
    blocking(f).await.map_err(busy)?
}

/// The current shard, if there is one and its driver takes files.
fn shard_that_takes_files() -> Option<Rc<Shard>> {
    current::try_with(|shard| {
        let shard = shard?;
        let takes_files = shard.io.borrow().driver.takes_files();
        takes_files.then(|| shard.share())
    })
}

pub(crate) fn is_to_be_repeated(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::WouldBlock || file::is_refused(error)
}

/// An operation on a file that somebody waits for.
struct InFlight {
    shard: Rc<Shard>,
    /// `None` once it has ended.
    place: Option<u32>,
}

impl InFlight {
    fn start(shard: Rc<Shard>, op: FileOp) -> InFlight {
        let place = Some(shard.io.borrow_mut().start_file(op));
        InFlight { shard, place }
    }

    async fn end(mut self) -> io::Result<FileDone> {
        poll_fn(|context| {
            let place = self.place.expect("not polled again when it has ended");
            let polled = self.shard.io.borrow_mut().poll_file(place, context);
            if polled.is_ready() {
                self.place = None;
            }
            polled
        })
        .await
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        if let Some(place) = self.place {
            self.shard.io.borrow_mut().give_up_file(place);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::runtime::{Config, DriverChoice, Placement, pool, run_on_all_shards, yield_now};

    /// A directory that goes with the test: one file, `a`, and a way out of it.
    struct Temporary(std::path::PathBuf);

    impl Temporary {
        fn new(name: &str) -> Temporary {
            let name = format!("sunstar-ring-{name}-{}", std::process::id());
            let path = std::env::temp_dir().join(name);
            std::fs::create_dir_all(path.join("root")).unwrap();
            std::fs::write(path.join("root/a"), "0123456789").unwrap();
            std::fs::write(path.join("secret"), "secret").unwrap();
            Temporary(path)
        }
    }

    impl Drop for Temporary {
        fn drop(&mut self) {
            // What is left over lies in the system's directory for that.
            let _ = std::fs::remove_dir_all(&self.0);
        }
    }

    /// Runs on a shard over a ring, with an open root.
    fn on_a_ring<F: Future<Output = ()> + 'static>(
        name: &str,
        body: impl Fn(Rc<Shard>, Directory) -> F + Send + Sync + 'static,
    ) {
        let place = Temporary::new(name);
        let root = place.0.join("root");
        let mut config = Config::new(Placement::unpinned(1));
        config.driver = DriverChoice::Uring;
        run_on_all_shards(&config, move |_| {
            let root = Directory::open(&root).unwrap();
            let shard = shard_that_takes_files().expect("a ring takes files");
            body(shard, root)
        })
        .unwrap();
    }

    #[test]
    fn a_ring_opens_and_reads_what_is_below_and_nothing_else() {
        on_a_ring("reads", |shard, root| async move {
            let file = open_by_ring(Rc::clone(&shard), &root, b"a").await.unwrap();
            let (file, mut into) = (Arc::new(file), b"read: ".to_vec());
            let read = read_by_ring(Rc::clone(&shard), &file, 3, 4, &mut into);
            assert_eq!(read.await.unwrap(), 4);
            assert_eq!(into, b"read: 3456");
            let end = read_by_ring(Rc::clone(&shard), &file, 10, 4, &mut into);
            assert_eq!(end.await.unwrap(), 0);
            for path in [&b"../secret"[..], b"b", b"a/b"] {
                let error = open_by_ring(Rc::clone(&shard), &root, path)
                    .await
                    .unwrap_err();
                assert!(file::is_no_such_file(&error), "{error}");
            }
        });
    }

    #[test]
    fn what_nobody_waits_for_ends_and_leaves_nothing() {
        on_a_ring("given-up", |shard, root| async move {
            let file = Arc::new(root.open_beneath(b"a").unwrap());
            let before = shard.io.borrow().driver.in_flight();
            drop(InFlight::start(
                Rc::clone(&shard),
                FileOp::Open(root.opening(b"a").unwrap()),
            ));
            let read = FileOp::Read {
                file: Arc::clone(&file),
                at: 0,
                room: Block::with_capacity(4),
                from: 0,
            };
            drop(InFlight::start(Rc::clone(&shard), read));
            assert_eq!(shard.io.borrow().driver.in_flight(), before + 2);
            while shard.io.borrow().driver.in_flight() > before {
                yield_now().await;
            }
            assert_eq!(
                Arc::strong_count(&file),
                1,
                "the operation has let go of it"
            );
            assert_eq!(pool().outstanding(), 0);
        });
    }

    #[test]
    fn what_is_in_memory_and_what_is_not_reads_alike() {
        on_a_ring("alike", |_, root| async move {
            let file = Arc::new(open(&root, b"a").await.unwrap());
            for (at, len, read) in [(0, 4, "0123"), (8, 4, "89"), (10, 4, ""), (99, 4, "")] {
                let mut into = Vec::new();
                let count = super::read(&file, at, len, &mut into).await.unwrap();
                assert_eq!((into.as_slice(), count), (read.as_bytes(), read.len()));
            }
            assert!(open(&root, b"../secret").await.is_err());
        });
    }
}
