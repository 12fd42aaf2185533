//! [`Standing`]: the field lines that every answer carries, formatted once a second.

use std::cell::{Ref, RefCell};
use std::time::{Duration, Instant, UNIX_EPOCH};

use crate::http::{HeaderValue, date};
use crate::runtime;

/// `Server` and `Date` as they stand on the wire (RFC 9110 sections 10.2.4 and 6.6.1).
pub(super) struct Standing {
    lines: RefCell<Lines>,
}

struct Lines {
    bytes: Vec<u8>,
    /// How much of `bytes` stays: the line before the date.
    fixed_len: usize,
    /// When the date is out of date.
    until: Option<Instant>,
}

impl Standing {
    pub(super) fn new(server_name: Option<&HeaderValue>) -> Standing {
        let mut bytes = Vec::with_capacity(128);
        if let Some(name) = server_name {
            bytes.extend_from_slice(b"Server: ");
            bytes.extend_from_slice(name.as_bytes());
            bytes.extend_from_slice(b"\r\n");
        }
        let fixed_len = bytes.len();
        Standing {
            lines: RefCell::new(Lines {
                bytes,
                fixed_len,
                until: None,
            }),
        }
    }

    /// The lines, right at `now`.
    #[inline]
    pub(super) fn lines(&self, now: Instant) -> Ref<'_, [u8]> {
        if self.lines.borrow().until.is_none_or(|until| now >= until) {
            self.lines.borrow_mut().refresh(now);
        }
        Ref::map(self.lines.borrow(), |lines| lines.bytes.as_slice())
    }
}

impl Lines {
    /// Writes the present date, which holds until the wall clock's next full second.
    #[cold]
    fn refresh(&mut self, now: Instant) {
        let wall = runtime::wall_clock();
        self.bytes.truncate(self.fixed_len);
        self.bytes.extend_from_slice(b"Date: ");
        self.bytes.extend_from_slice(&date::imf_fixdate(wall));
        self.bytes.extend_from_slice(b"\r\n");
        let passed = wall
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default()
            .subsec_nanos();
        self.until = Some(now + Duration::from_nanos(1_000_000_000 - u64::from(passed)));
    }
}
