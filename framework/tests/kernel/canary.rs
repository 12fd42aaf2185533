//! Descriptor numbers are used again at once; the bytes of one connection never come to another.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpStream};
use std::panic::catch_unwind;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use sunstar::net::TcpListener;
use sunstar::runtime::{Config, Placement, run_on_all_shards, spawn};

/// How many connections there are, unless `SUNSTAR_CANARY_CYCLES` says otherwise.
const CYCLES: u64 = 10_000;
const CLIENTS: u64 = 4;

/// Sends its tag several times and reads one back, or none; then goes, often by a reset while bytes
/// of its own are still on their way.
fn cycle(address: SocketAddr, tag: u64) {
    let mut stream = TcpStream::connect(address).unwrap();
    let socket = socket2::SockRef::from(&stream);
    socket.set_linger(Some(Duration::ZERO)).unwrap();
    stream
        .set_read_timeout(Some(Duration::from_secs(30)))
        .unwrap();
    let bytes = tag
        .to_be_bytes()
        .repeat(1 + usize::try_from(tag % 7).unwrap() * 20);
    stream.write_all(&bytes).unwrap();
    if tag.is_multiple_of(5) {
        return;
    }
    if tag.is_multiple_of(3) {
        stream.shutdown(Shutdown::Write).unwrap();
    }
    let mut echo = [0; 8];
    stream.read_exact(&mut echo).unwrap();
    assert_eq!(u64::from_be_bytes(echo), tag, "bytes of another connection");
}

/// C27. By hand with a million: `SUNSTAR_CANARY_CYCLES=1000000 cargo test --release --test kernel`.
#[test]
fn no_connection_gets_bytes_of_another_one() {
    let cycles = std::env::var("SUNSTAR_CANARY_CYCLES");
    let cycles = cycles.map_or(CYCLES, |cycles| cycles.parse().unwrap());
    let (tell, told) = mpsc::channel();
    let clients = thread::spawn(move || {
        let address: SocketAddr = told.recv().unwrap();
        let each = |first: u64| {
            let tags = (first..cycles).step_by(usize::try_from(CLIENTS).unwrap());
            // One that fails has connected: the server is not to wait for it.
            thread::spawn(move || {
                let failed = |&tag: &u64| catch_unwind(|| cycle(address, tag)).is_err();
                tags.filter(failed).collect::<Vec<_>>()
            })
        };
        let clients: Vec<_> = (0..CLIENTS).map(each).collect();
        let failed = clients
            .into_iter()
            .flat_map(|client| client.join().unwrap());
        let failed: Vec<_> = failed.collect();
        // The last one, from an address that no other uses, ends the server.
        drop(TcpStream::connect(address).unwrap());
        assert_eq!(failed, [0; 0], "these have failed; see above");
    });
    let stray = run_on_all_shards(&Config::new(Placement::unpinned(1)), move |_| {
        let mut listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0).into()).unwrap();
        tell.send(listener.local_addr().unwrap()).unwrap();
        async move {
            for _ in 0..=cycles {
                let mut stream = listener.accept().await.unwrap();
                spawn(async move {
                    // A reset ends it as well.
                    while let Ok(Some(bytes)) = stream.recv().await {
                        stream.queue(bytes);
                    }
                    stream.flush().await.ok();
                })
                .detach();
            }
            sunstar::runtime::stats().stray
        }
    });
    clients.join().unwrap();
    assert_eq!(stray.unwrap(), [0]);
}
