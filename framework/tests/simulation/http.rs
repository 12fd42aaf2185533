//! A server and its clients in a simulation: each client gets exactly what is due to it.

use std::cell::Cell;
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use sunstar::Server;
use sunstar::runtime::Placement;
use sunstar::server::Config;
use sunstar::testing::{Peer, Report, Seed, Simulation, sleep, within};

use crate::script::{Answer, Script, Step, take_answer};
use crate::service::{Handled, router};

/// How long a client's whole script may take, in simulated time.
const PATIENCE: Duration = Duration::from_mins(5);
/// How often the last client asks for the total until it gets an answer.
const AUDITS_MAX: usize = 50;

fn address() -> SocketAddr {
    SocketAddr::from(([10, 0, 0, 1], 80))
}

/// What a run is to be like, besides what its seed says.
#[derive(Clone, Copy)]
pub(crate) struct Conditions {
    /// Connections may break, be refused, or find no descriptor.
    pub(crate) losses: bool,
    /// Multishot operations end all the time.
    pub(crate) endings: bool,
    pub(crate) clients_max: usize,
}

/// Runs one server with its clients.
///
/// # Panics
/// If anybody gets something else than what is due, or gets nothing in time.
pub(crate) fn run(mut seed: Seed, conditions: Conditions) -> Report {
    let losses = conditions.losses;
    let mut scripts = seed.fork();
    let shards = seed.len(1, 3);
    let most = seed.one_of(&[2, 8, 40]);
    let count = seed.len(1, most).min(conditions.clients_max);
    let connections_max = seed.one_of(&[2, 8, 1000, 1000_usize]);
    let may_be_full = connections_max.div_ceil(shards) <= count;
    let mut simulation = Simulation::from_seed(seed);
    if !losses {
        simulation = simulation.without_losses();
    }
    if conditions.endings {
        simulation = simulation.with_endings();
    }
    let mut next_id = 0;
    let drawn = (0..count).map(|_| Script::drawn(&mut scripts, &mut next_id));
    let drawn: Vec<_> = drawn.collect();
    let handled: Handled = (0..next_id).map(|_| AtomicU32::new(0)).collect();
    let running = Rc::new(Cell::new(count));
    let broken_off = Rc::new(Cell::new(0));
    for (index, script) in drawn.into_iter().enumerate() {
        let (handled, running) = (Arc::clone(&handled), Rc::clone(&running));
        let broken_off = Rc::clone(&broken_off);
        let begin = Duration::from_micros(scripts.one_of(&[0, 0, 100, 50_000]));
        simulation.peer(format!("client {index}"), async move {
            sleep(begin).await;
            let played = within(PATIENCE, play(&script, &handled, losses, may_be_full)).await;
            let whole = played.unwrap_or_else(|| panic!("client {index} is stuck: {script:?}"));
            broken_off.set(broken_off.get() + u64::from(!whole));
            running.set(running.get() - 1);
        });
    }
    let audited = Arc::clone(&handled);
    simulation.peer("auditor", async move {
        while running.get() > 0 {
            sleep(Duration::from_millis(10)).await;
        }
        audit(&audited, broken_off.get()).await;
    });
    let (service, placement) = (Arc::clone(&handled), Placement::unpinned(shards));
    let (served, report) = simulation.run(move || {
        let config = Config {
            placement: Some(placement),
            connections_max,
            ..Config::default()
        };
        Server::bind_with(config, address())?.serve(move |_| router(Arc::clone(&service)))
    });
    served.expect("a simulated server starts");
    let twice = handled
        .iter()
        .position(|times| times.load(Ordering::Relaxed) > 1);
    assert_eq!(twice, None, "a request was handled twice");
    report
}

/// One client: plays its script and looks at every answer. Tells whether nothing broke it off.
async fn play(script: &Script, handled: &Handled, losses: bool, may_be_full: bool) -> bool {
    let Ok(mut peer) = Peer::connect(address()).await else {
        assert!(losses, "refused");
        return true;
    };
    let mut answers = Answers::default();
    let played = answers.play(script, &mut peer).await;
    let may_break = peer.is_injured() || script.resets;
    assert!(losses || !peer.is_injured(), "injured without a loss");
    if (peer.is_injured() || may_be_full) && answers.are_refusal() {
        return true;
    }
    // Who is refused and slow to ask is told nothing.
    if may_be_full && answers.all.is_empty() {
        return false;
    }
    for (answer, id) in answers.all.iter().zip(&script.ids) {
        let times = handled[*id].load(Ordering::Relaxed);
        assert_eq!(times, 1, "request {id} was answered ({answer:?})");
    }
    let len = answers.all.len();
    assert!(
        answers.all[..] == script.expected[..len.min(script.expected.len())],
        "wrong answers: {:?}, expected {:?}",
        answers.all,
        script.expected
    );
    if let Err(error) = &played {
        assert!(may_break, "{error} after {len} answers to {script:?}");
    } else if !may_break {
        assert_eq!(
            len,
            script.expected.len(),
            "answers are missing: {script:?}"
        );
        assert!(answers.bytes.is_empty(), "bytes behind the last answer");
    }
    if script.resets {
        peer.reset();
    }
    !may_break
}

/// What has come so far.
#[derive(Default)]
struct Answers {
    bytes: Vec<u8>,
    all: Vec<Answer>,
}

impl Answers {
    /// Whether the server has said that it has no room, or no descriptor left.
    fn are_refusal(&self) -> bool {
        self.all.first().is_some_and(|answer| answer.status == 503)
    }

    async fn play(&mut self, script: &Script, peer: &mut Peer) -> io::Result<()> {
        for step in &script.steps {
            match step {
                Step::Send(bytes) => peer.send(bytes).await?,
                Step::Pause(pause) => sleep(*pause).await,
                Step::Await(count) => self.wait(peer, *count).await?,
                Step::HalfClose => peer.shutdown(),
                Step::Reset => return Ok(()),
            }
        }
        self.wait(peer, script.expected.len()).await?;
        while script.closes && !self.receive(peer).await? {}
        Ok(())
    }

    async fn wait(&mut self, peer: &mut Peer, count: usize) -> io::Result<()> {
        while self.all.len() < count && !self.receive(peer).await? {}
        Ok(())
    }

    /// Tells whether that was the end.
    async fn receive(&mut self, peer: &mut Peer) -> io::Result<bool> {
        let more = peer.recv().await?;
        self.bytes.extend(&more);
        while let Some(answer) = take_answer(&mut self.bytes) {
            self.all.push(answer);
        }
        Ok(more.is_empty())
    }
}

/// When all others have ended: the shards together have counted what was handled, and of each
/// client that was `broken_off` at most one request whose content did not come.
async fn audit(handled: &Handled, broken_off: u64) {
    let sum = || -> u64 {
        let each = handled
            .iter()
            .map(|times| u64::from(times.load(Ordering::Relaxed)));
        each.sum()
    };
    for asked in 1..=AUDITS_MAX {
        let before = sum();
        let Some(total) = within(PATIENCE, ask_total())
            .await
            .expect("an audit is answered")
        else {
            continue;
        };
        let after = sum();
        let (total, requests) = total.split_once(' ').expect("two numbers");
        let number = |text: &str| text.parse::<u64>().expect("a number");
        let (total, requests) = (number(total), number(requests));
        let counted = before..=after;
        assert!(
            counted.contains(&total),
            "{total} in all, {counted:?} handled"
        );
        // Audits are requests as well; one whose answer was lost may have been handled or not.
        let requests_max = after + asked as u64 + broken_off;
        assert!(
            (before + 1..=requests_max).contains(&requests),
            "{requests} requests, {before} to {requests_max} handled, {broken_off} broken off"
        );
        return;
    }
}

async fn ask_total() -> Option<String> {
    let mut peer = Peer::connect(address()).await.ok()?;
    let request = "GET /total HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
    let mut answers = Answers::default();
    let asked = match peer.send(request).await {
        Ok(()) => answers.wait(&mut peer, 1).await,
        broken => broken,
    };
    if answers.are_refusal() {
        return None;
    }
    let answer = answers.all.pop();
    assert!(
        peer.is_injured() || asked.is_ok() && answer.is_some(),
        "no total: {asked:?}"
    );
    answer.map(|answer| String::from_utf8(answer.content).expect("text"))
}
