//! The driver over real sockets: what completes, what waits, and what never reaches another socket.

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::os::fd::{AsRawFd, IntoRawFd, OwnedFd};
use std::time::Duration;

use super::*;
use crate::mem::Buf;
use crate::sys::socket::Descriptor;

/// Turns after which a test gives up, and how long each of them waits if nothing happens.
const TURNS_MAX: usize = 10_000;
const IDLE_TURNS_MAX: usize = 20;
const TURN: Wait = Wait::AtMost(Duration::from_millis(100));

/// A driver without a shard: each turn enters and reaps.
struct Bench {
    driver: Epoll,
    bell: Doorbell,
    pool: Pool,
}

impl Bench {
    fn new() -> Bench {
        let bell = Doorbell::new().unwrap();
        Bench {
            driver: Epoll::new(&bell).unwrap(),
            bell,
            pool: Pool::new(),
        }
    }

    fn reap(&mut self) -> Vec<Completion> {
        let mut completed = Vec::new();
        self.driver.reap(&self.bell, &self.pool, |completion| {
            completed.push(completion);
        });
        completed
    }

    /// One turn.
    fn turn(&mut self, wait: Wait) -> Vec<Completion> {
        self.driver.enter(wait);
        self.reap()
    }

    /// Turns until `count` completions have come.
    fn await_count(&mut self, count: usize) -> Vec<Completion> {
        let (mut completed, mut idle) = (Vec::new(), 0);
        for _ in 0..TURNS_MAX {
            if completed.len() >= count {
                break;
            }
            let now = self.turn(TURN);
            idle = if now.is_empty() { idle + 1 } else { 0 };
            assert!(idle < IDLE_TURNS_MAX, "stuck after {completed:?}");
            completed.extend(now);
        }
        assert_eq!(completed.len(), count, "{completed:?}");
        completed
    }

    fn await_one(&mut self) -> Completion {
        self.await_count(1).remove(0)
    }

    fn receive(&mut self, socket: &OwnedFd) -> OpId {
        let socket = socket.as_raw_fd();
        self.driver
            .push(Target::Receiver(1), Op::Receive { socket })
    }

    fn send(&mut self, socket: &OwnedFd, data: Buf) -> OpId {
        let send = Op::Send {
            socket: socket.as_raw_fd(),
            data,
            more: false,
            stalled: false,
        };
        self.driver.push(Target::Sender(1), send)
    }

    fn close(&mut self, socket: impl Into<Descriptor>) {
        let socket = socket.into().into_number();
        self.driver.push(Target::Nobody, Op::Close { socket });
        let closed = self.await_one();
        assert!(matches!(
            (closed.target, closed.outcome),
            (Target::Nobody, Ok(Outcome::Done))
        ));
    }

    /// Receives until the last completion, which must be the peer's end.
    fn receive_all(&mut self) -> Vec<u8> {
        let mut all = Vec::new();
        loop {
            for completion in self.await_some() {
                let received = received(completion.outcome);
                assert_eq!(completion.more, !received.is_empty());
                if received.is_empty() {
                    return all;
                }
                all.extend_from_slice(&received);
            }
        }
    }

    fn await_some(&mut self) -> Vec<Completion> {
        for _ in 0..IDLE_TURNS_MAX {
            let completed = self.turn(TURN);
            if !completed.is_empty() {
                return completed;
            }
        }
        panic!("stuck");
    }

    fn is_at_rest(&self) -> bool {
        self.driver.in_flight() == 0 && self.pool.outstanding() == 0
    }
}

fn connected() -> (OwnedFd, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let peer = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    (listener.accept().unwrap().0.into(), peer)
}

fn received(outcome: io::Result<Outcome>) -> Buf {
    match outcome {
        Ok(Outcome::Received(buf)) => buf,
        other => panic!("{other:?} instead of bytes"),
    }
}

fn code(outcome: io::Result<Outcome>) -> Option<i32> {
    outcome.unwrap_err().raw_os_error()
}

fn cancelled() -> Option<i32> {
    immediate::cancelled().raw_os_error()
}

/// So that sends become short soon.
fn shrink_buffers(socket: &OwnedFd, peer: &TcpStream) {
    socket2::SockRef::from(socket)
        .set_send_buffer_size(4096)
        .unwrap();
    socket2::SockRef::from(peer)
        .set_recv_buffer_size(4096)
        .unwrap();
}

fn reset(peer: TcpStream) {
    socket2::SockRef::from(&peer)
        .set_linger(Some(Duration::ZERO))
        .unwrap();
    drop(peer);
}

#[test]
fn bytes_come_as_one_piece_that_holds_no_more_than_they_need() {
    let (mut bench, (socket, mut peer)) = (Bench::new(), connected());
    let id = bench.receive(&socket);
    assert!(bench.turn(Wait::No).is_empty());
    // An idle connection holds no buffer.
    assert_eq!(bench.pool.outstanding(), 0);
    for _ in 0..3 {
        peer.write_all(b"hello").unwrap();
        let completion = bench.await_one();
        assert!(completion.more && completion.target == Target::Receiver(1));
        let buf = received(completion.outcome);
        assert_eq!((&buf[..], buf.pinned_len()), (&b"hello"[..], 256));
    }
    bench.driver.cancel(id);
    let completion = bench.await_one();
    assert_eq!(
        (completion.more, code(completion.outcome)),
        (false, cancelled())
    );
    assert!(bench.is_at_rest());
}

#[test]
fn what_came_before_the_receive_is_received() {
    let (mut bench, (socket, mut peer)) = (Bench::new(), connected());
    peer.write_all(b"early").unwrap();
    let id = bench.receive(&socket);
    assert_eq!(&received(bench.await_one().outcome)[..], b"early");
    bench.driver.cancel(id);
    bench.await_one();
    // The edge comes while nobody receives; it must not be lost.
    peer.write_all(b"between").unwrap();
    assert!(bench.turn(TURN).is_empty());
    bench.receive(&socket);
    assert_eq!(&received(bench.await_one().outcome)[..], b"between");
}

#[test]
fn a_half_closed_connection_brings_its_bytes_and_then_its_end() {
    // Bytes and FIN in one report, and in two.
    for is_together in [true, false] {
        let (mut bench, (socket, mut peer)) = (Bench::new(), connected());
        if !is_together {
            bench.receive(&socket);
        }
        peer.write_all(b"last words").unwrap();
        peer.shutdown(Shutdown::Write).unwrap();
        if is_together {
            bench.receive(&socket);
        }
        assert_eq!(bench.receive_all(), b"last words");
        // The other direction still works, and whoever receives again finds the end again.
        bench.send(&socket, Buf::from("answer"));
        bench.receive(&socket);
        let completed = bench.await_count(2);
        assert!(
            completed
                .iter()
                .all(|completion| !completion.more && completion.outcome.is_ok())
        );
        let mut answer = [0; 6];
        peer.read_exact(&mut answer).unwrap();
        assert_eq!(&answer, b"answer");
        assert!(bench.driver.in_flight() == 0);
    }
}

#[test]
fn a_reset_fails_the_receive_and_the_send_that_wait() {
    let (mut bench, (socket, peer)) = (Bench::new(), connected());
    shrink_buffers(&socket, &peer);
    fill(&mut bench, &socket);
    bench.send(&socket, Buf::from("waits"));
    bench.receive(&socket);
    assert!(bench.turn(Wait::No).is_empty());
    reset(peer);
    let mut kinds: Vec<_> = bench
        .await_count(2)
        .into_iter()
        .map(|completion| (completion.more, completion.outcome.unwrap_err().kind()))
        .collect();
    kinds.sort_unstable_by_key(|(_, kind)| format!("{kind:?}"));
    assert_eq!(
        kinds,
        [
            (false, ErrorKind::BrokenPipe),
            (false, ErrorKind::ConnectionReset)
        ]
    );
    assert!(bench.is_at_rest());
}

/// Sends until there is no room.
fn fill(bench: &mut Bench, socket: &OwnedFd) -> usize {
    let mut sent = 0;
    loop {
        let id = bench.send(socket, Buf::from(vec![7; 100_000]));
        let completed = bench.reap();
        let Some(completion) = completed.into_iter().next() else {
            bench.driver.cancel(id);
            assert_eq!(code(bench.await_one().outcome), cancelled());
            return sent;
        };
        let Ok(Outcome::Sent { len, .. }) = completion.outcome else {
            panic!("{completion:?} instead of a send");
        };
        sent += len;
    }
}

#[test]
fn a_send_is_short_where_there_is_no_more_room_and_then_waits_for_it() {
    let (mut bench, (socket, mut peer)) = (Bench::new(), connected());
    shrink_buffers(&socket, &peer);
    // Watched for reading first: room to write is added to that when a send has to wait.
    bench.receive(&socket);
    assert!(bench.turn(Wait::No).is_empty());
    bench.send(&socket, Buf::from(vec![1; 1 << 20]));
    let Ok(Outcome::Sent { len, data }) = bench.await_one().outcome else {
        panic!("not sent");
    };
    assert!(len > 0 && len < data.len());
    let filled = fill(&mut bench, &socket);
    bench.send(&socket, Buf::from("after"));
    assert!(bench.turn(Wait::No).is_empty(), "there was no room for it");
    let mut all = vec![0; len + filled];
    peer.read_exact(&mut all).unwrap();
    let sent = bench.await_one();
    assert!(
        matches!(sent.outcome, Ok(Outcome::Sent { len: 5, .. })),
        "{sent:?}"
    );
    let mut after = [0; 5];
    peer.read_exact(&mut after).unwrap();
    assert_eq!(&after, b"after");
}

#[test]
fn every_operation_that_waits_can_be_cancelled_once() {
    let mut bench = Bench::new();
    let (socket, peer) = connected();
    shrink_buffers(&socket, &peer);
    fill(&mut bench, &socket);
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let accept = Op::Accept {
        listener: listener.as_raw_fd(),
    };
    // The backlog of this one is full, so a connect to it waits.
    let full = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    full.bind(
        &"127.0.0.1:0"
            .parse::<std::net::SocketAddr>()
            .unwrap()
            .into(),
    )
    .unwrap();
    full.listen(0).unwrap();
    let address = full.local_addr().unwrap();
    let _first = TcpStream::connect(address.as_socket().unwrap()).unwrap();
    let connecting = crate::sys::socket::stream_for(address.as_socket().unwrap()).unwrap();
    let connect = Op::Connect {
        socket: connecting.number(),
        address: Box::new(address),
    };
    let ids = [
        bench.receive(&socket),
        bench.send(&socket, Buf::from("no room")),
        bench.driver.push(Target::Listener(1), accept),
        bench.driver.push(Target::Sender(2), connect),
    ];
    assert!(bench.turn(Wait::No).is_empty());
    for id in ids {
        bench.driver.cancel(id);
        bench.driver.cancel(id);
        let completion = bench.await_one();
        assert_eq!(
            (completion.more, code(completion.outcome)),
            (false, cancelled())
        );
        bench.driver.cancel(id);
    }
    assert!(bench.turn(Wait::No).is_empty() && bench.is_at_rest());
}

#[test]
fn what_has_completed_cannot_be_cancelled_any_more() {
    let (mut bench, (socket, _peer)) = (Bench::new(), connected());
    let id = bench.send(&socket, Buf::from("gone"));
    bench.driver.cancel(id);
    let completed = bench.turn(Wait::No);
    assert!(matches!(
        completed[..],
        [Completion {
            outcome: Ok(Outcome::Sent { .. }),
            ..
        }]
    ));
}

#[test]
fn a_connect_succeeds_or_tells_why_not() {
    let mut bench = Bench::new();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let mut connect = || {
        let socket = crate::sys::socket::stream_for(address).unwrap();
        let connect = Op::Connect {
            socket: socket.number(),
            address: Box::new(address.into()),
        };
        bench.driver.push(Target::Sender(3), connect);
        let outcome = bench.await_one().outcome;
        bench.close(socket);
        outcome.map_err(|error| error.kind())
    };
    assert!(matches!(connect(), Ok(Outcome::Done)));
    drop(listener);
    assert_eq!(connect().unwrap_err(), ErrorKind::ConnectionRefused);
    assert!(bench.is_at_rest());
}

#[test]
fn a_thousand_connections_are_accepted_in_shares() {
    let listener = crate::sys::socket::listen(([127, 0, 0, 1], 0).into(), None).unwrap();
    let address = listener.local_address().unwrap();
    let mut bench = Bench::new();
    let (busy, mut busy_peer) = connected();
    bench.receive(&busy);
    let peers: Vec<_> = (0..1000)
        .map(|_| TcpStream::connect(address).unwrap())
        .collect();
    busy_peer.write_all(b"me too").unwrap();
    let accept = Op::Accept {
        listener: listener.number(),
    };
    bench.driver.push(Target::Listener(0), accept);
    let first = bench.turn(TURN);
    assert_eq!(first.len(), ACCEPT_BUDGET + 1, "the others had to wait");
    assert!(
        first
            .iter()
            .any(|completion| completion.target == Target::Receiver(1))
    );
    let rest = bench.await_count(peers.len() - ACCEPT_BUDGET);
    let all = first.iter().chain(&rest);
    assert!(all.clone().all(|completion| completion.more));
    let accepted = all.filter(|one| matches!(one.outcome, Ok(Outcome::Accepted(_))));
    assert_eq!(accepted.count(), peers.len());
}

#[test]
fn a_flood_on_one_connection_leaves_room_for_the_others() {
    // Row B26's other side: one that always has more must not keep the shard to itself.
    let (mut bench, (loud, mut loud_peer)) = (Bench::new(), connected());
    let flood = vec![9; 2 * RECEIVE_BUDGET + 100];
    socket2::SockRef::from(&loud)
        .set_recv_buffer_size(1 << 20)
        .unwrap();
    loud_peer.write_all(&flood).unwrap();
    bench.receive(&loud);
    let (quiet, mut quiet_peer) = connected();
    let socket = quiet.as_raw_fd();
    bench
        .driver
        .push(Target::Receiver(2), Op::Receive { socket });
    quiet_peer.write_all(b"x").unwrap();
    let mut lens = Vec::new();
    let mut quiet_came = false;
    while lens.iter().sum::<usize>() < flood.len() {
        let mut share = 0;
        // What is left over from the turn before is there without a report.
        for completion in bench.turn(Wait::Forever) {
            quiet_came |= completion.target == Target::Receiver(2);
            if completion.target == Target::Receiver(1) {
                share += received(completion.outcome).len();
            }
        }
        assert!(share <= RECEIVE_BUDGET, "{share}");
        assert!(quiet_came, "it had to wait for the flood to end");
        lens.push(share);
    }
    assert_eq!(lens, [RECEIVE_BUDGET, RECEIVE_BUDGET, 100]);
}

#[test]
fn more_ready_than_one_report_holds_are_all_served() {
    let mut bench = Bench::new();
    let mut connections: Vec<_> = (0..REPORTS_MAX + 88).map(|_| connected()).collect();
    for (index, (socket, _)) in connections.iter().enumerate() {
        let socket = socket.as_raw_fd();
        let target = Target::Receiver(u32::try_from(index).unwrap());
        bench.driver.push(target, Op::Receive { socket });
    }
    for (index, (_, peer)) in connections.iter_mut().enumerate() {
        peer.write_all(&index.to_le_bytes()).unwrap();
    }
    let mut seen = vec![0; connections.len()];
    for completion in bench.await_count(connections.len()) {
        let Target::Receiver(index) = completion.target else {
            panic!("nobody else waits");
        };
        assert_eq!(
            received(completion.outcome)[..],
            (index as usize).to_le_bytes()
        );
        seen[index as usize] += 1;
    }
    assert!(seen.iter().all(|count| *count == 1));
}

#[test]
fn a_report_for_a_closed_descriptor_never_reaches_the_next_of_its_number() {
    // Rows B19 and B20: the report is taken from the kernel, then the descriptor is closed and its
    // number is used anew. Other tests open descriptors, too, so it may take some tries.
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    for _ in 0..100 {
        let (mut bench, (old, mut old_peer)) = (Bench::new(), connected());
        let id = bench.receive(&old);
        let _copy = old.try_clone().unwrap();
        assert!(bench.turn(Wait::No).is_empty());
        old_peer.write_all(b"canary").unwrap();
        bench.driver.enter(TURN);
        assert_eq!(bench.driver.kernel.reported(), 1);
        bench.driver.cancel(id);
        let mut fresh_peer = TcpStream::connect(address).unwrap();
        let number = old.into_raw_fd();
        let close = Op::Close { socket: number };
        bench.driver.push(Target::Nobody, close);
        let fresh: OwnedFd = listener.accept().unwrap().0.into();
        if fresh.as_raw_fd() != number {
            continue;
        }
        let receive = Op::Receive { socket: number };
        bench.driver.push(Target::Receiver(2), receive);
        let completed = bench.reap();
        let targets: Vec<_> = completed.iter().map(|one| one.target).collect();
        assert_eq!(targets, [Target::Receiver(1), Target::Nobody]);
        // The copy of the old descriptor keeps its registration in the kernel alive.
        old_peer.write_all(b"canary").unwrap();
        assert!(bench.turn(TURN).is_empty());
        fresh_peer.write_all(b"mine").unwrap();
        let mine = bench.await_one();
        assert_eq!(mine.target, Target::Receiver(2));
        assert_eq!(&received(mine.outcome)[..], b"mine");
        return;
    }
    panic!("the number was taken by somebody else each time");
}

#[test]
fn a_copy_of_a_listener_that_was_closed_wakes_nobody_any_more() {
    let listener: OwnedFd = TcpListener::bind("127.0.0.1:0").unwrap().into();
    let address = TcpListener::from(listener.try_clone().unwrap()).local_addr();
    let mut bench = Bench::new();
    let copy = listener.try_clone().unwrap().into_raw_fd();
    let accept = Op::Accept { listener: copy };
    let id = bench.driver.push(Target::Listener(1), accept);
    assert!(bench.turn(Wait::No).is_empty());
    bench.driver.cancel(id);
    let close = Op::Close { socket: copy };
    bench.driver.push(Target::Nobody, close);
    bench.await_count(2);
    let _client = TcpStream::connect(address.unwrap()).unwrap();
    bench.driver.enter(Wait::No);
    assert_eq!(bench.driver.kernel.reported(), 0);
}

#[test]
fn ten_thousand_connections_of_few_numbers_get_only_their_own_bytes() {
    // Row B20.
    let mut bench = Bench::new();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    for round in 0..10_000_u32 {
        let mut peer = TcpStream::connect(address).unwrap();
        let socket: OwnedFd = listener.accept().unwrap().0.into();
        peer.write_all(&round.to_le_bytes()).unwrap();
        let id = bench.receive(&socket);
        assert_eq!(received(bench.await_one().outcome)[..], round.to_le_bytes());
        // Some end while more is under way.
        if round % 2 == 0 {
            peer.write_all(b"too late").unwrap();
        }
        bench.driver.cancel(id);
        assert_eq!(code(bench.await_one().outcome), cancelled());
        bench.close(socket);
    }
    assert!(bench.is_at_rest());
}

#[test]
fn who_came_while_nobody_accepted_is_accepted_later() {
    // Row B9: after an error nobody accepts for a while, and nothing is reported a second time.
    let listener = crate::sys::socket::listen(([127, 0, 0, 1], 0).into(), None).unwrap();
    let address = listener.local_address().unwrap();
    let mut bench = Bench::new();
    let accept = |bench: &mut Bench| {
        let listener = listener.number();
        let accept = Op::Accept { listener };
        bench.driver.push(Target::Listener(0), accept)
    };
    let id = accept(&mut bench);
    let _one = TcpStream::connect(address).unwrap();
    bench.await_one();
    bench.driver.cancel(id);
    bench.await_one();
    let _two = TcpStream::connect(address).unwrap();
    assert!(bench.turn(TURN).is_empty());
    accept(&mut bench);
    let accepted = bench.await_one().outcome;
    assert!(matches!(accepted, Ok(Outcome::Accepted(_))));
}

#[test]
fn urgent_data_does_not_hide_what_stands_behind_it() {
    // A read stops at the urgent byte, so a short one is not the last.
    let (mut bench, (socket, mut peer)) = (Bench::new(), connected());
    peer.write_all(b"before").unwrap();
    socket2::SockRef::from(&peer)
        .send_out_of_band(b"!")
        .unwrap();
    peer.write_all(b"behind").unwrap();
    bench.receive(&socket);
    let mut all = Vec::new();
    while all.len() < b"beforebehind".len() {
        for completion in bench.await_some() {
            all.extend_from_slice(&received(completion.outcome));
        }
    }
    assert_eq!(all, b"beforebehind");
}

#[test]
fn the_doorbell_ends_a_wait_each_time_that_it_rings() {
    let mut bench = Bench::new();
    for _ in 0..3 {
        bench.bell.ring_by_event();
        assert!(bench.turn(Wait::Forever).is_empty());
        bench.driver.enter(Wait::No);
        assert_eq!(bench.driver.kernel.reported(), 0);
    }
}

#[test]
fn what_was_reported_survives_a_second_enter() {
    let (mut bench, (socket, mut peer)) = (Bench::new(), connected());
    bench.receive(&socket);
    peer.write_all(b"once").unwrap();
    bench.driver.enter(TURN);
    bench.driver.enter(Wait::No);
    let completed = bench.reap();
    assert_eq!(completed.len(), 1, "an edge is told once: it was lost");
}

#[test]
fn what_has_completed_is_not_waited_for() {
    let (mut bench, (socket, _peer)) = (Bench::new(), connected());
    bench.send(&socket, Buf::from("now"));
    assert_eq!(bench.turn(Wait::Forever).len(), 1);
}

#[test]
fn a_file_cannot_be_watched_and_the_operation_says_so() {
    let mut bench = Bench::new();
    let file: OwnedFd = std::fs::File::open("/proc/self/exe").unwrap().into();
    bench.receive(&file);
    let error = bench.await_one().outcome.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::PermissionDenied);
    assert!(bench.is_at_rest());
}
