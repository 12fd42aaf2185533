//! What every command that sends a load has in common: [`Load`], and from it the [`Plan`].
//!
//! What must hold: options that do not go together are refused with the option to leave out.

use std::io::Read;
use std::net::{IpAddr, Ipv4Addr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use clap::{Args, ValueEnum};
use sunstar::runtime::{CpuSet, DriverChoice, InvalidCpuSet, Placement};

use crate::arrival::Arrival;
use crate::check::{Check, Field};
use crate::duration;
use crate::feed::Feed;
use crate::mix::{Builder, Recipe};
use crate::number;
use crate::plan::{
    Limit, Open, Overload, Pace, Place, Plan, Schedule, SocketOptions, Think, Warmup, Work,
};
use crate::profile::{self, Profile};
use crate::template::{Header, Template, parse_method};
use crate::url::Url;

/// The most connections of one process.
const CONNECTION_COUNT_MAX: u64 = 1_000_000;
/// The most threads of one process.
const THREAD_COUNT_MAX: u64 = 256;
/// The most requests in flight on one connection.
const DEPTH_MAX: u64 = 4_096;
/// How long a run takes that was told neither a time nor a number of requests.
const DEFAULT_TIME: Duration = Duration::from_secs(10);
/// The longest warm-up that is not asked for: this, and no more than a tenth of the run.
const DEFAULT_WARMUP_MAX: Duration = Duration::from_secs(3);
/// The longest automatic warm-up.
const AUTO_WARMUP_MAX: Duration = Duration::from_secs(30);
/// How many connections one source address carries: a little less than Linux's ephemeral ports.
const CONNECTIONS_PER_SOURCE: u64 = 20_000;
/// More connections than this over loopback get several source addresses unasked: Linux has 28,232
/// ephemeral ports for one pair of addresses, and some are in use.
const CONNECTIONS_WITHOUT_SOURCES_MAX: u64 = 28_000;

/// The options of a load.
#[derive(Clone, Debug, Args)]
pub(crate) struct Load {
    /// Connections, shared out to the threads
    #[arg(short, long, value_name = "N", default_value = "64", value_parser = connections)]
    pub(crate) connections: u64,
    /// How long to send, after the warm-up (default: 10s, unless -n is given)
    #[arg(short, long, visible_short_alias = 'z', value_name = "T")]
    #[arg(value_parser = duration::parse, conflicts_with_all = ["requests", "stages"])]
    pub(crate) duration: Option<Duration>,
    /// How many requests to send, exactly
    #[arg(short = 'n', long, value_name = "N", value_parser = number::parse_positive)]
    #[arg(conflicts_with = "stages")]
    pub(crate) requests: Option<u64>,
    /// Open loop: so many requests per second, answers or not (default: closed loop)
    #[arg(short = 'R', long, value_name = "N", value_parser = rate, conflicts_with = "stages")]
    pub(crate) rate: Option<u64>,
    /// Open loop whose rate changes: '0:10k/30s,10k/60s,step:10k..50k+10k/10s,spike:200k/5s'
    #[arg(hide_short_help = true)]
    #[arg(long, value_name = "LIST", value_parser = Profile::parse)]
    pub(crate) stages: Option<Profile>,
    /// How an open loop spreads requests: constant, poisson, uniform, burst:N
    #[arg(hide_short_help = true)]
    #[arg(long, value_name = "HOW", default_value = "constant", value_parser = Arrival::parse)]
    pub(crate) arrival: Arrival,
    /// Which connection takes a due request: the next free one, or its own
    #[arg(hide_short_help = true)]
    #[arg(long, value_enum, value_name = "pool|conn", default_value = "pool")]
    #[arg(hide_possible_values = true)]
    pub(crate) schedule: Schedule,
    /// When no connection is free: queue, shed:T, drop or grow:MAX
    #[arg(hide_short_help = true)]
    #[arg(long, value_name = "HOW", default_value = "queue", value_parser = overload)]
    pub(crate) overload: Overload,
    /// Requests in flight on each connection (pipelining)
    #[arg(short, long, value_name = "DEPTH", default_value = "1", value_parser = depth)]
    pub(crate) pipeline: u64,
    /// Close a connection after N requests and open another (default: never)
    #[arg(hide_short_help = true)]
    #[arg(short = 'r', long, value_name = "N", value_parser = number::parse_positive)]
    pub(crate) requests_per_conn: Option<u64>,
    /// Open a connection for each request, as -r 1
    #[arg(hide_short_help = true)]
    #[arg(long, conflicts_with = "requests_per_conn")]
    pub(crate) no_keepalive: bool,
    /// How to close: fin or rst
    #[arg(hide_short_help = true)]
    #[arg(long, value_enum, value_name = "fin|rst", default_value = "fin")]
    #[arg(hide_possible_values = true)]
    pub(crate) close: Close,
    /// Closed loop: wait T after each answer; T:exp for exponential times
    #[arg(hide_short_help = true)]
    #[arg(long, value_name = "T[:exp]", value_parser = think)]
    #[arg(conflicts_with_all = ["rate", "stages"])]
    pub(crate) think: Option<Think>,
    /// Not counted: T, auto (up to 30s), or 0 (default: a tenth of -d, at most 3s; 0 with -n)
    #[arg(long, value_name = "T", value_parser = warmup)]
    pub(crate) warmup: Option<Warmup>,
    /// How long to go on at the end: to send what was due before it, and to wait for the answers
    #[arg(hide_short_help = true)]
    #[arg(long, value_name = "T", default_value = "2s", value_parser = duration::parse)]
    pub(crate) drain: Duration,
    /// Open no more than N connections per second
    #[arg(hide_short_help = true)]
    #[arg(long, value_name = "N", value_parser = rate)]
    pub(crate) connect_rate: Option<u64>,
    /// Where random numbers start
    #[arg(hide_short_help = true)]
    #[arg(long, value_name = "N", default_value = "1", value_parser = number::parse)]
    pub(crate) seed: u64,
    #[command(flatten)]
    pub(crate) what: What,
    #[command(flatten)]
    pub(crate) machine: Machine,
}

/// The options of requests and answers.
#[derive(Clone, Debug, Args)]
pub(crate) struct What {
    /// The method, also with -b
    #[arg(short, long, value_name = "METHOD", default_value = "GET", value_parser = parse_method)]
    pub(crate) method: String,
    /// A header field; may be repeated; {seq} and the like are filled in, as in -b and URL
    #[arg(short = 'H', long = "header", value_name = "K: V", value_parser = Header::parse)]
    pub(crate) headers: Vec<Header>,
    /// The body, @FILE or @- (stdin); {rand:1:9} {seq} {uuid} {now} {csv:COL} are filled in
    #[arg(short, long, value_name = "BODY", value_parser = body)]
    pub(crate) body: Option<Body>,
    /// A file with lines of 'WEIGHT METHOD /path BODY', all but the path optional
    #[arg(hide_short_help = true)]
    #[arg(long, value_name = "FILE", conflicts_with_all = ["body", "raw"])]
    pub(crate) urls: Option<PathBuf>,
    /// A request as it goes over the wire; may be repeated
    #[arg(hide_short_help = true)]
    #[arg(long, value_name = "FILE[:WEIGHT]", conflicts_with_all = ["body", "headers"])]
    pub(crate) raw: Vec<String>,
    /// Rows for {csv:COLUMN}; the first one names the columns
    #[arg(hide_short_help = true)]
    #[arg(long, value_name = "FILE")]
    pub(crate) csv: Option<PathBuf>,
    /// The statuses that are ok, one by one (default: all from 200 to 399)
    #[arg(long, value_name = "200,204", value_delimiter = ',', value_parser = status)]
    pub(crate) expect_status: Vec<u16>,
    /// The content that must come: the text itself, or @FILE
    #[arg(hide_short_help = true)]
    #[arg(long, value_name = "BODY", value_parser = body)]
    pub(crate) expect_body: Option<Body>,
    /// How long the content must be, in bytes
    #[arg(hide_short_help = true)]
    #[arg(long, value_name = "N", value_parser = number::parse, conflicts_with = "expect_body")]
    pub(crate) expect_len: Option<u64>,
    /// A header field that must come: its name, or also its value; may be repeated
    #[arg(hide_short_help = true)]
    #[arg(long = "expect-header", value_name = "K[: V]", value_parser = Field::parse)]
    pub(crate) expect_headers: Vec<Field>,
    /// Whether every content is compared or one of N: all, 1/N
    #[arg(hide_short_help = true)]
    #[arg(long, value_name = "all|1/N", default_value = "all", value_parser = sample)]
    pub(crate) verify: u64,
}

/// The options of the machine that sends.
#[derive(Clone, Debug, Args)]
pub(crate) struct Machine {
    /// Threads, each with its own ring; auto: one per CPU (default: per each of --cpus, or 1)
    #[arg(short, long, value_name = "N", value_parser = threads)]
    pub(crate) threads: Option<u64>,
    /// Pin the threads to these CPUs, as 4-7,9
    #[arg(long, value_name = "LIST", value_parser = cpus)]
    pub(crate) cpus: Option<CpuSet>,
    /// How long to wait for one answer, or for a connection
    #[arg(long, value_name = "T", default_value = "10s", value_parser = duration::parse)]
    pub(crate) timeout: Duration,
    /// Connect over a Unix socket; the URL still says host and path
    #[arg(hide_short_help = true)]
    #[arg(long, value_name = "PATH")]
    pub(crate) unix: Option<PathBuf>,
    /// Connect from these addresses in turn: A.B.C.D-E, A.B.C.D/BITS, or auto: of 127.0.0.0/8, as
    /// many as are needed (default: auto past 28,000 connections over loopback)
    #[arg(hide_short_help = true)]
    #[arg(long, value_name = "RANGE", conflicts_with = "unix")]
    pub(crate) source_ip: Option<String>,
    /// Open loop: look at the clock instead of sleeping just before a request is due
    #[arg(hide_short_help = true)]
    #[arg(long, value_enum, value_name = "on|off", default_value = "on")]
    #[arg(hide_possible_values = true)]
    pub(crate) busy_poll: Switch,
    /// What to ask of the kernel with: auto, uring or epoll
    #[arg(hide_short_help = true)]
    #[arg(long, value_name = "NAME", default_value = "auto", value_parser = driver)]
    pub(crate) driver: DriverChoice,
    /// Also report what this process spends per request
    #[arg(long, value_name = "PID")]
    pub(crate) server_pid: Option<u32>,
}

/// How connections are closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Close {
    /// In order.
    Fin,
    /// At once, without TIME-WAIT.
    Rst,
}

/// On or off.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Switch {
    /// On.
    On,
    /// Off.
    Off,
}

/// The bytes of a body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Body(pub(crate) Vec<u8>);

impl Machine {
    /// Where the threads sit.
    ///
    /// # Errors
    /// One sentence when there are not so many CPUs.
    pub(crate) fn placement(&self) -> Result<Placement, String> {
        let threads = self
            .threads
            .map(|count| usize::try_from(count).unwrap_or(usize::MAX));
        match &self.cpus {
            None => Ok(Placement::unpinned(threads.unwrap_or(1))),
            cpus => Placement::new(threads, cpus.as_ref()).map_err(|error| error.to_string()),
        }
    }

    /// Where connections go: the Unix socket, or `address`.
    pub(crate) fn place(&self, address: std::net::SocketAddr) -> Place {
        match &self.unix {
            Some(path) => Place::Unix(path.clone()),
            None => Place::Tcp(address),
        }
    }

    /// The addresses that `count` connections to `server` come from; none leaves that to the
    /// kernel.
    ///
    /// # Errors
    /// One sentence when the range is none.
    pub(crate) fn sources(&self, count: u64, server: IpAddr) -> Result<Arc<[IpAddr]>, String> {
        let spread = server.is_ipv4()
            && server.is_loopback()
            && self.unix.is_none()
            && count > CONNECTIONS_WITHOUT_SOURCES_MAX;
        match self.source_ip.as_deref().or(spread.then_some("auto")) {
            None => Ok(Arc::default()),
            Some("auto") => {
                let addresses = count.div_ceil(CONNECTIONS_PER_SOURCE);
                let first = u32::from(Ipv4Addr::LOCALHOST);
                let address = |at| IpAddr::V4(Ipv4Addr::from(first + at));
                Ok((0..u32::try_from(addresses).unwrap_or(u32::MAX))
                    .map(address)
                    .collect())
            }
            Some(range) => parse_range(range),
        }
    }
}

/// Splits `FILE[:WEIGHT]`.
fn split_weight(raw: &str) -> (&str, u64) {
    let weighed = raw.rsplit_once(':');
    let parsed = weighed.and_then(|(path, weight)| Some((path, number::parse(weight).ok()?)));
    parsed.unwrap_or((raw, 1))
}

impl What {
    /// The files that requests are read from, but those of bodies, which have been read.
    pub(super) fn files(&self) -> Vec<PathBuf> {
        let named = [&self.urls, &self.csv].into_iter().flatten().cloned();
        let raw = self
            .raw
            .iter()
            .map(|raw| PathBuf::from(split_weight(raw).0));
        named.chain(raw).collect()
    }
}

impl Load {
    /// Checks what concerns more than one option.
    ///
    /// # Errors
    /// One sentence for the user.
    pub(crate) fn check(&self) -> Result<(), String> {
        let threads = self.machine.placement()?.shard_count();
        if self.connections < threads as u64 {
            return Err(format!(
                "{threads} threads need at least {threads} connections (-c)"
            ));
        }
        let open = self.rate.is_some() || self.stages.is_some();
        if !open {
            let only_open = [
                (self.arrival != Arrival::Constant, "--arrival"),
                (self.schedule != Schedule::Pool, "--schedule"),
                (self.overload != Overload::Queue, "--overload"),
            ];
            if let Some((_, option)) = only_open.into_iter().find(|(given, _)| *given) {
                return Err(format!(
                    "{option} is for an open loop: give a rate (-R) or --stages"
                ));
            }
        }
        if matches!(self.overload, Overload::Grow(most) if most < self.connections) {
            return Err("--overload grow:MAX must not be below -c".into());
        }
        if self.schedule == Schedule::Conn && self.overload != Overload::Queue {
            return Err("--schedule conn knows no other --overload than queue".into());
        }
        if self.requests.is_some()
            && !matches!(self.warmup, None | Some(Warmup::Fixed(Duration::ZERO)))
        {
            return Err("-n counts every request, so leave --warmup out".into());
        }
        let staged = self
            .stages
            .as_ref()
            .is_some_and(|stages| stages.stages.len() > 1);
        let what = &self.what;
        if what.verify > 1 && what.expect_body.is_none() && what.expect_len.is_none() {
            return Err(
                "--verify needs something to compare: --expect-body or --expect-len".into(),
            );
        }
        if staged && matches!(self.warmup, Some(Warmup::Auto(_))) {
            return Err("--warmup auto needs one rate (-R), not --stages".into());
        }
        Ok(())
    }

    /// How long or how much to send.
    pub(crate) fn limit(&self) -> Limit {
        match (self.requests, &self.stages) {
            (Some(count), _) => Limit::Requests(count),
            (None, Some(stages)) => Limit::Time(stages.time()),
            (None, None) => Limit::Time(self.duration.unwrap_or(DEFAULT_TIME)),
        }
    }

    fn pace(&self) -> Pace {
        let profile = match (&self.stages, self.rate, self.limit()) {
            (Some(stages), _, _) => stages.clone(),
            (None, Some(rate), Limit::Time(time)) => Profile::constant(rate, time),
            (None, Some(rate), Limit::Requests(_)) => Profile::constant(rate, DEFAULT_TIME),
            (None, None, _) => return Pace::Closed { think: self.think },
        };
        Pace::Open(Open {
            profile,
            arrival: self.arrival,
            schedule: self.schedule,
            overload: self.overload,
        })
    }

    fn warmup(&self) -> Warmup {
        match (self.warmup, self.limit()) {
            (Some(warmup), _) => warmup,
            (None, Limit::Requests(_)) => Warmup::Fixed(Duration::ZERO),
            (None, Limit::Time(time)) => Warmup::Fixed((time / 10).min(DEFAULT_WARMUP_MAX)),
        }
    }

    /// The plan against the server at `address`.
    ///
    /// # Errors
    /// One sentence when a file cannot be read or options do not go together.
    pub(crate) fn plan(&self, url: &Url, address: std::net::SocketAddr) -> Result<Plan, String> {
        let most = match self.overload {
            Overload::Grow(most) => most,
            _ => self.connections,
        };
        Ok(Plan {
            place: self.machine.place(address),
            work: self.what.work(url, self.seed)?,
            limit: self.limit(),
            pace: self.pace(),
            warmup: self.warmup(),
            drain: self.drain,
            connection_count: self.connections,
            depth: self.pipeline,
            timeout: self.machine.timeout,
            connect_rate: self.connect_rate,
            requests_per_connection: self.requests_per_conn.or(self.no_keepalive.then_some(1)),
            socket: SocketOptions {
                reset: self.close == Close::Rst,
                sources: self.machine.sources(most, address.ip())?,
            },
            check: self.what.check(),
            seed: self.seed,
            interval: Duration::from_secs(1),
            busy_poll: self.machine.busy_poll == Switch::On,
            placement: self.machine.placement()?,
            driver: self.machine.driver,
        })
    }
}

impl What {
    fn check(&self) -> Check {
        Check {
            statuses: self.expect_status.clone(),
            body: self.expect_body.clone().map(|Body(bytes)| bytes),
            len: self.expect_len,
            fields: self.expect_headers.clone().into(),
            one_of: self.verify,
        }
    }

    /// What is sent to `url`.
    fn work(&self, url: &Url, seed: u64) -> Result<Work, String> {
        let feed = self.csv.as_deref().map(Feed::read).transpose()?;
        let mut builder = Builder::new(seed, feed);
        if let Some(path) = &self.urls {
            let text = std::fs::read_to_string(path)
                .map_err(|error| format!("{}: {error}", path.display()))?;
            self.add_lines(&mut builder, &text, url)
                .map_err(|error| format!("{}: {error}", path.display()))?;
        }
        for raw in &self.raw {
            let (path, weight) = split_weight(raw);
            let bytes = std::fs::read(path).map_err(|error| format!("{path}: {error}"))?;
            if bytes.is_empty() {
                return Err(format!("{path}: there is nothing in it"));
            }
            builder.add_raw(path, bytes, weight);
        }
        if self.urls.is_none() && self.raw.is_empty() {
            builder.add(&Recipe {
                method: &self.method,
                url,
                headers: &self.headers,
                body: self.body.as_ref().map(|Body(bytes)| bytes.as_slice()),
                weight: 1,
            })?;
        }
        let mix = builder.build()?;
        Ok(match mix.only() {
            Some((bytes, head)) => Work::Same {
                template: Template::verbatim(bytes),
                head,
            },
            None => Work::Mix(Arc::new(mix)),
        })
    }

    /// Reads lines of `[WEIGHT] [METHOD] /path [BODY]`.
    fn add_lines(&self, builder: &mut Builder, text: &str, url: &Url) -> Result<(), String> {
        let lines = text.lines().map(str::trim);
        let is_one = |line: &&str| !line.is_empty() && !line.starts_with('#');
        if !lines.clone().any(|line| is_one(&line)) {
            return Err("there is no request in it".into());
        }
        for line in lines.filter(is_one) {
            let (mut rest, mut weight, mut method) = (line, 1, self.method.as_str());
            if let Some((word, more)) = rest.split_once(' ')
                && let Ok(number) = number::parse(word)
            {
                (weight, rest) = (number, more.trim_start());
            }
            if let Some((word, more)) = rest.split_once(' ')
                && !word.starts_with('/')
            {
                parse_method(word)?;
                (method, rest) = (word, more.trim_start());
            }
            let (path, body) = rest.split_once(' ').unwrap_or((rest, ""));
            let whole = format!("http://{}{path}", url.authority);
            if !path.starts_with('/') {
                return Err(format!("'{line}': it is [WEIGHT] [METHOD] /path [BODY]"));
            }
            let place = Url::parse(&whole).map_err(|error| format!("'{line}': {error}"))?;
            let body = body.trim_start();
            builder.add(&Recipe {
                method,
                url: &place,
                headers: &self.headers,
                body: (!body.is_empty()).then_some(body.as_bytes()),
                weight,
            })?;
        }
        Ok(())
    }
}

fn body(text: &str) -> Result<Body, String> {
    match text.strip_prefix('@') {
        None => Ok(Body(text.as_bytes().to_vec())),
        Some("-") => {
            let mut bytes = Vec::new();
            let read = std::io::stdin().read_to_end(&mut bytes);
            read.map(|_| Body(bytes)).map_err(|error| error.to_string())
        }
        Some(path) => std::fs::read(path)
            .map(Body)
            .map_err(|error| error.to_string()),
    }
}

pub(super) fn connections(text: &str) -> Result<u64, String> {
    at_most(CONNECTION_COUNT_MAX, text)
}

fn depth(text: &str) -> Result<u64, String> {
    at_most(DEPTH_MAX, text)
}

fn threads(text: &str) -> Result<u64, String> {
    if text == "auto" {
        let count = std::thread::available_parallelism();
        return Ok(count
            .map_or(1, |count| count.get() as u64)
            .min(THREAD_COUNT_MAX));
    }
    at_most(THREAD_COUNT_MAX, text)
}

fn rate(text: &str) -> Result<u64, String> {
    match profile::rate(text)? {
        0 => Err("it must be at least 1".into()),
        rate => Ok(rate),
    }
}

/// A count from 1 up to `most`.
pub(super) fn at_most(most: u64, text: &str) -> Result<u64, String> {
    let count = number::parse_positive(text)?;
    if count > most {
        return Err(format!("it must be at most {}", number::grouped(most)));
    }
    Ok(count)
}

fn sample(text: &str) -> Result<u64, String> {
    match (text, text.strip_prefix("1/")) {
        ("all", _) => Ok(1),
        (_, Some(count)) => number::parse_positive(count),
        _ => Err("it is all or 1/N".into()),
    }
}

fn status(text: &str) -> Result<u16, String> {
    let status = text
        .parse()
        .ok()
        .filter(|status| (200..600).contains(status));
    status.ok_or_else(|| "a status is a number from 200 to 599".into())
}

pub(super) fn cpus(text: &str) -> Result<CpuSet, String> {
    text.parse()
        .map_err(|error: InvalidCpuSet| error.to_string())
}

fn driver(text: &str) -> Result<DriverChoice, String> {
    match text.parse() {
        Ok(choice @ (DriverChoice::Auto | DriverChoice::Uring | DriverChoice::Epoll)) => Ok(choice),
        _ => Err("it is auto, uring or epoll".into()),
    }
}

fn overload(text: &str) -> Result<Overload, String> {
    match (text, text.split_once(':')) {
        ("queue", _) => Ok(Overload::Queue),
        ("drop", _) => Ok(Overload::Drop),
        (_, Some(("shed", time))) => duration::parse(time).map(Overload::Shed),
        (_, Some(("grow", most))) => connections(most).map(Overload::Grow),
        _ => Err("it is queue, shed:T, drop or grow:MAX".into()),
    }
}

pub(super) fn think(text: &str) -> Result<Think, String> {
    let (time, exponential) = match text.strip_suffix(":exp") {
        Some(time) => (time, true),
        None => (text, false),
    };
    let mean = duration::parse(time)?;
    Ok(Think { mean, exponential })
}

fn warmup(text: &str) -> Result<Warmup, String> {
    match text {
        "auto" => Ok(Warmup::Auto(AUTO_WARMUP_MAX)),
        "0" => Ok(Warmup::Fixed(Duration::ZERO)),
        time => duration::parse(time).map(Warmup::Fixed),
    }
}

/// Reads `A.B.C.D`, `A.B.C.D-E`, where E is the last byte of the last address, or `A.B.C.D/BITS`.
fn parse_range(text: &str) -> Result<Arc<[IpAddr]>, String> {
    let wrong = || format!("'{text}' is no address, nor A.B.C.D-E, nor A.B.C.D/16 to 32, nor auto");
    if let Some((first, len)) = text.split_once('/') {
        let first: Ipv4Addr = first.parse().map_err(|_| wrong())?;
        let len: u32 = len.parse().map_err(|_| wrong())?;
        let host_bits = 32_u32
            .checked_sub(len)
            .filter(|bits| *bits <= 16)
            .ok_or_else(wrong)?;
        let count = 1 << host_bits;
        let first = u32::from(first) & !(count - 1);
        let address = |at| IpAddr::V4(Ipv4Addr::from(first + at));
        return Ok((0..count).map(address).collect());
    }
    let (first, last) = match text.split_once('-') {
        Some((first, last)) => (first, Some(last)),
        None => (text, None),
    };
    let address: IpAddr = first.parse().map_err(|_| wrong())?;
    let (IpAddr::V4(v4), Some(last)) = (address, last) else {
        return if last.is_none() {
            Ok([address].into())
        } else {
            Err(wrong())
        };
    };
    let [a, b, c, d] = v4.octets();
    let last: u8 = last.parse().map_err(|_| wrong())?;
    if last < d {
        return Err(wrong());
    }
    Ok((d..=last)
        .map(|d| IpAddr::V4(Ipv4Addr::new(a, b, c, d)))
        .collect())
}
