//! [`ContentLimit`]: bounds the content of requests, more closely than the server does.

use crate::http::{StatusCode, header};
use crate::service::{Layer, Next, Reply, Request, Response};

/// Refuses content that is longer than a limit with 413 (RFC 9110 section 15.5.14).
///
/// It takes the place of the server's own limit,
/// [`Limits::content_len_max`](crate::http::Limits::content_len_max), where that is asked after it,
/// and holds for a [`Body`](crate::service::Body) as well.
#[derive(Clone, Copy, Debug)]
pub struct ContentLimit {
    len_max: u64,
}

impl ContentLimit {
    /// Makes a limit of `len_max` bytes.
    pub fn new(len_max: u64) -> ContentLimit {
        ContentLimit { len_max }
    }

    /// Whether what is there, or what was declared, is too long.
    fn is_exceeded(self, request: &Request) -> bool {
        let declared = request.field(&header::CONTENT_LENGTH);
        let declared = declared.and_then(|value| str::from_utf8(value).ok()?.parse().ok());
        let there = u64::try_from(request.content().len()).expect("a length has 64 bits");
        declared.unwrap_or(0).max(there) > self.len_max
    }
}

impl Layer for ContentLimit {
    #[inline]
    fn call(&self, mut request: Request, next: &Next) -> Reply {
        if self.is_exceeded(&request) {
            return Response::new(StatusCode::PAYLOAD_TOO_LARGE).into();
        }
        // What is still to come may have no length.
        request.limit_content(self.len_max);
        next.call(request)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::service::{Service, layered, service_fn};

    fn status(request: Request) -> u16 {
        let service = service_fn(|_| Response::new(StatusCode::OK));
        let reply = layered(ContentLimit::new(8), service).call(request);
        reply.try_response().unwrap().status.as_u16()
    }

    #[test]
    fn content_at_the_limit_is_taken_and_one_byte_more_is_413() {
        assert_eq!(status(Request::post("/")), 200);
        assert_eq!(status(Request::post("/").with_content("12345678")), 200);
        assert_eq!(status(Request::post("/").with_content("123456789")), 413);
    }

    #[test]
    fn a_declared_length_counts_before_the_content_is_there() {
        let declared = |len| Request::post("/").with_field(header::CONTENT_LENGTH, len);
        assert_eq!(status(declared("8")), 200);
        assert_eq!(status(declared("9")), 413);
    }
}
