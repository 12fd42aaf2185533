//! A shard inside glommio, on glommio's rings.
//!
//! What must hold: glommio polls I/O when no task is ready, so a shard that goes on waits until it
//! has; its preemption timer never fires, since glommio then goes to sleep with tasks ready. A
//! receive, a send or an accept is tried at once and waits for readiness otherwise, so no memory is
//! lent out, an idle connection holds none, and nothing comes with an operation that was dropped.

use std::future::{Future, poll_fn};
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

use ::glommio::io::BufferedFile;
use ::glommio::net::TcpStream;
use ::glommio::timer::Timer;
use ::glommio::{LocalExecutorBuilder, Placement, spawn_local};
use futures_io::{AsyncRead, AsyncWrite};

use super::line::{Line, Sending, keep_time, relay};
use super::{Parts, RECEIVE_MAX, Work};
use crate::runtime::op::{OpId, Outcome};
use crate::sys::{host, immediate};

/// When tasks are to make room for others of glommio's (a shard does that by itself), and when a
/// timer is due that is not set yet.
const NEVER: Duration = Duration::from_hours(24);
/// The memory that glommio registers for files, of which we use none.
const FILE_MEMORY: usize = 64 * 1024;
/// How many receives a connection may have in a row before others get theirs.
const RECEIVES_MAX: usize = 8;
/// How many connections a listener may accept in a row.
const ACCEPTS_MAX: usize = 64;

/// glommio on the calling thread.
pub(super) fn make() -> io::Result<Parts> {
    let builder = LocalExecutorBuilder::new(Placement::Unbound)
        .io_memory(FILE_MEMORY)
        .preempt_timer(NEVER);
    let executor = builder.make()?;
    Ok(Parts {
        name: "glommio",
        about: "glommio on its rings, doorbell by eventfd",
        spawn,
        run: Box::new(move |shard| executor.run(shard)),
    })
}

fn spawn(work: Work, line: Rc<Line>) -> io::Result<()> {
    let task = match work {
        Work::Stream(socket, connect) => {
            let stream = host::give(socket);
            spawn_local(async move { line.serve(serve(stream, connect, &line)).await })
        }
        Work::Listener(socket) => {
            immediate::set_nonblocking(socket.as_raw_fd())?;
            spawn_local(async move { line.serve(accept(&socket, &line)).await })
        }
        Work::Bell(event) => spawn_local(async move { listen(event, &line).await }),
        Work::Clock => {
            spawn_local(async move { line.serve(keep_time(&line.shared, Timer::new)).await })
        }
        Work::Relay => spawn_local(async move { relay(&line.shared, pass).await }),
    };
    task.detach();
    Ok(())
}

/// Both directions of a stream socket.
async fn serve(mut stream: TcpStream, connect: Option<OpId>, line: &Line) {
    if let Some(id) = connect {
        // Nothing can be sent before the connect has ended, not even nothing.
        let connected = poll_fn(|context| Pin::new(&mut stream).poll_write(context, &[])).await;
        line.complete(id, connected.map(|_| Outcome::Done));
    }
    let (mut has_more, mut sending) = (true, None);
    poll_fn(|context| {
        receive(&mut stream, &mut has_more, line, context);
        send(&mut stream, &mut sending, line, context);
        Poll::<()>::Pending
    })
    .await;
}

/// Receives what there is, within bounds.
fn receive(stream: &mut TcpStream, has_more: &mut bool, line: &Line, context: &mut Context<'_>) {
    let mut memory = [0; RECEIVE_MAX];
    for _ in 0..RECEIVES_MAX {
        if !*has_more || !line.is_wanted() {
            return;
        }
        let Poll::Ready(len) = Pin::new(&mut *stream).poll_read(context, &mut memory) else {
            return;
        };
        let bytes = len.map(|len| line.shared.copy(&memory[..len]));
        *has_more = line.deliver(bytes.map(Outcome::Received));
    }
    context.waker().wake_by_ref();
}

/// Sends what there is to send.
fn send(
    stream: &mut TcpStream,
    sending: &mut Option<(OpId, Sending)>,
    line: &Line,
    context: &mut Context<'_>,
) {
    while let Some((id, next)) = sending.take().or_else(|| line.take_sending()) {
        let stream = Pin::new(&mut *stream);
        let outcome = match next {
            Sending::Data(data) => match stream.poll_write(context, &data) {
                Poll::Ready(len) => len.map(|len| Outcome::Sent { data, len }),
                Poll::Pending => {
                    *sending = Some((id, Sending::Data(data)));
                    return;
                }
            },
            // It is done at once.
            Sending::Fin => match stream.poll_close(context) {
                Poll::Ready(result) => result.map(|()| Outcome::Done),
                Poll::Pending => return *sending = Some((id, Sending::Fin)),
            },
        };
        line.complete(id, outcome);
    }
}

/// Accepts for as long as somebody wants it. An accept of glommio's own would take a connection
/// with it when it is dropped.
async fn accept(listener: &OwnedFd, line: &Line) {
    let mut watch = None;
    poll_fn(|context| {
        line.end_accept();
        accept_waiting(listener, &mut watch, line, context);
        Poll::<()>::Pending
    })
    .await;
}

/// Accepts what waits, within bounds; then `watch` wakes the task.
fn accept_waiting(
    listener: &OwnedFd,
    watch: &mut Option<TcpStream>,
    line: &Line,
    context: &mut Context<'_>,
) {
    for _ in 0..ACCEPTS_MAX {
        if !line.is_wanted() || watch.as_mut().is_some_and(|it| is_quiet(it, context)) {
            return;
        }
        *watch = None;
        match immediate::accept(listener.as_raw_fd()) {
            Ok(socket) => {
                line.deliver(Ok(Outcome::Accepted(socket.into())));
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => match listener.try_clone() {
                Ok(copy) => *watch = Some(host::give(copy)),
                Err(error) => drop(line.deliver(Err(error))),
            },
            Err(error) if immediate::ended_before_accept(&error) => {}
            Err(error) => drop(line.deliver(Err(error))),
        }
    }
    context.waker().wake_by_ref();
}

/// Whether nothing has happened to a socket since glommio was given it: it begins with a poll for
/// readiness. What it then receives from a listener is an error, and tells nothing.
fn is_quiet(socket: &mut TcpStream, context: &mut Context<'_>) -> bool {
    Pin::new(socket).poll_read(context, &mut [0]).is_pending()
}

/// Waits until glommio has polled its I/O once, as it does before it looks at its timers. Only for
/// a task that nothing else wakes meanwhile.
async fn pass() {
    let mut timer = Timer::new(NEVER);
    let mut is_due = false;
    poll_fn(|context| {
        if is_due {
            return Poll::Ready(());
        }
        is_due = true;
        // It is due only when glommio has taken it: one that is due when it is asked first, as one
        // of a microsecond may be, is ready there and then, and glommio polls nothing.
        let taken = Pin::new(&mut timer).poll(context);
        timer.reset(Duration::ZERO);
        taken.map(drop)
    })
    .await;
}

/// Wakes the shard whenever its doorbell is rung.
async fn listen(event: OwnedFd, line: &Line) {
    let _running = line.begin();
    let event: BufferedFile = host::give(event);
    while let Some(Ok(_)) = line.unless_closed(event.read_at(0, 8)).await {
        line.shared.wake();
    }
    // Left to itself glommio closes a file later, if ever. An error tells nothing: it is closed.
    drop(event.close().await);
}
