//! [`Template`]: the bytes of a request, laid out once.
//!
//! What must hold: one request line, one `Host`, one right `Content-Length`; nothing that a user
//! gives can start another line.

use crate::head;
use crate::url::Url;

/// The methods whose requests announce a content even when it is empty (RFC 9110 section 8.6).
const WITH_CONTENT: [&str; 3] = ["POST", "PUT", "PATCH"];

/// A header field that the user asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Header {
    name: String,
    value: String,
}

impl Header {
    /// Reads `Name: value`.
    ///
    /// # Errors
    /// One sentence for the user when it is no field, or one that loadgen writes by itself.
    pub(crate) fn parse(text: &str) -> Result<Header, String> {
        let (name, value) = text.split_once(':').ok_or("a header is 'Name: value'")?;
        if name.is_empty() || !name.bytes().all(head::is_token) {
            return Err(format!("'{name}' is not the name of a header"));
        }
        if ["content-length", "transfer-encoding"].contains(&name.to_ascii_lowercase().as_str()) {
            return Err(format!("{name} is loadgen's to write"));
        }
        let value = value.trim_matches([' ', '\t']);
        if !value.bytes().all(head::is_value_byte) {
            return Err(format!("the value of {name} has a control character in it"));
        }
        Ok(Header {
            name: name.to_owned(),
            value: value.to_owned(),
        })
    }
}

/// Reads the name of a method.
///
/// # Errors
/// One sentence for the user when it is no token, or CONNECT, which asks for a tunnel.
pub(crate) fn parse_method(text: &str) -> Result<String, String> {
    if text.is_empty() || !text.bytes().all(head::is_token) {
        return Err("a method is one word, as GET".into());
    }
    match text {
        "CONNECT" => Err("CONNECT asks for a tunnel, which loadgen does not speak".into()),
        _ => Ok(text.to_owned()),
    }
}

/// One request, ready to be sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Template {
    bytes: Vec<u8>,
}

impl Template {
    /// Lays out a request. A header of the user's named `Host` takes the place of the URL's.
    pub(crate) fn new(
        method: &str,
        url: &Url,
        headers: &[Header],
        body: Option<&[u8]>,
    ) -> Template {
        let mut lines = vec![format!("{method} {} HTTP/1.1", url.target)];
        let is_host = |header: &Header| header.name.eq_ignore_ascii_case("host");
        if !headers.iter().any(is_host) {
            lines.push(format!("Host: {}", url.authority));
        }
        lines.extend(
            headers
                .iter()
                .map(|Header { name, value }| format!("{name}: {value}")),
        );
        if body.is_some() || WITH_CONTENT.contains(&method) {
            let len = body.map_or(0, <[u8]>::len);
            lines.push(format!("Content-Length: {len}"));
        }
        let mut bytes = (lines.join("\r\n") + "\r\n\r\n").into_bytes();
        bytes.extend_from_slice(body.unwrap_or_default());
        Template { bytes }
    }

    /// A request as it is.
    pub(crate) fn verbatim(bytes: Vec<u8>) -> Template {
        Template { bytes }
    }

    /// The bytes of one request.
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(method: &str, headers: &[&str], body: Option<&[u8]>) -> String {
        let url = Url::parse("http://a:81/x?y").unwrap();
        let headers: Vec<_> = headers
            .iter()
            .map(|text| Header::parse(text).unwrap())
            .collect();
        let template = Template::new(method, &url, &headers, body);
        String::from_utf8(template.bytes().to_vec()).unwrap()
    }

    #[test]
    fn a_request_is_laid_out_to_the_byte() {
        assert_eq!(
            text("GET", &[], None),
            "GET /x?y HTTP/1.1\r\nHost: a:81\r\n\r\n"
        );
        assert_eq!(
            text("POST", &["X-A:  b c\t", "Empty:"], Some(b"hello")),
            "POST /x?y HTTP/1.1\r\nHost: a:81\r\nX-A: b c\r\nEmpty: \r\n\
             Content-Length: 5\r\n\r\nhello"
        );
    }

    #[test]
    fn a_method_with_content_says_that_there_is_none() {
        assert!(text("POST", &[], None).ends_with("\r\nContent-Length: 0\r\n\r\n"));
        assert!(!text("DELETE", &[], None).contains("Content-Length"));
        assert!(text("DELETE", &[], Some(b"")).ends_with("\r\nContent-Length: 0\r\n\r\n"));
    }

    #[test]
    fn the_users_host_takes_the_urls_place() {
        assert_eq!(
            text("GET", &["host: b"], None),
            "GET /x?y HTTP/1.1\r\nhost: b\r\n\r\n"
        );
    }

    #[test]
    fn nothing_given_can_start_another_line() {
        for header in [
            "no colon",
            ": v",
            "A B: v",
            "A: v\r\nB: w",
            "A\n: v",
            "A: \0",
        ] {
            assert!(Header::parse(header).is_err(), "{header:?}");
        }
        assert!(Header::parse("content-LENGTH: 5").is_err());
        assert!(Header::parse("Transfer-Encoding: chunked").is_err());
        for method in ["", "G T", "GET\r\n", "CONNECT"] {
            assert!(parse_method(method).is_err(), "{method:?}");
        }
        assert_eq!(parse_method("QUERY").as_deref(), Ok("QUERY"));
    }
}
