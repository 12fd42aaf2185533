//! [`Connector`]: opens connections; those with unusual sockets on a thread of its own.
//!
//! What must hold: no shard ever blocks on a connect. The runtime connects plain TCP sockets by
//! itself; a Unix socket, a source address or a close by RST needs a socket that was made here.

use std::future::poll_fn;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::OwnedFd;
use std::pin::pin;
use std::sync::mpsc::{Receiver, Sender, TryRecvError, channel};
use std::task::{Poll, Waker};
use std::thread;
use std::time::Duration;

use nix::sys::socket::{setsockopt, sockopt::IpBindAddressNoPort};
use socket2::{Domain, SockAddr, Socket, Type};
use sunstar::net::TcpStream;
use sunstar::runtime::sleep;

use crate::plan::{Place, Plan};

/// One socket to be made.
struct Attempt {
    place: Place,
    source: Option<IpAddr>,
    reset: bool,
    timeout: Duration,
    done: Sender<io::Result<OwnedFd>>,
    waker: Waker,
}

/// Opens the connections of one shard.
#[derive(Clone)]
pub(crate) struct Connector {
    attempts: Option<Sender<Attempt>>,
}

impl Connector {
    /// Makes ready to connect as `plan` wants it.
    ///
    /// # Errors
    /// When a thread cannot be started.
    pub(crate) fn new(plan: &Plan) -> io::Result<Connector> {
        let plain = matches!(plan.place, Place::Tcp(_))
            && !plan.socket.reset
            && plan.socket.sources.is_empty();
        if plain {
            return Ok(Connector { attempts: None });
        }
        let (sender, receiver) = channel();
        thread::Builder::new()
            .name("connector".into())
            .spawn(move || connect_all(&receiver))?;
        Ok(Connector {
            attempts: Some(sender),
        })
    }

    /// Opens connection number `index`, which chooses the source address.
    ///
    /// # Errors
    /// As `connect(2)`, or `TimedOut`.
    pub(crate) async fn connect(&self, plan: &Plan, index: u64) -> io::Result<TcpStream> {
        match (&self.attempts, &plan.place) {
            (None, Place::Tcp(address)) => connect_plain(*address, plan.timeout).await,
            (None, Place::Unix(_)) => unreachable!("a Unix socket is not plain"),
            (Some(attempts), _) => connect_unusual(attempts, plan, index).await,
        }
    }
}

async fn connect_plain(address: SocketAddr, timeout: Duration) -> io::Result<TcpStream> {
    let mut connect = pin!(TcpStream::connect(address));
    let mut patience = pin!(sleep(timeout));
    poll_fn(|context| match connect.as_mut().poll(context) {
        Poll::Pending => patience
            .as_mut()
            .poll(context)
            .map(|()| Err(io::ErrorKind::TimedOut.into())),
        ready @ Poll::Ready(_) => ready,
    })
    .await
}

async fn connect_unusual(
    attempts: &Sender<Attempt>,
    plan: &Plan,
    index: u64,
) -> io::Result<TcpStream> {
    let (done, result) = channel();
    let mut done = Some(done);
    let gone = || io::Error::other("the connecting thread has ended");
    let descriptor = poll_fn(|context| {
        if let Some(done) = done.take() {
            let count = plan.socket.sources.len().max(1) as u64;
            let turn = usize::try_from(index % count).expect("less than a length");
            let attempt = Attempt {
                place: plan.place.clone(),
                source: plan.socket.sources.get(turn).copied(),
                reset: plan.socket.reset,
                timeout: plan.timeout,
                done,
                waker: context.waker().clone(),
            };
            if attempts.send(attempt).is_err() {
                return Poll::Ready(Err(gone()));
            }
        }
        match result.try_recv() {
            Ok(descriptor) => Poll::Ready(descriptor),
            Err(TryRecvError::Empty) => Poll::Pending,
            Err(TryRecvError::Disconnected) => Poll::Ready(Err(gone())),
        }
    })
    .await?;
    Ok(TcpStream::adopt(descriptor))
}

/// Connects until all shards have ended.
fn connect_all(attempts: &Receiver<Attempt>) {
    for attempt in attempts {
        // A connection that nobody waits for any more is closed by being dropped.
        attempt.done.send(open(&attempt)).ok();
        attempt.waker.wake();
    }
}

fn open(attempt: &Attempt) -> io::Result<OwnedFd> {
    let address = match &attempt.place {
        Place::Tcp(address) => SockAddr::from(*address),
        Place::Unix(path) => SockAddr::unix(path)?,
    };
    let socket = Socket::new(address.domain(), Type::STREAM, None)?;
    if address.domain() != Domain::UNIX {
        socket.set_tcp_nodelay(true)?;
    }
    if attempt.reset {
        socket.set_linger(Some(Duration::ZERO))?;
    }
    if let Some(source) = attempt.source {
        // The port is chosen when the destination is known, so that it may serve several times.
        if source.is_ipv4() {
            setsockopt(&socket, IpBindAddressNoPort, &true)?;
        }
        socket.bind(&SocketAddr::new(source, 0).into())?;
    }
    match attempt.place {
        Place::Tcp(_) => socket.connect_timeout(&address, attempt.timeout)?,
        Place::Unix(_) => socket.connect(&address)?,
    }
    Ok(socket.into())
}
