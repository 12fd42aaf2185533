//! [`Upgrade`]: a request's offer to go on with another protocol; [`Upgraded`]: the connection
//! after that.
//!
//! What must hold: the connection changes hands only when the whole request was read, the peer has
//! offered it, and the head that says so is on its way; whatever the peer sent early comes first in
//! what the other protocol reads, and what follows an offer that was not taken up is the next
//! request (RFC 9110 section 7.8).

use std::convert::Infallible;
use std::fmt;
use std::io;
use std::pin::Pin;

use super::{FromRequest, Request, Response};
use crate::http::{HeaderValue, StatusCode, Version, header};
use crate::mem::Buf;
use crate::net::TcpStream;
use crate::sharded::Sharded;

/// What a request says about going on with another protocol: nothing, or which ones it offers.
///
/// # Examples
/// ```
/// use sunstar::service::{Response, Upgrade, Upgraded};
///
/// /// Sends back whatever comes, once the peer has agreed to that.
/// fn echo(upgrade: Upgrade) -> Response {
///     upgrade.to("echo", |mut connection: Upgraded| async move {
///         while let Ok(Some(bytes)) = connection.recv().await {
///             connection.stream().queue(bytes);
///             if connection.stream().flush().await.is_err() {
///                 break;
///             }
///         }
///     })
/// }
/// ```
#[derive(Clone, Debug)]
pub struct Upgrade {
    /// The values of `Upgrade`, if `Connection` names it and the version allows it.
    offers: Vec<Buf>,
}

impl Upgrade {
    /// Whether the peer offers `protocol`, such as `websocket`; in any case.
    pub fn offers(&self, protocol: &str) -> bool {
        let members = self.offers.iter().flat_map(|line| members(line));
        members
            .into_iter()
            .any(|offer| offer.eq_ignore_ascii_case(protocol.as_bytes()))
    }

    /// Answers 101 and hands the connection over to `take_over`, which runs until its future ends;
    /// then the connection is closed. 426 if the peer has not offered `protocol`.
    ///
    /// A stop of the server drops the future when the time of grace is over.
    ///
    /// # Panics
    /// If `protocol` is no field value.
    pub fn to<F>(
        self,
        protocol: &'static str,
        take_over: impl FnOnce(Upgraded) -> F + 'static,
    ) -> Response
    where
        F: Future<Output = ()> + 'static,
    {
        let response = if self.offers(protocol) {
            Response::new(StatusCode::SWITCHING_PROTOCOLS).with_upgrade(take_over)
        } else {
            Response::new(StatusCode::UPGRADE_REQUIRED)
        };
        response.with_field(header::UPGRADE, HeaderValue::from_static(protocol))
    }
}

/// The members of a list field (RFC 9110 section 5.6.1).
fn members(value: &[u8]) -> impl Iterator<Item = &[u8]> {
    value.split(|&byte| byte == b',').map(<[u8]>::trim_ascii)
}

impl<T> FromRequest<T> for Upgrade {
    type Rejection = Infallible;

    fn from_request(request: &Request, _state: &Sharded<T>) -> Result<Upgrade, Infallible> {
        let named = |name: header::HeaderName| {
            let lines = request.fields();
            let of_name = move |(known, _): &(&str, _)| known.eq_ignore_ascii_case(name.as_str());
            lines.filter(of_name).map(|(_, value)| value)
        };
        let is_option = |option: &[u8]| option.eq_ignore_ascii_case(b"upgrade");
        let is_named = named(header::CONNECTION).any(|value| members(value).any(is_option));
        let mut offers = Vec::new();
        if is_named && request.version() == Version::Http11 {
            let copy = |value: &[u8]| request.pool().copy(value);
            offers.extend(named(header::UPGRADE).map(copy));
        }
        Ok(Upgrade { offers })
    }
}

/// A connection that is no longer HTTP's, nor under its timeouts: what the peer may take its time
/// for is the other protocol's to say, see [`TcpStream::set_write_timeout`].
#[derive(Debug)]
pub struct Upgraded {
    stream: TcpStream,
    /// What came behind the request.
    unread: Buf,
}

impl Upgraded {
    pub(crate) fn new(stream: TcpStream, unread: Buf) -> Upgraded {
        // How long a peer may rest is the other protocol's to say; on what is not TCP it is moot.
        if let Err(error) = stream.set_write_timeout(None) {
            tracing::debug!(%error, "the write timeout of a connection stays");
        }
        Upgraded { stream, unread }
    }

    /// The next bytes from the peer, beginning with those that it sent early; `None` once it has
    /// ended its side.
    ///
    /// # Errors
    /// As [`TcpStream::recv`].
    ///
    /// # Cancel safety
    /// Dropping the future loses nothing.
    pub async fn recv(&mut self) -> io::Result<Option<Buf>> {
        if self.unread.is_empty() {
            self.stream.recv().await
        } else {
            Ok(Some(std::mem::take(&mut self.unread)))
        }
    }

    /// The connection, to send on; what [`recv`](Upgraded::recv) has not given yet may be missing
    /// from what it receives.
    pub fn stream(&mut self) -> &mut TcpStream {
        &mut self.stream
    }

    /// The connection, and what came before that was not given yet.
    pub fn into_parts(self) -> (TcpStream, Buf) {
        (self.stream, self.unread)
    }
}

/// What goes on with the connection.
type Run = Box<dyn FnOnce(Upgraded) -> Pin<Box<dyn Future<Output = ()>>>>;

/// What becomes of a connection behind the head of a response: see [`Response::with_upgrade`].
pub struct Takeover {
    run: Run,
}

impl Takeover {
    pub(super) fn new<F>(take_over: impl FnOnce(Upgraded) -> F + 'static) -> Takeover
    where
        F: Future<Output = ()> + 'static,
    {
        Takeover {
            run: Box::new(|upgraded| Box::pin(take_over(upgraded))),
        }
    }

    /// Hands the connection over.
    pub(crate) fn run(self, upgraded: Upgraded) -> Pin<Box<dyn Future<Output = ()>>> {
        (self.run)(upgraded)
    }
}

impl fmt::Debug for Takeover {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Takeover").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::service::Content;

    fn offer(connection: &str, upgrade: &str) -> Upgrade {
        let request = Request::get("/")
            .with_field(header::CONNECTION, connection)
            .with_field(header::UPGRADE, upgrade);
        let Ok(upgrade) = Upgrade::from_request(&request, &Sharded::single(()));
        upgrade
    }

    #[test]
    fn a_protocol_is_offered_in_any_case_and_anywhere_in_its_list() {
        assert!(offer("Upgrade", "echo").offers("echo"));
        assert!(offer("keep-alive, UPGRADE", "h2c, Echo").offers("echo"));
        assert!(!offer("Upgrade", "echo2").offers("echo"));
        assert!(!offer("keep-alive", "echo").offers("echo"), "hop by hop");
    }

    #[test]
    fn only_what_was_offered_is_taken_up() {
        let taken = offer("upgrade", "echo").to("echo", |_| async {});
        assert_eq!(taken.status, 101);
        assert!(matches!(taken.content, Content::Upgrade(_)));
        let refused = offer("upgrade", "h2c").to("echo", |_| async {});
        assert_eq!(refused.status, 426);
        assert!(matches!(refused.content, Content::Empty));
        for response in [taken, refused] {
            assert_eq!(response.fields.get(&header::UPGRADE), Some(&b"echo"[..]));
        }
    }
}
