//! A strict checker of OpenMetrics 1.0 texts, for what of it we send: counters and gauges.
//!
//! What must hold: what it takes, the specification's grammar takes; what it refuses of the rest
//! (other kinds, timestamps, exemplars, units) we do not send.

use std::collections::{BTreeMap, BTreeSet};

/// One line with a figure.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Sample {
    pub(crate) name: String,
    /// As written, escapes and all.
    pub(crate) labels: BTreeMap<String, String>,
    pub(crate) value: f64,
}

/// A family that has begun.
struct Family<'a> {
    name: &'a str,
    is_counter: bool,
    labels: BTreeSet<BTreeMap<String, String>>,
}

/// Takes a text apart, or says which line is wrong.
pub(crate) fn check(text: &str) -> Result<Vec<Sample>, String> {
    let body = text
        .strip_suffix("# EOF\n")
        .ok_or("the text does not end in `# EOF`")?;
    let (mut samples, mut seen, mut family) = (Vec::new(), BTreeSet::new(), None);
    let mut help = None;
    for line in body.split_terminator('\n') {
        let wrong = |what: &str| Err(format!("{what}: `{line}`"));
        if let Some(rest) = line.strip_prefix("# HELP ") {
            let Some((name, words)) = rest.split_once(' ') else {
                return wrong("no words of help");
            };
            if !seen.insert(name) || !is_name(name) || words.is_empty() {
                return wrong("a family a second time, or of a wrong name");
            }
            help = Some(name);
        } else if let Some(rest) = line.strip_prefix("# TYPE ") {
            let Some((name, kind)) = rest.split_once(' ') else {
                return wrong("no kind");
            };
            if help.take() != Some(name) || !matches!(kind, "counter" | "gauge") {
                return wrong("not the family of the help, or an unknown kind");
            }
            let is_counter = kind == "counter";
            if is_counter && name.ends_with("_total") {
                return wrong("the suffix belongs to the samples");
            }
            let labels = BTreeSet::new();
            family = Some(Family {
                name,
                is_counter,
                labels,
            });
        } else {
            let Some(family) = &mut family else {
                return wrong("a sample of no family");
            };
            samples.push(sample(line, family).map_err(|what| format!("{what}: `{line}`"))?);
        }
    }
    Ok(samples)
}

fn sample(line: &str, family: &mut Family<'_>) -> Result<Sample, String> {
    let end = line.find(['{', ' ']).ok_or("no value")?;
    let (name, rest) = line.split_at(end);
    let suffix = if family.is_counter { "_total" } else { "" };
    if name.strip_suffix(suffix) != Some(family.name) {
        return Err(format!("not a sample of `{}`", family.name));
    }
    let (labels, rest) = match rest.strip_prefix('{') {
        Some(rest) => labels(rest)?,
        None => (BTreeMap::new(), rest),
    };
    let value = rest.strip_prefix(' ').ok_or("no space before the value")?;
    let value: f64 = value.parse().map_err(|_| "the value is no number")?;
    if family.is_counter && (value < 0.0 || value.is_nan()) {
        return Err("a counter below zero".into());
    }
    if !family.labels.insert(labels.clone()) {
        return Err("a sample a second time".into());
    }
    let name = name.to_owned();
    Ok(Sample {
        name,
        labels,
        value,
    })
}

/// The labels behind a brace, and what comes behind them.
fn labels(mut rest: &str) -> Result<(BTreeMap<String, String>, &str), String> {
    let mut labels = BTreeMap::new();
    loop {
        let (name, behind) = rest.split_once("=\"").ok_or("a label without a value")?;
        if !is_name(name) || name.contains(':') {
            return Err(format!("`{name}` names no label"));
        }
        let (value, behind) = value(behind)?;
        if labels.insert(name.to_owned(), value.to_owned()).is_some() {
            return Err(format!("the label `{name}` a second time"));
        }
        match behind.strip_prefix(',') {
            Some(next) => rest = next,
            None => return Ok((labels, behind.strip_prefix('}').ok_or("no closing brace")?)),
        }
    }
}

/// The value of a label up to its quote, and what comes behind that.
fn value(text: &str) -> Result<(&str, &str), String> {
    let mut characters = text.char_indices();
    while let Some((at, character)) = characters.next() {
        match character {
            '"' => return Ok((&text[..at], &text[at + 1..])),
            '\\' if !matches!(characters.next(), Some((_, '\\' | '"' | 'n'))) => {
                return Err("an escape that is none".into());
            }
            _ => {}
        }
    }
    Err("a label without an end".into())
}

fn is_name(name: &str) -> bool {
    let first = name.chars().next();
    first.is_some_and(|first| first.is_ascii_alphabetic() || matches!(first, '_' | ':'))
        && name
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | ':'))
}

#[test]
fn what_is_wrong_is_refused() {
    let good = "# HELP a Help.\n# TYPE a counter\na_total{b=\"c\"} 1\n# EOF\n";
    assert_eq!(check(good).expect("it is right").len(), 1);
    for (part, instead) in [
        ("# EOF\n", ""),
        ("a_total", "a"),
        ("TYPE a counter", "TYPE a_total counter"),
        ("TYPE a counter", "TYPE b counter"),
        ("TYPE a counter", "TYPE a thing"),
        ("# HELP a Help.\n", ""),
        ("} 1", "}1"),
        ("} 1", "} one"),
        ("} 1", "} -1"),
        ("\"c\"", "\"c"),
        ("\"c\"", "\"\\c\""),
        ("b=", "0="),
        ("{b=\"c\"}", "{b=\"c\",b=\"d\"}"),
        ("a_total{b=\"c\"} 1\n", "a_total 1\na_total 1\n"),
        ("# EOF\n", "# HELP a Help.\n# TYPE a counter\n# EOF\n"),
    ] {
        let bad = good.replacen(part, instead, 1);
        assert!(check(&bad).is_err(), "{bad}");
    }
}
