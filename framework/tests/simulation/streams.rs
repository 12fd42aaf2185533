//! Bare streams in a simulation, whose futures are dropped at any await: nobody gets bytes of
//! somebody else, and nothing is left over.

use std::cell::Cell;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use sunstar::Sharded;
use sunstar::net::{TcpListener, TcpStream};
use sunstar::runtime::{self, Config, Placement, ShardId, run_on_all_shards};
use sunstar::testing::{Peer, Report, Seed, Simulation, within};

/// How long a peer may take, in simulated time.
const PATIENCE: Duration = Duration::from_mins(5);

fn address() -> SocketAddr {
    SocketAddr::from(([10, 0, 0, 1], 7))
}

/// A future that is dropped instead of polled, once it was polled so many times.
pub(crate) struct Dropped<F> {
    future: Option<Pin<Box<F>>>,
    polls_left: u64,
    count: Arc<AtomicU64>,
}

/// When futures are dropped, and how many were.
#[derive(Clone)]
pub(crate) struct Drops {
    pub(crate) polls: Option<u64>,
    pub(crate) dropped: Arc<AtomicU64>,
}

impl Drops {
    /// `drawn` is what the seed says.
    pub(crate) fn after<F: Future>(&self, drawn: u64, future: F) -> Dropped<F> {
        Dropped {
            future: Some(Box::pin(future)),
            polls_left: self.polls.unwrap_or(drawn),
            count: Arc::clone(&self.dropped),
        }
    }
}

impl<F: Future> Future for Dropped<F> {
    type Output = Option<F::Output>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        if self.polls_left == 0 && self.future.take().is_some() {
            self.count.fetch_add(1, Ordering::Relaxed);
        }
        self.polls_left = self.polls_left.saturating_sub(1);
        match &mut self.future {
            Some(future) => future.as_mut().poll(context).map(Some),
            None => Poll::Ready(None),
        }
    }
}

/// What a run is to be like, besides what its seed says.
#[derive(Clone, Copy)]
pub(crate) struct Conditions {
    pub(crate) peers_max: usize,
    /// After how many polls every future is dropped; the seed says it for each of them if `None`.
    pub(crate) polls: Option<u64>,
}

/// Runs an echo service with its peers. Tells besides how many futures were dropped unfinished.
///
/// # Panics
/// If a peer gets bytes that it has not sent, or waits for ever.
pub(crate) fn run(mut seed: Seed, conditions: Conditions) -> (Report, u64) {
    let mut choices = seed.fork();
    let shards = seed.len(1, 3);
    let count = seed.len(1, 12).min(conditions.peers_max);
    let mut simulation = Simulation::from_seed(seed);
    let over = Arc::new(AtomicBool::new(false));
    let running = std::rc::Rc::new(Cell::new(count));
    for index in 0..count {
        let (running, over) = (running.clone(), Arc::clone(&over));
        let choices = choices.fork();
        simulation.peer(format!("peer {index}"), async move {
            let echoed = within(PATIENCE, echoes(index, choices)).await;
            echoed.unwrap_or_else(|| panic!("peer {index} is stuck"));
            running.set(running.get() - 1);
            over.store(running.get() == 0, Ordering::Relaxed);
        });
    }
    let base = choices.number();
    let dropped = Arc::new(AtomicU64::new(0));
    let drops = Drops {
        polls: conditions.polls,
        dropped: Arc::clone(&dropped),
    };
    let (ran, report) = simulation.run(move || {
        let config = Config::new(Placement::unpinned(shards));
        run_on_all_shards(&config, move |shard| {
            let choices = Seed::new(base.wrapping_add(shard.index() as u64));
            serve(shard, choices, drops.clone(), Arc::clone(&over))
        })
    });
    ran.expect("simulated shards start");
    (report, dropped.load(Ordering::Relaxed))
}

/// Sends what only this peer sends, and looks at what comes back.
async fn echoes(index: usize, mut choices: Seed) {
    let Ok(mut peer) = Peer::connect(address()).await else {
        return;
    };
    let own = format!("peer-{index};");
    let mut own = own.bytes().cycle();
    for _ in 0..choices.below(8) {
        let chunk: Vec<u8> = own.by_ref().take(choices.len(1, 900)).collect();
        let halves = chunk.split_at(choices.len(0, chunk.len()));
        if peer.send(halves.0).await.is_err() || peer.send(halves.1).await.is_err() {
            return;
        }
        if choices.one_in(10) {
            return peer.reset();
        }
        let Ok(back) = peer.recv_exact(chunk.len()).await else {
            return;
        };
        assert_eq!(
            String::from_utf8_lossy(&back),
            String::from_utf8_lossy(&chunk[..back.len()]),
            "peer {index}"
        );
    }
}

async fn serve(shard: ShardId, mut choices: Seed, drops: Drops, over: Arc<AtomicBool>) {
    let served = Sharded::start(0_u64);
    let mut listener = TcpListener::bind(address()).expect("descriptors for the listeners");
    let (accepting, echoes) = (choices.fork(), drops.clone());
    let accepts = runtime::spawn(async move {
        let mut choices = accepting;
        loop {
            match listener.accept().await {
                Ok(stream) => {
                    let polls = choices.below(40);
                    let echo = echo(stream, served, choices.fork());
                    runtime::spawn(echoes.after(polls, echo)).detach();
                }
                Err(_) => runtime::sleep(Duration::from_millis(1)).await,
            }
        }
    });
    let polls = choices.below(30);
    drops.after(polls, visit(shard, choices)).await;
    while !over.load(Ordering::Relaxed) {
        runtime::sleep(Duration::from_millis(5)).await;
    }
    drop(accepts);
}

/// Sends back what comes, with detours over other shards and through time.
async fn echo(mut stream: TcpStream, served: Sharded<u64>, mut choices: Seed) {
    while let Ok(Some(bytes)) = stream.recv().await {
        match choices.below(8) {
            0 => runtime::sleep(Duration::from_micros(choices.below(3000))).await,
            1 => {
                served.on_all(|count| *count += 1).await;
            }
            2 => runtime::yield_now().await,
            _ => {}
        }
        stream.queue(bytes);
        if stream.unsent_len() > 4096 && stream.flush().await.is_err() {
            return;
        }
    }
    stream.shutdown();
    let _ = stream.flush().await;
}

/// A shard as a client: of the echo service, and of nobody.
async fn visit(shard: ShardId, mut choices: Seed) {
    let nobody = SocketAddr::from(([10, 0, 0, 1], 9));
    if let Err(error) = TcpStream::connect(nobody).await {
        let expected = [io::ErrorKind::ConnectionRefused, io::ErrorKind::Other];
        let no_descriptor = error.raw_os_error() == Some(24);
        assert!(no_descriptor || expected.contains(&error.kind()), "{error}");
    }
    let Ok(mut stream) = TcpStream::connect(address()).await else {
        return;
    };
    let own = format!("shard-{shard};").repeat(choices.len(1, 50));
    stream.queue(own.clone().into_bytes());
    let mut back = Vec::new();
    while back.len() < own.len()
        && let Ok(Some(bytes)) = stream.recv().await
    {
        back.extend_from_slice(&bytes);
    }
    assert!(own.as_bytes().starts_with(&back), "shard {shard}");
}
