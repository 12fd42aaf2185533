//! [`Terms`]: what the fields of a head say about the message's length and the connection.
//!
//! What must hold: a length that two readers could understand differently is an error (RFC 9112
//! sections 6.1, 6.3 and 11.2); nothing is guessed.

use super::grammar::{decimal, is_host, is_named, is_token, members, trim};
use super::sender::Asked;
use crate::http::{Error, Version};

/// How the content of a request is framed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Framing {
    /// So many bytes; 0 if nothing is said.
    Sized(u64),
    /// In chunks.
    Chunked,
}

/// What a head says about its message and its connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Terms {
    /// What the answer must know.
    pub(super) asked: Asked,
    /// How the content is framed.
    pub(super) framing: Framing,
    /// Whether the connection may stay after this exchange (RFC 9112 section 9.3).
    pub(super) keeps_alive: bool,
    /// Whether the peer waits for a 100 before it sends the content (RFC 9110 section 10.1.1).
    pub(super) expects_continue: bool,
    /// Whether the peer offers to go on with another protocol (RFC 9110 section 7.8).
    pub(super) upgrades: bool,
}

impl Default for Terms {
    fn default() -> Terms {
        Terms {
            asked: Asked::default(),
            framing: Framing::Sized(0),
            keeps_alive: true,
            expects_continue: false,
            upgrades: false,
        }
    }
}

/// What has been seen in the field lines so far.
#[derive(Default)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is about a field of its own"
)]
pub(super) struct Seen {
    host: bool,
    content_len: Option<u64>,
    coding: Option<Coding>,
    close: bool,
    keep_alive: bool,
    expects_continue: bool,
    /// `Upgrade` is there, and is named by `Connection`.
    upgrade: bool,
    upgrade_option: bool,
}

/// What `Transfer-Encoding` amounts to so far.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
enum Coding {
    /// The field is there and names nothing.
    #[default]
    Nothing,
    /// `chunked`, once, last and alone.
    Chunked,
    /// A coding that we do not know, not behind `chunked`.
    Unknown,
    /// Not a coding, or something behind `chunked`.
    Malformed,
}

impl Seen {
    /// Takes note of a field line. Its value may have white space around it.
    #[inline]
    pub(super) fn note(&mut self, name: &[u8], value: &[u8]) -> Result<(), Error> {
        match name.len() {
            4 if is_named(name, b"host") => self.note_host(value),
            6 if is_named(name, b"expect") => self.note_expect(value),
            7 if is_named(name, b"upgrade") => {
                self.upgrade = true;
                Ok(())
            }
            10 if is_named(name, b"connection") => {
                self.note_connection(value);
                Ok(())
            }
            14 if is_named(name, b"content-length") => self.note_content_len(value),
            17 if is_named(name, b"transfer-encoding") => {
                self.note_codings(value);
                Ok(())
            }
            _ => Ok(()),
        }
    }

    /// Draws the conclusion from all field lines.
    #[inline]
    pub(super) fn conclude(self, version: Version, terms: &mut Terms) -> Result<(), Error> {
        if !self.host && version == Version::Http11 {
            return Err(Error::BadHost);
        }
        terms.framing = match self.coding {
            None => Framing::Sized(self.content_len.unwrap_or(0)),
            Some(coding) => self.conclude_coding(coding, version)?,
        };
        terms.keeps_alive = !self.close && (version == Version::Http11 || self.keep_alive);
        terms.expects_continue = self.expects_continue
            && version == Version::Http11
            && terms.framing != Framing::Sized(0);
        terms.upgrades = self.upgrade && self.upgrade_option && version == Version::Http11;
        Ok(())
    }

    #[inline]
    fn note_host(&mut self, value: &[u8]) -> Result<(), Error> {
        if self.host || !is_host(trim(value)) {
            return Err(Error::BadHost);
        }
        self.host = true;
        Ok(())
    }

    fn note_content_len(&mut self, value: &[u8]) -> Result<(), Error> {
        match (self.content_len, decimal(trim(value))) {
            (None, Some(len)) => {
                self.content_len = Some(len);
                Ok(())
            }
            // Even two equal ones: some intermediary behind us may take the other one.
            _ => Err(Error::BadContentLength),
        }
    }

    fn note_codings(&mut self, value: &[u8]) {
        let before = self.coding.unwrap_or_default();
        self.coding = Some(members(value).fold(before, Coding::followed_by));
    }

    fn note_connection(&mut self, value: &[u8]) {
        for option in members(value) {
            self.close |= option.eq_ignore_ascii_case(b"close");
            self.keep_alive |= option.eq_ignore_ascii_case(b"keep-alive");
            self.upgrade_option |= option.eq_ignore_ascii_case(b"upgrade");
        }
    }

    fn note_expect(&mut self, value: &[u8]) -> Result<(), Error> {
        for expectation in members(value) {
            if !expectation.eq_ignore_ascii_case(b"100-continue") {
                return Err(Error::UnknownExpectation);
            }
            self.expects_continue = true;
        }
        Ok(())
    }

    fn conclude_coding(&self, coding: Coding, version: Version) -> Result<Framing, Error> {
        if self.content_len.is_some() {
            return Err(Error::AmbiguousLength);
        }
        match (coding, version) {
            (Coding::Chunked, Version::Http11) => Ok(Framing::Chunked),
            (Coding::Unknown, Version::Http11) => Err(Error::UnknownCoding),
            _ => Err(Error::BadTransferEncoding),
        }
    }
}

impl Coding {
    /// What the list amounts to with one more member.
    fn followed_by(self, member: &[u8]) -> Coding {
        let (name, has_parameters) = match memchr::memchr(b';', member) {
            Some(at) => (trim(&member[..at]), true),
            None => (member, false),
        };
        let is_chunked = name.eq_ignore_ascii_case(b"chunked");
        match self {
            Coding::Nothing if is_chunked && !has_parameters => Coding::Chunked,
            Coding::Nothing | Coding::Unknown if !is_token(name) => Coding::Malformed,
            // With `chunked` last it is still a coding that we do not know.
            Coding::Nothing | Coding::Unknown if !(is_chunked && has_parameters) => Coding::Unknown,
            _ => Coding::Malformed,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn terms(version: Version, lines: &[(&str, &str)]) -> Result<Terms, Error> {
        let mut seen = Seen::default();
        seen.note(b"Host", b"h")?;
        for (name, value) in lines {
            seen.note(name.as_bytes(), value.as_bytes())?;
        }
        let mut terms = Terms::default();
        seen.conclude(version, &mut terms).map(|()| terms)
    }

    fn framing(lines: &[(&str, &str)]) -> Result<Framing, Error> {
        terms(Version::Http11, lines).map(|terms| terms.framing)
    }

    #[test]
    fn a_coding_list_is_chunked_unknown_or_malformed() {
        let coding = |value| framing(&[("Transfer-Encoding", value)]);
        for chunked in ["chunked", "ChUnKeD", ",chunked", "chunked , ,"] {
            assert_eq!(coding(chunked), Ok(Framing::Chunked), "{chunked}");
        }
        for unknown in [
            "gzip",
            "foo, chunked",
            "foo;a=b",
            "xchunked",
            "identity",
            "foo;a, bar",
        ] {
            assert_eq!(coding(unknown), Err(Error::UnknownCoding), "{unknown}");
        }
        for malformed in [
            "",
            ",",
            "chunked, gzip",
            "chunked, chunked",
            "chunked;q=1",
            "chunked;",
            "a b",
            ";",
            "\"chunked\"",
            "chunked\u{a0}",
            "foo, chunked;a",
            "chunked chunked",
            "foo, ;a",
        ] {
            assert_eq!(
                coding(malformed),
                Err(Error::BadTransferEncoding),
                "{malformed}"
            );
        }
    }

    #[test]
    fn codings_of_several_lines_are_one_list() {
        let two =
            |first, second| framing(&[("Transfer-Encoding", first), ("transfer-encoding", second)]);
        assert_eq!(two("chunked", "chunked"), Err(Error::BadTransferEncoding));
        assert_eq!(two("chunked", "cow"), Err(Error::BadTransferEncoding));
        assert_eq!(two("cow", "chunked"), Err(Error::UnknownCoding));
        assert_eq!(two("", "chunked"), Ok(Framing::Chunked));
    }

    #[test]
    fn an_option_of_the_connection_may_stand_anywhere_in_its_list() {
        let keeps = |version, value| {
            terms(version, &[("Connection", value)]).map(|terms| terms.keeps_alive)
        };
        assert_eq!(keeps(Version::Http11, "x-foo , CLOSE"), Ok(false));
        assert_eq!(keeps(Version::Http11, "closed"), Ok(true));
        assert_eq!(keeps(Version::Http10, "Keep-Alive"), Ok(true));
        assert_eq!(keeps(Version::Http10, "keep-alive, close"), Ok(false));
        assert_eq!(keeps(Version::Http10, ""), Ok(false));
    }
}
