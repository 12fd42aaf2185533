//! Payloads that rounding, order or normalisation would spoil, from many connections to two
//! shards, against sums of big integers: what Python's `math.fsum` gives as well.

use std::collections::HashSet;

use serde_json::Value;

use crate::big::{Big, assert_nearest, exact};
use crate::harness::{Client, Server};
use crate::random::Random;

const CONNECTION_COUNT: usize = 8;

/// Sends all events over several connections at once, and gives the sum and the average. Counts
/// and users are checked on the way.
fn figures(events: &[(String, f64)]) -> (f64, f64) {
    let server = Server::start(&["--smp", "2"]);
    let body = |(user, value): &(String, f64)| {
        let user = serde_json::to_string(user).unwrap();
        format!(r#"{{"userId":{user},"value":{value:e}}}"#)
    };
    std::thread::scope(|scope| {
        for events in events.chunks(events.len().div_ceil(CONNECTION_COUNT)) {
            let mut client = server.connect();
            scope.spawn(move || client.post_all(&events.iter().map(body).collect::<Vec<_>>()));
        }
    });
    let text = server.connect().stats();
    assert_eq!(server.stop().as_ref(), Some(&text));
    let stats: Value = serde_json::from_str(&text).unwrap();
    let users: HashSet<&str> = events.iter().map(|(user, _)| user.as_str()).collect();
    assert_eq!(stats["totalRequests"], events.len());
    assert_eq!(stats["uniqueUsers"], users.len());
    (number(&text, "sum"), number(&text, "avg"))
}

/// A member of `/stats`, read by `core`: `serde_json` may be off by the last bit.
fn number(stats: &str, name: &str) -> f64 {
    let (_, rest) = stats.split_once(&format!(r#""{name}":"#)).expect(stats);
    let (number, _) = rest.split_once([',', '}']).expect(stats);
    number.parse().unwrap()
}

fn check(events: &[(String, f64)]) {
    let (sum, avg) = figures(events);
    let values: Vec<f64> = events.iter().map(|(_, value)| *value).collect();
    assert_nearest(sum, exact(&values), 1);
    assert_nearest(avg, exact(&values), values.len() as u64);
}

/// Posts an event, which must be taken.
fn count(client: &mut Client, user: &str, value: &str) {
    let body = format!(r#"{{"userId":"{user}","value":{value}}}"#);
    assert_eq!(client.post(&body), 200, "{body}");
}

/// Asked after every value: so whatever goes wrong with a single one is not lost among others.
#[test]
fn every_value_counts_once_on_either_shard() {
    let server = Server::start(&["--smp", "2"]);
    let mut clients = server.connect_to_both_shards();
    let steps = (0..2000).map(|halves: u32| f64::from(halves) / 2.0);
    let edges = [5e-324, 0.1, 1e16, 9_007_199_254_740_992.0, 1e308];
    let edges = edges.into_iter().flat_map(|value| [value, -value, value]);
    let (mut total, mut sum) = (0_u64, Big::ZERO);
    for value in edges.chain(steps) {
        // A new user on both shards, then a known one, in other words for the same number.
        for text in [format!("{value:?}"), format!("{value:e}")] {
            for client in &mut clients {
                count(client, &format!("of {value}"), &text);
                (total, sum) = (total + 1, sum.plus(Big::of(value)));
            }
        }
        let stats = clients[0].stats();
        assert!(
            stats.starts_with(&format!(r#"{{"totalRequests":{total},"#)),
            "{value}: {stats}"
        );
        assert_nearest(number(&stats, "sum"), sum, 1);
        assert_nearest(number(&stats, "avg"), sum, total);
    }
}

#[test]
fn random_doubles_are_summed_exactly() {
    let mut random = Random::new(11);
    let event = |_| {
        let bits = random.bits();
        let value = f64::from_bits(bits);
        // About one in two thousand is no number.
        let value = if value.is_finite() { value } else { 0.5 };
        (format!("user_{}", random.below(3000)), value)
    };
    check(&(0..20_000).map(event).collect::<Vec<_>>());
}

#[test]
fn decimals_add_up() {
    let events: Vec<_> = (0..20_000)
        .map(|at| (format!("user_{}", at % 75), 0.1))
        .collect();
    assert_eq!(figures(&events), (2000.0, 0.1));
}

#[test]
fn what_cancels_leaves_nothing_behind() {
    let pattern = [
        1e16, 1.0, -1e16, 1e308, 1e308, -1e308, -1e308, 5e-324, -5e-324, -1.0,
    ];
    let event = |at: usize| ("u".to_owned(), pattern[at % pattern.len()]);
    assert_eq!(
        figures(&(0..20_000).map(event).collect::<Vec<_>>()),
        (0.0, 0.0)
    );
    let one_more = (0..=20_001).map(event).collect::<Vec<_>>();
    check(&one_more);
}

#[test]
fn users_of_every_script_are_told_apart() {
    let letters = [
        "\u{e4}",
        "a\u{308}",
        "\u{1f31f}",
        "\u{65e5}\u{672c}",
        "\0",
        "\"\\",
        "\u{feff}",
        "a",
    ];
    let event = |at: usize| {
        let user = format!("{}{}", letters[at % letters.len()], at % 977);
        (user, 1.0)
    };
    check(&(0..20_000).map(event).collect::<Vec<_>>());
}

#[test]
fn a_sum_too_large_for_a_double_is_the_largest_and_valid_json() {
    let events: Vec<_> = (0..100).map(|_| ("u".to_owned(), 1e308)).collect();
    assert_eq!(figures(&events), (f64::MAX, 1e308));
}
