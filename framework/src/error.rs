//! [`Error`]: what the caller of `Server`, `runtime` or `net` gets when something cannot start.
//!
//! It is opaque: what a program may ask it is a predicate, what a person must know is its message.
//! A message says what was being done, what went wrong and, where we know it, what to change.

use std::error::Error as StdError;
use std::fmt;
use std::io;

/// The result of starting or running a server or a runtime.
pub type Result<T, E = Error> = std::result::Result<T, E>;

const UNRESOLVED: &str = "cannot resolve the address";

/// Why a server or a runtime could not start or go on.
pub struct Error {
    inner: Box<Inner>,
}

struct Inner {
    message: String,
    source: Option<io::Error>,
}

impl Error {
    /// An error of configuration: the message says what to change.
    pub(crate) fn config(message: impl Into<String>) -> Error {
        Error {
            inner: Box::new(Inner {
                message: message.into(),
                source: None,
            }),
        }
    }

    /// An error of the operating system: the message says what was being done.
    pub(crate) fn io(message: impl Into<String>, source: io::Error) -> Error {
        Error {
            inner: Box::new(Inner {
                message: message.into(),
                source: Some(source),
            }),
        }
    }

    fn is_kind(&self, kind: io::ErrorKind) -> bool {
        self.inner
            .source
            .as_ref()
            .is_some_and(|source| source.kind() == kind)
    }

    /// Whether the address to listen on is in use by another socket.
    pub fn is_address_in_use(&self) -> bool {
        self.is_kind(io::ErrorKind::AddrInUse)
    }

    /// An address that names nothing.
    pub(crate) fn unresolved(source: io::Error) -> Error {
        Error {
            inner: Box::new(Inner {
                message: UNRESOLVED.to_owned(),
                source: Some(source),
            }),
        }
    }

    #[cfg(feature = "cli")]
    pub(crate) fn is_unresolved(&self) -> bool {
        self.inner.message == UNRESOLVED
    }

    /// Whether this machine has no such address, or no such kind of address.
    pub fn is_address_missing(&self) -> bool {
        const EAFNOSUPPORT: i32 = 97;
        let code = self.inner.source.as_ref().and_then(io::Error::raw_os_error);
        self.is_kind(io::ErrorKind::AddrNotAvailable) || code == Some(EAFNOSUPPORT)
    }

    /// Whether the operating system refused for lack of a privilege.
    pub fn is_permission_denied(&self) -> bool {
        self.is_kind(io::ErrorKind::PermissionDenied)
    }

    /// Whether a limit on memory (for rings: `RLIMIT_MEMLOCK`) was too low.
    pub fn is_out_of_memory(&self) -> bool {
        self.is_kind(io::ErrorKind::OutOfMemory)
    }
}

impl fmt::Display for Error {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.inner.source {
            None => out.write_str(&self.inner.message),
            Some(source) => write!(out, "{}: {source}", self.inner.message),
        }
    }
}

/// Prints the message, so that `fn main() -> sunstar::Result<()>` ends with one readable line.
impl fmt::Debug for Error {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, out)
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.inner.source.as_ref().map(|source| source as _)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_message_names_the_cause_and_the_predicate_knows_it() {
        let error = Error::io("cannot listen on [::]:80", io::ErrorKind::AddrInUse.into());
        assert_eq!(
            error.to_string(),
            "cannot listen on [::]:80: address in use"
        );
        assert!(error.is_address_in_use() && !error.is_permission_denied());
        assert!(error.source().is_some());
    }

    #[test]
    fn an_error_is_one_word_wide() {
        assert_eq!(size_of::<Error>(), size_of::<usize>());
    }
}
