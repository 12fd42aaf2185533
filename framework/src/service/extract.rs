//! [`FromRequest`]: what a handler can take as an argument; [`Rejection`]: the answer if it cannot.
//!
//! What must hold: an extractor never waits (the content is there before the handler starts, or the
//! handler asks for it by itself), and a refusal is a response: the handler is not called.

use std::borrow::Cow;
use std::convert::Infallible;
use std::error::Error;
use std::fmt::{self, Write};

use serde::de::DeserializeOwned;

use super::{IntoResponse, Request, Response};
use crate::http::{FixedFields, Method, StatusCode};
use crate::mem::{Buf, Pool};
use crate::sharded::Sharded;

/// What can be taken out of a request, on a shard whose state is `T`.
///
/// Implement it for types of your own, for every `T` unless they need the state.
///
/// # Examples
/// ```
/// use sunstar::http::{StatusCode, header};
/// use sunstar::service::{FromRequest, Request};
/// use sunstar::Sharded;
///
/// struct Token(String);
///
/// impl<T> FromRequest<T> for Token {
///     type Rejection = StatusCode;
///
///     fn from_request(request: &Request, _: &Sharded<T>) -> Result<Token, StatusCode> {
///         let value = request.field(&header::AUTHORIZATION);
///         let text = value.and_then(|value| std::str::from_utf8(value).ok());
///         let token = text.and_then(|text| text.strip_prefix("Bearer "));
///         token.map(|token| Token(token.into())).ok_or(StatusCode::UNAUTHORIZED)
///     }
/// }
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be taken out of a request to a router whose state is `{T}`",
    label = "not an argument of a handler",
    note = "`Path`, `Query`, `Json`, `Bytes`, `Body`, `String`, `Method` and `Sharded<{T}>` can; \
            implement `FromRequest` for a type of your own"
)]
pub trait FromRequest<T>: Sized {
    /// What is answered when the request does not hold it.
    type Rejection: IntoResponse;

    /// Whether it reads the content by itself, as [`Body`](super::Body) does. A handler with such
    /// an argument starts when the head is there; one without gets its content whole.
    const STREAMS: bool = false;

    /// Takes it out of the request, or says why that cannot be done.
    ///
    /// # Errors
    /// The response that is sent in place of the handler's.
    fn from_request(request: &Request, state: &Sharded<T>) -> Result<Self, Self::Rejection>;
}

/// The query of the target, read as `application/x-www-form-urlencoded` into a `Q`.
///
/// No query is read as an empty one. Refused with 400.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Query<Q>(pub Q);

/// The whole content as it came, of any media type. Costs no copy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bytes(pub Buf);

impl<T: 'static> FromRequest<T> for Sharded<T> {
    type Rejection = Infallible;

    #[inline]
    fn from_request(_request: &Request, state: &Sharded<T>) -> Result<Sharded<T>, Infallible> {
        Ok(*state)
    }
}

impl<T, Q: DeserializeOwned> FromRequest<T> for Query<Q> {
    type Rejection = Rejection;

    fn from_request(request: &Request, _state: &Sharded<T>) -> Result<Query<Q>, Rejection> {
        let query = request.query().unwrap_or_default();
        serde_urlencoded::from_str(query)
            .map(Query)
            .map_err(|error| Rejection::bad_request(format!("query: {error}")))
    }
}

impl<T> FromRequest<T> for Bytes {
    type Rejection = Infallible;

    #[inline]
    fn from_request(request: &Request, _state: &Sharded<T>) -> Result<Bytes, Infallible> {
        Ok(Bytes(request.content().clone()))
    }
}

/// The whole content as text, of any media type. Refused with 400 unless it is UTF-8.
impl<T> FromRequest<T> for String {
    type Rejection = Rejection;

    fn from_request(request: &Request, _state: &Sharded<T>) -> Result<String, Rejection> {
        std::str::from_utf8(request.content())
            .map(str::to_owned)
            .map_err(|error| Rejection::bad_request(format!("content: {error}")))
    }
}

impl<T> FromRequest<T> for Method {
    type Rejection = Infallible;

    #[inline]
    fn from_request(request: &Request, _state: &Sharded<T>) -> Result<Method, Infallible> {
        Ok(request.method().clone())
    }
}

/// Hands the refusal to the handler instead of answering with it.
impl<T, X: FromRequest<T>> FromRequest<T> for Result<X, X::Rejection> {
    type Rejection = Infallible;
    const STREAMS: bool = X::STREAMS;

    #[inline]
    fn from_request(request: &Request, state: &Sharded<T>) -> Result<Self, Infallible> {
        Ok(X::from_request(request, state))
    }
}

/// 200, `application/octet-stream`. No copy.
impl IntoResponse for Bytes {
    #[inline]
    fn into_response(self, pool: &Pool) -> Response {
        self.0.into_response(pool)
    }
}

/// Why an extractor refused a request: a status and a sentence.
///
/// As a response it is `application/json` of one line: `{"error":"..."}`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rejection {
    status: StatusCode,
    reason: Cow<'static, str>,
}

impl Rejection {
    /// Makes a rejection. The reason is for the client's eyes.
    pub fn new(status: StatusCode, reason: impl Into<Cow<'static, str>>) -> Rejection {
        let reason = reason.into();
        Rejection { status, reason }
    }

    /// A 400.
    pub(super) fn bad_request(reason: impl Into<Cow<'static, str>>) -> Rejection {
        Rejection::new(StatusCode::BAD_REQUEST, reason)
    }

    /// The status of the response.
    pub fn status(&self) -> StatusCode {
        self.status
    }

    /// What the response says.
    pub fn reason(&self) -> &str {
        &self.reason
    }
}

impl IntoResponse for Rejection {
    fn into_response(self, pool: &Pool) -> Response {
        let mut line = pool.buffer(self.reason.len() + 16);
        line.extend_from_slice(b"{\"error\":\"");
        for character in self.reason.chars() {
            let written = match character {
                '"' | '\\' => write!(line, "\\{character}"),
                '\0'..='\x1f' => write!(line, "\\u{:04x}", u32::from(character)),
                _ => line.write_char(character),
            };
            written.expect("a buffer grows");
        }
        line.extend_from_slice(b"\"}");
        let response = Response::of(
            const { FixedFields::new("content-type: application/json\r\n") },
            line.freeze(),
        );
        (self.status, response).into_response(pool)
    }
}

impl fmt::Display for Rejection {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}: {}", self.status, self.reason)
    }
}

impl Error for Rejection {}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::http::header;

    /// Extracts on a shard without state.
    fn extract<X: FromRequest<()>>(request: &Request) -> Result<X, X::Rejection> {
        X::from_request(request, &Sharded::single(()))
    }

    #[derive(Debug, PartialEq, serde::Deserialize)]
    struct Page {
        number: u32,
        order: Option<String>,
    }

    #[test]
    fn a_query_is_decoded_once() {
        let request = Request::get("/?number=7&order=a%2Bb+c%2525");
        let Query(page) = extract::<Query<Page>>(&request).unwrap();
        let order = Some("a+b c%25".to_owned());
        assert_eq!(page, Page { number: 7, order });
    }

    #[test]
    fn no_query_is_an_empty_one() {
        let all = extract::<Query<BTreeMap<String, String>>>(&Request::get("/")).unwrap();
        assert!(all.0.is_empty());
        let rejection = extract::<Query<Page>>(&Request::get("/")).unwrap_err();
        assert_eq!(rejection.status(), StatusCode::BAD_REQUEST);
        assert_eq!(rejection.reason(), "query: missing field `number`");
    }

    #[test]
    fn content_is_taken_without_a_copy() {
        let request = Request::post("/").with_content("h\u{e9}llo");
        let Bytes(content) = extract::<Bytes>(&request).unwrap();
        assert_eq!(content.as_ptr(), request.content().as_ptr());
        assert_eq!(extract::<String>(&request).unwrap(), "h\u{e9}llo");
    }

    #[test]
    fn content_that_is_not_text_is_no_string() {
        let request = Request::post("/").with_content(vec![0xff]);
        let rejection = extract::<String>(&request).unwrap_err();
        assert_eq!(rejection.status(), StatusCode::BAD_REQUEST);
    }

    #[test]
    fn a_handler_can_take_the_refusal_itself() {
        let outcome = extract::<Result<Query<Page>, Rejection>>(&Request::get("/?number=x"));
        let Ok(Err(rejection)) = outcome else {
            panic!("the extractor refused, and its result is the value")
        };
        assert_eq!(rejection.reason(), "query: invalid digit found in string");
    }

    #[test]
    fn a_rejection_is_one_line_of_json() {
        let rejection = Rejection::new(StatusCode::CONFLICT, "\"a\\b\"\r\n\u{1}\u{e9}");
        assert_eq!(
            rejection.to_string(),
            "409 Conflict: \"a\\b\"\r\n\u{1}\u{e9}"
        );
        let response = rejection.into_response(&Pool::new());
        assert_eq!(response.status, StatusCode::CONFLICT);
        let media_type = response.fields.get(&header::CONTENT_TYPE).unwrap();
        assert_eq!(media_type, b"application/json");
        let expected = r#"{"error":"\"a\\b\"\u000d\u000a\u0001é"}"#;
        assert_eq!(
            std::str::from_utf8(response.content.as_bytes()),
            Ok(expected)
        );
    }
}
