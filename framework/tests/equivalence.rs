//! The same clients get the same answers, byte for byte, whatever driver the server runs on (row
//! C29). Only the date may differ.
//!
//! `SUNSTAR_DRIVER` names the driver that is compared with the simulated one.

#[path = "simulation/script.rs"]
mod script;
#[path = "simulation/service.rs"]
mod service;

use std::cell::RefCell;
use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::AtomicU32;
use std::thread;
use std::time::Duration;

use script::{Script, Step, take_answer};
use service::{Handled, router};
use sunstar::Server;
use sunstar::runtime::Placement;
use sunstar::server::Config;
use sunstar::testing::{Peer, Seed, Simulation, sleep};

/// How many seeds are compared, each with so many connections on so many shards.
const SEEDS: u64 = 20;
const CONNECTIONS: usize = 8;
const SHARDS: usize = 2;
/// How long a client waits for an answer before it fails.
const PATIENCE: Duration = Duration::from_secs(10);

/// Scripts that end by themselves: a reset shows how far each side had come, which no driver owes.
fn scripts(number: u64) -> (Vec<Script>, Handled) {
    let (mut seed, mut next_id) = (Seed::new(number), 0);
    let drawn = std::iter::repeat_with(|| Script::drawn(&mut seed, &mut next_id));
    let all: Vec<_> = drawn
        .filter(|script| !script.resets)
        .take(CONNECTIONS)
        .collect();
    let last = all.iter().flat_map(|script| &script.ids).max();
    let count = last.map_or(0, |last| last + 1);
    (all, (0..count).map(|_| AtomicU32::new(0)).collect())
}

fn config(signals: bool) -> Config {
    Config {
        placement: Some(Placement::unpinned(SHARDS)),
        signals,
        ..Config::default()
    }
}

/// What comes, until all that is expected is there; behind it only the end.
#[derive(Default)]
struct Transcript {
    bytes: Vec<u8>,
    unparsed: Vec<u8>,
    answers: usize,
}

impl Transcript {
    fn add(&mut self, more: &[u8]) {
        self.bytes.extend(more);
        self.unparsed.extend(more);
        while take_answer(&mut self.unparsed).is_some() {
            self.answers += 1;
        }
    }

    /// The bytes, with every date the same.
    fn masked(mut self) -> String {
        let field = b"\r\nDate: ";
        let len = "Thu, 01 Jan 1970 00:00:00 GMT".len();
        let starts: Vec<_> = (0..self.bytes.len())
            .filter(|&at| self.bytes[at..].starts_with(field))
            .collect();
        for start in starts {
            self.bytes[start + field.len()..][..len].fill(b'-');
        }
        String::from_utf8_lossy(&self.bytes).into_owned()
    }
}

fn simulated(number: u64) -> Vec<String> {
    let (scripts, handled) = scripts(number);
    let address = SocketAddr::from(([10, 0, 0, 1], 80));
    let mut simulation = Simulation::new(number).without_losses();
    let all = Rc::new(RefCell::new(vec![String::new(); scripts.len()]));
    for (index, script) in scripts.into_iter().enumerate() {
        let all = Rc::clone(&all);
        simulation.peer(format!("client {index}"), async move {
            let transcript = play_simulated(address, &script).await.expect("no losses");
            all.borrow_mut()[index] = transcript.masked();
        });
    }
    let (served, _) = simulation.run(move || {
        let server = Server::bind_with(config(true), address)?;
        server.serve(move |_| router(Arc::clone(&handled)))
    });
    served.expect("a simulated server starts");
    all.take()
}

async fn play_simulated(address: SocketAddr, script: &Script) -> io::Result<Transcript> {
    let mut peer = Peer::connect(address).await?;
    let mut transcript = Transcript::default();
    let all = script.expected.len();
    for step in script.steps.iter().chain(&[Step::Await(all)]) {
        match step {
            Step::Send(bytes) => peer.send(bytes).await?,
            Step::Pause(pause) => sleep(*pause).await,
            Step::Await(count) => {
                while transcript.answers < *count {
                    transcript.add(&peer.recv().await?);
                }
            }
            Step::HalfClose => peer.shutdown(),
            Step::Reset => unreachable!("left out"),
        }
    }
    if script.closes {
        loop {
            let more = peer.recv().await?;
            if more.is_empty() {
                break;
            }
            transcript.add(&more);
        }
    }
    Ok(transcript)
}

fn real(number: u64) -> Vec<String> {
    let (scripts, handled) = scripts(number);
    let server = Server::bind_with(config(false), "127.0.0.1:0").expect("a free port");
    let (address, stopper) = (
        server.addresses()[0],
        server.stopper().expect("a descriptor"),
    );
    let serving = thread::spawn(move || server.serve(move |_| router(Arc::clone(&handled))));
    let play = |script| {
        thread::spawn(move || {
            play_real(address, &script)
                .expect("answers in time")
                .masked()
        })
    };
    let playing: Vec<_> = scripts.into_iter().map(play).collect();
    let all = playing
        .into_iter()
        .map(|thread| thread.join().expect("a client that ends"))
        .collect();
    stopper.stop();
    let served = serving.join().expect("a server that ends");
    served.expect("a server that starts");
    all
}

fn play_real(address: SocketAddr, script: &Script) -> io::Result<Transcript> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    let mut transcript = Transcript::default();
    let all = script.expected.len();
    for step in script.steps.iter().chain(&[Step::Await(all)]) {
        match step {
            Step::Send(bytes) => stream.write_all(bytes)?,
            // What a pause separates here is separated by the turns of a simulation there.
            Step::Pause(_) => {}
            Step::Await(count) => {
                while transcript.answers < *count {
                    transcript.add(&receive(&mut stream)?);
                }
            }
            Step::HalfClose => stream.shutdown(Shutdown::Write)?,
            Step::Reset => unreachable!("left out"),
        }
    }
    if script.closes {
        let mut rest = Vec::new();
        stream.read_to_end(&mut rest)?;
        transcript.add(&rest);
    }
    Ok(transcript)
}

fn receive(stream: &mut TcpStream) -> io::Result<Vec<u8>> {
    let mut bytes = vec![0; 4096];
    let len = stream.read(&mut bytes)?;
    assert!(len > 0, "the server has closed the connection too early");
    bytes.truncate(len);
    Ok(bytes)
}

#[test]
fn the_simulated_driver_and_a_real_one_give_the_same_answers() {
    for number in 0..SEEDS {
        let (simulated, real) = (simulated(number), real(number));
        assert_eq!(simulated, real, "seed {number}");
        assert!(simulated.iter().all(|transcript| !transcript.is_empty()));
    }
}
