//! [`Metrics`]: what is worth knowing besides the stats, in the text format of Prometheus, 0.0.4.
//!
//! Counters of events start again at zero with a reset, as they do with a restart; those of
//! refusals only with a restart.

use std::fmt;

use crate::event::Reject;
use crate::stats::Stats;
use crate::tally::Gauges;

/// The figures of all shards at about one moment. Displayed as Prometheus text.
#[derive(Clone, Debug)]
pub struct Metrics {
    /// A cut through the events of all shards.
    pub stats: Stats,
    /// How many of them an earlier process had counted.
    pub restored_count: u64,
    /// The name of what talks to the kernel.
    pub driver: &'static str,
    /// The optional features of the kernel that it uses, with commas between them.
    pub driver_features: String,
    /// The figures of each shard.
    pub shards: Vec<ShardFigures>,
    /// How many watch the live page.
    pub listener_count: usize,
}

/// Figures of one shard for its operator.
#[derive(Clone, Debug, Default)]
pub struct ShardFigures {
    /// Events and names.
    pub gauges: Gauges,
    /// Bodies refused since the start, by reason in the order of [`Reject::ALL`].
    pub reject_counts: [u64; Reject::ALL.len()],
    /// Events refused since the start because there was no room for their users.
    pub full_count: u64,
    /// Events per second in each of the last seconds, oldest first.
    pub rates: Vec<u64>,
}

/// Name, kind and help of a metric.
type Family = (&'static str, &'static str, &'static str);

const EVENTS: Family = ("events_total", "counter", "Events counted, by shard.");
const RESTORED: Family = (
    "events_restored",
    "gauge",
    "Events that a snapshot brought.",
);
const RATE: Family = (
    "events_per_second",
    "gauge",
    "Events in the last second, by shard.",
);
const SHARE: Family = (
    "shard_share",
    "gauge",
    "Share of this process's events, by shard.",
);
const REJECTS: Family = (
    "rejects_total",
    "counter",
    "Bodies that were no event, by reason.",
);
const FULL: Family = (
    "full_total",
    "counter",
    "Events refused for want of room for users.",
);
const USERS: Family = ("users", "gauge", "Different users.");
const NAMES: Family = (
    "names",
    "gauge",
    "Names held, by shard; the first has those of all.",
);
const MEMORY: Family = ("user_memory_bytes", "gauge", "Memory for users, by shard.");
const PER_USER: Family = (
    "bytes_per_user",
    "gauge",
    "Memory for users per different user.",
);
const LISTENERS: Family = ("live_listeners", "gauge", "Open streams of the live page.");
const PER_NAME: Family = ("bytes_per_name", "gauge", "Memory for users per name held.");
const DRIVER: Family = (
    "driver_info",
    "gauge",
    "Always 1: what talks to the kernel, and the optional features used.",
);

impl fmt::Display for Metrics {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        family(out, EVENTS, self.by_shard(|shard| shard.gauges.event_count))?;
        family(out, RESTORED, alone(self.restored_count))?;
        let rate = |shard: &ShardFigures| shard.rates.last().copied().unwrap_or(0);
        family(out, RATE, self.by_shard(rate))?;
        let total: u64 = self.shards.iter().map(|it| it.gauges.event_count).sum();
        let share = |shard: &ShardFigures| ratio(shard.gauges.event_count, total);
        family(out, SHARE, self.by_shard(share))?;
        family(out, REJECTS, self.rejects())?;
        let full_count = self.shards.iter().map(|shard| shard.full_count);
        family(out, FULL, alone(full_count.sum::<u64>()))?;
        family(out, USERS, alone(self.stats.unique_users))?;
        family(out, NAMES, self.by_shard(|shard| shard.gauges.name_count))?;
        let memory_len = |shard: &ShardFigures| shard.gauges.name_memory_len;
        family(out, MEMORY, self.by_shard(memory_len))?;
        let total: usize = self.shards.iter().map(memory_len).sum();
        let names: u64 = self.shards.iter().map(|it| it.gauges.name_count).sum();
        let per_user = ratio(total as u64, self.stats.unique_users);
        family(out, PER_USER, alone(per_user))?;
        family(out, PER_NAME, alone(ratio(total as u64, names)))?;
        let (driver, features) = (self.driver, &self.driver_features);
        let labels = format!(r#"{{driver="{driver}",features="{features}"}}"#);
        family(out, DRIVER, [(labels, 1)])?;
        family(out, LISTENERS, alone(self.listener_count))
    }
}

impl Metrics {
    /// One value per shard, with its label.
    fn by_shard<T>(&self, read: impl Fn(&ShardFigures) -> T) -> impl Iterator<Item = (String, T)> {
        let values = self.shards.iter().map(read).enumerate();
        values.map(|(shard, value)| (format!(r#"{{shard="{shard}"}}"#), value))
    }

    fn rejects(&self) -> impl Iterator<Item = (String, u64)> {
        Reject::ALL.into_iter().map(|reason| {
            let at_reason = |shard: &ShardFigures| shard.reject_counts[reason as usize];
            let label = format!(r#"{{reason="{}"}}"#, reason.label());
            (label, self.shards.iter().map(at_reason).sum())
        })
    }
}

fn alone<T>(value: T) -> [(String, T); 1] {
    [(String::new(), value)]
}

/// To three digits behind the point; zero if there is nothing to divide by.
fn ratio(part: u64, whole: u64) -> String {
    let thousandths = u128::from(part) * 1000 / u128::from(whole.max(1));
    format!("{}.{:03}", thousandths / 1000, thousandths % 1000)
}

/// Writes one metric with all its values, each after its labels.
fn family<T: fmt::Display>(
    out: &mut fmt::Formatter<'_>,
    (name, kind, help): Family,
    values: impl IntoIterator<Item = (String, T)>,
) -> fmt::Result {
    writeln!(out, "# HELP app_1mrc_{name} {help}")?;
    writeln!(out, "# TYPE app_1mrc_{name} {kind}")?;
    for (labels, value) in values {
        writeln!(out, "app_1mrc_{name}{labels} {value}")?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn metrics() -> Metrics {
        let shard = |event_count, name_count, reject_count, rates: &[u64]| ShardFigures {
            gauges: Gauges {
                event_count,
                name_count,
                name_memory_len: 1000,
            },
            reject_counts: [reject_count; Reject::ALL.len()],
            full_count: reject_count,
            rates: rates.to_vec(),
        };
        Metrics {
            stats: Stats {
                total_requests: 22,
                unique_users: 5,
                sum: 1.0,
                avg: 0.1,
            },
            restored_count: 12,
            driver: "uring",
            driver_features: "restrict,napi".to_owned(),
            shards: vec![shard(3, 5, 1, &[]), shard(7, 4, 2, &[1, 9])],
            listener_count: 6,
        }
    }

    #[test]
    fn every_figure_has_its_line() {
        let text = metrics().to_string();
        for line in [
            r#"app_1mrc_events_total{shard="0"} 3"#,
            r#"app_1mrc_events_total{shard="1"} 7"#,
            "app_1mrc_events_restored 12",
            r#"app_1mrc_events_per_second{shard="0"} 0"#,
            r#"app_1mrc_events_per_second{shard="1"} 9"#,
            r#"app_1mrc_shard_share{shard="1"} 0.700"#,
            r#"app_1mrc_rejects_total{reason="too_deep"} 3"#,
            "app_1mrc_full_total 3",
            "app_1mrc_users 5",
            r#"app_1mrc_names{shard="1"} 4"#,
            r#"app_1mrc_user_memory_bytes{shard="0"} 1000"#,
            "app_1mrc_bytes_per_user 400.000",
            "app_1mrc_bytes_per_name 222.222",
            r#"app_1mrc_driver_info{driver="uring",features="restrict,napi"} 1"#,
            "app_1mrc_live_listeners 6",
        ] {
            assert!(
                text.lines().any(|other| other == line),
                "{line} is missing in\n{text}"
            );
        }
    }

    #[test]
    fn the_text_is_well_formed() {
        let text = metrics().to_string();
        assert!(text.ends_with('\n'));
        for block in text.split("# HELP ").skip(1) {
            let mut lines = block.lines();
            let name = lines
                .next()
                .and_then(|help| help.split(' ').next())
                .unwrap();
            let kind = lines.next().unwrap();
            assert!(kind.starts_with(&format!("# TYPE {name} ")), "{kind}");
            assert!(lines.all(|line| line.starts_with(name)), "{block}");
        }
    }

    #[test]
    fn without_users_nothing_is_divided() {
        let empty = Metrics {
            stats: Stats::default(),
            restored_count: 0,
            driver: "epoll",
            driver_features: "none".to_owned(),
            shards: vec![ShardFigures::default()],
            listener_count: 0,
        };
        let text = empty.to_string();
        assert!(text.contains("\napp_1mrc_bytes_per_user 0.000\n"));
        assert!(text.contains("\napp_1mrc_shard_share{shard=\"0\"} 0.000\n"));
    }
}
