//! [`Error`]: what a peer did wrong, and the status that tells it so.

use std::fmt;

use http::StatusCode;

/// A breach of the protocol by the peer. Nothing behind it is read or answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Error {
    /// The request line is not `method SP target SP version` (RFC 9112 section 3).
    BadRequestLine,
    /// The target has none of the four forms, or not the one of its method (RFC 9112 section 3.2).
    BadTarget,
    /// A field line is not `name ":" value` (RFC 9112 section 5).
    BadField,
    /// A line ends in something else than CRLF (RFC 9112 section 2.2).
    BadLineEnd,
    /// `Host` is missing, repeated or not a host (RFC 9112 section 3.2).
    BadHost,
    /// `Content-Length` is repeated or not a number (RFC 9112 section 6.3).
    BadContentLength,
    /// `Transfer-Encoding` is malformed, not ended by `chunked`, or in HTTP/1.0 (RFC 9112
    /// section 6.1).
    BadTransferEncoding,
    /// Both `Content-Length` and `Transfer-Encoding` are there (RFC 9112 section 6.1).
    AmbiguousLength,
    /// A chunk is not framed as RFC 9112 section 7.1 says.
    BadChunk,
    /// The peer ended its side within a message (RFC 9112 section 8).
    Truncated,
    /// The head did not arrive in time.
    HeadTimeout,
    /// The content did not arrive in time.
    ContentTimeout,
    /// The content is longer than its limit.
    ContentTooLong,
    /// The target is longer than its limit.
    TargetTooLong,
    /// `Expect` asks for something else than `100-continue` (RFC 9110 section 10.1.1).
    UnknownExpectation,
    /// A field line is longer than its limit.
    FieldTooLong,
    /// There are more fields than their limit.
    TooManyFields,
    /// The head, or the trailer section, is longer than its limit.
    HeadTooLong,
    /// The method is none of those that are registered (RFC 9110 section 9.1).
    UnknownMethod,
    /// A transfer coding other than `chunked` (RFC 9112 section 6.1).
    UnknownCoding,
    /// A major version other than 1 (RFC 9110 section 2.5).
    UnsupportedVersion,
}

impl Error {
    /// The status to answer with.
    pub fn status(self) -> StatusCode {
        match self {
            Error::BadRequestLine
            | Error::BadTarget
            | Error::BadField
            | Error::BadLineEnd
            | Error::BadHost
            | Error::BadContentLength
            | Error::BadTransferEncoding
            | Error::AmbiguousLength
            | Error::BadChunk
            | Error::Truncated => StatusCode::BAD_REQUEST,
            Error::HeadTimeout | Error::ContentTimeout => StatusCode::REQUEST_TIMEOUT,
            Error::ContentTooLong => StatusCode::PAYLOAD_TOO_LARGE,
            Error::TargetTooLong => StatusCode::URI_TOO_LONG,
            Error::UnknownExpectation => StatusCode::EXPECTATION_FAILED,
            Error::FieldTooLong | Error::TooManyFields | Error::HeadTooLong => {
                StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE
            }
            Error::UnknownMethod | Error::UnknownCoding => StatusCode::NOT_IMPLEMENTED,
            Error::UnsupportedVersion => StatusCode::HTTP_VERSION_NOT_SUPPORTED,
        }
    }

    /// What is wrong, in a few words: the content of the standard error answer.
    pub fn reason(self) -> &'static str {
        match self {
            Error::BadRequestLine => "malformed request line",
            Error::BadTarget => "malformed request target",
            Error::BadField => "malformed field line",
            Error::BadLineEnd => "line not ended by CRLF",
            Error::BadHost => "missing, repeated or malformed Host",
            Error::BadContentLength => "repeated or malformed Content-Length",
            Error::BadTransferEncoding => "malformed or misplaced Transfer-Encoding",
            Error::AmbiguousLength => "both Content-Length and Transfer-Encoding",
            Error::BadChunk => "malformed chunk",
            Error::Truncated => "message cut off",
            Error::HeadTimeout => "request head took too long",
            Error::ContentTimeout => "request content took too long",
            Error::ContentTooLong => "request content too long",
            Error::TargetTooLong => "request target too long",
            Error::UnknownExpectation => "unknown expectation",
            Error::FieldTooLong => "field line too long",
            Error::TooManyFields => "too many fields",
            Error::HeadTooLong => "field section too long",
            Error::UnknownMethod => "unknown method",
            Error::UnknownCoding => "unknown transfer coding",
            Error::UnsupportedVersion => "unsupported HTTP version",
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(self.reason())
    }
}

impl std::error::Error for Error {}
