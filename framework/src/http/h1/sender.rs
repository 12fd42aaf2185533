//! [`Sender`]: the sending direction of a connection, from answers to bytes.
//!
//! What must hold: an answer's content is as long as its head says, or the connection closes before
//! another answer; nothing is sent where HTTP allows no content.

use super::encode::{self, ConnectionField, LengthField};
use super::said::Said;
use crate::http::{Fields, Length, Method, StatusCode, Version};
use crate::mem::{Buf, Chain, Pool};

/// What the answer must know about its request.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Asked {
    /// By HEAD: the answer has no content (RFC 9110 section 9.3.2).
    pub(super) is_head: bool,
    /// By CONNECT: an answer of success has no content (RFC 9110 section 9.3.6).
    pub(super) is_connect: bool,
    /// By an HTTP/1.0 client, which knows neither chunks nor 1xx.
    pub(super) is_http10: bool,
}

impl Asked {
    pub(super) fn by(method: &Method, version: Version) -> Asked {
        Asked {
            is_head: *method == Method::HEAD,
            is_connect: *method == Method::CONNECT,
            is_http10: version == Version::Http10,
        }
    }
}

/// How the content of an answer is framed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Framing {
    /// There is none, whatever is sent.
    Nothing,
    /// So many bytes are to come.
    Sized(u64),
    Chunked,
    /// By the close of the connection.
    UntilClose,
}

/// How far the answer is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// No request waits for one.
    Idle,
    /// Its head is due.
    Due(Asked),
    /// Its content is due.
    Content(Framing),
}

/// The sending direction of a connection.
pub(super) struct Sender {
    output: Chain,
    state: State,
}

impl Sender {
    pub(super) fn new() -> Sender {
        Sender {
            output: Chain::new(),
            state: State::Idle,
        }
    }

    /// Learns that a request waits for its answer.
    #[inline]
    pub(super) fn expect_answer(&mut self, asked: Asked) {
        self.state = State::Due(asked);
    }

    /// Gives up the answer, wherever it is.
    pub(super) fn abandon(&mut self) {
        self.state = State::Idle;
    }

    /// Whether no request waits for an answer or for the rest of one.
    #[inline]
    pub(super) fn is_idle(&self) -> bool {
        self.state == State::Idle
    }

    /// Whether a request waits for the head of its answer.
    #[inline]
    pub(super) fn is_due(&self) -> bool {
        matches!(self.state, State::Due(_))
    }

    #[inline]
    pub(super) fn pop(&mut self) -> Option<Buf> {
        self.output.pop()
    }

    #[inline]
    pub(super) fn output_len(&self) -> usize {
        self.output.len()
    }

    /// Sends an interim head (RFC 9110 section 15.2), unless the peer is too old for it.
    pub(super) fn send_interim(&mut self, pool: &Pool, status: StatusCode, fields: &Fields) {
        if matches!(self.state, State::Due(asked) if !asked.is_http10) {
            let (length, connection) = (LengthField::Omitted, ConnectionField::Omitted);
            self.output.write_with(pool, |out| {
                encode::head(out, status, fields, length, connection, b"");
            });
        }
    }

    /// Sends the head of the answer. Returns whether the connection stays, which it does at most
    /// if `stays`.
    ///
    /// # Panics
    /// If no request waits for one.
    #[inline]
    pub(super) fn send_head(
        &mut self,
        pool: &Pool,
        status: StatusCode,
        fields: &Fields,
        length: Length,
        stays: bool,
        standing: &[u8],
    ) -> bool {
        let State::Due(asked) = self.state else {
            panic!("an answer without a request that waits for one");
        };
        let (length, framing) = frame(asked, status, length);
        let stays = stays && framing != Framing::UntilClose;
        let connection = match (stays, asked.is_http10) {
            (false, _) => ConnectionField::Close,
            (true, true) => ConnectionField::KeepAlive,
            (true, false) => ConnectionField::Omitted,
        };
        self.output.write_with(pool, |out| {
            encode::head(out, status, fields, length, connection, standing);
        });
        self.state = State::Content(framing);
        stays
    }

    /// Sends the head of an answer behind which the connection is no longer HTTP's, to a peer that
    /// has offered or asked for that. Tells whether it has; otherwise nothing is sent.
    pub(super) fn send_upgrade(
        &mut self,
        pool: &Pool,
        status: StatusCode,
        fields: &Fields,
        is_offered: bool,
        standing: &[u8],
    ) -> bool {
        let connection = match self.state {
            State::Due(asked) if asked.is_connect && status.is_success() => {
                ConnectionField::Omitted
            }
            State::Due(_) if is_offered && status == StatusCode::SWITCHING_PROTOCOLS => {
                ConnectionField::Upgrade
            }
            _ => return false,
        };
        self.output.write_with(pool, |out| {
            encode::head(
                out,
                status,
                fields,
                LengthField::Omitted,
                connection,
                standing,
            );
        });
        self.state = State::Idle;
        true
    }

    /// Sends a whole answer of 200 behind which the connection stays, if nothing else is unusual
    /// either: the request is not, and the content is short. Tells whether it was sent.
    ///
    /// No field may be about framing.
    #[inline]
    pub(super) fn send_usual(
        &mut self,
        pool: &Pool,
        fields: &Fields,
        content: &[u8],
        standing: &[u8],
        said: Option<&Said>,
    ) -> bool {
        if self.state != State::Due(Asked::default()) || !Chain::copies(content.len()) {
            return false;
        }
        let said = said.zip(fields.all_fixed());
        self.output.write_with(pool, |out| {
            if let Some((said, fixed)) = said {
                return said.write(out, fixed, content, standing);
            }
            encode::usual_head(out, fields.lines(), content.len(), standing);
            out.extend_from_slice(content);
        });
        self.state = State::Idle;
        true
    }

    /// Sends a whole answer. Returns whether the connection stays, which it does at most if
    /// `stays`.
    ///
    /// # Panics
    /// If no request waits for one.
    #[inline]
    pub(super) fn send_whole(
        &mut self,
        pool: &Pool,
        status: StatusCode,
        fields: &Fields,
        content: Buf,
        stays: bool,
        standing: &[u8],
    ) -> bool {
        let length = Length::Known(u64::try_from(content.len()).expect("a length fits 64 bits"));
        let stays = self.send_head(pool, status, fields, length, stays, standing);
        self.send_data(pool, content);
        self.send_end(pool) && stays
    }

    /// Sends content of the answer; what is over its length, or not wanted, is left out.
    #[inline]
    pub(super) fn send_data(&mut self, pool: &Pool, mut data: Buf) {
        match &mut self.state {
            State::Content(Framing::Sized(left)) => {
                data.truncate(usize::try_from(*left).unwrap_or(usize::MAX));
                *left -= u64::try_from(data.len()).expect("a length fits 64 bits");
                self.output.push(pool, data);
            }
            // An empty chunk would be the last one.
            State::Content(Framing::Chunked) if !data.is_empty() => {
                self.output
                    .write_with(pool, |out| encode::chunk_size(out, data.len()));
                self.output.push(pool, data);
                self.output.write(pool, b"\r\n");
            }
            State::Content(Framing::UntilClose) => self.output.push(pool, data),
            _ => {}
        }
    }

    /// Whether content would be sent, were there more.
    pub(super) fn wants_data(&self) -> bool {
        matches!(
            self.state,
            State::Content(Framing::Sized(1..) | Framing::Chunked | Framing::UntilClose)
        )
    }

    /// Ends the answer. Returns whether it is as long as its head said.
    #[inline]
    pub(super) fn send_end(&mut self, pool: &Pool) -> bool {
        self.send_trailers(pool, &Fields::new())
    }

    /// Ends the answer with a trailer section, if its framing has a place for one.
    #[inline]
    pub(super) fn send_trailers(&mut self, pool: &Pool, trailers: &Fields) -> bool {
        let state = std::mem::replace(&mut self.state, State::Idle);
        if state == State::Content(Framing::Chunked) {
            self.output
                .write_with(pool, |out| encode::last_chunk(out, trailers));
        }
        !matches!(state, State::Due(_) | State::Content(Framing::Sized(1..)))
    }
}

/// Chooses what the head says of the length and how the content is framed (RFC 9112 section 6.3).
#[inline]
fn frame(asked: Asked, status: StatusCode, length: Length) -> (LengthField, Framing) {
    let has_no_content = status.is_informational()
        || status == StatusCode::NO_CONTENT
        || asked.is_connect && status.is_success();
    if has_no_content {
        return (LengthField::Omitted, Framing::Nothing);
    }
    if status == StatusCode::NOT_MODIFIED {
        return (LengthField::AsGiven, Framing::Nothing);
    }
    if status == StatusCode::RESET_CONTENT {
        return (LengthField::Known(0), Framing::Nothing);
    }
    let (field, framing) = match length {
        Length::Known(len) => (LengthField::Known(len), Framing::Sized(len)),
        Length::Unknown if asked.is_http10 => (LengthField::Omitted, Framing::UntilClose),
        Length::Unknown => (LengthField::Chunked, Framing::Chunked),
    };
    match field {
        _ if !asked.is_head => (field, framing),
        LengthField::Known(0) => (LengthField::AsGiven, Framing::Nothing),
        field => (field, Framing::Nothing),
    }
}
