//! [`Simulation`]: one run of a program and its peers, which follows from one seed.

use std::future::Future;
use std::time::{Duration, Instant};

use super::Seed;
use crate::runtime::sim::{Peers, take_part};
use crate::sys::sim::{self, Faults, Kernel, Mishaps};

/// A simulated system that has not run yet: a kernel, a network and a clock.
///
/// # Examples
/// ```
/// use sunstar::runtime::Placement;
/// use sunstar::testing::{Peer, Simulation};
/// use sunstar::{Router, Server};
///
/// let address = "10.0.0.1:80".parse().unwrap();
/// for seed in 0..10 {
///     let mut simulation = Simulation::new(seed);
///     simulation.peer("reader", async move {
///         let Ok(mut peer) = Peer::connect(address).await else { return };
///         let asked = peer.send("GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").await;
///         let answer = peer.recv_until(b"hello").await;
///         assert!(peer.is_injured() || asked.is_ok() && answer.unwrap().ends_with(b"hello"));
///     });
///     let (served, _report) = simulation.run(|| {
///         let mut server = Server::bind(address)?;
///         server.config_mut().placement = Some(Placement::unpinned(2));
///         server.serve(|_shard| Router::new(()).get("/", || "hello"))
///     });
///     served.unwrap();
/// }
/// ```
#[must_use = "a simulation does nothing until it runs"]
pub struct Simulation {
    seed: Seed,
    faults: Faults,
    peers: Peers,
}

/// What a run was like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Report {
    /// One number for everything that has happened: equal if two runs were.
    pub transcript: u64,
    /// How many events have happened.
    pub events: u64,
    /// How much simulated time has passed.
    pub elapsed: Duration,
    /// What the kernel did that it need not do.
    pub mishaps: Mishaps,
}

impl Simulation {
    /// A system in which all goes wrong that can, as often as this seed says.
    pub fn new(seed: u64) -> Simulation {
        Simulation::from_seed(Seed::new(seed))
    }

    /// As [`new`](Simulation::new), from any stream of choices: a fuzzer's bytes, for instance.
    pub fn from_seed(mut seed: Seed) -> Simulation {
        let faults = Faults::drawn(&mut seed);
        Simulation {
            seed,
            faults,
            peers: Peers::default(),
        }
    }

    /// A system that is large, fast and without faults; the seed still chooses the order of things.
    pub fn calm(seed: u64) -> Simulation {
        Simulation {
            seed: Seed::new(seed),
            faults: Faults::none(),
            peers: Peers::default(),
        }
    }

    /// Leaves out what breaks connections, refuses them or is short of descriptors; the rest of the
    /// seed's faults must not show at all.
    pub fn without_losses(mut self) -> Simulation {
        let none = Faults::none();
        self.faults = Faults {
            accept_aborts: 0,
            breaks: 0,
            backlog_max: none.backlog_max,
            descriptors_max: none.descriptors_max,
            ..self.faults
        };
        self
    }

    /// Lets every second shot of a multishot operation be its last, by a success or by an error:
    /// this must not show either.
    pub fn with_endings(mut self) -> Simulation {
        (self.faults.endings, self.faults.failings) = (2, 4);
        self
    }

    /// Adds a peer: an `async` script over [`Peer`](super::Peer). It begins with the run.
    pub fn peer(&mut self, name: impl Into<String>, script: impl Future<Output = ()> + 'static) {
        self.peers.add(name.into(), script);
    }

    /// Runs `program` in this system on this thread: its servers, and whatever else it gives to
    /// [`run_on_all_shards`](crate::runtime::run_on_all_shards), once. When the last peer has
    /// ended, servers are asked to stop as by SIGTERM.
    ///
    /// # Panics
    /// If the program or a peer panics; if a wake-up is lost, or nothing happens any more; if at
    /// the end anything is left over: a descriptor, an operation, a buffer, a timer, a task.
    #[expect(
        clippy::disallowed_methods,
        reason = "any moment will do to count from"
    )]
    pub fn run<R>(self, program: impl FnOnce() -> R) -> (R, Report) {
        let Simulation {
            seed,
            faults,
            peers,
        } = self;
        let installed = sim::install(Kernel::new(seed, faults, Instant::now()));
        take_part(peers);
        let result = program();
        let (report, open) = sim::with(|kernel| {
            let report = Report {
                transcript: kernel.transcript(),
                events: kernel.happened(),
                elapsed: kernel.elapsed(),
                mishaps: kernel.mishaps(),
            };
            (report, kernel.open_count())
        });
        assert!(open == 0, "{open} descriptors left open");
        drop(installed);
        (result, report)
    }
}

/// Lets simulated time pass, as a computation does that a task is busy with.
///
/// # Panics
/// Outside of a simulation.
pub fn spend(time: Duration) {
    sim::with(|kernel| kernel.pass(time));
}
