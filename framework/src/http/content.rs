//! [`Length`]: how long the content of an answer is.

/// How long the content of an answer is: the protocol chooses the framing by it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Length {
    /// So many bytes. Told to the peer ahead of them.
    Known(u64),
    /// Known only at its end: chunked in HTTP/1.1, ended by the close in HTTP/1.0.
    Unknown,
}
