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
    /// The longest content of a request: 1 MiB. More is answered with 413.
    pub content_len_max: u64,
    /// How much content that nobody wants is read to keep the connection: 64 KiB. If more is to
    /// come, the connection closes after the answer.
    pub drain_len_max: u64,
    /// By how much chunk headers may outweigh the data that they frame: 16 KiB. More is answered
    /// with 400 (RFC 9112 section 7.1.1 asks for a limit on extensions).
    pub chunk_overhead_max: usize,
    /// How much input may wait behind a request that is being answered: 16 KiB. Beyond it the
    /// connection wants no input.
    pub pipelined_len_max: usize,
    /// How much output may wait before the next request is taken up: 256 KiB.
    pub output_len_max: usize,
    /// How long a head may take from its first byte on: 10 s, then 408.
    pub header_timeout: Duration,
    /// How long the content of a request may take from the end of its head on: 30 s, then 408.
    pub content_timeout: Duration,
    /// How long a connection may stay idle, before its first request (clients open some ahead of
    /// need) as between two: 90 s, then a silent close.
    pub idle_timeout: Duration,
}

impl Limits {
    /// Checks what must hold among the limits.
    ///
    /// # Panics
    /// If `head_len_max` or `field_count_max` is over what it may be at most.
    pub(crate) fn check(&self) {
        assert!(
            self.head_len_max <= HEAD_LEN_CAP,
            "head_len_max is {} and may be at most {HEAD_LEN_CAP}",
            self.head_len_max
        );
        assert!(
            self.field_count_max <= FIELD_COUNT_CAP,
            "field_count_max is {} and may be at most {FIELD_COUNT_CAP}",
            self.field_count_max
        );
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
            drain_len_max: 64 * 1024,
            chunk_overhead_max: 16 * 1024,
            pipelined_len_max: 16 * 1024,
            output_len_max: 256 * 1024,
            header_timeout: Duration::from_secs(10),
            content_timeout: Duration::from_secs(30),
            idle_timeout: Duration::from_secs(90),
        }
    }
}
