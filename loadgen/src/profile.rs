//! [`Profile`]: the rate of an open loop over time, as stages of constant and of rising rate.
//!
//! What must hold: the moment of the x-th arrival is found in closed form, so that a late one is
//! known to be late; stages follow one another without a gap.

use std::time::Duration;

use crate::duration;
use crate::moment::Moment;
use crate::number::{self, approximate};

/// The most stages of a run: each has accounts of its own.
const STAGE_COUNT_MAX: usize = 100;
/// The highest rate, per second.
const RATE_MAX: u64 = 1_000_000_000;

/// A time in which the rate is constant, or rises or falls evenly.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Stage {
    /// As the user wrote it.
    pub(crate) name: String,
    /// Arrivals per second at its beginning and at its end.
    pub(crate) from: f64,
    /// See `from`.
    pub(crate) to: f64,
    /// How long it takes.
    pub(crate) time: Duration,
}

impl Stage {
    /// How many arrivals it brings.
    fn count(&self) -> f64 {
        f64::midpoint(self.from, self.to) * self.time.as_secs_f64()
    }

    /// After how many seconds `count` arrivals have come.
    fn time_of(&self, count: f64) -> f64 {
        let slope = (self.to - self.from) / self.time.as_secs_f64();
        let root = (self.from * self.from + 2.0 * slope * count)
            .max(0.0)
            .sqrt();
        match self.from + root {
            0.0 => 0.0,
            sum => 2.0 * count / sum,
        }
    }
}

/// The stages of a run.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Profile {
    /// In order, at least one.
    pub(crate) stages: Vec<Stage>,
}

impl Profile {
    /// One rate for so long.
    pub(crate) fn constant(rate: u64, time: Duration) -> Profile {
        let (name, rate) = (format!("{rate}"), approximate(rate));
        Profile {
            stages: vec![Stage {
                name,
                from: rate,
                to: rate,
                time,
            }],
        }
    }

    /// Reads `0:10k/30s,10k/60s,step:10k..100k+10k/10s,spike:200k/5s`.
    ///
    /// # Errors
    /// One sentence for the user.
    pub(crate) fn parse(text: &str) -> Result<Profile, String> {
        let mut stages = Vec::new();
        for part in text.split(',') {
            let wrong = |why: String| format!("stage '{part}': {why}");
            stages.extend(parse_stage(part.trim()).map_err(wrong)?);
            if stages.len() > STAGE_COUNT_MAX {
                return Err(format!(
                    "there may be {STAGE_COUNT_MAX} stages, and no more"
                ));
            }
        }
        if stages.iter().all(|stage| stage.from + stage.to == 0.0) {
            return Err("every stage has the rate 0".into());
        }
        Ok(Profile { stages })
    }

    /// How long all stages take.
    pub(crate) fn time(&self) -> Duration {
        self.stages.iter().map(|stage| stage.time).sum()
    }

    /// The mean rate of all stages, per second.
    pub(crate) fn mean_rate(&self) -> f64 {
        let count: f64 = self.stages.iter().map(Stage::count).sum();
        count / self.time().as_secs_f64()
    }

    /// Adds a stage before the first, at its rate: the time in which nothing counts.
    pub(crate) fn with_warmup(mut self, time: Duration) -> Profile {
        let from = self.stages[0].from.max(self.stages[0].to.min(1.0));
        let warmup = Stage {
            name: "warm-up".into(),
            from,
            to: from,
            time,
        };
        if !time.is_zero() {
            self.stages.insert(0, warmup);
        }
        self
    }
}

/// Reads one part of the list, which may be several stages.
fn parse_stage(text: &str) -> Result<Vec<Stage>, String> {
    let (rates, time) = text
        .split_once('/')
        .ok_or("it is RATE/TIME, as in 10k/30s")?;
    let time = duration::parse(time)?;
    let stage = |name: &str, from, to| Stage {
        name: name.to_owned(),
        from: approximate(from),
        to: approximate(to),
        time,
    };
    if let Some(steps) = rates.strip_prefix("step:") {
        let (low, rest) = steps
            .split_once("..")
            .ok_or("steps are LOW..HIGH+BY/TIME")?;
        let (high, by) = rest.split_once('+').ok_or("steps are LOW..HIGH+BY/TIME")?;
        let (low, high, by) = (rate(low)?, rate(high)?, rate(by)?);
        if by == 0 || low > high {
            return Err("steps go up, from LOW to HIGH by more than 0".into());
        }
        if (high - low) / by >= STAGE_COUNT_MAX as u64 {
            return Err(format!("these are more than {STAGE_COUNT_MAX} steps"));
        }
        let rates = (0..=(high - low) / by).map(|step| low + step * by);
        return Ok(rates
            .map(|at| stage(&format!("step {at}"), at, at))
            .collect());
    }
    let spike = rates.strip_prefix("spike:");
    match spike.unwrap_or(rates).split_once(':') {
        Some(_) if spike.is_some() => Err("a spike has one rate".into()),
        Some((from, to)) => Ok(vec![stage(text, rate(from)?, rate(to)?)]),
        None => rate(spike.unwrap_or(rates)).map(|rate| vec![stage(text, rate, rate)]),
    }
}

/// Reads a rate per second.
pub(crate) fn rate(text: &str) -> Result<u64, String> {
    match number::parse(text)? {
        rate @ 0..=RATE_MAX => Ok(rate),
        _ => Err(format!(
            "a rate is at most {} per second",
            number::grouped(RATE_MAX)
        )),
    }
}

/// Finds the moments of arrivals, each later than the one before.
#[derive(Clone, Debug)]
pub(crate) struct Cursor {
    /// Stages that have not ended: when they begin, in seconds, and how many arrivals come before.
    stages: std::vec::IntoIter<(f64, f64, Stage)>,
    current: Option<(f64, f64, Stage)>,
}

impl Cursor {
    /// At the beginning of `profile`.
    pub(crate) fn new(profile: &Profile) -> Cursor {
        let (mut begin, mut before) = (0.0, 0.0);
        let mut all = Vec::new();
        for stage in &profile.stages {
            all.push((begin, before, stage.clone()));
            begin += stage.time.as_secs_f64();
            before += stage.count();
        }
        let mut stages = all.into_iter();
        let current = stages.next();
        Cursor { stages, current }
    }

    /// When `count` arrivals have come; `None` when the last stage ends before.
    pub(crate) fn moment_of(&mut self, count: f64) -> Option<Moment> {
        loop {
            let (begin, before, stage) = self.current.as_ref()?;
            if count < before + stage.count() {
                let seconds = begin + stage.time_of(count - before);
                return Some(Moment::after(Duration::from_secs_f64(seconds.max(0.0))));
            }
            self.current = self.stages.next();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn moments(text: &str, step: f64) -> Vec<f64> {
        let mut cursor = Cursor::new(&Profile::parse(text).unwrap());
        let mut count = -step;
        std::iter::from_fn(|| {
            count += step;
            cursor.moment_of(count).map(Moment::seconds)
        })
        .collect()
    }

    #[test]
    fn a_constant_rate_has_equal_distances() {
        assert_eq!(moments("4/1s", 1.0), [0.0, 0.25, 0.5, 0.75]);
        assert_eq!(moments("2/1s,4/500ms", 1.0), [0.0, 0.5, 1.0, 1.25]);
    }

    #[test]
    fn a_ramp_from_nothing_goes_with_the_square_root() {
        // 8 arrivals in 4 s: the x-th at sqrt(x / 8) of the time.
        for (index, at) in moments("0:4/4s", 1.0).iter().enumerate() {
            let expected = (approximate(index as u64) / 8.0).sqrt() * 4.0;
            assert!((at - expected).abs() < 1e-6, "{index}: {at} {expected}");
        }
        let down = moments("4:0/4s", 1.0);
        assert_eq!((down.len(), down[0]), (8, 0.0));
        assert!((down[7] - (4.0 - 2_f64.sqrt())).abs() < 1e-6, "{down:?}");
    }

    #[test]
    fn steps_and_spikes_are_stages() {
        let profile = Profile::parse("step:10k..30k+10k/10s, spike:200k/5s,0:1/1s").unwrap();
        let rates: Vec<_> = profile.stages.iter().map(|stage| stage.to).collect();
        assert_eq!(rates, [10_000.0, 20_000.0, 30_000.0, 200_000.0, 1.0]);
        assert_eq!(profile.time(), Duration::from_secs(36));
        let names: Vec<_> = profile.stages.iter().map(|stage| &stage.name).collect();
        assert_eq!(names[1..4], ["step 20000", "step 30000", "spike:200k/5s"]);
    }

    #[test]
    fn moments_never_go_backwards_and_all_arrivals_come() {
        let all = moments("0:100/2s,100/1s,100:20/1s,spike:500/100ms,0/1s,10/1s", 0.1);
        assert!(all.is_sorted());
        assert_eq!(all.len(), 10 * (100 + 100 + 60 + 50 + 10));
        assert!(all.iter().all(|at| *at < 6.1));
    }

    #[test]
    fn wrong_stages_are_refused_with_a_reason() {
        let all = [
            ("", "RATE/TIME"),
            ("10k", "RATE/TIME"),
            ("10k/5", "unit"),
            ("x/5s", "digits"),
            ("0/5s", "rate 0"),
            ("0:0/5s", "rate 0"),
            ("step:1..2/5s", "LOW..HIGH"),
            ("step:2..1+1/5s", "go up"),
            ("step:1..9+0/5s", "go up"),
            ("step:0..100+1/1s", "more than 100"),
            ("step:1..100+1/1s,5/1s", "100 stages"),
            ("spike:1:2/1s", "one rate"),
            ("2000M/1s", "at most 1,000,000,000"),
        ];
        for (text, reason) in all {
            let error = Profile::parse(text).unwrap_err();
            assert!(error.contains(reason), "{text}: {error}");
        }
        assert!(Profile::parse("step:1..100+1/1s").is_ok() && rate("1000M").is_ok());
    }

    #[test]
    fn the_warm_up_has_the_rate_of_the_first_stage() {
        let profile = Profile::constant(10, Duration::from_secs(2));
        let warm = profile.clone().with_warmup(Duration::from_secs(1));
        assert_eq!((warm.stages.len(), warm.stages[0].from), (2, 10.0));
        assert_eq!(
            (warm.time(), warm.mean_rate()),
            (Duration::from_secs(3), 10.0)
        );
        assert_eq!(profile.clone().with_warmup(Duration::ZERO), profile);
    }
}
