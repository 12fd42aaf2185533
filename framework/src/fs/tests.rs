//! Files on both drivers.
//!
//! What must hold: a ring and the threads that may block do the same to a file.

use std::io::{ErrorKind, Write};
use std::path::PathBuf;
use std::sync::mpsc::channel;

use super::File;
use crate::mem::Block;
use crate::runtime::{
    Config, DriverChoice, Placement, blocking, run_on_all_shards, spawn, yield_now,
};

/// A directory that goes with the test.
struct Temporary(PathBuf);

impl Temporary {
    fn new(name: &str) -> Temporary {
        // Not in a temporary file system, which may have no direct I/O.
        let place = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../target/tmp");
        let path = place.join(format!("sunstar-fs-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&path).unwrap();
        Temporary(path)
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        // What is left over lies in the build's directory.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// Runs on one shard of each driver that this system has, with a directory of its own.
fn on_each_driver<F: Future<Output = ()> + 'static>(
    name: &str,
    main: impl Fn(PathBuf) -> F + Clone + Send + Sync + 'static,
) {
    for driver in [DriverChoice::Uring, DriverChoice::Epoll] {
        on(driver, name, main.clone());
    }
}

fn on<F: Future<Output = ()> + 'static>(
    driver: DriverChoice,
    name: &str,
    main: impl Fn(PathBuf) -> F + Send + Sync + 'static,
) {
    let place = Temporary::new(&format!("{name}-{driver:?}"));
    let mut config = Config::new(Placement::unpinned(1));
    config.driver = driver;
    let path = place.0.clone();
    run_on_all_shards(&config, move |_| main(path.clone())).unwrap();
}

fn block(bytes: &[u8]) -> Block {
    let mut block = Block::with_capacity(bytes.len());
    block.write_all(bytes).unwrap();
    block
}

#[test]
fn what_was_written_is_read_from_wherever_it_is_asked() {
    on_each_driver("written", |place| async move {
        let path = place.join("log");
        let log = File::create(&path).await.unwrap();
        let written = log.write_at(block(b"0123456789"), 0).await.unwrap();
        assert_eq!(
            &written[..],
            b"0123456789",
            "the block comes back as it was"
        );
        log.write_at(block(b"AB"), 3).await.unwrap();
        log.write_at(block(b"end"), 12).await.unwrap();
        log.sync_data().await.unwrap();
        log.sync_all().await.unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), b"012AB56789\0\0end");
        let log = File::open(&path).await.unwrap();
        for (at, expected) in [
            (0, &b"012AB56789\0\0end"[..]),
            (13, b"nd"),
            (15, b""),
            (99, b""),
        ] {
            let read = log.read_at(Block::with_capacity(1), at).await.unwrap();
            assert_eq!(&read[..], expected, "at {at}");
        }
    });
}

#[test]
fn a_block_takes_what_it_has_room_for_and_forgets_what_it_held() {
    on_each_driver("room", |place| async move {
        let path = place.join("table");
        std::fs::write(&path, [7; 3 * Block::ALIGN]).unwrap();
        let table = File::open(&path).await.unwrap();
        let mut filled = block(&[1; 2 * Block::ALIGN]);
        filled = table.read_at(filled, 0).await.unwrap();
        assert_eq!(&filled[..], [7; 2 * Block::ALIGN]);
        filled = table.read_at(filled, 2 * 4096 + 4000).await.unwrap();
        assert_eq!(&filled[..], [7; 96]);
        let empty = table.read_at(Block::with_capacity(0), 0).await.unwrap();
        assert!(empty.is_empty());
    });
}

#[test]
fn files_are_made_emptied_and_refused_as_was_said() {
    on_each_driver("options", |place| async move {
        let path = place.join("file");
        let kind = |opened: std::io::Result<File>| opened.map(|_| ()).map_err(|error| error.kind());
        assert_eq!(kind(File::open(&path).await), Err(ErrorKind::NotFound));
        let mut options = File::options();
        assert_eq!(
            kind(options.create(true).open(&path).await),
            Err(ErrorKind::InvalidInput),
            "it is not to be written"
        );
        assert_eq!(kind(options.write(true).open(&path).await), Ok(()));
        let made = std::fs::metadata(&path).unwrap();
        assert_eq!(made.len(), 0);
        std::fs::write(&path, "text").unwrap();
        assert_eq!(kind(options.open(&path).await), Ok(()));
        assert_eq!(std::fs::read(&path).unwrap(), b"text", "made, not emptied");
        let mut fresh = File::options();
        fresh.write(true).create_new(true);
        assert_eq!(kind(fresh.open(&path).await), Err(ErrorKind::AlreadyExists));
        assert_eq!(kind(File::create(&path).await), Ok(()));
        assert_eq!(std::fs::read(&path).unwrap(), b"");
        let only_read = File::open(&path).await.unwrap();
        assert!(only_read.write_at(block(b"a"), 0).await.is_err());
        // Neither says anything about the other.
        options.truncate(true).create(false).create_new(true);
        assert_eq!(
            kind(options.open(&path).await),
            Err(ErrorKind::AlreadyExists)
        );
        options.create(true).create_new(false);
        assert_eq!(kind(options.open(&place.join("other")).await), Ok(()));
        let folder = File::open(&place).await;
        assert_eq!(kind(folder), Err(ErrorKind::InvalidInput));
        let named = File::open("a\0b").await;
        assert_eq!(kind(named), Err(ErrorKind::NotFound));
    });
}

#[test]
fn no_place_is_beyond_the_last_and_none_is_the_cursor() {
    on_each_driver("places", |place| async move {
        let path = place.join("log");
        std::fs::write(&path, "0123").unwrap();
        let log = File::options().read(true).write(true).open(&path).await;
        let log = log.unwrap();
        for at in [u64::MAX, u64::MAX - 1, 1 << 63, (1 << 63) - 1] {
            let error = log.write_at(block(b"A"), at).await.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidInput, "at {at}: {error}");
            let read = log.read_at(Block::with_capacity(1), at).await;
            assert_eq!(read.unwrap_err().kind(), ErrorKind::InvalidInput);
        }
        let last = (1 << 63) - 1 - 4096;
        let read = log.read_at(Block::with_capacity(1), last).await.unwrap();
        assert!(read.is_empty());
        assert_eq!(std::fs::read(&path).unwrap(), b"0123");
    });
}

#[test]
fn room_is_set_aside_and_cut_off() {
    on_each_driver("room-aside", |place| async move {
        let path = place.join("log");
        let log = File::create(&path).await.unwrap();
        log.allocate(0, 10_000).await.unwrap();
        assert_eq!(log.metadata().unwrap().len(), 10_000);
        log.set_len(4).await.unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), [0; 4]);
        let error = log.allocate(0, 0).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput);
    });
}

#[test]
fn direct_io_is_of_whole_blocks_and_says_so() {
    on_each_driver("direct", |place| async move {
        let path = place.join("log");
        let mut options = File::options();
        options.read(true).write(true).create(true).direct(true);
        let log = match options.open(&path).await {
            Ok(log) => log,
            // Not all file systems have it.
            Err(error) => return assert!(error.to_string().contains("no direct I/O"), "{error}"),
        };
        let mut record = block(b"record");
        let error = log.write_at(block(b"record"), 0).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput);
        assert!(error.to_string().contains("pad the block"), "{error}");
        record.pad();
        let record = log.write_at(record, 4096).await.unwrap();
        assert!(log.write_at(record, 4097).await.is_err());
        assert!(log.read_at(Block::with_capacity(1), 6).await.is_err());
        log.sync_data().await.unwrap();
        let read = log
            .read_at(Block::with_capacity(3 * 4096), 0)
            .await
            .unwrap();
        assert_eq!(read.len(), 2 * 4096, "up to the end");
        assert!(read[..4096].iter().all(|&byte| byte == 0));
        assert_eq!(&read[4096..4103], b"record\0");
        // An end within a block.
        log.set_len(4096 + 6).await.unwrap();
        let read = log.read_at(read, 4096).await.unwrap();
        assert_eq!(&read[..], b"record");
    });
}

#[test]
fn what_a_ring_has_and_nobody_waits_for_is_written_all_the_same() {
    on(DriverChoice::Uring, "dropped", |place| async move {
        let path = place.join("log");
        let log = File::create(&path).await.unwrap();
        let mut write = Box::pin(log.write_at(block(b"kept"), 0));
        let polled = std::future::poll_fn(|context| {
            std::task::Poll::Ready(write.as_mut().poll(context).is_ready())
        });
        assert!(!polled.await, "it takes a turn");
        drop(write);
        while log.metadata().unwrap().len() < 4 {
            yield_now().await;
        }
        assert_eq!(std::fs::read(&path).unwrap(), b"kept");
    });
}

#[test]
fn many_operations_are_under_way_at_a_time() {
    on_each_driver("many", |place| async move {
        let log = File::create(place.join("log")).await.unwrap();
        let writes = (0..200_u8).map(|number| {
            let log = log.clone();
            async move {
                log.write_at(block(&[number; 8]), u64::from(number) * 8)
                    .await
            }
        });
        for written in crate::future::when_all(writes).await {
            written.unwrap();
        }
        let bytes = std::fs::read(place.join("log")).unwrap();
        assert_eq!(bytes.len(), 1600);
        assert!((0..1600).all(|at| usize::from(bytes[at]) == at / 8));
    });
}

#[test]
fn when_no_thread_is_free_a_driver_without_a_ring_says_what_to_change() {
    let place = Temporary::new("busy");
    let path = place.0.join("log");
    std::fs::write(&path, "text").unwrap();
    let mut config = Config::new(Placement::unpinned(1));
    config.driver = DriverChoice::Epoll;
    (config.blocking.threads_max, config.blocking.waiting_max) = (1, 1);
    run_on_all_shards(&config, move |_| {
        let path = path.clone();
        async move {
            let log = File::open(&path).await.unwrap();
            let (begin, begun) = channel();
            let (end, ended) = channel::<()>();
            let busy = spawn(blocking(move || {
                begin.send(()).unwrap();
                ended.recv().is_err()
            }));
            while begun.try_recv().is_err() {
                yield_now().await;
            }
            let waiting = spawn(blocking(|| ()));
            yield_now().await;
            let error = log.sync_all().await.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::ResourceBusy);
            let told = error.to_string();
            assert!(told.contains("blocking.threads_max"), "{told}");
            drop(end);
            assert_eq!((busy.await, waiting.await), (Ok(true), Ok(())));
            let read = log.read_at(Block::with_capacity(1), 0).await.unwrap();
            assert_eq!(&read[..], b"text");
        }
    })
    .unwrap();
}
