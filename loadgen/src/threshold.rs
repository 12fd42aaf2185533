//! [`Condition`]: what a run must keep to (`--fail`), as `p99<5ms` or `rate>=0.99*offered`.
//!
//! What must hold: a condition that could not be measured is breached, never passed over.

use std::fmt;
use std::time::Duration;

use crate::duration;
use crate::latency::{Latency, PERCENTILES, Percentile};
use crate::number::approximate;
use crate::record::Threshold;
use crate::trial::Trial;

/// What is compared.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Quantity {
    /// A percentile of the response time.
    Response(Percentile),
    /// Their mean and their maximum.
    Mean,
    Max,
    /// A percentile of the send lag: `lag_p99`.
    Lag(Percentile),
    /// Answers per second.
    Rate,
    /// Requests that ended otherwise than hoped for.
    Errors,
}

/// What it is compared with, in nanoseconds, per second or requests.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Bound {
    Fixed(f64),
    /// A share of the offered rate, or of all requests.
    Share(f64),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Relation {
    Below,
    AtMost,
    Above,
    AtLeast,
}

/// One condition.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Condition {
    text: String,
    quantity: Quantity,
    relation: Relation,
    bound: Bound,
}

impl Condition {
    /// Reads a condition.
    ///
    /// # Errors
    /// One sentence for the user.
    pub(crate) fn parse(text: &str) -> Result<Condition, String> {
        let at = text
            .find(['<', '>'])
            .ok_or("a condition is as p99<5ms or errors<=0.1%")?;
        let (name, rest) = text.split_at(at);
        let (relation, bound) = match (&rest[..1], rest[1..].strip_prefix('=')) {
            ("<", Some(bound)) => (Relation::AtMost, bound),
            ("<", None) => (Relation::Below, &rest[1..]),
            (_, Some(bound)) => (Relation::AtLeast, bound),
            (_, None) => (Relation::Above, &rest[1..]),
        };
        let quantity = parse_quantity(name.trim())?;
        Ok(Condition {
            text: text.trim().to_owned(),
            quantity,
            relation,
            bound: parse_bound(quantity, bound.trim())?,
        })
    }

    /// How a run has kept it.
    pub(crate) fn judge(&self, trial: &Trial, offered_rate: Option<f64>) -> Threshold {
        let value = self.quantity.of(trial);
        let bound = match (self.bound, self.quantity) {
            (Bound::Fixed(bound), _) => Some(bound),
            (Bound::Share(share), Quantity::Rate) => offered_rate.map(|rate| share * rate),
            (Bound::Share(share), _) => Some(share * approximate(trial.measured.ledger.sent)),
        };
        let pass = value
            .zip(bound)
            .is_some_and(|(value, bound)| match self.relation {
                Relation::Below => value < bound,
                Relation::AtMost => value <= bound,
                Relation::Above => value > bound,
                Relation::AtLeast => value >= bound,
            });
        Threshold {
            expr: self.text.clone(),
            value,
            pass,
        }
    }
}

impl fmt::Display for Condition {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.text)
    }
}

impl Quantity {
    fn of(self, trial: &Trial) -> Option<f64> {
        let (response, lag) = (&trial.measured.response, &trial.measured.lag);
        let nanos = |time: Duration| time.as_secs_f64() * 1e9;
        let at = |latency: &Latency, percentile| latency.at(percentile).map(nanos);
        let some = response.count() > 0;
        match self {
            Quantity::Response(percentile) => at(response, percentile),
            Quantity::Lag(percentile) => at(lag, percentile),
            Quantity::Mean => some.then(|| response.mean_nanos()),
            Quantity::Max => some.then(|| nanos(response.max())),
            Quantity::Rate => Some(trial.rate),
            Quantity::Errors => {
                let never_sent = trial.tally.unsent.sum();
                Some(approximate(trial.measured.ledger.errors() + never_sent))
            }
        }
    }
}

fn parse_quantity(name: &str) -> Result<Quantity, String> {
    let percentile = |name: &str| PERCENTILES.into_iter().find(|known| known.name == name);
    match name {
        "mean" => Ok(Quantity::Mean),
        "max" => Ok(Quantity::Max),
        "rate" => Ok(Quantity::Rate),
        "errors" => Ok(Quantity::Errors),
        _ => match (
            percentile(name),
            name.strip_prefix("lag_").and_then(percentile),
        ) {
            (Some(percentile), _) => Ok(Quantity::Response(percentile)),
            (None, Some(percentile)) => Ok(Quantity::Lag(percentile)),
            (None, None) => Err(format!(
                "'{name}' is none of p50 p90 p99 p99.9 p99.99 p99.999 mean max lag_p99 rate errors"
            )),
        },
    }
}

fn parse_bound(quantity: Quantity, text: &str) -> Result<Bound, String> {
    let number = |text: &str| {
        let number = text
            .parse::<f64>()
            .ok()
            .filter(|number| number.is_finite() && *number >= 0.0);
        number.ok_or_else(|| format!("'{text}' is not a number"))
    };
    match quantity {
        Quantity::Rate => match text.strip_suffix("*offered") {
            Some(share) => number(share).map(Bound::Share),
            None => crate::profile::rate(text).map(|rate| Bound::Fixed(approximate(rate))),
        },
        Quantity::Errors => match text.strip_suffix('%') {
            Some(share) => Ok(Bound::Share(number(share)? / 100.0)),
            None => number(text).map(Bound::Fixed),
        },
        _ => duration::parse(text).map(|time| Bound::Fixed(time.as_secs_f64() * 1e9)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn conditions_are_read() {
        let read = |text: &str| {
            let condition = Condition::parse(text).unwrap();
            (condition.quantity, condition.relation, condition.bound)
        };
        let p99 = Quantity::Response(PERCENTILES[2]);
        assert_eq!(read("p99<5ms"), (p99, Relation::Below, Bound::Fixed(5e6)));
        let lag = Quantity::Lag(PERCENTILES[3]);
        assert_eq!(
            read("lag_p99.9 <= 50us"),
            (lag, Relation::AtMost, Bound::Fixed(5e4))
        );
        let share = Bound::Share(0.99);
        assert_eq!(
            read("rate>=0.99*offered"),
            (Quantity::Rate, Relation::AtLeast, share)
        );
        assert_eq!(read("rate>10k").2, Bound::Fixed(10_000.0));
        assert_eq!(read("errors<0.1%").2, Bound::Share(0.001));
        assert_eq!(
            read("errors<=3"),
            (Quantity::Errors, Relation::AtMost, Bound::Fixed(3.0))
        );
    }

    #[test]
    fn wrong_conditions_are_refused() {
        for (text, reason) in [
            ("p99", "as p99<5ms"),
            ("p98<5ms", "none of"),
            ("p99<5", "unit"),
            ("errors<x%", "number"),
            ("rate>-1", "digits"),
            ("rate>x*offered", "number"),
        ] {
            let error = Condition::parse(text).unwrap_err();
            assert!(error.contains(reason), "{text}: {error}");
        }
    }
}
