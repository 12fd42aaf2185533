//! [`Plan`]: what a run is to do, and each shard's part of it.
//!
//! What must hold: the parts of all shards are disjoint and add up to the whole, so that each of
//! `n` requests is sent exactly once.

use std::net::SocketAddr;
use std::ops::Range;
use std::time::Duration;

use sunstar::runtime::Placement;

use crate::payload::EventTemplate;
use crate::template::Template;

/// A whole run.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    /// Where the connections go.
    pub(crate) address: SocketAddr,
    /// What is sent.
    pub(crate) work: Work,
    /// How much is sent.
    pub(crate) limit: Limit,
    /// How many connections there may be, on all shards.
    pub(crate) connection_count: u64,
    /// How many requests are in flight on each.
    pub(crate) depth: u64,
    /// How long to wait for one answer, or for a connection.
    pub(crate) timeout: Duration,
    /// Which answers count as ok.
    pub(crate) expected: Expected,
    /// The shards.
    pub(crate) placement: Placement,
}

/// What is sent.
#[derive(Clone, Debug)]
pub(crate) enum Work {
    /// The same request again and again; `head` when its method is HEAD.
    Same { template: Template, head: bool },
    /// The events of the challenge, each with its own number.
    Events(EventTemplate),
}

/// How much is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Limit {
    /// So many requests, exactly.
    Requests(u64),
    /// As many as are answered in this time.
    Time(Duration),
}

/// Which status codes count as ok.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Expected {
    /// 200 to 399.
    Success,
    /// Only this one.
    Only(u16),
}

impl Expected {
    /// Whether this status counts as ok.
    #[inline]
    pub(crate) fn allows(self, status: u16) -> bool {
        match self {
            Expected::Success => status < 400,
            Expected::Only(only) => status == only,
        }
    }
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
    /// How many connections are used: no more than there are requests.
    pub(crate) fn used_connection_count(&self) -> u64 {
        let shards = 0..self.placement.shard_count();
        shards.map(|shard| self.part(shard).connection_count).sum()
    }

    /// The part of one shard.
    pub(crate) fn part(&self, shard: usize) -> Part {
        let connections = slice(self.connection_count, shard, self.placement.shard_count());
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
mod tests {
    use super::*;
    use crate::url::Url;

    fn plan(limit: Limit, connection_count: u64, shards: usize) -> Plan {
        let template = Template::new("GET", &Url::parse("http://a/").unwrap(), &[], None);
        Plan {
            address: "127.0.0.1:1".parse().unwrap(),
            work: Work::Same {
                template,
                head: false,
            },
            limit,
            connection_count,
            depth: 1,
            timeout: Duration::from_secs(1),
            expected: Expected::Success,
            placement: Placement::unpinned(shards),
        }
    }

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
    fn success_is_below_400() {
        assert!(Expected::Success.allows(204) && Expected::Success.allows(399));
        assert!(!Expected::Success.allows(400));
        assert!(Expected::Only(200).allows(200) && !Expected::Only(200).allows(201));
    }
}
