//! `loadgen sink`: a server that does nothing, or one queue whose behaviour is known from theory.
//!
//! What must hold: a request costs no parsing but the search for its end; with `--service` all
//! connections share one server, first come first served, so that M/D/1 and M/M/1 apply.

use std::cell::Cell;
use std::io::{self, Write};
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Sender, channel};
use std::thread;
use std::time::{Duration, Instant};

use signal_hook::consts::{SIGINT, SIGTERM};
use sunstar::mem::Buf;
use sunstar::net::{TcpListener, TcpStream};
use sunstar::runtime::{self, Config, run_on_all_shards, sleep, sleep_until, spawn};

use crate::cli::Sink;
use crate::exit::{Exit, Failure};
use crate::plan::Think;
use crate::random::Random;

/// How often to look whether a signal has come.
const LOOK: Duration = Duration::from_millis(50);

/// Keeps service times apart from the arrivals of a generator with the same seed: the queue of
/// theory wants both to be independent.
const STREAM: u64 = 1 << 32;

/// Serves until a signal comes.
///
/// # Errors
/// When the address cannot be used.
pub(crate) fn run(sink: &Sink, out: &mut dyn Write) -> Result<Exit, Failure> {
    let failed = |error: String| Failure::new(Exit::Failed, error);
    let placement = sink
        .placement()
        .map_err(|line| Failure::new(Exit::Usage, line))?;
    let stop = Arc::new(AtomicBool::new(false));
    for signal in [SIGINT, SIGTERM] {
        signal_hook::flag::register(signal, Arc::clone(&stop))
            .map_err(|error| failed(format!("cannot listen to signals: {error}")))?;
    }
    let address = free_address(sink.listen)
        .map_err(|error| failed(format!("cannot listen on {}: {error}", sink.listen)))?;
    let (answer, service, stall) = (answer(sink.body_len), sink.service, sink.stall);
    let (seed, count) = (sink.seed, placement.shard_count());
    let (bound, ready) = channel();
    let serving = thread::spawn(move || {
        run_on_all_shards(&Config::new(placement), move |_| {
            let queue = Rc::new(Queue::new(service, stall, seed));
            listen(
                address,
                queue,
                answer.clone(),
                bound.clone(),
                Arc::clone(&stop),
            )
        })
    });
    if ready.iter().take(count).count() == count {
        writeln!(out, "listening on {address}")?;
        out.flush()?;
    }
    let served = serving.join().expect("the sink has panicked");
    for served in served.map_err(|error| failed(error.to_string()))? {
        served.map_err(|error| failed(format!("cannot listen on {address}: {error}")))?;
    }
    Ok(Exit::Fine)
}

/// Serves on one shard until `stop`; says when it listens.
async fn listen(
    address: SocketAddr,
    queue: Rc<Queue>,
    answer: Vec<u8>,
    bound: Sender<()>,
    stop: Arc<AtomicBool>,
) -> io::Result<()> {
    let listener = TcpListener::bind(address)?;
    // Whoever started the sink may have gone.
    bound.send(()).ok();
    let accept = spawn(accept(listener, queue, Buf::from(answer)));
    while !stop.load(Ordering::Relaxed) {
        sleep(LOOK).await;
    }
    drop(accept);
    Ok(())
}

/// The address with a port, also where any is asked for. Shards share a port, so another sink there
/// would not be noticed but by trying without.
fn free_address(address: SocketAddr) -> io::Result<SocketAddr> {
    std::net::TcpListener::bind(address)?.local_addr()
}

fn answer(body_len: usize) -> Vec<u8> {
    let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {body_len}\r\n\r\n");
    [head.as_bytes(), &vec![b'x'; body_len]].concat()
}

async fn accept(mut listener: TcpListener, queue: Rc<Queue>, answer: Buf) {
    loop {
        // A connection that was lost before it was accepted is its client's affair.
        match listener.accept().await {
            Ok(stream) => spawn(serve(stream, Rc::clone(&queue), answer.clone())).detach(),
            Err(_) => sleep(LOOK).await,
        }
    }
}

async fn serve(mut stream: TcpStream, queue: Rc<Queue>, answer: Buf) {
    let mut splitter = Splitter::default();
    while let Ok(Some(input)) = stream.recv().await {
        for _ in 0..splitter.take(&input) {
            if let Some(departure) = queue.departure(runtime::now()) {
                sleep_until(departure).await;
            }
            stream.queue(answer.clone());
        }
    }
}

/// One server with one line before it.
struct Queue {
    service: Option<Think>,
    stall: Option<(Duration, Duration)>,
    random: Random,
    served: Cell<u64>,
    /// When the first request came, and when the last will have been served.
    first: Cell<Option<Instant>>,
    free: Cell<Option<Instant>>,
}

impl Queue {
    fn new(service: Option<Think>, stall: Option<(Duration, Duration)>, seed: u64) -> Queue {
        Queue {
            service,
            stall,
            random: Random::new(seed, STREAM),
            served: Cell::new(0),
            first: Cell::new(None),
            free: Cell::new(None),
        }
    }

    /// When a request that came at `arrival` has been served; `None`: at once.
    fn departure(&self, arrival: Instant) -> Option<Instant> {
        if self.service.is_none() && self.stall.is_none() {
            return None;
        }
        let first = *self.first.get().get_or_insert(arrival);
        self.first.set(Some(first));
        let begin = self.free.get().map_or(arrival, |free| free.max(arrival));
        let begin = match self.stall {
            Some((from, time)) if (first + from..first + from + time).contains(&begin) => {
                first + from + time
            }
            _ => begin,
        };
        let served = self.served.replace(self.served.get() + 1);
        let time = match self.service {
            None => Duration::ZERO,
            Some(service) if service.exponential => {
                service.mean.mul_f64(self.random.exponential(served))
            }
            Some(service) => service.mean,
        };
        self.free.set(Some(begin + time));
        Some(begin + time)
    }
}

/// Finds the ends of requests.
#[derive(Default)]
struct Splitter {
    head: Vec<u8>,
    /// How much of a content is still to come.
    content: usize,
}

impl Splitter {
    /// Takes up what came; how many requests have ended in it.
    fn take(&mut self, mut input: &[u8]) -> usize {
        let mut count = 0;
        loop {
            let skipped = self.content.min(input.len());
            self.content -= skipped;
            input = &input[skipped..];
            if skipped > 0 && self.content == 0 {
                count += 1;
            }
            if input.is_empty() {
                return count;
            }
            let known = self.head.len();
            self.head.extend_from_slice(input);
            let from = known.saturating_sub(3);
            let Some(at) = memchr::memmem::find(&self.head[from..], b"\r\n\r\n") else {
                return count;
            };
            let end = from + at + 4;
            input = &input[end - known..];
            self.content = content_length(&self.head[..end]);
            self.head.clear();
            if self.content == 0 {
                count += 1;
            }
        }
    }
}

fn content_length(head: &[u8]) -> usize {
    let mut fields = crate::head::fields(head).filter_map(Result::ok);
    let found = fields.find(|(name, _)| head[name.clone()].eq_ignore_ascii_case(b"content-length"));
    let value = found.and_then(|(_, value)| std::str::from_utf8(&head[value]).ok()?.parse().ok());
    value.unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::arrival::{Arrival, Process};
    use crate::moment::clock;
    use crate::number::approximate;

    #[test]
    fn requests_are_told_apart_however_they_are_cut() {
        let text = b"GET / HTTP/1.1\r\n\r\nPOST / HTTP/1.1\r\ncontent-length: 3\r\n\r\nabcGET /";
        for at in 0..=text.len() {
            let mut splitter = Splitter::default();
            let (first, second) = text.split_at(at);
            assert_eq!(splitter.take(first) + splitter.take(second), 2, "{at}");
            assert_eq!(splitter.take(b" HTTP/1.1\r\n\r\n"), 1);
        }
    }

    #[test]
    fn nothing_is_asked_of_time_without_a_queue() {
        assert_eq!(Queue::new(None, None, 1).departure(clock()), None);
    }

    #[test]
    fn a_stall_holds_everybody_up_to_its_end() {
        let millis = Duration::from_millis;
        let queue = Queue::new(None, Some((millis(100), millis(50))), 1);
        let start = clock();
        let waited = |at| queue.departure(start + millis(at)).unwrap() - (start + millis(at));
        let waits = [0, 99, 100, 120, 149, 150, 200].map(waited);
        assert_eq!(waits, [0, 0, 50, 30, 1, 0, 0].map(millis));
    }

    /// The mean time in the system at 70 % load, in units of the mean service time.
    fn mean_response(exponential: bool) -> f64 {
        let (mean, count) = (Duration::from_millis(1), 400_000_u32);
        let queue = Queue::new(Some(Think { mean, exponential }), None, 3);
        let start = clock();
        let arrivals = Process::new(Arrival::Poisson, 5, 0, 1).take(count as usize);
        let responses = arrivals.map(|at| {
            let arrival = start + mean.mul_f64(at / 0.7);
            (queue.departure(arrival).unwrap() - arrival).as_secs_f64() * 1e3
        });
        responses.sum::<f64>() / approximate(u64::from(count))
    }

    /// The figures that `tests/whole/acceptance.rs` holds loadgen against.
    #[test]
    fn the_figures_of_the_acceptance_are_those_of_this_queue() {
        for (seconds, unit, exponential, expected) in [
            (6.0, 0.004, false, 1.807),
            (6.0, 0.004, true, 2.334),
            (120.0, 0.008, false, 1.762),
            (120.0, 0.008, true, 2.416),
        ] {
            let mean = Duration::from_secs_f64(unit);
            let queue = Queue::new(Some(Think { mean, exponential }), None, 1);
            let start = clock();
            let arrivals = Process::new(Arrival::Poisson, 1, 0, 1).map(|at| at * unit / 0.6);
            let responses: Vec<f64> = arrivals
                .take_while(|at| *at < seconds)
                .map(|at| {
                    let arrival = start + Duration::from_secs_f64(at);
                    (queue.departure(arrival).unwrap() - arrival).as_secs_f64() / unit
                })
                .collect();
            let mean = responses.iter().sum::<f64>() / approximate(responses.len() as u64);
            assert!(
                (mean - expected).abs() < 0.001,
                "{seconds} {exponential}: {mean}"
            );
        }
    }

    /// Pollaczek and Khinchine: 1 + rho / (2 (1 - rho)) for M/D/1, 1 / (1 - rho) for M/M/1.
    #[test]
    fn the_queue_is_that_of_theory() {
        let (fixed, random) = (mean_response(false), mean_response(true));
        assert!((fixed / (1.0 + 0.7 / 0.6) - 1.0).abs() < 0.03, "{fixed}");
        assert!((random / (1.0 / 0.3) - 1.0).abs() < 0.03, "{random}");
    }
}
