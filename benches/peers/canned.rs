//! What the bare loops share: the words that they are started with, the answers, and the count of
//! heads that stands for parsing.

use std::io::{self, Write};
use std::net::{Ipv4Addr, SocketAddr};
use std::process::ExitCode;

use socket2::{Domain, Socket, Type};

/// The bytes that the framework's `techempower` example sends, with a `Date` that stands still.
const PLAINTEXT: &[u8] = b"HTTP/1.1 200 OK\r\n\
    Server: sunstar\r\n\
    Date: Fri, 20 Nov 2026 12:00:00 GMT\r\n\
    Content-Type: text/plain\r\n\
    Content-Length: 13\r\n\r\n\
    Hello, World!";
/// The bytes with which `app-1mrc` accepts an event.
const ACCEPTED: &[u8] = b"HTTP/1.1 200 OK\r\n\
    Server: sunstar\r\n\
    Date: Fri, 20 Nov 2026 12:00:00 GMT\r\n\
    Content-Length: 0\r\n\r\n";

/// Runs `serve` with the port and whether `--post` was given, as the command line says.
pub(crate) fn run(name: &str, serve: fn(u16, bool) -> io::Result<()>) -> ExitCode {
    let mut words = std::env::args().skip(1);
    let port = words.next().and_then(|word| word.parse::<u16>().ok());
    let is_post = words.next().is_some_and(|word| word == "--post");
    let Some(port) = port else {
        eprintln!("usage: {name} PORT [--post]");
        return ExitCode::from(2);
    };
    match serve(port, is_post) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{name}: {error}");
            ExitCode::FAILURE
        }
    }
}

/// The bytes of one answer.
pub(crate) fn answer(is_post: bool) -> &'static [u8] {
    if is_post { ACCEPTED } else { PLAINTEXT }
}

/// Listens on a port of the loopback interface.
pub(crate) fn listen(port: u16) -> io::Result<Socket> {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
    socket.set_reuse_address(true)?;
    socket.set_reuse_port(true)?;
    // Accepted sockets inherit it.
    socket.set_tcp_nodelay(true)?;
    socket.bind(&SocketAddr::from((Ipv4Addr::LOCALHOST, port)).into())?;
    socket.listen(4096)?;
    Ok(socket)
}

/// Says where it listens.
pub(crate) fn announce(listener: &Socket) -> io::Result<()> {
    let address = listener.local_addr()?;
    let address = address.as_socket().expect("bound to an IPv4 address");
    let mut out = io::stdout().lock();
    writeln!(out, "listening on {address}")?;
    out.flush()
}

/// How many requests end in what one read has brought.
///
/// # Panics
/// If the read has ended within a request.
#[inline]
pub(crate) fn count_heads(input: &[u8], is_post: bool) -> usize {
    let is_whole = input.ends_with(b"\r\n\r\n") || is_post && input.ends_with(b"}");
    assert!(is_whole, "a read has ended within a request");
    // No search and no branch, in a type that lets the compiler take eight bytes at once.
    let ends = input
        .windows(4)
        .map(|four| u16::from(*four == *b"\r\n\r\n"));
    usize::from(ends.sum::<u16>())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_head_is_counted_once() {
        let get = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n";
        assert_eq!(count_heads(get, false), 1);
        assert_eq!(count_heads(&get.repeat(16), false), 16);
        assert_eq!(count_heads(b"POST / HTTP/1.1\r\n\r\n{}", true), 1);
        assert_eq!(count_heads(b"{\"a\": 1}", true), 0);
    }

    #[test]
    #[should_panic(expected = "within a request")]
    fn a_read_that_ends_within_a_request_is_noticed() {
        count_heads(b"GET / HTTP/1.1\r\n\r", true);
    }
}
