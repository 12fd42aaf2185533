//! [`metrics`]: the handler that answers with all figures of a server.
//!
//! What must hold: every figure is read on its own shard, in one message to each; what a family is
//! and where it is read stand beside each other in one table.

use std::rc::Rc;
use std::time::Duration;

use super::counters::{Counters, End};
use crate::future::with_timeout;
use crate::http::{HeaderValue, StatusCode, header};
use crate::metrics::{Family, Format, Kind, Number, Text};
use crate::runtime::{self, Group, GroupStats, ShardId, Stats};
use crate::service::{Request, Response, preferred_media_type};

/// How long all shards may take to answer.
const PATIENCE: Duration = Duration::from_secs(5);
/// What Prometheus asks for by name.
const OPEN_METRICS: &str = "application/openmetrics-text";

/// Answers with the figures of every shard of the server that it runs on: in the OpenMetrics format
/// if the request prefers that, else in Prometheus' own. 503 if a shard does not answer in 5 s.
///
/// What there is, and what it means, is said in the manual's chapter
/// [on metrics](crate::server#metrics).
///
/// # Examples
/// ```no_run
/// use sunstar::{Router, Server, server};
///
/// Server::bind("127.0.0.1:8080")?
///     .serve(|_shard| Router::new(()).get("/metrics", server::metrics))?;
/// # Ok::<(), sunstar::Error>(())
/// ```
pub async fn metrics(request: Request) -> Response {
    let mut text = Text::new(metrics_format(&request));
    if with_timeout(PATIENCE, write_metrics(&mut text))
        .await
        .is_err()
    {
        return Response::new(StatusCode::SERVICE_UNAVAILABLE);
    }
    let media_type = HeaderValue::from_static(text.format().media_type());
    Response::new(StatusCode::OK)
        .with_field(header::CONTENT_TYPE, media_type)
        .with_content(text.finish())
}

/// The format in which a request wants metrics: OpenMetrics if it names that, else Prometheus'.
pub fn metrics_format(request: &Request) -> Format {
    match preferred_media_type(request, &["text/plain", OPEN_METRICS]) {
        Some(OPEN_METRICS) => Format::OpenMetrics,
        _ => Format::Prometheus,
    }
}

/// Adds the figures of every shard of the server that it runs on to a text, beside a program's own.
///
/// # Cancel safety
/// Dropped before it has ended, it has added nothing or whole families.
pub async fn write_metrics(text: &mut Text) {
    let all = Counters::of_all_shards();
    let shards = all.map(|counters| Figures::here(counters)).await;
    let (driver, features) = (runtime::driver_name(), runtime::driver_features());
    let labels: &[(&str, &dyn std::fmt::Display)] = &[("driver", &driver), ("features", &features)];
    text.family(DRIVER).sample(labels, 1_u64);
    for (family, read) in BY_SHARD {
        let mut samples = text.family(family);
        for figures in &shards {
            samples.sample(&[("shard", &figures.shard)], read(figures));
        }
    }
    for (family, read) in BY_GROUP {
        let mut samples = text.family(family);
        for figures in &shards {
            for group in &figures.groups {
                let labels: &[(&str, &dyn std::fmt::Display)] =
                    &[("shard", &figures.shard), ("group", &group.name)];
                samples.sample(labels, read(group));
            }
        }
    }
    let mut samples = text.family(ENDED);
    for figures in &shards {
        for end in End::ALL {
            let name = end.name();
            let labels: &[(&str, &dyn std::fmt::Display)] =
                &[("shard", &figures.shard), ("end", &name)];
            samples.sample(labels, figures.ends[end as usize]);
        }
    }
}

/// The figures of one shard, on their way to whoever asks.
struct Figures {
    shard: ShardId,
    stats: Stats,
    groups: Vec<GroupStats>,
    accepted: u64,
    handed_over: u64,
    accept_errors: u64,
    refused: u64,
    requests: u64,
    protocol_errors: u64,
    open: u64,
    ends: [u64; End::ALL.len()],
}

impl Figures {
    fn here(counters: &Rc<Counters>) -> Figures {
        Figures {
            shard: runtime::current_shard(),
            stats: runtime::stats(),
            groups: Group::all().into_iter().map(Group::stats).collect(),
            accepted: counters.accepted(),
            handed_over: counters.handed_over(),
            accept_errors: counters.accept_errors(),
            refused: counters.refused(),
            requests: counters.requests(),
            protocol_errors: counters.protocol_errors(),
            open: counters.open(),
            ends: End::ALL.map(|end| counters.ended(end)),
        }
    }
}

const DRIVER: Family = gauge(
    "sunstar_driver_info",
    "Always 1: what talks to the kernel, and the optional features used.",
);
const ENDED: Family = counter(
    "sunstar_connections_ended",
    "Connections that ended, by how.",
);

type ByShard = (Family, fn(&Figures) -> Number);
type ByGroup = (Family, fn(&GroupStats) -> Number);

const fn counter(name: &'static str, help: &'static str) -> Family {
    Family {
        name,
        kind: Kind::Counter,
        help,
    }
}

const fn gauge(name: &'static str, help: &'static str) -> Family {
    Family {
        name,
        kind: Kind::Gauge,
        help,
    }
}

/// Makes a row: what a family is, and the figure of a shard.
macro_rules! row {
    ($kind:ident $name:literal, $help:literal, $it:ident => $read:expr) => {
        ($kind(concat!("sunstar_", $name), $help), |$it| {
            Number::from($read)
        })
    };
}

/// Everything that is read once for each shard.
const BY_SHARD: [ByShard; 34] = [
    row!(gauge "uptime_seconds",
        "Time since the shard was made.",
        it => it.stats.lived),
    row!(counter "cpu_busy_seconds",
        "Time of the shard's thread on a CPU, in the kernel too.",
        it => it.stats.ran),
    row!(counter "cpu_steal_seconds",
        "Time in which it was ready and others had the CPUs.",
        it => it.stats.waited),
    row!(counter "turns",
        "Turns of the reactor.",
        it => it.stats.turns),
    row!(counter "driver_enters",
        "System calls to wait or to look for what has come: at most one for each turn.",
        it => it.stats.enters),
    row!(counter "polls",
        "Polls of tasks.",
        it => it.stats.polls),
    row!(counter "tasks_spawned",
        "Tasks that were started.",
        it => it.stats.spawned),
    row!(gauge "tasks",
        "Tasks that have not ended.",
        it => it.stats.tasks),
    row!(gauge "timers",
        "Timers that wait.",
        it => it.stats.timers),
    row!(gauge "sockets",
        "Sockets and listeners that are open or being closed.",
        it => it.stats.sockets),
    row!(gauge "operations",
        "Operations that the kernel works on.",
        it => it.stats.operations),
    row!(gauge "pool_blocks",
        "Blocks of the buffer pool that are in use.",
        it => it.stats.blocks),
    row!(counter "stalls",
        "Turns that lasted for longer than the threshold of stalls.",
        it => it.stats.stalls),
    row!(counter "stalls_unreported",
        "Stalls beyond those that a minute allows to report.",
        it => it.stats.stalls_unreported),
    row!(counter "receives_starved",
        "Receives that found no provided buffer (ENOBUFS).",
        it => it.stats.starved),
    row!(counter "receives_unbuffered",
        "Receives into memory of their own, after some that starved.",
        it => it.stats.unbuffered),
    row!(counter "ring_overflows",
        "Enters refused because completions did not fit (EBUSY).",
        it => it.stats.ring_overflows),
    row!(counter "ring_waits",
        "Submissions that found the queue full and waited.",
        it => it.stats.ring_waits),
    row!(counter "stray_completions",
        "Completions that belonged to no operation: 0, or there is a bug.",
        it => it.stats.stray),
    row!(counter "mesh_sent",
        "Messages sent to other shards.",
        it => it.stats.mesh.sent),
    row!(counter "mesh_received",
        "Messages that came from other shards.",
        it => it.stats.mesh.received),
    row!(counter "mesh_batches",
        "Batches in which messages were sent.",
        it => it.stats.mesh.batches),
    row!(counter "mesh_doorbells",
        "Doorbells rung, of shards that slept.",
        it => it.stats.mesh.doorbells),
    row!(counter "mesh_full",
        "Batches that found a queue full.",
        it => it.stats.mesh.full),
    row!(gauge "mesh_queued",
        "Messages that wait for room in a queue.",
        it => it.stats.mesh.queued),
    row!(gauge "mesh_calls",
        "Calls to other shards that are away.",
        it => it.stats.mesh.calls),
    row!(gauge "mesh_waiting",
        "Callers that wait until they may send.",
        it => it.stats.mesh.waiting),
    row!(counter "connections_accepted",
        "Connections that the shard has served or serves.",
        it => it.accepted),
    row!(counter "connections_handed_over",
        "Connections that it has handed to another shard.",
        it => it.handed_over),
    row!(counter "connections_refused",
        "Connections for which there was no room.",
        it => it.refused),
    row!(gauge "connections_open",
        "Connections that are open.",
        it => it.open),
    row!(counter "accept_errors",
        "Accepts that failed.",
        it => it.accept_errors),
    row!(counter "requests",
        "Requests given to the service.",
        it => it.requests),
    row!(counter "protocol_errors",
        "Requests answered with an error of the protocol.",
        it => it.protocol_errors),
];

/// Everything that is read for each group of a shard.
const BY_GROUP: [ByGroup; 6] = [
    row!(gauge "group_shares",
        "Shares of the group.",
        it => it.shares),
    row!(counter "group_run_seconds",
        "Time that tasks of the group have run, while there were two.",
        it => it.run_time),
    row!(counter "group_polls",
        "Polls of tasks of the group.",
        it => it.polls),
    row!(gauge "group_tasks",
        "Tasks of the group that have not ended.",
        it => it.tasks),
    row!(gauge "group_ready",
        "Tasks of the group that are ready.",
        it => it.ready),
    row!(counter "group_quota_violations",
        "Slices overrun by more than half a task quota.",
        it => it.quota_violations),
];
