//! [`Metrics`]: what is worth knowing besides the stats, in the text format of Prometheus, 0.0.4.
//!
//! Counters start again at zero with a reset, as they do with a restart.

use std::fmt;

use crate::event::Reject;
use crate::stats::Stats;
use crate::tally::Gauges;

/// The figures of all shards at about one moment. Displayed as Prometheus text.
#[derive(Clone, Debug)]
pub struct Metrics {
    /// The figures of all shards together.
    pub stats: Stats,
    /// The figures of each shard.
    pub shards: Vec<Gauges>,
    /// Bytes of memory for the users of the union.
    pub union_memory_len: usize,
}

impl fmt::Display for Metrics {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let by_shard = |read: fn(&Gauges) -> u64| {
            let values = self.shards.iter().map(read).enumerate();
            values.map(|(shard, value)| (format!(r#"{{shard="{shard}"}}"#), value))
        };
        let by_reason = Reject::ALL.into_iter().map(|reason| {
            let counts = self
                .shards
                .iter()
                .map(|shard| shard.reject_counts[reason as usize]);
            (
                format!(r#"{{reason="{}"}}"#, reason.label()),
                counts.sum::<u64>(),
            )
        });
        let alone = |value| [(String::new(), value)];

        let events = by_shard(|shard| shard.event_count);
        family(
            out,
            "events_total",
            "counter",
            "Events counted, by shard.",
            events,
        )?;
        family(
            out,
            "rejects_total",
            "counter",
            "Bodies that were no event, by reason.",
            by_reason,
        )?;
        let users = alone(self.stats.unique_users);
        family(out, "users", "gauge", "Different users.", users)?;
        let users = by_shard(|shard| shard.user_count);
        family(
            out,
            "shard_users",
            "gauge",
            "Different users, by shard that saw them.",
            users,
        )?;
        let memory = alone(self.user_memory_len() as u64);
        family(
            out,
            "user_memory_bytes",
            "gauge",
            "Memory of all sets of users.",
            memory,
        )?;
        let per_user = alone(self.memory_len_per_user());
        family(
            out,
            "bytes_per_user",
            "gauge",
            "Memory per different user.",
            per_user,
        )
    }
}

impl Metrics {
    fn user_memory_len(&self) -> usize {
        let shards = self.shards.iter().map(|shard| shard.user_memory_len);
        self.union_memory_len + shards.sum::<usize>()
    }

    /// Rounded down; zero without users.
    fn memory_len_per_user(&self) -> u64 {
        (self.user_memory_len() as u64)
            .checked_div(self.stats.unique_users)
            .unwrap_or(0)
    }
}

/// Writes one metric with all its values, each after its labels.
fn family(
    out: &mut fmt::Formatter<'_>,
    name: &str,
    kind: &str,
    help: &str,
    values: impl IntoIterator<Item = (String, u64)>,
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
        let gauges = |event_count, reject_count| Gauges {
            event_count,
            user_count: 4,
            user_memory_len: 1000,
            reject_counts: [reject_count; Reject::ALL.len()],
        };
        Metrics {
            stats: Stats {
                total_requests: 10,
                unique_users: 5,
                sum: 1.0,
                avg: 0.1,
            },
            shards: vec![gauges(3, 1), gauges(7, 2)],
            union_memory_len: 500,
        }
    }

    #[test]
    fn every_figure_has_its_line() {
        let text = metrics().to_string();
        for line in [
            r#"app_1mrc_events_total{shard="0"} 3"#,
            r#"app_1mrc_events_total{shard="1"} 7"#,
            r#"app_1mrc_rejects_total{reason="too_deep"} 3"#,
            "app_1mrc_users 5",
            r#"app_1mrc_shard_users{shard="1"} 4"#,
            "app_1mrc_user_memory_bytes 2500",
            "app_1mrc_bytes_per_user 500",
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
            ..metrics()
        };
        assert!(empty.to_string().contains("\napp_1mrc_bytes_per_user 0\n"));
    }
}
