//! Sockets over a real ring that is too small for what comes: nothing is lost, nothing gets stuck.
//! With `SUNSTAR_DRIVER=epoll` the same over epoll.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::sync::mpsc;
use std::task::{Context, Poll, Waker};
use std::thread;
use std::time::Duration;

use super::super::clock::Clock;
use super::super::doorbell::Doorbell;
use super::super::driver::{Driver, Wait};
use super::super::epoll::Epoll;
use super::super::socket::RECEIVED_MAX;
use super::super::uring::Uring;
use super::super::uring_options::{UringOptions, UringSizes};
use super::*;
use crate::sys::socket;

/// A shard's sockets without a shard: each turn enters and reaps.
struct Bench {
    io: Io,
    bell: Doorbell,
    pool: Pool,
}

/// Turns after which a test gives up, and how long each of them waits if nothing happens.
const TURNS_MAX: usize = 10_000;
const IDLE_TURNS_MAX: usize = 20;
const TURN: Duration = Duration::from_millis(100);

/// How long a peer waits for what must have come already.
const READ_TIMEOUT: Duration = Duration::from_secs(10);

/// A small ring: 16 submissions and 128 completions.
const SMALL: UringSizes = UringSizes {
    submissions: 16,
    completions: 128,
    buffers: 256,
    buffer_len: 16,
};

impl Bench {
    fn new(sizes: UringSizes) -> Bench {
        Bench::with(sizes, "restrict")
    }

    fn with(sizes: UringSizes, features: &str) -> Bench {
        let bell = Doorbell::new().unwrap();
        let options = UringOptions {
            sizes,
            features: features.parse().unwrap(),
        };
        let driver = match std::env::var("SUNSTAR_DRIVER").as_deref() {
            Ok("epoll") => Driver::Epoll(Epoll::new(&bell).unwrap()),
            _ => Driver::Uring(Uring::new(options, &bell).unwrap()),
        };
        Bench {
            io: Io::new(driver),
            bell,
            pool: Pool::new(),
        }
    }

    /// One turn. Tells whether anything has completed.
    fn turn(&mut self) -> bool {
        self.turn_waiting(Wait::AtMost(TURN))
    }

    fn turn_waiting(&mut self, wait: Wait) -> bool {
        let mut batch = Vec::new();
        self.io.driver.enter(wait);
        self.io
            .driver
            .reap(&self.bell, &self.pool, |completion| batch.push(completion));
        let any = !batch.is_empty();
        for completion in batch {
            self.io.complete(completion);
        }
        any
    }

    /// Polls until ready, turning in between.
    ///
    /// # Panics
    /// If it is not ready after many turns: something that should be in flight is not.
    fn wait<T>(&mut self, mut poll: impl FnMut(&mut Io, &Context<'_>) -> Poll<T>) -> T {
        let context = Context::from_waker(Waker::noop());
        let mut idle = 0;
        for _ in 0..TURNS_MAX {
            if let Poll::Ready(value) = poll(&mut self.io, &context) {
                return value;
            }
            idle = if self.turn() { 0 } else { idle + 1 };
            assert!(
                idle < IDLE_TURNS_MAX,
                "it is stuck: nothing completes any more"
            );
        }
        panic!("it has not come in {TURNS_MAX} turns");
    }

    fn listen(&mut self) -> (SocketKey, SocketAddr) {
        let listener = socket::listen((Ipv4Addr::LOCALHOST, 0).into(), None).unwrap();
        let address = listener.local_address().unwrap();
        (self.io.open_listener(listener), address)
    }

    fn receive_all(&mut self, key: SocketKey) -> Vec<u8> {
        let mut all = Vec::new();
        while let Some(buf) = self
            .wait(|io, context| io.poll_receive(key, context))
            .unwrap()
        {
            all.extend_from_slice(&buf);
        }
        all
    }

    /// Turns until only what listens to the doorbell is left.
    fn quiesce(mut self) {
        for _ in 0..IDLE_TURNS_MAX {
            if self.io.socket_count() == 0 && self.io.driver.in_flight() == 0 {
                assert_eq!(
                    (self.pool.outstanding(), self.io.driver.counters().stray),
                    (0, 0)
                );
                return;
            }
            self.turn();
        }
        panic!(
            "{} sockets, {} operations left",
            self.io.socket_count(),
            self.io.driver.in_flight()
        );
    }
}

fn connected() -> (OwnedFd, TcpStream) {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let peer = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    (listener.accept().unwrap().0.into(), peer)
}

fn pattern(len: usize) -> Vec<u8> {
    (0..=250_u8).cycle().take(len).collect()
}

#[test]
fn an_accept_that_ends_with_a_success_is_armed_again() {
    // A completion queue that is full ends a multishot accept with a good completion that lacks
    // F_MORE (row B5): whoever looks at F_MORE only on errors accepts 128 of these and no more.
    let mut bench = Bench::new(SMALL);
    let (listener, address) = bench.listen();
    let peers: Vec<_> = (0..300)
        .map(|_| TcpStream::connect(address).unwrap())
        .collect();
    for _ in 0..peers.len() {
        let accepted = bench
            .wait(|io, context| io.poll_accept(listener, context))
            .unwrap();
        let key = bench.io.open(accepted);
        bench.io.close(key);
    }
    bench.io.close_listener(listener);
    bench.quiesce();
}

#[test]
fn a_receive_that_ends_with_a_success_is_armed_again() {
    let mut bench = Bench::new(SMALL);
    let (descriptor, mut peer) = connected();
    let key = bench.io.open(descriptor);
    peer.write_all(&pattern(20_000)).unwrap();
    drop(peer);
    assert!(bench.receive_all(key) == pattern(20_000));
    bench.io.close(key);
    bench.quiesce();
}

#[test]
fn two_buffers_serve_a_hundred_connections() {
    // Rows B1 and B2: a receive that finds no buffer ends with ENOBUFS and is armed again.
    let mut bench = Bench::new(UringSizes {
        buffers: 2,
        ..SMALL
    });
    let (keys, mut peers): (Vec<_>, Vec<_>) = (0..100)
        .map(|_| {
            let (descriptor, peer) = connected();
            (bench.io.open(descriptor), peer)
        })
        .unzip();
    let context = Context::from_waker(Waker::noop());
    for key in &keys {
        assert!(bench.io.poll_receive(*key, &context).is_pending());
    }
    for peer in &mut peers {
        peer.write_all(&pattern(1_000)).unwrap();
    }
    drop(peers);
    for key in keys {
        assert!(bench.receive_all(key) == pattern(1_000));
        bench.io.close(key);
    }
    // Only a ring has buffers of its own.
    assert!(
        bench.io.driver.counters().starved > 0 || bench.io.driver.name() != "uring",
        "buffers never ran out: nothing was tested"
    );
    bench.quiesce();
}

#[test]
fn short_sends_go_on_where_they_stopped() {
    let mut bench = Bench::new(SMALL);
    let (descriptor, mut peer) = connected();
    socket2::SockRef::from(&descriptor)
        .set_send_buffer_size(4096)
        .unwrap();
    let key = bench.io.open(descriptor);
    let reader = thread::spawn(move || {
        let mut all = Vec::new();
        peer.read_to_end(&mut all).unwrap();
        all
    });
    for piece in pattern(1_000_000).chunks(100_003) {
        bench.io.queue(key, &bench.pool, Buf::from(piece.to_vec()));
    }
    bench.io.shutdown(key);
    bench
        .wait(|io, context| io.poll_unsent(key, 0, context))
        .unwrap();
    assert!(bench.receive_all(key).is_empty());
    bench.io.close(key);
    bench.quiesce();
    assert!(reader.join().unwrap() == pattern(1_000_000));
}

#[test]
fn closing_with_everything_in_flight_leaves_nothing_behind() {
    let mut bench = Bench::new(SMALL);
    let (listener, address) = bench.listen();
    let context = Context::from_waker(Waker::noop());
    assert!(bench.io.poll_accept(listener, &context).is_pending());
    let peers: Vec<_> = (0..20)
        .map(|_| TcpStream::connect(address).unwrap())
        .collect();
    for _ in 0..peers.len() {
        let accepted = bench
            .wait(|io, context| io.poll_accept(listener, context))
            .unwrap();
        let key = bench.io.open(accepted);
        assert!(bench.io.poll_receive(key, &context).is_pending());
        // More than the peer's and our own socket buffers take: the send stays in flight.
        bench
            .io
            .queue(key, &bench.pool, Buf::from(vec![0; 16 << 20]));
        bench.turn();
        bench.io.close(key);
    }
    bench.io.close_listener(listener);
    bench.quiesce();
}

#[test]
fn a_starved_receive_is_fed_by_the_driver_and_keeps_its_bytes_in_order() {
    // Rows B1 and B2, C22: two buffers and one that sends much; the others get their bytes all the
    // same, some by memory of their own, and nobody above the driver hears of it.
    let mut bench = Bench::new(UringSizes {
        buffers: 2,
        ..SMALL
    });
    let (bulk, mut hog) = connected();
    let bulk = bench.io.open(bulk);
    hog.write_all(&pattern(60_000)).unwrap();
    drop(hog);
    let context = Context::from_waker(Waker::noop());
    assert!(bench.io.poll_receive(bulk, &context).is_pending());
    let (keys, mut peers): (Vec<_>, Vec<_>) = (0..20)
        .map(|_| {
            let (descriptor, peer) = connected();
            (bench.io.open(descriptor), peer)
        })
        .unzip();
    for (key, peer) in keys.iter().zip(&mut peers) {
        peer.write_all(&pattern(500)).unwrap();
        assert!(bench.io.poll_receive(*key, &context).is_pending());
    }
    drop(peers);
    for key in keys {
        assert!(bench.receive_all(key) == pattern(500));
        bench.io.close(key);
    }
    assert!(bench.receive_all(bulk) == pattern(60_000));
    bench.io.close(bulk);
    let counters = bench.io.driver.counters();
    // Only a ring has buffers that can run out.
    let has_starved = counters.starved > 0 && counters.unbuffered > 0;
    assert_eq!(
        has_starved,
        bench.io.driver.name() == "uring",
        "{counters:?}"
    );
    bench.quiesce();
}

#[test]
fn a_starved_receive_that_is_closed_ends() {
    let mut bench = Bench::new(UringSizes {
        buffers: 1,
        ..SMALL
    });
    // They stay open, or the end of a stream would end what must end by being closed.
    let mut all = Vec::new();
    for _ in 0..50 {
        let (keys, mut peers): (Vec<_>, Vec<_>) = (0..5)
            .map(|_| {
                let (descriptor, peer) = connected();
                (bench.io.open(descriptor), peer)
            })
            .unzip();
        let context = Context::from_waker(Waker::noop());
        for (key, peer) in keys.iter().zip(&mut peers) {
            peer.write_all(&pattern(200)).unwrap();
            assert!(bench.io.poll_receive(*key, &context).is_pending());
        }
        bench.turn();
        for key in keys {
            bench.io.close(key);
            bench.turn();
        }
        all.append(&mut peers);
    }
    bench.quiesce();
}

#[test]
fn the_smallest_ring_serves_everybody() {
    // Row C23: 4 submissions and 8 completions for 200 connections.
    let mut bench = Bench::new(UringSizes {
        submissions: 4,
        completions: 8,
        ..SMALL
    });
    let (listener, address) = bench.listen();
    let mut peers: Vec<_> = (0..200)
        .map(|_| TcpStream::connect(address).unwrap())
        .collect();
    let keys: Vec<_> = (0..peers.len())
        .map(|_| {
            let accepted = bench.wait(|io, context| io.poll_accept(listener, context));
            bench.io.open(accepted.unwrap())
        })
        .collect();
    for peer in &mut peers {
        peer.write_all(&pattern(100)).unwrap();
        peer.shutdown(std::net::Shutdown::Write).unwrap();
    }
    let context = Context::from_waker(Waker::noop());
    for key in &keys {
        let _ = bench.io.poll_receive(*key, &context);
    }
    for key in &keys {
        let received = bench.receive_all(*key);
        bench.io.queue(*key, &bench.pool, Buf::from(received));
    }
    for key in keys {
        bench
            .wait(|io, context| io.poll_unsent(key, 0, context))
            .unwrap();
        bench.io.close(key);
    }
    while bench.io.driver.in_flight() > 1 {
        bench.turn();
    }
    for mut peer in peers {
        peer.set_read_timeout(Some(READ_TIMEOUT)).unwrap();
        let mut echo = Vec::new();
        peer.read_to_end(&mut echo).unwrap();
        assert!(echo == pattern(100), "{} bytes came back", echo.len());
    }
    bench.io.close_listener(listener);
    bench.quiesce();
}

#[test]
fn a_connection_that_brings_much_lets_others_have_their_turn() {
    // Row B32: the kernel takes at most 33 buffers from one connection before it looks at the next.
    let mut bench = Bench::new(UringSizes {
        buffer_len: 1024,
        completions: 4096,
        ..SMALL
    });
    let (bulk, mut hog) = connected();
    socket2::SockRef::from(&bulk)
        .set_recv_buffer_size(4 << 20)
        .unwrap();
    let (small, mut peer) = connected();
    let (bulk, small) = (bench.io.open(bulk), bench.io.open(small));
    hog.write_all(&pattern(120_000)).unwrap();
    peer.write_all(b"small").unwrap();
    let context = Context::from_waker(Waker::noop());
    assert!(bench.io.poll_receive(bulk, &context).is_pending());
    assert!(bench.io.poll_receive(small, &context).is_pending());
    bench.io.driver.enter(Wait::AtMost(TURN));
    let mut before = 0;
    let mut came = false;
    bench
        .io
        .driver
        .reap(&bench.bell, &bench.pool, |completion| {
            if let Ok(Outcome::Received(bytes)) = &completion.outcome {
                came |= &bytes[..] == b"small";
                before += if came { 0 } else { bytes.len() };
            }
        });
    assert!(came, "the small one has not come");
    // 33 buffers of the kernel's on a ring; what may wait for its reader on epoll.
    let most = match bench.io.driver.name() {
        "uring" => 33 * 1024,
        _ => RECEIVED_MAX,
    };
    assert!(before <= most, "{before} bytes of the other came first");
    bench.io.close(bulk);
    bench.io.close(small);
    bench.quiesce();
}

/// Turns until bytes have come, and says how often the kernel was entered for them.
fn enters_until_received(bench: &mut Bench, key: SocketKey) -> u64 {
    let before = bench.io.driver.counters().enters;
    let received = bench.wait(|io, context| io.poll_receive(key, context));
    assert_eq!(&received.unwrap().unwrap()[..], b"ask");
    bench.io.driver.counters().enters - before
}

#[test]
fn who_only_looks_enters_the_kernel_for_what_has_come_and_for_nothing_else() {
    let mut bench = Bench::new(SMALL);
    let (descriptor, mut peer) = connected();
    let key = bench.io.open(descriptor);
    let context = Context::from_waker(Waker::noop());
    assert!(bench.io.poll_receive(key, &context).is_pending());
    // The receive is with the kernel then.
    bench.turn_waiting(Wait::No);
    let before = bench.io.driver.counters().enters;
    for _ in 0..1000 {
        assert!(!bench.turn_waiting(Wait::No), "nothing has come");
    }
    let enters = bench.io.driver.counters().enters - before;
    if bench.io.driver.name() == "uring" {
        assert_eq!(enters, 0);
    }
    peer.write_all(b"ask").unwrap();
    let looks = (0..TURNS_MAX).position(|_| bench.turn_waiting(Wait::No));
    assert!(looks.is_some(), "it is not seen");
    let received = bench.wait(|io, context| io.poll_receive(key, context));
    assert_eq!(&received.unwrap().unwrap()[..], b"ask");
    bench.io.close(key);
    bench.quiesce();
}

#[test]
fn a_send_that_goes_at_once_does_not_end_the_wait_that_begins_with_it() {
    let mut bench = Bench::new(SMALL);
    let (descriptor, mut peer) = connected();
    let key = bench.io.open(descriptor);
    let asker = thread::spawn(move || {
        for _ in 0..100 {
            peer.write_all(b"ask").unwrap();
            peer.read_exact(&mut [0; 6]).unwrap();
        }
        peer
    });
    enters_until_received(&mut bench, key);
    let mut enters = 0;
    for _ in 1..100 {
        bench
            .io
            .queue(key, &bench.pool, Buf::from(b"answer".to_vec()));
        enters += enters_until_received(&mut bench, key);
    }
    bench
        .io
        .queue(key, &bench.pool, Buf::from(b"answer".to_vec()));
    bench.turn();
    drop(asker.join().unwrap());
    if bench.io.driver.name() == "uring" {
        // One each, and a few that a signal or the pace of the peer has ended.
        assert!(enters < 150, "{enters} enters for 99 questions");
    }
    bench.io.close(key);
    bench.quiesce();
}

#[test]
fn whoever_waits_for_a_send_needs_no_other_completion_to_hear_of_it() {
    let context = Context::from_waker(Waker::noop());
    let ways: [fn(&mut Bench, SocketKey, &Context<'_>); 4] = [
        |bench, key, context| assert!(bench.io.poll_unsent(key, 0, context).is_pending()),
        |bench, key, _| {
            bench
                .io
                .queue(key, &bench.pool, Buf::from(b"more".to_vec()));
        },
        |bench, key, _| bench.io.shutdown(key),
        |bench, key, _| bench.io.close(key),
    ];
    for (number, wait_for_it) in ways.into_iter().enumerate() {
        let mut bench = Bench::new(SMALL);
        let (descriptor, peer) = connected();
        let key = bench.io.open(descriptor);
        bench
            .io
            .queue(key, &bench.pool, Buf::from(b"answer".to_vec()));
        wait_for_it(&mut bench, key, &context);
        let start = Clock::monotonic();
        bench.io.driver.enter(Wait::AtMost(READ_TIMEOUT));
        assert!(start.elapsed() < READ_TIMEOUT, "way {number} was not told");
        if number < 3 {
            bench.io.close(key);
        }
        bench.quiesce();
        drop(peer);
    }
}

/// A socket with little room and none left, its peer, and how many bytes are on their way.
fn full() -> (OwnedFd, UnixStream, usize) {
    let (ours, peer) = UnixStream::pair().unwrap();
    let socket = socket2::SockRef::from(&ours);
    socket.set_send_buffer_size(4096).unwrap();
    ours.set_nonblocking(true).unwrap();
    let mut filled = 0;
    while let Ok(len) = (&ours).write(&[b'x'; 512]) {
        filled += len;
    }
    ours.set_nonblocking(false).unwrap();
    peer.set_read_timeout(Some(READ_TIMEOUT)).unwrap();
    (ours.into(), peer, filled)
}

#[test]
fn sends_into_full_sockets_wait_for_room_and_lose_nothing() {
    // Without quiet sends, and with so many that their completions, each a failure, do not fit into
    // the queue.
    for (features, count) in [("sqpoll", 10), ("restrict", 300)] {
        let mut bench = Bench::with(SMALL, features);
        let sockets: Vec<_> = (0..count)
            .map(|_| {
                let (ours, peer, filled) = full();
                (bench.io.open(ours), peer, filled)
            })
            .collect();
        for (key, ..) in &sockets {
            let answer = Buf::from(b"answer".to_vec());
            bench.io.queue(*key, &bench.pool, answer);
        }
        bench.turn();
        bench.turn();
        for (key, mut peer, filled) in sockets {
            assert_eq!(bench.io.unsent_len(key), 6, "there was no room for it");
            peer.read_exact(&mut vec![0; filled]).unwrap();
            bench
                .wait(|io, context| io.poll_unsent(key, 0, context))
                .unwrap();
            // All of it and nothing else, once.
            let mut rest = [0; 7];
            assert_eq!(peer.read(&mut rest).unwrap(), 6);
            assert_eq!(&rest[..6], b"answer");
            bench.io.close(key);
        }
        bench.quiesce();
    }
}

#[test]
fn a_send_without_room_does_not_hold_up_those_beside_it() {
    let mut bench = Bench::new(SMALL);
    let (full, _peer, _) = full();
    let (other, _other_peer) = connected();
    let (full, other) = (bench.io.open(full), bench.io.open(other));
    for key in [full, other] {
        let answer = Buf::from(b"answer".to_vec());
        bench.io.queue(key, &bench.pool, answer);
    }
    let context = Context::from_waker(Waker::noop());
    assert!(bench.io.poll_unsent(other, 0, &context).is_pending());
    bench.turn();
    let unsent = (bench.io.unsent_len(full), bench.io.unsent_len(other));
    assert_eq!(unsent, (6, 0));
    bench.io.close(full);
    bench.io.close(other);
    bench.quiesce();
}

#[test]
fn failed_sends_that_overflow_the_completion_queue_are_told_all_the_same() {
    let mut bench = Bench::new(SMALL);
    let keys: Vec<_> = (0..300)
        .map(|_| bench.io.open(OwnedFd::from(UnixStream::pair().unwrap().0)))
        .collect();
    for key in &keys {
        let answer = Buf::from(b"answer".to_vec());
        bench.io.queue(*key, &bench.pool, answer);
    }
    for key in keys {
        let sent = bench.wait(|io, context| io.poll_unsent(key, 0, context));
        assert_eq!(sent.unwrap_err().kind(), io::ErrorKind::BrokenPipe);
        bench.io.close(key);
    }
    bench.quiesce();
}

#[test]
fn every_long_wait_ends_in_time() {
    let mut bench = Bench::new(SMALL);
    let (done, watch) = mpsc::channel::<()>();
    thread::scope(|scope| {
        let bell = &bench.bell;
        scope.spawn(move || {
            // Who waits for ever is to fail, not to hang.
            if watch.recv_timeout(READ_TIMEOUT).is_err() {
                bell.ring_by_event();
            }
        });
        let start = Clock::monotonic();
        // The first is cut short. For the second the alarm is brought forward, for the third it has
        // rung and is set again.
        bell.ring_by_event();
        for (longest, until) in [(60_000, 0), (20, 20), (20, 40)] {
            let (longest, until) = (Duration::from_millis(longest), Duration::from_millis(until));
            loop {
                let now = Clock::monotonic();
                bench.io.driver.enter_at(now, Wait::AtMost(longest));
                bench.io.driver.reap(bell, &bench.pool, |_| {});
                if start.elapsed() >= until {
                    break;
                }
            }
        }
        assert!(start.elapsed() < READ_TIMEOUT, "a wait did not end");
        done.send(()).unwrap();
    });
    bench.quiesce();
}

#[test]
fn a_wait_counts_from_the_moment_at_which_its_turn_began() {
    let mut bench = Bench::new(SMALL);
    if bench.io.driver.name() != "uring" {
        // Only a ring is told when the turn began.
        return bench.quiesce();
    }
    let now = Clock::monotonic();
    let began = now.checked_sub(READ_TIMEOUT).unwrap();
    let due = READ_TIMEOUT + Duration::from_millis(20);
    while now.elapsed() < Duration::from_millis(20) {
        bench.io.driver.enter_at(began, Wait::AtMost(due));
        bench.io.driver.reap(&bench.bell, &bench.pool, |_| {});
    }
    assert!(now.elapsed() < READ_TIMEOUT);
    bench.quiesce();
}

#[test]
fn a_batched_wait_that_nothing_ends_goes_on() {
    let mut bench = Bench::with(SMALL, "min-wait");
    let now = Clock::monotonic();
    let long = Duration::from_millis(100);
    let before = bench.io.driver.counters().enters;
    while now.elapsed() < long {
        bench.io.driver.enter_at(now, Wait::AtMost(long));
        bench.io.driver.reap(&bench.bell, &bench.pool, |_| {});
    }
    let enters = bench.io.driver.counters().enters - before;
    assert!(enters < 10, "{enters} enters: it spins");
    bench.quiesce();
}
