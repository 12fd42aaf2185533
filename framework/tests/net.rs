//! TCP on shards, against the standard library's sockets as the other end.
#![expect(clippy::unwrap_used, reason = "a test may fail by unwrapping")]
#![expect(
    clippy::cast_possible_truncation,
    reason = "the counts of a test are small"
)]

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::io::ErrorKind::{BrokenPipe, ConnectionRefused, ConnectionReset};
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream as StdStream};
use std::rc::Rc;
use std::sync::{Arc, mpsc};
use std::task::{Context, Poll, Wake, Waker};
use std::thread;
use std::time::Duration;

use futures_util::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt};
use sunstar::ShardId;
use sunstar::mem::Buf;
use sunstar::net::{Adapter, TcpListener, TcpStream};
use sunstar::runtime::{
    Config, DriverChoice, Placement, run_on_all_shards, sleep, spawn, yield_now,
};

const ANY: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 0);

/// Runs `serve` on one shard with a listener, and `client` on a thread with its address.
fn with_server<F, C, R, T>(
    serve: impl Fn(TcpListener) -> F + Send + Sync + 'static,
    client: C,
) -> (R, T)
where
    F: Future<Output = R> + 'static,
    R: Send + 'static,
    C: FnOnce(SocketAddr) -> T + Send + 'static,
    T: Send + 'static,
{
    let (tell, told) = mpsc::channel();
    let client = thread::spawn(move || client(told.recv().unwrap()));
    let results = run_on_all_shards(&Config::new(Placement::unpinned(1)), move |_| {
        let listener = TcpListener::bind(ANY).unwrap();
        tell.send(listener.local_addr().unwrap()).unwrap();
        serve(listener)
    });
    (results.unwrap().remove(0), client.join().unwrap())
}

async fn echo(mut stream: TcpStream) -> usize {
    let mut total = 0;
    while let Some(bytes) = stream.recv().await.unwrap() {
        total += bytes.len();
        stream.queue(bytes);
        stream.flush().await.unwrap();
    }
    total
}

/// Bytes that differ everywhere, so that a hole or a swap shows.
fn pattern(len: usize) -> Vec<u8> {
    (0..len as u32)
        .flat_map(|n| n.wrapping_mul(2_654_435_761).to_le_bytes())
        .take(len)
        .collect()
}

/// Checks that `serve` sends back what comes and says how much that was.
fn check_echo<F: Future<Output = usize> + 'static>(
    serve: impl Fn(TcpStream) -> F + Clone + Send + Sync + 'static,
) {
    const LEN: usize = 5_000_000;
    let serve = move |mut listener: TcpListener| {
        let serve = serve.clone();
        async move { serve(listener.accept().await.unwrap()).await }
    };
    let (served, back) = with_server(serve, |address| {
        let mut stream = StdStream::connect(address).unwrap();
        let mut reader = stream.try_clone().unwrap();
        let reader = thread::spawn(move || {
            let mut back = Vec::new();
            reader.read_to_end(&mut back).unwrap();
            back
        });
        stream.write_all(&pattern(LEN)).unwrap();
        stream.shutdown(std::net::Shutdown::Write).unwrap();
        reader.join().unwrap()
    });
    assert_eq!(served, LEN);
    assert!(back == pattern(LEN), "{} bytes came back", back.len());
}

#[test]
fn what_is_sent_comes_back_byte_for_byte() {
    check_echo(echo);
}

#[test]
fn what_is_sent_comes_back_through_the_traits_of_futures_io() {
    check_echo(|stream| async {
        let (mut reader, mut writer) = Adapter::new(stream).split();
        let copied = futures_util::io::copy(&mut reader, &mut writer).await;
        writer.close().await.unwrap();
        copied.unwrap() as usize
    });
}

#[test]
fn what_is_sent_comes_back_through_the_traits_of_tokio() {
    check_echo(|stream| async {
        let (mut reader, mut writer) = tokio::io::split(Adapter::new(stream));
        let copied = tokio::io::copy(&mut reader, &mut writer).await;
        tokio::io::AsyncWriteExt::shutdown(&mut writer)
            .await
            .unwrap();
        copied.unwrap() as usize
    });
}

#[test]
fn whoever_writes_through_traits_is_held_back_and_told_when_all_has_gone() {
    let serve = |mut listener: TcpListener| async move {
        let mut stream = Adapter::new(listener.accept().await.unwrap());
        let data = pattern(100_000);
        let (mut sent, mut unsent_max) = (0, 0);
        // More than any socket buffer takes: at some time a write has to wait.
        loop {
            let write = poll_fn(|context| {
                let stream = std::pin::Pin::new(&mut stream);
                Poll::Ready(futures_io::AsyncWrite::poll_write(stream, context, &data))
            });
            let Poll::Ready(len) = write.await else { break };
            sent += len.unwrap();
            unsent_max = unsent_max.max(stream.stream().unsent_len());
            assert!(unsent_max <= 128 * 1024, "{unsent_max} bytes unsent");
            sunstar::runtime::yield_now().await;
        }
        let mut signal = listener.accept().await.unwrap();
        signal.queue("read now");
        signal.flush().await.unwrap();
        stream.flush().await.unwrap();
        let left = stream.stream().unsent_len();
        stream.close().await.unwrap();
        stream.close().await.unwrap();
        let late = stream.write(b"late").await.unwrap_err().kind();
        // Who wraps it anew is told the same.
        let mut stream = Adapter::new(stream.into_parts().0);
        let later = stream.write(b"later").await.unwrap_err().kind();
        (sent, left, late, later)
    };
    let (served, received) = with_server(serve, |address| {
        let mut stream = StdStream::connect(address).unwrap();
        let mut signal = StdStream::connect(address).unwrap();
        signal.read_exact(&mut [0; 8]).unwrap();
        let mut all = Vec::new();
        stream.read_to_end(&mut all).unwrap();
        all
    });
    let (sent, left, late, later) = served;
    assert_eq!((left, late, later), (0, BrokenPipe, BrokenPipe));
    // A write takes at most 64 KiB.
    let piece = &pattern(100_000)[..64 * 1024];
    assert_eq!((received.len(), sent % piece.len()), (sent, 0));
    assert!(received.chunks(piece.len()).all(|chunk| chunk == piece));
}

#[test]
fn an_adapter_that_waits_for_more_holds_no_memory() {
    let serve = |mut listener: TcpListener| async move {
        let before = sunstar::runtime::pool().outstanding();
        let mut stream = Adapter::new(listener.accept().await.unwrap());
        stream.read_exact(&mut [0; 4]).await.unwrap();
        let read = sunstar::runtime::pool().outstanding();
        stream.fill_buf().await.unwrap();
        stream.consume_unpin(4);
        (before, read, sunstar::runtime::pool().outstanding())
    };
    let ((before, read, consumed), _peer) = with_server(serve, |address| {
        let mut stream = StdStream::connect(address).unwrap();
        stream.write_all(b"fourmore").unwrap();
        stream
    });
    assert!(read > before, "the rest is still there");
    assert_eq!(consumed, before);
}

#[test]
fn what_was_not_read_through_traits_stays_and_a_reset_is_told() {
    let serve = |mut listener: TcpListener| async move {
        let mut stream = Adapter::new(listener.accept().await.unwrap());
        // Dropped before anything has come, it takes nothing with it.
        let mut room = [0; 4];
        poll_fn(|context| {
            let read = std::pin::pin!(stream.read(&mut room)).poll(context);
            assert!(read.is_pending());
            Poll::Ready(())
        })
        .await;
        let mut signal = listener.accept().await.unwrap();
        // No room is no reason to wait.
        poll_fn(|context| {
            let read = std::pin::pin!(stream.read(&mut [])).poll(context);
            assert!(matches!(read, Poll::Ready(Ok(0))), "{read:?}");
            Poll::Ready(())
        })
        .await;
        signal.queue("go");
        let mut line = String::new();
        stream.read_line(&mut line).await.unwrap();
        stream.read_exact(&mut room).await.unwrap();
        assert_eq!(&room, b"four");
        stream.fill_buf().await.unwrap();
        let (stream, unread) = stream.into_parts();
        let mut stream = Adapter::new(stream);
        // By tokio's traits, behind what is in the room already.
        let mut all = Vec::from("rest: ");
        let mut filled = tokio::io::ReadBuf::new(&mut room);
        filled.put_slice(b"- ");
        signal.queue("more");
        poll_fn(|context| {
            let stream = std::pin::Pin::new(&mut stream);
            tokio::io::AsyncRead::poll_read(stream, context, &mut filled)
        })
        .await
        .unwrap();
        all.extend_from_slice(&unread);
        all.extend_from_slice(filled.filled());
        signal.queue("on");
        let error = stream.read(&mut room).await.unwrap_err().kind();
        (line, all, error)
    };
    let (served, ()) = with_server(serve, |address| {
        let mut stream = StdStream::connect(address).unwrap();
        let mut signal = StdStream::connect(address).unwrap();
        signal.read_exact(&mut [0; 2]).unwrap();
        stream.write_all(b"a line\nfourrest").unwrap();
        signal.read_exact(&mut [0; 4]).unwrap();
        stream.write_all(b"..").unwrap();
        signal.read_exact(&mut [0; 2]).unwrap();
        let linger = socket2::SockRef::from(&stream).set_linger(Some(Duration::ZERO));
        linger.unwrap();
    });
    let expected = (
        "a line\n".into(),
        b"rest: rest- ..".to_vec(),
        ConnectionReset,
    );
    assert_eq!(served, expected);
}

#[test]
fn a_reader_that_waits_holds_its_peer_back_and_loses_nothing() {
    const LEN: usize = 20_000_000;
    let serve = |mut listener: TcpListener| async move {
        let mut stream = listener.accept().await.unwrap();
        let first = stream.recv().await.unwrap().unwrap();
        // Reads on only when the client says that its writes no longer go through.
        let mut signal = listener.accept().await.unwrap();
        signal.recv().await.unwrap().unwrap();
        let mut all = first.to_vec();
        while let Some(bytes) = stream.recv().await.unwrap() {
            all.extend_from_slice(&bytes);
        }
        all
    };
    let (all, held_back) = with_server(serve, |address| {
        let mut stream = StdStream::connect(address).unwrap();
        stream.set_nonblocking(true).unwrap();
        let (data, mut sent) = (pattern(LEN), 0);
        while let Ok(count) = stream.write(&data[sent..]) {
            sent += count;
        }
        let held_back = sent < LEN;
        StdStream::connect(address)
            .unwrap()
            .write_all(b"go")
            .unwrap();
        stream.set_nonblocking(false).unwrap();
        stream.write_all(&data[sent..]).unwrap();
        held_back
    });
    assert!(
        held_back,
        "20 MB fitted into the buffers: nothing was tested"
    );
    assert!(all == pattern(LEN), "{} bytes arrived", all.len());
}

#[test]
fn a_large_answer_reaches_a_slow_reader_whole() {
    const LEN: usize = 3_000_000;
    let serve = |mut listener: TcpListener| async move {
        let mut stream = listener.accept().await.unwrap();
        let whole = Buf::from(pattern(LEN));
        for at in (0..LEN).step_by(70_001) {
            stream.queue(whole.slice(at..LEN.min(at + 70_001)));
            stream.queue(Buf::from("|"));
        }
        stream.flush().await.unwrap();
        stream.shutdown();
        assert_eq!(stream.recv().await.unwrap(), None);
    };
    let ((), back) = with_server(serve, |address| {
        let mut stream = StdStream::connect(address).unwrap();
        let (mut back, mut piece) = (Vec::new(), [0; 777]);
        while let Ok(count @ 1..) = stream.read(&mut piece) {
            back.extend_from_slice(&piece[..count]);
        }
        back
    });
    let expected: Vec<u8> = pattern(LEN)
        .chunks(70_001)
        .flat_map(|piece| [piece, b"|"].concat())
        .collect();
    assert!(
        back == expected,
        "{} bytes of {}",
        back.len(),
        expected.len()
    );
}

#[test]
fn a_hundred_connections_are_served_side_by_side() {
    let serve = |mut listener: TcpListener| async move {
        let mut tasks = Vec::new();
        for _ in 0..100 {
            tasks.push(spawn(echo(listener.accept().await.unwrap())));
        }
        let mut total = 0;
        for task in tasks {
            total += task.await;
        }
        total
    };
    let (total, ()) = with_server(serve, |address| {
        let mut streams: Vec<_> = (0..100)
            .map(|_| StdStream::connect(address).unwrap())
            .collect();
        for round in 0..10_u8 {
            for (index, stream) in streams.iter_mut().enumerate() {
                stream.write_all(&[index as u8, round]).unwrap();
            }
            for (index, stream) in streams.iter_mut().enumerate() {
                let mut back = [0; 2];
                stream.read_exact(&mut back).unwrap();
                assert_eq!(back, [index as u8, round]);
            }
        }
    });
    assert_eq!(total, 2_000);
}

#[test]
fn a_reset_is_an_error_and_a_refused_connection_too() {
    let serve = |mut listener: TcpListener| async move {
        let mut stream = listener.accept().await.unwrap();
        stream.recv().await.unwrap().unwrap();
        let broken = loop {
            match stream.recv().await {
                Ok(Some(_)) => {}
                other => break other.unwrap_err().kind(),
            }
        };
        let address = listener.local_addr().unwrap();
        drop(listener);
        // The close is carried out by the driver, so it may take a few turns. Whoever stands in the
        // listener's queue at that moment is reset, which some drivers see before they connect.
        let refused = loop {
            match TcpStream::connect(address).await {
                Err(error) if error.kind() == ConnectionReset => {}
                Err(error) => break error.kind(),
                Ok(stream) => drop(stream),
            }
        };
        (broken, refused)
    };
    let (kinds, ()) = with_server(serve, |address| {
        let mut stream = StdStream::connect(address).unwrap();
        stream.write_all(b"x").unwrap();
        let linger = socket2::SockRef::from(&stream);
        linger.set_linger(Some(std::time::Duration::ZERO)).unwrap();
    });
    assert_eq!(kinds, (ConnectionReset, ConnectionRefused));
}

#[test]
fn shards_share_a_port_and_talk_to_each_other_over_it() {
    let (tell, told) = mpsc::channel::<SocketAddr>();
    let told = std::sync::Arc::new(told_once(told));
    let results = run_on_all_shards(&Config::new(Placement::unpinned(2)), move |shard| {
        let (tell, told) = (tell.clone(), std::sync::Arc::clone(&told));
        async move {
            if shard == ShardId::ZERO {
                let mut listener = TcpListener::bind(ANY).unwrap();
                tell.send(listener.local_addr().unwrap()).unwrap();
                return echo(listener.accept().await.unwrap()).await;
            }
            let mut stream = TcpStream::connect(told()).await.unwrap();
            stream.queue(Buf::from("hello"));
            let back = stream.recv().await.unwrap().unwrap();
            assert_eq!(&back[..], b"hello");
            back.len()
        }
    });
    assert_eq!(results.unwrap(), [5, 5]);
}

fn told_once<T: Send>(told: mpsc::Receiver<T>) -> impl Fn() -> T + Send + Sync {
    #[expect(
        clippy::disallowed_methods,
        reason = "a test hands a value from thread to thread"
    )]
    let told = std::sync::Mutex::new(told);
    move || told.lock().unwrap().recv().unwrap()
}

#[test]
fn dropping_a_stream_while_it_receives_closes_it_for_the_peer() {
    let serve = |mut listener: TcpListener| async move {
        let mut stream = listener.accept().await.unwrap();
        stream.recv().await.unwrap().unwrap();
        drop(stream);
        // Keeps the shard turning until the client has seen the end.
        let mut signal = listener.accept().await.unwrap();
        signal.recv().await.unwrap().is_none()
    };
    let (signal, end) = with_server(serve, |address| {
        let mut stream = StdStream::connect(address).unwrap();
        stream.write_all(b"x").unwrap();
        let end = stream.read(&mut [0]).unwrap();
        drop(StdStream::connect(address).unwrap());
        end
    });
    assert_eq!((signal, end), (true, 0));
}

thread_local! {
    static CLOSED_BY_WAKE: RefCell<Option<TcpStream>> = const { RefCell::new(None) };
    static CLOSED_BY_DROP: RefCell<Option<TcpStream>> = const { RefCell::new(None) };
}

/// A waker that closes one stream of its shard when it is woken and one when it is dropped.
struct Meddler;

impl Wake for Meddler {
    fn wake(self: Arc<Self>) {
        drop(CLOSED_BY_WAKE.take());
    }
}

impl Drop for Meddler {
    fn drop(&mut self) {
        drop(CLOSED_BY_DROP.take());
    }
}

#[test]
fn a_waker_may_use_sockets() {
    let serve = |mut listener: TcpListener| async move {
        let mut first = listener.accept().await.unwrap();
        CLOSED_BY_DROP.set(Some(listener.accept().await.unwrap()));
        CLOSED_BY_WAKE.set(Some(listener.accept().await.unwrap()));
        for _ in 0..2 {
            // The second waker takes the place of the first, which is dropped.
            let meddler = Waker::from(Arc::new(Meddler));
            let mut context = Context::from_waker(&meddler);
            assert!(first.poll_recv(&mut context).is_pending());
        }
        while CLOSED_BY_WAKE.with_borrow(Option::is_some) {
            sleep(Duration::from_millis(1)).await;
        }
        assert!(CLOSED_BY_DROP.with_borrow(Option::is_none));
    };
    with_server(serve, |address| {
        let connect = || StdStream::connect(address).unwrap();
        let (mut first, mut second, mut third) = (connect(), connect(), connect());
        assert_eq!(second.read(&mut [0]).unwrap(), 0);
        first.write_all(b"now").unwrap();
        assert_eq!(third.read(&mut [0]).unwrap(), 0);
    });
}

#[test]
fn whoever_waits_for_a_send_is_woken_also_when_it_was_done_at_once() {
    // Nothing else happens on this shard: without the wake it would sleep until the timer, which is
    // looked at first.
    let config = Config {
        driver: DriverChoice::Epoll,
        ..Config::new(Placement::unpinned(1))
    };
    let results = run_on_all_shards(&config, |_| async {
        let (ours, _theirs) = std::os::unix::net::UnixStream::pair().unwrap();
        let mut stream = TcpStream::adopt(ours.into());
        stream.queue(Buf::from("hello"));
        let mut late = std::pin::pin!(sleep(Duration::from_secs(5)));
        let mut flushed = std::pin::pin!(stream.flush());
        poll_fn(|context| match late.as_mut().poll(context) {
            Poll::Ready(()) => Poll::Ready(false),
            Poll::Pending => flushed.as_mut().poll(context).map(|done| done.is_ok()),
        })
        .await
    });
    assert_eq!(results.unwrap(), [true]);
}

#[test]
fn whoever_waits_to_receive_can_be_woken_for_something_else() {
    let serve = |mut listener: TcpListener| async move {
        let stream = Rc::new(RefCell::new(listener.accept().await.unwrap()));
        let polls = Rc::new(Cell::new(0));
        let (receives, polled) = (Rc::clone(&stream), Rc::clone(&polls));
        let waits = spawn(poll_fn(move |context| -> Poll<()> {
            polled.set(polled.get() + 1);
            assert!(receives.borrow_mut().poll_recv(context).is_pending());
            Poll::Pending
        }));
        yield_now().await;
        for wakes in 1..4 {
            assert_eq!(polls.get(), wakes);
            stream.borrow().wake_receiver();
            yield_now().await;
        }
        drop(waits);
        // Nobody waits: nothing happens.
        yield_now().await;
        stream.borrow().wake_receiver();
    };
    with_server(serve, |address| {
        let mut stream = StdStream::connect(address).unwrap();
        assert_eq!(stream.read(&mut [0]).unwrap(), 0);
    });
}
