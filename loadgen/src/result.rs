//! Fills the [`Record`] of a run.

use serde_json::json;

use crate::cli::Load;
use crate::duration::short;
use crate::exit::Exit;
use crate::latency::PERCENTILES;
use crate::machine;
use crate::number::approximate;
use crate::plan::{Overload, Pace, Place, Plan, Schedule, Warmup, Work};
use crate::random::Random;
use crate::record::{
    Counts, Distribution, Judged, Label, Model, Part, Phases, Rate, Record, SCHEMA, Target,
    Threshold, Times, Timeseries, Tool,
};
use crate::trial::Trial;
use crate::url::Url;

/// Everything about a run of `plan` that `load` asked for.
pub(crate) fn record(
    load: &Load,
    url: &Url,
    plan: &Plan,
    trial: &Trial,
    thresholds: Vec<Threshold>,
    label: Option<&str>,
    exit: Exit,
) -> Record {
    let since = trial
        .started
        .duration_since(std::time::UNIX_EPOCH)
        .unwrap_or_default();
    let random = Random::new(crate::moment::Moment::after(since).0, 0);
    Record {
        schema: SCHEMA.into(),
        tool: Tool {
            version: env!("CARGO_PKG_VERSION").into(),
            features: vec!["h1".into(), "unix".into()],
        },
        id: crate::placeholder::uuid(random, u64::from(std::process::id())),
        label: Label {
            name: label.map(str::to_owned),
        },
        started: humantime::format_rfc3339_millis(trial.started).to_string(),
        interrupted: trial.signal.is_some(),
        target: target(url, plan),
        config: config(load, plan),
        model: model(plan),
        env: machine::env(&plan.placement, load.machine.server_pid, trial.tally.driver),
        phases: Phases {
            warmup_s: trial.tally.warm.seconds(),
            measured_s: trial.span.as_secs_f64(),
            warmup_sent: trial.tally.phases[0].ledger.sent,
            steady: trial.evidence.steady,
        },
        verdict: judged(trial),
        counts: Counts::of_all(&trial.measured.ledger, &trial.tally),
        rate: rate(plan, trial),
        latency: Times::of(&trial.measured, &trial.tally.connect, &trial.tally.delay),
        templates: templates(plan, trial),
        stages: stages(plan, trial),
        timeseries: Timeseries {
            interval_s: plan.interval.as_secs_f64(),
            rows: trial.rows.clone(),
        },
        server: trial.server.clone(),
        thresholds,
        exit_code: exit.code(),
    }
}

fn target(url: &Url, plan: &Plan) -> Target {
    Target {
        urls: vec![url.to_string()],
        address: plan.place.to_string(),
        protocol: "h1".into(),
        unix: match &plan.place {
            Place::Unix(path) => Some(path.display().to_string()),
            Place::Tcp(_) => None,
        },
    }
}

/// The options in effect.
fn config(load: &Load, plan: &Plan) -> serde_json::Value {
    let nanos = |time: std::time::Duration| crate::moment::Moment::after(time).0;
    json!({
        "connections": plan.connection_count,
        "limit": format!("{:?}", plan.limit),
        "rate": load.rate,
        "stages": load.stages.as_ref().map(|profile| {
            profile.stages.iter().map(|stage| stage.name.clone()).collect::<Vec<_>>()
        }),
        "arrival": load.arrival.to_string(),
        "overload": overload(load.overload),
        "pipeline": plan.depth,
        "requests_per_conn": plan.requests_per_connection,
        "close": if plan.socket.reset { "rst" } else { "fin" },
        "think_ns": load.think.map(|think| nanos(think.mean)),
        "warmup": match plan.warmup {
            Warmup::Fixed(time) => short(time),
            Warmup::Auto(_) => "auto".into(),
        },
        "drain_ns": nanos(plan.drain),
        "timeout_ns": nanos(plan.timeout),
        "seed": plan.seed,
        "method": load.what.method,
        "sources": plan.socket.sources.iter().map(ToString::to_string).collect::<Vec<_>>(),
        "expect_status": plan.check.statuses,
        "connect_rate": plan.connect_rate,
        "expect_headers": plan.check.fields.iter().map(ToString::to_string).collect::<Vec<_>>(),
        "verify": format!("1/{}", load.what.verify),
        "busy_poll": plan.busy_poll,
        "placement": plan.placement.to_string(),
    })
}

fn overload(overload: Overload) -> String {
    match overload {
        Overload::Queue => "queue".into(),
        Overload::Shed(time) => format!("shed:{}", short(time)),
        Overload::Drop => "drop".into(),
        Overload::Grow(most) => format!("grow:{most}"),
    }
}

fn model(plan: &Plan) -> Model {
    let open = match &plan.pace {
        Pace::Open(open) => Some(open),
        Pace::Closed { .. } => None,
    };
    let schedule = |schedule| match schedule {
        Schedule::Pool => "pool".to_owned(),
        Schedule::Conn => "conn".to_owned(),
    };
    Model {
        kind: if open.is_some() { "open" } else { "closed" }.into(),
        arrival: open.map(|open| open.arrival.to_string()),
        schedule: open.map(|open| schedule(open.schedule)),
        overload: open.map(|open| overload(open.overload)),
        offered_rate: offered_rate(plan),
        connections: plan.used_connection_count(),
        threads: plan.placement.shard_count(),
        pipeline: plan.depth,
        keepalive: plan.requests_per_connection != Some(1),
        requests_per_conn: plan.requests_per_connection.unwrap_or(0),
    }
}

/// The mean rate that an open loop offers.
pub(crate) fn offered_rate(plan: &Plan) -> Option<f64> {
    match &plan.pace {
        Pace::Open(open) => Some(open.profile.mean_rate()),
        Pace::Closed { .. } => None,
    }
}

fn judged(trial: &Trial) -> Judged {
    let lag = trial.measured.lag.at(PERCENTILES[2]);
    let delay = trial.tally.delay.at(PERCENTILES[2]);
    let uncertainty = trial.tally.uncertainty.at(PERCENTILES[2]);
    Judged {
        status: trial.verdict.status,
        reasons: trial.verdict.reasons.clone(),
        achieved_ratio: trial.evidence.achieved,
        client_busy_max: trial.evidence.busy,
        send_lag_p99_ns: lag.map(|lag| crate::moment::Moment::after(lag).0),
        own_delay_p99_ns: delay.map(|delay| crate::moment::Moment::after(delay).0),
        runqueue_wait_ratio: trial.evidence.waited,
        enobufs: trial.evidence.starved,
        exhausted: trial.evidence.exhausted,
        clock_uncertainty_p99_ns: uncertainty.map(|time| crate::moment::Moment::after(time).0),
        clock_uncertainty_max_ns: crate::moment::Moment::after(trial.tally.uncertainty.max()).0,
        headroom_vs_calibration: trial.evidence.headroom,
    }
}

fn rate(plan: &Plan, trial: &Trial) -> Rate {
    let ledger = &trial.measured.ledger;
    let ok = approximate(ledger.count(crate::ledger::Outcome::Ok));
    let share_ok = ok / approximate(ledger.answered().max(1));
    let counts: Vec<f64> = trial.rows.iter().map(|row| approximate(row.ok)).collect();
    // The first and the last row are mostly not whole.
    let whole = counts
        .get(1..counts.len().saturating_sub(1))
        .unwrap_or_default();
    let count = approximate(whole.len() as u64).max(1.0);
    let mean = whole.iter().sum::<f64>() / count;
    let variance = whole
        .iter()
        .map(|value| (value - mean).powi(2))
        .sum::<f64>()
        / count;
    Rate {
        offered: offered_rate(plan),
        achieved: trial.rate,
        ok: trial.rate * share_ok,
        interval_stdev: variance.sqrt() / plan.interval.as_secs_f64(),
    }
}

fn templates(plan: &Plan, trial: &Trial) -> Vec<Part> {
    let Work::Mix(mix) = &plan.work else {
        return Vec::new();
    };
    let both = mix.kinds().iter().zip(&trial.tally.templates);
    both.map(|(kind, accounts)| Part {
        name: kind.name.clone(),
        weight: Some(kind.weight),
        offered_rate: None,
        counts: Counts::of(&accounts.ledger),
        response: Distribution::of(&accounts.response),
    })
    .collect()
}

fn stages(plan: &Plan, trial: &Trial) -> Vec<Part> {
    let Pace::Open(open) = &plan.pace else {
        return Vec::new();
    };
    let both = open.profile.stages.iter().zip(&trial.tally.phases[1..]);
    both.map(|(stage, accounts)| Part {
        name: stage.name.clone(),
        weight: None,
        offered_rate: Some(f64::midpoint(stage.from, stage.to)),
        counts: Counts::of(&accounts.ledger),
        response: Distribution::of(&accounts.response),
    })
    .collect()
}
