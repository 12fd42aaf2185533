//! [`Config`]: what a server is made with, and its defaults.

use std::time::Duration;

use super::balance::Accept;
use crate::http::{HeaderValue, Limits};
use crate::runtime::{BlockingLimits, DriverChoice, Idle, Placement, Stalls, UringOptions};
use crate::sys::limit;

/// Descriptors kept free for everything that is not a connection: rings, listeners, files.
const DESCRIPTORS_RESERVED: u64 = 64;

/// How a server behaves. Everything has a default, and all limits are on.
#[derive(Clone, Debug)]
pub struct Config {
    /// The bounds that a peer can run into.
    pub limits: Limits,
    /// How many shards there are and where they sit; by default one on every CPU.
    pub placement: Option<Placement>,
    /// What talks to the kernel.
    pub driver: DriverChoice,
    /// How fresh connections are spread over the shards. Default: by the kernel.
    pub accept: Accept,
    /// What can be chosen about the `io_uring` driver: sizes and optional features.
    pub uring: UringOptions,
    /// What a shard does that has nothing to do. Default: it sleeps.
    pub idle: Idle,
    /// How long the tasks of a turn may run before the sockets have theirs, as far as they ask for
    /// it: see [`need_preempt`](crate::runtime::need_preempt). Default: 0.5 ms.
    pub task_quota: Duration,
    /// What is done about handlers that keep a shard to themselves. Default: nothing, and nobody
    /// watches.
    pub stalls: Stalls,
    /// How many threads may block, for [`blocking`](crate::blocking) and the handlers of
    /// [`Router::blocking`](crate::Router::blocking): 128, and 1,024 calls may wait for one. One
    /// more is answered with 503 and `Retry-After`.
    pub blocking: BlockingLimits,
    /// The `Server` field of answers; `None` sends none. Default: `sunstar`.
    pub server_name: Option<HeaderValue>,
    /// How many connections are open at once, over all shards; each shard takes its part. One
    /// more gets 503 with `Retry-After` for its request and is closed; beyond 64 of those on a
    /// shard they wait in the listen queue. Default: 90 % of the descriptors that the process may
    /// open.
    pub connections_max: usize,
    /// How long a graceful stop waits for answers that are under way. Default: 10 s.
    pub grace: Duration,
    /// How long a connection may take to accept any bytes of an answer, of those with the kernel
    /// too (`TCP_USER_TIMEOUT`, tcp(7)); then it ends. Not behind an upgrade. Default: 30 s.
    pub write_timeout: Duration,
    /// How long a connection that we ended stays readable, so that the peer gets the last answer
    /// before a reset could destroy it (RFC 9112 section 9.6). Default: 1 s.
    pub linger: Duration,
    /// Whether SIGINT and SIGTERM stop the server gracefully. Default: yes.
    pub signals: bool,
    /// Whether to print one line to standard output when the server is ready, and one to standard
    /// error when a stop waits for requests. Default: no, since output belongs to the program;
    /// `sunstar::cli::Args` switches it on.
    pub announce: bool,
    /// Whether to print to standard error what the kernel can do and what was chosen.
    pub verbose: bool,
}

impl Default for Config {
    /// Raises the soft limit on open descriptors to the hard one, to know how many may be open.
    fn default() -> Config {
        Config {
            limits: Limits::default(),
            placement: None,
            driver: DriverChoice::Auto,
            accept: Accept::default(),
            uring: UringOptions::default(),
            idle: Idle::default(),
            task_quota: Duration::from_micros(500),
            stalls: Stalls::default(),
            blocking: BlockingLimits::default(),
            server_name: Some(HeaderValue::from_static("sunstar")),
            connections_max: default_connections_max(),
            grace: Duration::from_secs(10),
            write_timeout: Duration::from_secs(30),
            linger: Duration::from_secs(1),
            signals: true,
            announce: false,
            verbose: false,
        }
    }
}

fn default_connections_max() -> usize {
    let descriptors = limit::raise_open_files().saturating_sub(DESCRIPTORS_RESERVED);
    usize::try_from(descriptors / 10 * 9)
        .unwrap_or(usize::MAX)
        .max(1)
}
