//! [`Payload`]: the events of the One Million Request Challenge, as its own clients write them.
//!
//! What must hold: event `index` always has the same bytes; `Content-Length` is right for each;
//! writing one allocates nothing.

use crate::url::Url;

/// How many users the clients share out their events to.
pub(crate) const USER_COUNT: u64 = 75_000;
/// After how many events the values repeat.
pub(crate) const VALUE_PERIOD: u64 = 1_000;
/// No event is longer: 20 digits of index, the longest spelling.
const EVENT_LEN_MAX: usize = 96;

/// Whose events are sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Payload {
    /// The Go clients: `user_<i mod 75000>`, value `i mod 1000 + 0.5`.
    Go,
    /// The Java client: `user_<i mod 75000>_req_<i>`, value `i mod 1000 + 0.5`.
    Java,
    /// A Python client on aiohttp: `user_<i mod 75000>`, value the integer `i mod 1000`.
    Aiohttp,
}

impl Payload {
    /// How many different users the events `0..count` have.
    pub(crate) fn user_count(self, count: u64) -> u64 {
        match self {
            Payload::Go | Payload::Aiohttp => count.min(USER_COUNT),
            Payload::Java => count,
        }
    }

    /// Whether half is added to every value.
    pub(crate) fn has_halves(self) -> bool {
        self != Payload::Aiohttp
    }

    /// Writes the JSON of event `index`.
    #[inline]
    fn write_event(self, index: u64, out: &mut Event) {
        let (before, between) = match self {
            Payload::Go | Payload::Java => (r#"{"userId":"user_"#, r#"","value":"#),
            Payload::Aiohttp => (r#"{"userId": "user_"#, r#"", "value": "#),
        };
        out.push(before.as_bytes());
        out.push_number(index % USER_COUNT);
        if self == Payload::Java {
            out.push(b"_req_");
            out.push_number(index);
        }
        out.push(between.as_bytes());
        out.push_number(index % VALUE_PERIOD);
        if self.has_halves() {
            out.push(b".5");
        }
        out.push(b"}");
    }
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
        self.before_length.len() + "96\r\n\r\n".len() + EVENT_LEN_MAX
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
        for payload in [Payload::Go, Payload::Java, Payload::Aiohttp] {
            event(payload, u64::MAX);
            event(payload, 74_999);
        }
    }

    #[test]
    fn the_events_of_a_whole_run_are_the_challenges_numbers() {
        let users = |payload, count| {
            let all = (0..count).map(|index| event(payload, index));
            let user = |event: String| event.split('"').nth(3).unwrap().to_owned();
            all.map(user)
                .collect::<std::collections::HashSet<_>>()
                .len() as u64
        };
        for payload in [Payload::Go, Payload::Java, Payload::Aiohttp] {
            for count in [1, 74_999, 75_000, 75_001] {
                assert_eq!(
                    users(payload, count),
                    payload.user_count(count),
                    "{payload:?} {count}"
                );
            }
        }
    }
}
