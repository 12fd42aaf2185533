//! [`Payload`]: the events of the One Million Request Challenge, as its own clients write them.
//!
//! What must hold: event `index` always has the same bytes; `Content-Length` is right for each;
//! writing one allocates nothing.

use std::fmt::Write;

use crate::number::approximate;
use crate::random::Random;
use crate::url::Url;

/// How many users the clients share out their events to.
pub(crate) const USER_COUNT: u64 = 75_000;
/// After how many events the values repeat.
pub(crate) const VALUE_PERIOD: u64 = 1_000;
/// No event is longer: 20 digits of index, the longest spelling.
const EVENT_LEN_MAX: usize = 128;
/// What `cancel` sends in turn: it comes to 1.001, and every partial sum in doubles is wrong.
const CANCELLING: [f64; 8] = [1e308, 1e308, 1.0, -1e308, -1e308, 1e16, 0.001, -1e16];

/// Whose events are sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Payload {
    /// The Go clients: `user_<i mod 75000>`, value `i mod 1000 + 0.5`.
    Go,
    /// The Java client: `user_<i mod 75000>_req_<i>`, value `i mod 1000 + 0.5`.
    Java,
    /// A Python client on aiohttp: `user_<i mod 75000>`, value the integer `i mod 1000`.
    Aiohttp,
    /// Random users out of 75,000, random doubles below 1,000 with all their digits.
    Random,
    /// The users of Go, value 0.1 always: no double, so that sums show how they were made.
    /// A million of them are 100,000 exactly, and 100000.00000133288 to who adds doubles up one by
    /// one.
    Decimals,
    /// The users of Go, huge values that cancel out and small ones that must remain.
    Cancel,
    /// 75,000 users beyond ASCII, each spelled in four ways, values as Go's.
    Unicode,
}

impl Payload {
    /// How many different users the events `0..count` have.
    pub(crate) fn user_count(self, count: u64) -> u64 {
        match self {
            Payload::Go | Payload::Aiohttp | Payload::Decimals | Payload::Cancel => {
                count.min(USER_COUNT)
            }
            Payload::Java => count,
            Payload::Unicode => count.div_ceil(4).min(USER_COUNT),
            Payload::Random => {
                let size = usize::try_from(USER_COUNT).expect("a small number");
                let (mut seen, mut users) = (vec![false; size], 0);
                for index in 0..count {
                    let user = usize::try_from(random_user(index)).expect("below 75,000");
                    users += u64::from(!std::mem::replace(&mut seen[user], true));
                    if users == USER_COUNT {
                        break;
                    }
                }
                users
            }
        }
    }

    /// Whether the sum of all values has a closed form in halves of one, and how many halves each
    /// event adds to its whole number.
    pub(crate) fn halves(self) -> Option<u64> {
        match self {
            Payload::Go | Payload::Java | Payload::Unicode => Some(1),
            Payload::Aiohttp => Some(0),
            Payload::Random | Payload::Decimals | Payload::Cancel => None,
        }
    }

    /// The value of event `index`, as the double that its digits mean.
    pub(crate) fn value(self, index: u64) -> f64 {
        let whole = approximate(index % VALUE_PERIOD);
        match self {
            Payload::Go | Payload::Java | Payload::Unicode => whole + 0.5,
            Payload::Aiohttp => whole,
            Payload::Random => random_value(index),
            Payload::Decimals => 0.1,
            Payload::Cancel => CANCELLING[cancelling(index)],
        }
    }

    /// Writes the JSON of event `index`.
    #[inline]
    fn write_event(self, index: u64, out: &mut Event) {
        if self == Payload::Unicode {
            return write_unicode(index, out);
        }
        let (before, between) = match self {
            Payload::Aiohttp => (r#"{"userId": "user_"#, r#"", "value": "#),
            _ => (r#"{"userId":"user_"#, r#"","value":"#),
        };
        out.push(before.as_bytes());
        let user = match self {
            Payload::Random => random_user(index),
            _ => index % USER_COUNT,
        };
        out.push_number(user);
        if self == Payload::Java {
            out.push(b"_req_");
            out.push_number(index);
        }
        out.push(between.as_bytes());
        match self {
            Payload::Go | Payload::Java | Payload::Unicode => {
                out.push_number(index % VALUE_PERIOD);
                out.push(b".5");
            }
            Payload::Aiohttp => out.push_number(index % VALUE_PERIOD),
            Payload::Decimals => out.push(b"0.1"),
            Payload::Random | Payload::Cancel => {
                write!(out, "{:e}", self.value(index)).expect("there is room for every double");
            }
        }
        out.push(b"}");
    }
}

/// Four spellings of one user, one event each.
fn write_unicode(index: u64, out: &mut Event) {
    let (before, key) = match index % 4 {
        0 => (r"gr\u00fc\u00dfe_\ud83d\ude00_", r"userId"),
        1 => (r"gr\u00FC\u00DFe_\uD83D\uDE00_", r"user\u0049d"),
        2 => (r"grüße_😀_", r"userId"),
        _ => (r"\u0067rüße\u005f😀_", r"\u0075serId"),
    };
    out.push(b"{\"");
    out.push(key.as_bytes());
    out.push(b"\":\"");
    out.push(before.as_bytes());
    out.push_number(index / 4 % USER_COUNT);
    out.push(b"\",\"value\":");
    out.push_number(index % VALUE_PERIOD);
    out.push(b".5}");
}

fn random_user(index: u64) -> u64 {
    Random::new(1, 1).below(USER_COUNT, index)
}

fn random_value(index: u64) -> f64 {
    Random::new(1, 2).fraction(index) * 1_000.0
}

fn cancelling(index: u64) -> usize {
    usize::try_from(index % CANCELLING.len() as u64).expect("less than a length")
}

/// The JSON of one event, on the stack.
struct Event {
    bytes: [u8; EVENT_LEN_MAX],
    len: usize,
}

impl Event {
    #[inline]
    fn push(&mut self, bytes: &[u8]) {
        self.bytes[self.len..self.len + bytes.len()].copy_from_slice(bytes);
        self.len += bytes.len();
    }

    #[inline]
    fn push_number(&mut self, number: u64) {
        self.push(itoa::Buffer::new().format(number).as_bytes());
    }
}

impl Write for Event {
    fn write_str(&mut self, text: &str) -> std::fmt::Result {
        self.push(text.as_bytes());
        Ok(())
    }
}

/// The requests that carry the events: all bytes that do not change, laid out once.
#[derive(Clone, Debug)]
pub(crate) struct EventTemplate {
    payload: Payload,
    /// The request up to the number behind `Content-Length: `.
    before_length: Vec<u8>,
}

impl EventTemplate {
    /// Lays out `POST /event` for the server of `url`.
    pub(crate) fn new(payload: Payload, url: &Url) -> EventTemplate {
        let authority = &url.authority;
        let before_length = format!(
            "POST /event HTTP/1.1\r\nHost: {authority}\r\nContent-Type: application/json\r\n\
             Content-Length: "
        );
        EventTemplate {
            payload,
            before_length: before_length.into_bytes(),
        }
    }

    /// The longest that one request can be, in bytes.
    pub(crate) fn len_max(&self) -> usize {
        self.before_length.len() + "128\r\n\r\n".len() + EVENT_LEN_MAX
    }

    /// Appends request `index` to `out` piece by piece.
    #[inline]
    pub(crate) fn write(&self, index: u64, mut out: impl FnMut(&[u8])) {
        let mut event = Event {
            bytes: [0; EVENT_LEN_MAX],
            len: 0,
        };
        self.payload.write_event(index, &mut event);
        out(&self.before_length);
        out(itoa::Buffer::new().format(event.len).as_bytes());
        out(b"\r\n\r\n");
        out(&event.bytes[..event.len]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: [Payload; 7] = [
        Payload::Go,
        Payload::Java,
        Payload::Aiohttp,
        Payload::Random,
        Payload::Decimals,
        Payload::Cancel,
        Payload::Unicode,
    ];

    fn request(payload: Payload, index: u64) -> String {
        let url = Url::parse("http://localhost:8080").unwrap();
        let template = EventTemplate::new(payload, &url);
        let mut bytes = Vec::new();
        template.write(index, |piece| bytes.extend_from_slice(piece));
        assert!(bytes.len() <= template.len_max());
        String::from_utf8(bytes).unwrap()
    }

    fn event(payload: Payload, index: u64) -> String {
        let request = request(payload, index);
        let (head, body) = request.split_once("\r\n\r\n").unwrap();
        let length = head.rsplit_once("Content-Length: ").unwrap().1;
        assert_eq!(length.parse(), Ok(body.len()), "{request}");
        body.to_owned()
    }

    #[test]
    fn a_request_is_laid_out_to_the_byte() {
        assert_eq!(
            request(Payload::Go, 0),
            "POST /event HTTP/1.1\r\nHost: localhost:8080\r\nContent-Type: application/json\r\n\
             Content-Length: 31\r\n\r\n{\"userId\":\"user_0\",\"value\":0.5}"
        );
    }

    #[test]
    fn events_are_those_of_the_challenges_clients() {
        assert_eq!(
            event(Payload::Go, 75_000),
            r#"{"userId":"user_0","value":0.5}"#
        );
        assert_eq!(
            event(Payload::Go, 999_999),
            r#"{"userId":"user_24999","value":999.5}"#
        );
        let java = event(Payload::Java, 75_001);
        assert_eq!(java, r#"{"userId":"user_1_req_75001","value":1.5}"#);
        assert_eq!(
            event(Payload::Java, 0).len(),
            37,
            "the challenge's own figure"
        );
        assert_eq!(
            event(Payload::Aiohttp, 76_007),
            r#"{"userId": "user_1007", "value": 7}"#
        );
    }

    #[test]
    fn the_longest_event_fits() {
        for payload in ALL {
            event(payload, u64::MAX);
            event(payload, 74_999);
        }
    }

    #[test]
    fn one_user_is_spelled_in_four_ways() {
        let spelled: Vec<_> = (0..4).map(|index| event(Payload::Unicode, index)).collect();
        let read = |text: &String| serde_json::from_str::<serde_json::Value>(text).unwrap();
        let users: Vec<_> = spelled
            .iter()
            .map(|text| read(text)["userId"].clone())
            .collect();
        assert!(users.iter().all(|user| user == "grüße_😀_0"), "{users:?}");
        assert_eq!(
            spelled
                .iter()
                .collect::<std::collections::HashSet<_>>()
                .len(),
            4
        );
        assert_eq!(
            event(Payload::Cancel, 3),
            r#"{"userId":"user_3","value":-1e308}"#
        );
        assert_eq!(
            event(Payload::Decimals, 3),
            r#"{"userId":"user_3","value":0.1}"#
        );
    }

    #[test]
    fn users_are_as_many_as_the_challenge_says() {
        for payload in ALL {
            let mut users = std::collections::HashSet::new();
            for index in 0..=USER_COUNT {
                let event: serde_json::Value =
                    serde_json::from_str(&event(payload, index)).unwrap();
                users.insert(event["userId"].as_str().unwrap().to_owned());
                let value: f64 = event["value"].to_string().parse().unwrap();
                assert_eq!(
                    value.to_bits(),
                    payload.value(index).to_bits(),
                    "{payload:?} {index}"
                );
                if [0, 1, USER_COUNT - 1, USER_COUNT].contains(&index) {
                    assert_eq!(
                        users.len() as u64,
                        payload.user_count(index + 1),
                        "{payload:?}"
                    );
                }
            }
        }
    }
}
