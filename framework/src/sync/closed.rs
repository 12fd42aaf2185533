//! [`Closed`]: the end of what was waited for.

use std::fmt;

/// What was waited for will not come: it was closed or broken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Closed;

impl fmt::Display for Closed {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("closed")
    }
}

impl std::error::Error for Closed {}
