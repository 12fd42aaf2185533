//! [`Limits`]: every bound that a peer can run into, and every wait that it can cause.
//!
//! What must hold: nothing that a peer sends is kept, counted or waited for without one of these.
//! All of them are on without configuration; each can be set.

use std::time::Duration;

/// How many empty lines may stand before a request line (RFC 9112 section 2.2).
pub(crate) const EMPTY_LINES_MAX: u8 = 2;
/// The longest method that is looked at; a longer one is none that we know.
pub(crate) const METHOD_LEN_MAX: usize = 32;
/// What [`Limits::head_len_max`] may be at most: spans into a head have 16 bits.
pub(crate) const HEAD_LEN_CAP: usize = u16::MAX as usize;
/// What [`Limits::field_count_max`] may be at most: a head is parsed into a table of this size.
pub(crate) const FIELD_COUNT_CAP: usize = 128;

/// The bounds and timeouts of one connection. Lengths are in bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// The longest head, from its request line to its empty line: 16 KiB, at most 65,535.
    /// A longer one is answered with 431. Bounds a trailer section too.
    pub head_len_max: usize,
    /// The most field lines of a head: 100, at most 128. More are answered with 431.
    pub field_count_max: usize,
    /// The longest field line, without its line end: 8 KiB. A longer one is answered with 431.
    pub field_len_max: usize,
    /// The longest request target: 8 KiB. A longer one is answered with 414.
    pub target_len_max: usize,
    /// The longest content of a request that is gathered before its handler starts: 1 MiB. More is
    /// answered with 413.
    pub content_len_max: u64,
    /// The longest content of a request that is streamed to its handler: no limit, since it takes
    /// no memory; a handler has its own with [`Body::limited`](crate::service::Body::limited).
    /// More is an error for the reader, and answered with 413 where it can be.
    pub stream_len_max: u64,
    /// How much content that nobody wants is read to keep the connection: 64 KiB. If more is to
    /// come, the connection closes after the answer.
    pub drain_len_max: u64,
    /// By how much chunk headers may outweigh the data that they frame: 16 KiB. More is answered
    /// with 400 (RFC 9112 section 7.1.1 asks for a limit on extensions).
    pub chunk_overhead_max: usize,
    /// How much input may wait behind a request that is being answered: 16 KiB. Beyond it the
    /// connection wants no input.
    pub pipelined_len_max: usize,
    /// How much output may wait before the next request is taken up, or the next piece of a stream:
    /// 128 KiB here. The kernel takes as much of what the peer has no room for
    /// (`TCP_NOTSENT_LOWAT`, tcp(7)), together 256 KiB.
    pub output_len_max: usize,
    /// How many requests a connection may send: no limit, since each leaves nothing behind. The
    /// answer to the last one says `Connection: close`.
    pub request_count_max: u64,
    /// How long a head may take from its first byte on: 10 s, then 408.
    pub header_timeout: Duration,
    /// How long content that is gathered may take from the end of its head on, and how long a peer
    /// that streams may pause, however fast it was: 30 s, then 408. Time that our side takes does
    /// not count.
    pub content_timeout: Duration,
    /// How many bytes of content a peer must send per second: 500, else 408. 0 asks for none.
    pub content_rate_min: u64,
    /// How long a peer may be slower than that before it counts: 5 s.
    pub content_grace: Duration,
    /// How long a connection may stay idle, before its first request (clients open some ahead of
    /// need) as between two: 90 s, then a silent close. Longer than the 60 s for which proxies
    /// usually keep theirs, so that it is they who close, and none of their requests meets a close.
    pub idle_timeout: Duration,
}

impl Limits {
    /// Checks that every limit is one that a connection can live with; says which is not.
    pub(crate) fn check(&self) -> Result<(), String> {
        let requests = usize::try_from(self.request_count_max).unwrap_or(usize::MAX);
        let bounds = [
            ("head_len_max", self.head_len_max, 16, HEAD_LEN_CAP),
            ("field_count_max", self.field_count_max, 1, FIELD_COUNT_CAP),
            ("pipelined_len_max", self.pipelined_len_max, 1, usize::MAX),
            ("output_len_max", self.output_len_max, 1, usize::MAX),
            ("request_count_max", requests, 1, usize::MAX),
        ];
        match bounds
            .iter()
            .find(|(_, value, min, max)| value < min || value > max)
        {
            None => Ok(()),
            Some((name, value, min, max)) => Err(format!(
                "limit {name} is {value}: it must be {min} to {max}"
            )),
        }
    }

    /// How much longer a peer may pause that has sent `len` bytes of content.
    pub(crate) fn earned(&self, len: usize) -> Duration {
        let len = u64::try_from(len).expect("a length fits 64 bits");
        match len
            .saturating_mul(1_000_000_000)
            .checked_div(self.content_rate_min)
        {
            Some(nanos) => Duration::from_nanos(nanos),
            None => self.content_timeout,
        }
    }

    /// How long a peer may pause that has sent no content yet.
    pub(crate) fn grace(&self) -> Duration {
        match self.content_rate_min {
            0 => self.content_timeout,
            _ => self.content_grace.min(self.content_timeout),
        }
    }

    /// The longest request line, without its line end.
    pub(crate) fn request_line_len_max(&self) -> usize {
        METHOD_LEN_MAX + self.target_len_max + "  HTTP/1.1".len()
    }
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            head_len_max: 16 * 1024,
            field_count_max: 100,
            field_len_max: 8 * 1024,
            target_len_max: 8 * 1024,
            content_len_max: 1024 * 1024,
            stream_len_max: u64::MAX,
            drain_len_max: 64 * 1024,
            chunk_overhead_max: 16 * 1024,
            pipelined_len_max: 16 * 1024,
            output_len_max: 128 * 1024,
            request_count_max: u64::MAX,
            header_timeout: Duration::from_secs(10),
            content_timeout: Duration::from_secs(30),
            content_rate_min: 500,
            content_grace: Duration::from_secs(5),
            idle_timeout: Duration::from_secs(90),
        }
    }
}
