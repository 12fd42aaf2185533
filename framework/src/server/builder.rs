//! [`Server`]: from addresses and a configuration to shards that serve; [`Stopper`]: ends them.

use std::fmt::Write as _;
use std::io::{self, Write as _};
use std::net::{SocketAddr, ToSocketAddrs};
use std::rc::Rc;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::low_level;

use super::accept::{Connections, Doors, accept, relieve};
use super::balance::{Accept, Balance, max_to_mean};
use super::config::Config;
use super::counters::Counters;
use super::refuse::{self, REFUSED_MAX};
use super::session::{Shared, Spare};
use super::shutdown::{Phase, Shutdown};
use super::standing::Standing;
use crate::error::{Error, Result};
use crate::net::{TcpListener, TcpStream};
use crate::runtime::{self, Placement, ShardId, run_on_all_shards};
use crate::service::Service;
use crate::sharded::Sharded;
use crate::sys::socket::{self, Descriptor};

/// How long a stop may wait for requests before it says so.
const PATIENCE: Duration = Duration::from_secs(1);

/// A server that is bound to its addresses and not running yet.
///
/// # Examples
/// ```no_run
/// use sunstar::service::service_fn;
/// use sunstar::{Response, Server, StatusCode};
///
/// Server::bind("127.0.0.1:8080")?
///     .serve(|_shard| service_fn(|_request| Response::new(StatusCode::NO_CONTENT)))?;
/// # Ok::<(), sunstar::Error>(())
/// ```
#[derive(Debug)]
pub struct Server {
    listeners: Vec<Bound>,
    config: Config,
    /// A byte read from the first means stop; signals and stoppers write to the second.
    stop: (Descriptor, Descriptor),
}

/// One address, and the listening socket of the first shard, which holds it until all listen.
#[derive(Debug)]
struct Bound {
    address: SocketAddr,
    socket: Descriptor,
}

/// Stops a running server from any thread. See [`Server::stopper`].
#[derive(Debug)]
pub struct Stopper {
    stop: Descriptor,
}

impl Stopper {
    /// Asks for a graceful stop: nothing more is accepted, what was read is answered. A second call
    /// drops what is left at once.
    pub fn stop(&self) {
        // An error means that the server has ended already.
        let _ = self.stop.write(&[1]);
    }
}

impl Server {
    /// Binds a server with the default configuration to an address such as `0.0.0.0:8080`,
    /// `[::]:8080` or `localhost:0`, or to all addresses of a host name. Port 0 takes a free one.
    ///
    /// # Errors
    /// When the address cannot be resolved, is in use, or needs a privilege.
    pub fn bind(address: impl ToSocketAddrs) -> Result<Server> {
        Server::bind_with(Config::default(), address)
    }

    /// Binds a server with this configuration.
    ///
    /// # Errors
    /// As [`bind`](Server::bind).
    pub fn bind_with(config: Config, address: impl ToSocketAddrs) -> Result<Server> {
        Server::unbound(config)?.and_bind(address)
    }

    pub(crate) fn unbound(config: Config) -> Result<Server> {
        let stop = socket::pair().map_err(|error| Error::io("cannot make a socket", error))?;
        Ok(Server {
            listeners: Vec::new(),
            config,
            stop,
        })
    }

    /// Binds to one literal address, unless this machine has no such kind of address.
    #[cfg(feature = "cli")]
    pub(crate) fn bind_if_there(&mut self, address: &str) -> Result<()> {
        let address = address
            .parse()
            .map_err(|_| Error::config(format!("`{address}`: wrong")))?;
        match Bound::new(address, &self.config) {
            Ok(bound) => self.listeners.push(bound),
            Err(error) if error.is_address_missing() => {}
            Err(error) => return Err(error),
        }
        Ok(())
    }

    /// Binds it to another address as well.
    ///
    /// # Errors
    /// As [`bind`](Server::bind).
    pub fn and_bind(mut self, address: impl ToSocketAddrs) -> Result<Server> {
        let addresses = address.to_socket_addrs();
        let addresses = addresses.map_err(Error::unresolved)?;
        for address in addresses {
            if self.listeners.iter().any(|bound| bound.address == address) {
                return Err(Error::config(format!(
                    "{address} is to be listened on twice"
                )));
            }
            self.listeners.push(Bound::new(address, &self.config)?);
        }
        Ok(self)
    }

    /// The configuration, to be changed before the server runs.
    ///
    /// Peers that connect before it runs keep the `write_timeout` that was set when the address was
    /// bound, as far as the kernel is concerned; see [`bind_with`](Server::bind_with).
    pub fn config_mut(&mut self) -> &mut Config {
        &mut self.config
    }

    /// The addresses that it is bound to, with their real ports.
    pub fn addresses(&self) -> Vec<SocketAddr> {
        self.listeners.iter().map(|bound| bound.address).collect()
    }

    /// A handle that stops the server from another thread.
    ///
    /// # Errors
    /// When no descriptor is left.
    pub fn stopper(&self) -> Result<Stopper> {
        let stop = self.stop.1.try_clone();
        stop.map(|stop| Stopper { stop })
            .map_err(|error| Error::io("cannot make a stopper", error))
    }

    /// Runs the server on all its shards, each with the service that `make` returns there, until it
    /// is stopped: by SIGINT or SIGTERM, unless the configuration says otherwise, or by a
    /// [`Stopper`]. Blocks the calling thread.
    ///
    /// # Errors
    /// When a shard cannot start: no ring, no CPU, no descriptor.
    ///
    /// # Panics
    /// If `make` panics, or anything else does on a shard outside of a handler.
    pub fn serve<S, M>(self, make: M) -> Result<()>
    where
        S: Service,
        M: Fn(ShardId) -> S + Send + Sync + 'static,
    {
        let Server {
            listeners,
            config,
            stop: (stopped, stop),
        } = self;
        config.limits.check().map_err(Error::config)?;
        let placement = match &config.placement {
            Some(placement) => placement.clone(),
            None => Placement::new(None, None)?,
        };
        let signals = if config.signals {
            Signals::forward(&stop)?
        } else {
            Signals::none()
        };
        let (driver, uring, idle) = (config.driver, config.uring, config.idle);
        let (task_quota, stalls) = (config.task_quota, config.stalls.clone());
        let (blocking, verbose) = (config.blocking, config.verbose);
        let plan = Arc::new(Plan::new(listeners, stopped, config, placement.clone())?);
        let runtime = runtime::Config {
            placement,
            driver,
            uring,
            idle,
            task_quota,
            stalls,
            blocking,
            verbose,
        };
        let ended = run_on_all_shards(&runtime, move |shard| {
            let service = make(shard);
            serve_shard(shard, Arc::clone(&plan), service)
        });
        drop(signals);
        let served = ended?;
        if verbose {
            let even = max_to_mean(&served);
            eprintln!("connections per shard: {served:?}, max/mean {even:.2}");
        }
        Ok(())
    }
}

impl Bound {
    /// Listens on `address`, if nobody else does.
    fn new(address: SocketAddr, config: &Config) -> Result<Bound> {
        let listen = || {
            if address.port() != 0 {
                socket::refuse_if_taken(address)?;
            }
            // From the first on: a peer may connect long before the server runs.
            socket::listen(address, Some(config.write_timeout))
        };
        let context = |error: io::Error| {
            let advice = match error.kind() {
                io::ErrorKind::AddrInUse => " (another process listens there; choose another port)",
                io::ErrorKind::PermissionDenied => " (ports below 1024 need CAP_NET_BIND_SERVICE)",
                io::ErrorKind::AddrNotAvailable => " (this machine has no such address)",
                _ => "",
            };
            Error::io(format!("cannot listen on {address}{advice}"), error)
        };
        let socket = listen().map_err(context)?;
        let address = socket.local_address().map_err(context)?;
        Ok(Bound { address, socket })
    }
}

/// What every shard needs to serve. Made whole before any shard starts, so that none can fail to
/// listen while the others serve already.
struct Plan {
    addresses: Vec<SocketAddr>,
    config: Config,
    placement: Placement,
    balance: Arc<Balance>,
    /// Of the connections that are being refused.
    refused: Arc<Balance>,
    /// The listeners of all shards once more, by shard, so that they can help each other out.
    listeners: Vec<Vec<Descriptor>>,
    /// By shard; each takes its own out, so that a listener ends with its shard's.
    sockets: Mutex<Vec<Sockets>>,
}

/// The sockets of one shard.
#[derive(Default)]
struct Sockets {
    listeners: Vec<Descriptor>,
    /// Where stops are heard of: on the first shard.
    stopped: Option<Descriptor>,
}

impl Plan {
    #[expect(
        clippy::disallowed_methods,
        reason = "handed over once, when a shard starts"
    )]
    fn new(
        bound: Vec<Bound>,
        stopped: Descriptor,
        config: Config,
        placement: Placement,
    ) -> Result<Plan> {
        let addresses: Vec<_> = bound.iter().map(|bound| bound.address).collect();
        let listen = |&address: &SocketAddr| {
            let context = |error| Error::io(format!("cannot listen on {address} once more"), error);
            socket::listen(address, Some(config.write_timeout)).map_err(context)
        };
        for Bound { socket, .. } in &bound {
            // It may have been changed since they were bound.
            let bounded = socket.set_write_timeout(Some(config.write_timeout));
            bounded
                .map_err(|error| Error::io("cannot bound how long peers may not read", error))?;
        }
        let first = Sockets {
            listeners: bound.into_iter().map(|bound| bound.socket).collect(),
            stopped: Some(stopped),
        };
        let mut sockets = vec![first];
        for _ in 1..placement.shard_count() {
            let listeners = addresses.iter().map(listen).collect::<Result<_>>()?;
            sockets.push(Sockets {
                listeners,
                stopped: None,
            });
        }
        let again = |sockets: &Sockets| {
            sockets
                .listeners
                .iter()
                .map(Descriptor::try_clone)
                .collect()
        };
        let listeners = sockets.iter().map(again).collect::<io::Result<_>>();
        let listeners = listeners.map_err(|error| Error::io("cannot share a listener", error))?;
        let (shards, max) = (placement.shard_count(), config.connections_max);
        let balance = Balance::new(config.accept, max.div_ceil(shards), shards);
        Ok(Plan {
            addresses,
            config,
            placement,
            balance: Arc::new(balance),
            refused: Arc::new(Balance::new(Accept::Reuseport, REFUSED_MAX, shards)),
            listeners,
            sockets: Mutex::new(sockets),
        })
    }

    fn take_sockets(&self, shard: ShardId) -> Sockets {
        let mut sockets = self
            .sockets
            .lock()
            .expect("nothing panics while it is locked");
        std::mem::take(&mut sockets[shard.index()])
    }
}

/// The listeners of all shards, as those who help out need them.
struct AllListeners(Arc<Plan>);

impl AsRef<[Vec<Descriptor>]> for AllListeners {
    fn as_ref(&self) -> &[Vec<Descriptor>] {
        &self.0.listeners
    }
}

/// Serves until the server stops. Gives back how many connections this shard has served.
async fn serve_shard<S: Service>(shard: ShardId, plan: Arc<Plan>, service: S) -> u64 {
    let config = &plan.config;
    let shutdown = Rc::new(Shutdown::new());
    let counters = Rc::new(Counters::default());
    let everywhere = Sharded::start(Rc::clone(&shutdown));
    Sharded::start(Rc::clone(&counters));
    let shared = Rc::new(Shared {
        service,
        limits: Rc::new(config.limits.clone()),
        memo: Rc::default(),
        spare: Spare::default(),
        write_timeout: config.write_timeout,
        linger: config.linger,
        announce: config.announce,
        pool: runtime::pool(),
        standing: Standing::new(config.server_name.as_ref()),
        counters,
        connections: Connections::new(
            shard,
            config.connections_max.div_ceil(runtime::shard_count()),
            Arc::clone(&plan.balance),
        ),
        shutdown: Rc::clone(&shutdown),
    });
    Sharded::start(Rc::clone(&shared));
    let refused = Connections::new(shard, REFUSED_MAX, Arc::clone(&plan.refused));
    let refusing = refuse::sessions(&shared, refused);
    let doors = Rc::new(Doors {
        shared: Rc::clone(&shared),
        refusing: Rc::clone(&refusing),
    });
    let Sockets { listeners, stopped } = plan.take_sockets(shard);
    let listeners = listeners.into_iter().map(TcpListener::adopt);
    let mut accepts: Vec<_> = listeners
        .map(|it| runtime::spawn(accept(it, Rc::clone(&doors))))
        .collect();
    if runtime::shard_count() > 1 {
        let all = AllListeners(Arc::clone(&plan));
        accepts.push(runtime::spawn(relieve(all, Rc::clone(&doors))));
    }
    if let Some(stopped) = stopped {
        // Every shard has started when each has answered.
        everywhere.on_all(|_| ()).await;
        announce(&plan);
        runtime::spawn(pass_on_stops(TcpStream::open(stopped), everywhere)).detach();
        if config.announce {
            runtime::spawn(tell_of_waiting(Arc::clone(&plan), Rc::clone(&shutdown))).detach();
        }
    }
    shutdown.reached(Phase::Draining).await;
    for accept in accepts {
        accept.await;
    }
    let grace = runtime::spawn(drop_after(config.grace, Rc::clone(&shutdown)));
    shared.connections.none_left().await;
    refusing.connections.none_left().await;
    drop(grace);
    shared.counters.accepted()
}

/// Prints the one line that says that the server is ready.
fn announce(plan: &Plan) {
    if !plan.config.announce {
        return;
    }
    let mut line = String::from("listening on ");
    for (index, address) in plan.addresses.iter().enumerate() {
        let and = if index == 0 { "" } else { " and " };
        write!(line, "{and}{address}").expect("writing to a string cannot fail");
    }
    let driver = runtime::driver_name();
    let line = format!("{line}, {}, driver {driver}\n", plan.placement);
    let mut out = io::stdout().lock();
    // If nobody can read it, that is no reason not to serve.
    let _ = out.write_all(line.as_bytes()).and_then(|()| out.flush());
}

/// Turns bytes from signals and stoppers into the phases of a stop, on all shards.
async fn pass_on_stops(mut stops: TcpStream, everywhere: Sharded<Rc<Shutdown>>) {
    let mut next = Phase::Draining;
    while let Ok(Some(bytes)) = stops.recv().await {
        for _ in &*bytes {
            // Not awaited: a shard that is busy must not hold up the next phase on the others.
            let phase = next;
            let advance = async move { everywhere.on_all(move |it| it.advance(phase)).await };
            runtime::spawn(advance).detach();
            next = Phase::Dropping;
        }
    }
}

/// Says why a stop does not end at once, where somebody may sit in front of it.
async fn tell_of_waiting(plan: Arc<Plan>, shutdown: Rc<Shutdown>) {
    let config = &plan.config;
    // Idle ones are closed by then, and have been given the time to close their side.
    let patience = config.linger + PATIENCE;
    let Some(rest) = config.grace.checked_sub(patience) else {
        return;
    };
    shutdown.reached(Phase::Draining).await;
    runtime::sleep(patience).await;
    let open = plan.balance.open();
    if open > 0 && shutdown.phase() == Phase::Draining {
        let rest = rest.as_secs();
        let line = format!(
            "waiting for {open} connections that are within a request or its answer, {rest} s at \
             most; a second signal drops them\n"
        );
        let _ = io::stderr().write_all(line.as_bytes());
    }
}

async fn drop_after(grace: Duration, shutdown: Rc<Shutdown>) {
    runtime::sleep(grace).await;
    shutdown.advance(Phase::Dropping);
}

/// The registration of signals; ends when dropped.
struct Signals {
    ids: Vec<signal_hook::SigId>,
}

impl Signals {
    fn none() -> Signals {
        Signals { ids: Vec::new() }
    }

    /// Makes SIGINT and SIGTERM write a byte to `stop`.
    fn forward(stop: &Descriptor) -> Result<Signals> {
        let fd = match stop {
            Descriptor::Kernel(fd) => fd,
            Descriptor::Simulated(stop) => {
                stop.write_on_signals();
                return Ok(Signals::none());
            }
        };
        let register = |signal| low_level::pipe::register(signal, fd.try_clone()?);
        let ids: io::Result<_> = [SIGINT, SIGTERM].into_iter().map(register).collect();
        let ids = ids.map_err(|error| Error::io("cannot listen for signals", error))?;
        Ok(Signals { ids })
    }
}

impl Drop for Signals {
    fn drop(&mut self) {
        for id in self.ids.drain(..) {
            low_level::unregister(id);
        }
    }
}
