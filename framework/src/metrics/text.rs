//! [`Text`]: a text of metrics, in the format of OpenMetrics or of Prometheus.
//!
//! What must hold: a family stands in one place, its description before its samples; what is in a
//! label is escaped; a counter's samples end in `_total`, in both formats.

use std::fmt::{self, Display, Write as _};
use std::time::Duration;

/// The formats of a text. They differ in how a counter is announced and how the text ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// [OpenMetrics 1.0](https://prometheus.io/docs/specs/om/open_metrics_spec/).
    OpenMetrics,
    /// Prometheus' text format, 0.0.4.
    Prometheus,
}

impl Format {
    /// The media type that a response in this format has.
    pub fn media_type(self) -> &'static str {
        match self {
            Format::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
            Format::Prometheus => "text/plain; version=0.0.4",
        }
    }
}

/// What kind of figures a family holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Only grows, from zero at a start.
    Counter,
    /// May be anything at any moment.
    Gauge,
}

/// A family of figures: what they have in common.
#[derive(Clone, Copy, Debug)]
pub struct Family {
    /// The name; without the `_total` of a counter, which its samples get.
    pub name: &'static str,
    /// What kind of figures they are.
    pub kind: Kind,
    /// What they mean, in a sentence.
    pub help: &'static str,
}

/// The figure of a sample.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Number {
    /// How many.
    Count(u64),
    /// How long, in seconds.
    Seconds(Duration),
    /// Anything else.
    Real(f64),
}

impl From<u64> for Number {
    fn from(count: u64) -> Number {
        Number::Count(count)
    }
}

impl From<u32> for Number {
    fn from(count: u32) -> Number {
        Number::Count(count.into())
    }
}

impl From<usize> for Number {
    fn from(count: usize) -> Number {
        Number::Count(count as u64)
    }
}

impl From<Duration> for Number {
    fn from(time: Duration) -> Number {
        Number::Seconds(time)
    }
}

impl From<f64> for Number {
    fn from(number: f64) -> Number {
        Number::Real(number)
    }
}

impl Display for Number {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Number::Count(count) => write!(out, "{count}"),
            Number::Seconds(time) => write!(out, "{}.{:09}", time.as_secs(), time.subsec_nanos()),
            Number::Real(number) if number.is_nan() => out.write_str("NaN"),
            Number::Real(number) if number.is_infinite() => {
                out.write_str(if number > 0.0 { "+Inf" } else { "-Inf" })
            }
            Number::Real(number) => write!(out, "{number}"),
        }
    }
}

/// A text of metrics that grows family by family.
///
/// # Examples
/// ```
/// use sunstar::metrics::{Family, Format, Kind, Text};
///
/// const JOBS: Family =
///     Family { name: "shop_jobs", kind: Kind::Counter, help: "Jobs done, by queue." };
///
/// let mut text = Text::new(Format::OpenMetrics);
/// text.family(JOBS).sample(&[("queue", &"mail")], 3_u64).sample(&[("queue", &"print")], 0_u64);
/// let expected = "\
/// ## HELP shop_jobs Jobs done, by queue.
/// ## TYPE shop_jobs counter
/// shop_jobs_total{queue=\"mail\"} 3
/// shop_jobs_total{queue=\"print\"} 0
/// ## EOF
/// ";
/// assert_eq!(text.finish(), expected);
/// ```
#[derive(Debug)]
pub struct Text {
    format: Format,
    text: String,
}

impl Text {
    /// Begins an empty text.
    pub fn new(format: Format) -> Text {
        Text {
            format,
            text: String::new(),
        }
    }

    /// The format of the text.
    pub fn format(&self) -> Format {
        self.format
    }

    /// Begins a family. No other may have its name.
    pub fn family(&mut self, family: Family) -> Samples<'_> {
        let Family { name, kind, help } = family;
        let (word, suffix) = match kind {
            Kind::Counter => ("counter", "_total"),
            Kind::Gauge => ("gauge", ""),
        };
        let announced = match self.format {
            Format::OpenMetrics => "",
            Format::Prometheus => suffix,
        };
        self.put(format_args!("# HELP {name}{announced} {help}\n"));
        self.put(format_args!("# TYPE {name}{announced} {word}\n"));
        Samples {
            text: self,
            name,
            suffix,
        }
    }

    /// Ends the text.
    pub fn finish(mut self) -> String {
        if self.format == Format::OpenMetrics {
            self.text.push_str("# EOF\n");
        }
        self.text
    }

    fn put(&mut self, part: fmt::Arguments<'_>) {
        self.text
            .write_fmt(part)
            .expect("writing to a string cannot fail");
    }
}

/// The samples of one family.
#[derive(Debug)]
pub struct Samples<'a> {
    text: &'a mut Text,
    name: &'static str,
    suffix: &'static str,
}

impl Samples<'_> {
    /// Adds a sample. No other of the family may have the same labels.
    pub fn sample(
        &mut self,
        labels: &[(&str, &dyn Display)],
        number: impl Into<Number>,
    ) -> &mut Self {
        let (name, suffix) = (self.name, self.suffix);
        self.text.put(format_args!("{name}{suffix}"));
        for (place, (label, value)) in labels.iter().enumerate() {
            let before = if place == 0 { '{' } else { ',' };
            let value = escaped(&value.to_string());
            self.text.put(format_args!("{before}{label}=\"{value}\""));
        }
        let after = if labels.is_empty() { "" } else { "}" };
        self.text.put(format_args!("{after} {}\n", number.into()));
        self
    }
}

fn escaped(value: &str) -> String {
    value
        .replace('\\', r"\\")
        .replace('"', "\\\"")
        .replace('\n', r"\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    const COUNTER: Family = Family {
        name: "a_things",
        kind: Kind::Counter,
        help: "Things.",
    };
    const GAUGE: Family = Family {
        name: "a_level",
        kind: Kind::Gauge,
        help: "A level.",
    };

    fn text(format: Format) -> String {
        let mut text = Text::new(format);
        text.family(COUNTER).sample(&[], 3_u64);
        text.family(GAUGE)
            .sample(&[("shard", &0), ("name", &"a\"b\\c\nd")], 0.5);
        text.finish()
    }

    #[test]
    fn the_formats_differ_in_counters_and_at_the_end() {
        let open = "# HELP a_things Things.\n# TYPE a_things counter\na_things_total 3\n\
                    # HELP a_level A level.\n# TYPE a_level gauge\n\
                    a_level{shard=\"0\",name=\"a\\\"b\\\\c\\nd\"} 0.5\n# EOF\n";
        assert_eq!(text(Format::OpenMetrics), open);
        let plain = open.replace("P a_things ", "P a_things_total ");
        let plain = plain
            .replace("E a_things ", "E a_things_total ")
            .replace("# EOF\n", "");
        assert_eq!(text(Format::Prometheus), plain);
    }

    #[test]
    fn every_number_has_a_form_that_both_formats_know() {
        let forms = [
            (Number::from(u64::MAX), "18446744073709551615"),
            (
                Number::from(Duration::from_nanos(1_000_000_001)),
                "1.000000001",
            ),
            (Number::from(f64::NAN), "NaN"),
            (Number::from(f64::INFINITY), "+Inf"),
            (Number::from(f64::NEG_INFINITY), "-Inf"),
            (Number::from(1e300), &format!("1{}", "0".repeat(300))),
        ];
        for (number, form) in forms {
            assert_eq!(number.to_string(), form);
        }
    }
}
