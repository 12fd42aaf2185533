//! [`Plan`]: what a run is to do, and each shard's part of it.
//!
//! What must hold: the parts of all shards are disjoint and add up to the whole, so that each of
//! `n` requests is sent exactly once.

use std::net::{IpAddr, SocketAddr};
use std::ops::Range;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use sunstar::runtime::{DriverChoice, Placement};

use crate::arrival::Arrival;
use crate::check::Check;
use crate::mix::Mix;
use crate::payload::EventTemplate;
use crate::profile::Profile;
use crate::template::Template;

/// A whole run.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    /// Where the connections go.
    pub(crate) place: Place,
    /// What is sent.
    pub(crate) work: Work,
    /// How much is sent.
    pub(crate) limit: Limit,
    /// When it is sent.
    pub(crate) pace: Pace,
    /// What goes before the time that counts.
    pub(crate) warmup: Warmup,
    /// How long the last requests may take to be answered.
    pub(crate) drain: Duration,
    /// How many connections there may be, on all shards.
    pub(crate) connection_count: u64,
    /// How many requests are in flight on each.
    pub(crate) depth: u64,
    /// How long to wait for one answer, or for a connection.
    pub(crate) timeout: Duration,
    /// How many connections are opened per second at most, on all shards.
    pub(crate) connect_rate: Option<u64>,
    /// After how many requests a connection is closed and another opened; `None`: never.
    pub(crate) requests_per_connection: Option<u64>,
    /// How connections are closed, and where they come from.
    pub(crate) socket: SocketOptions,
    /// Which answers count as ok.
    pub(crate) check: Check,
    /// Where random numbers start.
    pub(crate) seed: u64,
    /// How long a row of the timeline is.
    pub(crate) interval: Duration,
    /// Whether to look at the clock instead of sleeping when a request is about to be due.
    pub(crate) busy_poll: bool,
    /// The shards.
    pub(crate) placement: Placement,
    /// What they ask of the kernel with.
    pub(crate) driver: DriverChoice,
}

/// What the connections are made to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// TCP.
    Tcp(SocketAddr),
    /// A Unix socket.
    Unix(PathBuf),
}

impl std::fmt::Display for Place {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Place::Tcp(address) => address.fmt(out),
            Place::Unix(path) => write!(out, "unix:{}", path.display()),
        }
    }
}

/// What is unusual about the sockets.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct SocketOptions {
    /// Close by RST, without TIME-WAIT, instead of by FIN.
    pub(crate) reset: bool,
    /// The addresses to connect from, in turn; empty: the kernel's choice.
    pub(crate) sources: Arc<[IpAddr]>,
}

/// What is sent.
#[derive(Clone, Debug)]
pub(crate) enum Work {
    /// The same request again and again; `head` when its method is HEAD.
    Same { template: Template, head: bool },
    /// Several templates, or one with something to fill in.
    Mix(Arc<Mix>),
    /// The events of the challenge, each with its own number.
    Events(EventTemplate),
}

impl Work {
    /// How many templates there are.
    pub(crate) fn template_count(&self) -> usize {
        match self {
            Work::Mix(mix) => mix.len(),
            Work::Same { .. } | Work::Events(_) => 1,
        }
    }
}

/// When requests are sent.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Pace {
    /// When an answer has come, or a think time after it.
    Closed { think: Option<Think> },
    /// When the schedule says so, answers or not.
    Open(Open),
}

/// The time between an answer and the next request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Think {
    /// Its mean.
    pub(crate) mean: Duration,
    /// Whether it is exponentially distributed instead of constant.
    pub(crate) exponential: bool,
}

/// An open loop.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Open {
    /// The rate over time, without the warm-up.
    pub(crate) profile: Profile,
    /// How arrivals are spread.
    pub(crate) arrival: Arrival,
    /// Which connection a due request goes to.
    pub(crate) schedule: Schedule,
    /// What becomes of a due request that finds no connection free.
    pub(crate) overload: Overload,
}

/// Which connection a due request goes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Schedule {
    /// The next free one of its shard.
    Pool,
    /// Its own, free or not.
    Conn,
}

/// What becomes of a due request that finds no connection free.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Overload {
    /// It waits.
    Queue,
    /// It waits for so long, then it is given up.
    Shed(Duration),
    /// It is given up at once.
    Drop,
    /// It waits, and another connection is opened, up to so many in all.
    Grow(u64),
}

/// What goes before the time that counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Warmup {
    /// So long.
    Fixed(Duration),
    /// Until the rate is steady, but no longer than this.
    Auto(Duration),
}

/// How much is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Limit {
    /// So many requests, exactly.
    Requests(u64),
    /// As many as are answered in this time.
    Time(Duration),
}

/// One shard's part of a plan.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Part {
    /// The numbers of the requests that it may send.
    pub(crate) requests: Range<u64>,
    /// How many connections it opens: none that would have nothing to send.
    pub(crate) connection_count: u64,
}

impl Plan {
    /// How many phases the run has, the warm-up included.
    pub(crate) fn phase_count(&self) -> usize {
        match &self.pace {
            Pace::Open(open) => 1 + open.profile.stages.len(),
            Pace::Closed { .. } => 2,
        }
    }

    /// The most connections of a run that may open more than it starts with.
    pub(crate) fn connection_count_max(&self) -> u64 {
        let shards = 0..self.placement.shard_count();
        shards.map(|shard| self.part(shard).connection_count).sum()
    }

    /// How many connections are used: no more than there are requests.
    pub(crate) fn used_connection_count(&self) -> u64 {
        self.connection_count.min(self.connection_count_max())
    }

    /// The part of one shard.
    pub(crate) fn part(&self, shard: usize) -> Part {
        let most = match &self.pace {
            Pace::Open(Open {
                overload: Overload::Grow(most),
                ..
            }) => self.connection_count.max(*most),
            _ => self.connection_count,
        };
        let connections = slice(most, shard, self.placement.shard_count());
        let connection_count = connections.end - connections.start;
        match self.limit {
            Limit::Time(_) => Part {
                requests: 0..u64::MAX,
                connection_count,
            },
            Limit::Requests(count) => {
                let requests = slice(count, shard, self.placement.shard_count());
                let connection_count = connection_count.min(requests.end - requests.start);
                Part {
                    requests,
                    connection_count,
                }
            }
        }
    }
}

/// The `index`-th of `count` slices of `0..total`, which differ by one at most.
fn slice(total: u64, index: usize, count: usize) -> Range<u64> {
    let cut = |index: usize| {
        let cut = u128::from(total) * index as u128 / count as u128;
        u64::try_from(cut).expect("a part of the total is no more than the total")
    };
    cut(index)..cut(index + 1)
}

#[cfg(test)]
pub(crate) mod samples {
    //! Plans for tests.

    use super::*;
    use crate::url::Url;

    /// A closed loop over 5 connections on `shards` shards.
    pub(crate) fn plan(limit: Limit, connection_count: u64, shards: usize) -> Plan {
        let template = Template::new("GET", &Url::parse("http://a/").unwrap(), &[], None);
        Plan {
            place: Place::Tcp("127.0.0.1:1".parse().unwrap()),
            work: Work::Same {
                template,
                head: false,
            },
            limit,
            pace: Pace::Closed { think: None },
            warmup: Warmup::Fixed(Duration::ZERO),
            drain: Duration::from_secs(2),
            connection_count,
            depth: 1,
            timeout: Duration::from_secs(1),
            connect_rate: None,
            requests_per_connection: None,
            socket: SocketOptions::default(),
            check: Check::default(),
            seed: 1,
            interval: Duration::from_secs(1),
            busy_poll: false,
            placement: Placement::unpinned(shards),
            driver: DriverChoice::Auto,
        }
    }

    /// A closed loop with so many requests.
    pub(crate) fn closed(count: u64) -> Plan {
        plan(Limit::Requests(count), 5, 1)
    }

    /// An open loop with so many requests per second.
    pub(crate) fn open(rate: u64, overload: Overload) -> Plan {
        let time = Duration::from_secs(1);
        let mut plan = plan(Limit::Time(time), 5, 1);
        plan.pace = Pace::Open(Open {
            profile: Profile::constant(rate, time),
            arrival: Arrival::Constant,
            schedule: Schedule::Pool,
            overload,
        });
        plan
    }
}

#[cfg(test)]
mod tests {
    use super::samples::{open, plan};
    use super::*;

    #[test]
    fn the_parts_are_disjoint_and_add_up() {
        for (count, connections, shards) in [
            (1_000_000, 500, 3),
            (7, 500, 4),
            (2, 4, 4),
            (u64::MAX, 256, 255),
        ] {
            let plan = plan(Limit::Requests(count), connections, shards);
            let parts: Vec<_> = (0..shards).map(|shard| plan.part(shard)).collect();
            let mut next = 0;
            for part in &parts {
                assert_eq!(part.requests.start, next);
                next = part.requests.end;
                let share = part.requests.end - part.requests.start;
                assert!(part.connection_count <= share, "no idle connection");
                assert!(
                    share == 0 || part.connection_count > 0,
                    "somebody sends them"
                );
            }
            assert_eq!(next, count);
            assert_eq!(plan.used_connection_count(), connections.min(count));
        }
    }

    #[test]
    fn a_run_by_time_has_no_last_request() {
        let plan = plan(Limit::Time(Duration::from_secs(1)), 5, 2);
        let counts = [0, 1].map(|shard| plan.part(shard).connection_count);
        assert_eq!((plan.part(1).requests.end, counts), (u64::MAX, [2, 3]));
    }

    #[test]
    fn a_run_that_may_grow_has_room_for_its_most_connections() {
        let plan = open(10, Overload::Grow(9));
        assert_eq!(
            (plan.connection_count_max(), plan.used_connection_count()),
            (9, 5)
        );
        assert_eq!(plan.phase_count(), 2);
    }
}
