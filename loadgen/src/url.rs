//! [`Url`]: where the requests go, `http://host[:port][/path][?query]` and nothing else.
//!
//! What must hold: what goes on the wire (`authority`, `target`) has no byte that could end a line
//! or a word of the request head.

use std::fmt;
use std::io;
use std::net::{SocketAddr, TcpStream, ToSocketAddrs};
use std::time::Duration;

/// How long one address may take to accept the connection that tries it.
const TRY_TIMEOUT: Duration = Duration::from_secs(5);

/// A target of requests over plain TCP.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Url {
    /// What the resolver is asked for: the host without brackets.
    host: String,
    port: u16,
    /// What `Host` says (RFC 9112 section 3.2): host, and port unless it is 80.
    pub(crate) authority: String,
    /// What the request line says: path and query.
    pub(crate) target: String,
}

impl Url {
    /// Reads a URL.
    ///
    /// # Errors
    /// One sentence for the user when it is not of the one form that is understood.
    pub(crate) fn parse(text: &str) -> Result<Url, String> {
        if !text.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err("a URL has no spaces, and %-codes for what is not ASCII".into());
        }
        let scheme = text
            .get(..7)
            .filter(|it| it.eq_ignore_ascii_case("http://"));
        let Some(rest) = scheme.map(|scheme| &text[scheme.len()..]) else {
            return Err(match text.split_once("://") {
                Some(("https", _)) => {
                    "https:// needs TLS, which is not built yet: only http:// is spoken".into()
                }
                Some((scheme, _)) => format!("only http:// is spoken, not {scheme}://"),
                None => format!("a URL starts with http://, as in http://{}", bare(text)),
            });
        };
        if rest.contains('#') {
            return Err("a fragment (#...) is never sent; leave it out".into());
        }
        let end = rest.find(['/', '?']).unwrap_or(rest.len());
        let (authority, target) = rest.split_at(end);
        let (host, port) = split_authority(authority)?;
        let target = match target.as_bytes().first() {
            Some(b'/') => target.to_owned(),
            _ => format!("/{target}"),
        };
        let bracketed = if host.contains(':') {
            format!("[{host}]")
        } else {
            host.to_owned()
        };
        let authority = if port == 80 {
            bracketed
        } else {
            format!("{bracketed}:{port}")
        };
        Ok(Url {
            host: host.to_owned(),
            port,
            authority,
            target,
        })
    }

    /// The same server with another path.
    pub(crate) fn at(&self, target: &str) -> Url {
        Url {
            target: target.to_owned(),
            ..self.clone()
        }
    }

    /// Resolves the name and tries its addresses, IPv6 and IPv4, in the resolver's order; the
    /// first that accepts a connection is the one that is used.
    ///
    /// # Errors
    /// The last address's error when none accepts.
    pub(crate) fn reach(&self) -> io::Result<SocketAddr> {
        let mut last = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
        for address in (self.host.as_str(), self.port).to_socket_addrs()? {
            match TcpStream::connect_timeout(&address, TRY_TIMEOUT) {
                Ok(_) => return Ok(address),
                Err(error) => last = error,
            }
        }
        Err(last)
    }
}

impl fmt::Display for Url {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "http://{}{}", self.authority, self.target)
    }
}

/// What was meant behind a scheme that lacks a colon or a slash.
fn bare(text: &str) -> &str {
    let behind = text.strip_prefix("http");
    match behind.filter(|behind| behind.starts_with([':', '/'])) {
        Some(behind) => behind.trim_start_matches([':', '/']),
        None => text,
    }
}

/// Splits `host[:port]`, `[v6][:port]` into the bare host and the port.
fn split_authority(authority: &str) -> Result<(&str, u16), String> {
    if authority.contains('@') {
        return Err("a URL with a user in it is not understood".into());
    }
    let (host, rest) = match authority.strip_prefix('[') {
        Some(inside) => inside
            .split_once(']')
            .ok_or("the bracket of the IPv6 address is open")?,
        None => authority.split_at(authority.find(':').unwrap_or(authority.len())),
    };
    let bracketed = authority.starts_with('[');
    if bracketed && host.parse::<std::net::Ipv6Addr>().is_err() {
        return Err(format!("[{host}] is not an IPv6 address"));
    }
    let name = |byte: u8| byte.is_ascii_alphanumeric() || b".-_".contains(&byte);
    if host.is_empty() || !(bracketed || host.bytes().all(name)) {
        return Err("there is no host name after http://".into());
    }
    let port = match rest.strip_prefix(':') {
        None if rest.is_empty() => 80,
        Some(digits) if !digits.starts_with('+') => digits.parse().unwrap_or(0),
        _ => 0,
    };
    if port == 0 {
        return Err(format!("{rest} is not a port from :1 to :65535"));
    }
    Ok((host, port))
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    fn parts(text: &str) -> (String, u16, String, String) {
        let url = Url::parse(text).unwrap();
        (url.host, url.port, url.authority, url.target)
    }

    #[test]
    fn a_url_is_taken_apart() {
        let all = [
            ("http://localhost", ("localhost", 80, "localhost", "/")),
            ("HTTP://localhost:80/", ("localhost", 80, "localhost", "/")),
            (
                "http://a.b:8080/x?y=1&z",
                ("a.b", 8080, "a.b:8080", "/x?y=1&z"),
            ),
            ("http://a?q=/", ("a", 80, "a", "/?q=/")),
            ("http://[::1]:81/p", ("::1", 81, "[::1]:81", "/p")),
            ("http://[::1]", ("::1", 80, "[::1]", "/")),
        ];
        for (text, (host, port, authority, target)) in all {
            assert_eq!(
                parts(text),
                (host.into(), port, authority.into(), target.into()),
                "{text}"
            );
        }
    }

    #[test]
    fn a_wrong_url_is_refused_with_a_reason() {
        let all = [
            ("localhost:8080", "http://localhost:8080"),
            ("https://a/", "TLS, which is not built yet"),
            ("http://", "no host"),
            ("http://:80/", "no host"),
            ("http://a:0/", "port"),
            ("http://a:65536/", "port"),
            ("http://a:+8/", "port"),
            ("http://a:/", "port"),
            ("http://a b/", "spaces"),
            ("http://a/\r\nX: y", "spaces"),
            ("http://ä/", "ASCII"),
            ("http://u@a/", "user"),
            ("http://[::1/", "bracket"),
            ("http://[::g]/", "IPv6"),
            ("http://[::1]x/", "port"),
            ("http://a/#top", "fragment"),
        ];
        for (text, reason) in all {
            let error = Url::parse(text).unwrap_err();
            assert!(error.contains(reason), "{text}: {error}");
        }
    }

    #[test]
    fn a_name_is_reached_by_whichever_address_listens() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let url = Url::parse(&format!("http://localhost:{port}/")).unwrap();
        assert_eq!(url.reach().unwrap(), listener.local_addr().unwrap());
        drop(listener);
        assert_eq!(
            url.reach().unwrap_err().kind(),
            io::ErrorKind::ConnectionRefused
        );
    }

    #[test]
    fn another_path_on_the_same_server() {
        let url = Url::parse("http://a:81/x").unwrap().at("/stats");
        assert_eq!(
            (url.authority.as_str(), url.target.as_str()),
            ("a:81", "/stats")
        );
    }
}
