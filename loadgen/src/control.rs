//! [`exchange`]: one request before or after a run, on a connection of its own, blocking.
//!
//! What must hold: the answer is read by the same strict codec as those of the run; no step waits
//! longer than it was told to.

use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::os::unix::net::UnixStream;
use std::time::Duration;

use crate::codec::Parser;
use crate::head;
use crate::learned::Learned;
use crate::plan::Place;
use crate::template::Template;

/// The longest answer that is kept.
const ANSWER_LEN_MAX: usize = 1024 * 1024;

/// A whole answer.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Answer {
    /// The status code.
    pub(crate) status: u16,
    /// What `Content-Type` says, up to parameters; empty when it is missing.
    pub(crate) content_type: String,
    /// The content, without its transfer coding.
    pub(crate) content: Vec<u8>,
}

/// Why there is no answer.
#[derive(Debug)]
pub(crate) enum NoAnswer {
    /// The server could not be asked.
    Unreachable(io::Error),
    /// What came is no answer.
    Malformed(String),
}

/// Sends one request and reads its answer; `timeout` is for each step of it.
///
/// # Errors
/// When there is no whole answer.
pub(crate) fn exchange(
    place: &Place,
    request: &Template,
    timeout: Duration,
) -> Result<Answer, NoAnswer> {
    let mut stream = open(place, request, timeout).map_err(NoAnswer::Unreachable)?;
    let malformed = |error: head::Error| NoAnswer::Malformed(error.to_string());
    let mut parser = Parser::new(false);
    let (mut bytes, mut content) = (Vec::new(), Vec::new());
    let mut piece = [0; 8 * 1024];
    let status = loop {
        let len = read_some(&mut stream, &mut piece).map_err(NoAnswer::Unreachable)?;
        if len == 0 {
            let answer = parser.feed_end().map_err(malformed)?;
            let answer = answer.ok_or_else(|| malformed(head::Error::Truncated))?;
            break answer.status;
        }
        bytes.extend_from_slice(&piece[..len]);
        let sink = |bytes: &[u8]| content.extend_from_slice(bytes);
        let fed = parser.feed(&piece[..len], &mut Learned::default(), sink);
        match fed.map_err(malformed)? {
            (_, None) if bytes.len() > ANSWER_LEN_MAX => {
                return Err(NoAnswer::Malformed(
                    "the answer is longer than 1 MiB".into(),
                ));
            }
            (_, None) => {}
            (read, Some(_)) if read < len => return Err(malformed(head::Error::Surplus)),
            (_, Some(answer)) => break answer.status,
        }
    };
    Ok(Answer {
        status,
        content_type: content_type(&bytes),
        content,
    })
}

/// Reads what there is. A read with a timeout is not taken up again by the kernel after a signal
/// (signal(7)), nor after work of a ring of the same thread.
pub(crate) fn read_some(stream: &mut impl Read, piece: &mut [u8]) -> io::Result<usize> {
    loop {
        match stream.read(piece) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            result => return result,
        }
    }
}

/// A stream of either kind.
trait Stream: Read + Write {}
impl<T: Read + Write> Stream for T {}

fn open(place: &Place, request: &Template, timeout: Duration) -> io::Result<Box<dyn Stream>> {
    let timeout_of_each = Some(timeout);
    let mut stream: Box<dyn Stream> = match place {
        Place::Tcp(address) => {
            let stream = TcpStream::connect_timeout(address, timeout)?;
            stream.set_read_timeout(timeout_of_each)?;
            stream.set_write_timeout(timeout_of_each)?;
            Box::new(stream)
        }
        Place::Unix(path) => {
            let stream = UnixStream::connect(path)?;
            stream.set_read_timeout(timeout_of_each)?;
            stream.set_write_timeout(timeout_of_each)?;
            Box::new(stream)
        }
    };
    stream.write_all(request.bytes())?;
    Ok(stream)
}

/// The `Content-Type` of the final response at the end of `bytes`, which the parser has accepted.
fn content_type(mut bytes: &[u8]) -> String {
    while let Ok(Some(end)) = head::end_of_head(bytes, 0) {
        let head = &bytes[..end];
        if head::parse(head, false).is_ok_and(|meaning| meaning.status >= 200) {
            let mut fields = head::fields(head).filter_map(Result::ok);
            let found =
                fields.find(|(name, _)| head[name.clone()].eq_ignore_ascii_case(b"content-type"));
            let value = found.map(|(_, value)| String::from_utf8_lossy(&head[value]).into_owned());
            let value = value.unwrap_or_default();
            return value
                .split(';')
                .next()
                .unwrap_or_default()
                .trim()
                .to_ascii_lowercase();
        }
        bytes = &bytes[end..];
    }
    String::new()
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;
    use std::thread;

    use super::*;
    use crate::url::Url;

    const PATIENCE: Duration = Duration::from_secs(10);

    /// Asks a server that reads one request and then says `answer` and closes.
    fn ask(answer: &'static str) -> Result<Answer, NoAnswer> {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let server = thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut request = [0; 1024];
            let len = stream.read(&mut request).unwrap();
            assert!(request[..len].ends_with(b"\r\n\r\n"));
            stream.write_all(answer.as_bytes()).unwrap();
        });
        let url = Url::parse("http://a/stats").unwrap();
        let result = exchange(
            &Place::Tcp(address),
            &Template::new("GET", &url, &[], None),
            PATIENCE,
        );
        server.join().unwrap();
        result
    }

    #[test]
    fn an_answer_comes_with_its_type_and_content() {
        let answer = ask("HTTP/1.1 103 Early Hints\r\nContent-Type: no\r\n\r\n\
            HTTP/1.1 200 OK\r\ncontent-type: Application/JSON; charset=utf-8\r\n\
            Transfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n");
        let expected = ("application/json".to_owned(), b"{}".to_vec());
        let answer = answer.unwrap();
        assert_eq!(
            (answer.status, (answer.content_type, answer.content)),
            (200, expected)
        );
        let answer = ask("HTTP/1.1 404 Not Found\r\n\r\nno").unwrap();
        assert_eq!((answer.status, answer.content_type.as_str()), (404, ""));
        assert_eq!(answer.content, b"no");
    }

    #[test]
    fn a_read_that_is_interrupted_goes_on() {
        struct Interrupted(u32);
        impl Read for Interrupted {
            fn read(&mut self, piece: &mut [u8]) -> io::Result<usize> {
                self.0 += 1;
                if self.0 < 3 {
                    return Err(io::ErrorKind::Interrupted.into());
                }
                piece[0] = b'a';
                Ok(1)
            }
        }
        let mut piece = [0; 4];
        assert_eq!(read_some(&mut Interrupted(0), &mut piece).unwrap(), 1);
        assert_eq!(piece[0], b'a');
    }

    #[test]
    fn what_is_no_answer_is_a_failure() {
        let truncated = ask("HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n{}");
        assert!(matches!(truncated, Err(NoAnswer::Malformed(text)) if text.contains("closed")));
        let silent = ask("");
        assert!(matches!(silent, Err(NoAnswer::Malformed(_))));
        let surplus = ask("HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n{}");
        assert!(matches!(surplus, Err(NoAnswer::Malformed(text)) if text.contains("asked for")));
    }

    #[test]
    fn nobody_there_is_unreachable() {
        let address = TcpListener::bind("127.0.0.1:0")
            .unwrap()
            .local_addr()
            .unwrap();
        let url = Url::parse("http://a/").unwrap();
        let result = exchange(
            &Place::Tcp(address),
            &Template::new("GET", &url, &[], None),
            PATIENCE,
        );
        assert!(matches!(result, Err(NoAnswer::Unreachable(_))));
    }
}
