//! [`Server`]: from addresses and a configuration to shards that serve; [`Stopper`]: ends them.

use std::fmt::Write as _;
use std::io::{self, Write as _};
use std::net::{SocketAddr, ToSocketAddrs};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::rc::Rc;
use std::sync::{Arc, Mutex};

use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::low_level;

use super::accept::{Busy, Connections, REFUSED_MAX, accept};
use super::config::Config;
use super::counters::Counters;
use super::session::Shared;
use super::shutdown::{Phase, Shutdown};
use super::standing::Standing;
use crate::error::{Error, Result};
use crate::http::Limits;
use crate::net::{TcpListener, TcpStream};
use crate::runtime::{self, Placement, ShardId, run_on_all_shards};
use crate::service::Service;
use crate::sharded::Sharded;
use crate::sys::socket::{self, Descriptor};

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
    stop: (UnixStream, UnixStream),
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
    stop: UnixStream,
}

impl Stopper {
    /// Asks for a graceful stop: nothing more is accepted, what was read is answered. A second call
    /// drops what is left at once.
    pub fn stop(&self) {
        // An error means that the server has ended already.
        let _ = (&self.stop).write_all(&[1]);
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
        let stop = UnixStream::pair().map_err(|error| Error::io("cannot make a socket", error))?;
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
        match Bound::new(address) {
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
            self.listeners.push(Bound::new(address)?);
        }
        Ok(self)
    }

    /// The configuration, to be changed before the server runs.
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
        let (driver, verbose) = (config.driver, config.verbose);
        let plan = Arc::new(Plan::new(listeners, stopped, config, placement.clone())?);
        let runtime = runtime::Config {
            placement,
            driver,
            verbose,
        };
        let ended = run_on_all_shards(&runtime, move |shard| {
            let service = make(shard);
            serve_shard(shard, Arc::clone(&plan), service)
        });
        drop(signals);
        ended.map(|_| ())
    }
}

impl Bound {
    /// Listens on `address`, if nobody else does.
    fn new(address: SocketAddr) -> Result<Bound> {
        let listen = || {
            if address.port() != 0 {
                socket::refuse_if_taken(address)?;
            }
            socket::listen(address)
        };
        let context = |error: io::Error| {
            let advice = match error.kind() {
                io::ErrorKind::AddrInUse => " (another process listens there; choose another port)",
                io::ErrorKind::PermissionDenied => " (ports below 1024 need CAP_NET_BIND_SERVICE)",
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
    /// By shard; each takes its own out, so that a listener ends with its shard's.
    sockets: Mutex<Vec<Sockets>>,
}

/// The sockets of one shard.
#[derive(Default)]
struct Sockets {
    listeners: Vec<Descriptor>,
    /// Where stops are heard of: on the first shard.
    stopped: Option<OwnedFd>,
}

impl Plan {
    #[expect(
        clippy::disallowed_methods,
        reason = "handed over once, when a shard starts"
    )]
    fn new(
        bound: Vec<Bound>,
        stopped: UnixStream,
        config: Config,
        placement: Placement,
    ) -> Result<Plan> {
        let addresses: Vec<_> = bound.iter().map(|bound| bound.address).collect();
        let listen = |&address: &SocketAddr| {
            let context = |error| Error::io(format!("cannot listen on {address} once more"), error);
            socket::listen(address).map_err(context)
        };
        let first = Sockets {
            listeners: bound.into_iter().map(|bound| bound.socket).collect(),
            stopped: Some(stopped.into()),
        };
        let mut sockets = vec![first];
        for _ in 1..placement.shard_count() {
            let listeners = addresses.iter().map(listen).collect::<Result<_>>()?;
            sockets.push(Sockets {
                listeners,
                stopped: None,
            });
        }
        Ok(Plan {
            addresses,
            config,
            placement,
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

async fn serve_shard<S: Service>(shard: ShardId, plan: Arc<Plan>, service: S) {
    let config = &plan.config;
    let shutdown = Rc::new(Shutdown::new());
    let counters = Rc::new(Counters::default());
    let everywhere = Sharded::start(Rc::clone(&shutdown));
    Sharded::start(Rc::clone(&counters));
    let connections_max = config.connections_max.div_ceil(runtime::shard_count());
    let busy_limits = Limits {
        // Whoever is refused may not stay without asking for anything.
        idle_timeout: config.limits.header_timeout,
        ..config.limits.clone()
    };
    let common = |limits: &Limits, connections| Shared {
        service: (),
        limits: Rc::new(limits.clone()),
        memo: Rc::default(),
        write_timeout: config.write_timeout,
        linger: config.linger,
        announce: config.announce,
        pool: runtime::pool(),
        standing: Standing::new(config.server_name.as_ref()),
        counters: Rc::clone(&counters),
        connections: Connections::new(connections),
        shutdown: Rc::clone(&shutdown),
    };
    let shared = Rc::new(common(&config.limits, connections_max).serving(service));
    let busy = Rc::new(common(&busy_limits, REFUSED_MAX).serving(Busy));
    let Sockets { listeners, stopped } = plan.take_sockets(shard);
    let listeners = listeners.into_iter().map(TcpListener::adopt);
    let accepts: Vec<_> = listeners
        .map(|it| runtime::spawn(accept(it, Rc::clone(&shared), Rc::clone(&busy))))
        .collect();
    if let Some(stopped) = stopped {
        // Every shard has started when each has answered.
        everywhere.on_all(|_| ()).await;
        announce(&plan);
        runtime::spawn(pass_on_stops(TcpStream::adopt(stopped), everywhere)).detach();
    }
    shutdown.reached(Phase::Draining).await;
    for accept in accepts {
        accept.await;
    }
    let grace = runtime::spawn(drop_after(config.grace, Rc::clone(&shutdown)));
    shared.connections.none_left().await;
    busy.connections.none_left().await;
    drop(grace);
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

async fn drop_after(grace: std::time::Duration, shutdown: Rc<Shutdown>) {
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
    fn forward(stop: &UnixStream) -> Result<Signals> {
        let register = |signal| low_level::pipe::register(signal, stop.try_clone()?);
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
