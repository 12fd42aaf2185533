//! What the loops on other runtimes do with a request: find its end with httparse, and count it.

/// Sixteen of the challenge's posts at once.
pub(crate) const BUFFER_LEN: usize = 4096;
/// More answers than one buffer holds requests.
pub(crate) const ANSWERS_MAX: usize = BUFFER_LEN / 16;
const FIELDS_MAX: usize = 32;

/// How many requests `input` holds, with the content that their `Content-Length` announces.
///
/// # Panics
/// If the read has ended within a request, or one cannot be parsed.
#[inline]
pub(crate) fn count_requests(mut input: &[u8]) -> usize {
    let mut count = 0;
    while !input.is_empty() {
        let mut fields = [httparse::EMPTY_HEADER; FIELDS_MAX];
        let mut request = httparse::Request::new(&mut fields);
        let parsed = request.parse(input).expect("a load generator's requests");
        assert!(parsed.is_complete(), "a read has ended within a request");
        let len = parsed.unwrap() + content_len(&request);
        input = input.get(len..).expect("a read has ended within a request");
        count += 1;
    }
    count
}

fn content_len(request: &httparse::Request<'_, '_>) -> usize {
    let mut fields = request.headers.iter();
    let field = fields.find(|field| field.name.eq_ignore_ascii_case("content-length"));
    let value = field.and_then(|field| std::str::from_utf8(field.value).ok()?.parse().ok());
    value.unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_request_is_counted_once() {
        let get = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n";
        let post = b"POST / HTTP/1.1\r\ncontent-length: 2\r\n\r\n{}";
        assert_eq!(count_requests(&get.repeat(16)), 16);
        assert_eq!(count_requests(&[&get[..], post, get].concat()), 3);
    }

    #[test]
    #[should_panic(expected = "within a request")]
    fn a_read_that_ends_within_a_request_is_noticed() {
        count_requests(b"POST / HTTP/1.1\r\nContent-Length: 2\r\n\r\n{");
    }
}
