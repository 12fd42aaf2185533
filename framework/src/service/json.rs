//! [`Json`]: content in JSON, as an argument and as a response (feature `json`).
//!
//! What must hold: a response is written straight into a buffer of the shard's pool.

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::error::Category;

use super::{FromRequest, IntoResponse, Rejection, Request, Response};
use crate::http::{FixedFields, StatusCode, header};
use crate::mem::Pool;
use crate::sharded::Sharded;

/// A value that is read from, or written as, JSON (RFC 8259).
///
/// As an argument it refuses content that
/// - is declared to be of another type: 415. `application/json`, every type that ends in `+json`
///   and no type at all are taken; what an HTML form can send without asking is not.
/// - is not JSON, or is empty, or nests deeper than 128: 400.
/// - is JSON, but not a `V`: 422.
///
/// A number is read as the double that is nearest to it.
///
/// As a response it is 200, `application/json`; 500 if the value cannot be serialised.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Json<V>(pub V);

impl<T, V: DeserializeOwned> FromRequest<T> for Json<V> {
    type Rejection = Rejection;

    fn from_request(request: &Request, _state: &Sharded<T>) -> Result<Json<V>, Rejection> {
        if !request.field(&header::CONTENT_TYPE).is_none_or(is_json) {
            return Err(Rejection::new(
                StatusCode::UNSUPPORTED_MEDIA_TYPE,
                "content is not declared as JSON: send `Content-Type: application/json`",
            ));
        }
        serde_json::from_slice(request.content())
            .map(Json)
            .map_err(|error| {
                let status = match error.classify() {
                    Category::Data => StatusCode::UNPROCESSABLE_ENTITY,
                    Category::Io | Category::Syntax | Category::Eof => StatusCode::BAD_REQUEST,
                };
                Rejection::new(status, error.to_string())
            })
    }
}

/// Whether a `Content-Type` names JSON; its parameters say nothing about that.
fn is_json(media_type: &[u8]) -> bool {
    let essence = media_type.split(|&byte| byte == b';').next();
    let essence = essence.unwrap_or_default().trim_ascii();
    let suffix = essence.len().saturating_sub(b"+json".len());
    essence.eq_ignore_ascii_case(b"application/json")
        || essence.contains(&b'/') && essence[suffix..].eq_ignore_ascii_case(b"+json")
}

/// Room for a usual response; a longer one makes the buffer grow.
const USUAL_LEN: usize = 1024;

impl<V: Serialize> IntoResponse for Json<V> {
    fn into_response(self, pool: &Pool) -> Response {
        let mut content = pool.buffer(USUAL_LEN);
        match serde_json::to_writer(&mut content, &self.0) {
            Ok(()) => Response::of(
                const { FixedFields::new("content-type: application/json\r\n") },
                content.freeze(),
            ),
            Err(error) => {
                tracing::error!("a response could not be serialised: {error}");
                Response::new(StatusCode::INTERNAL_SERVER_ERROR)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, PartialEq, serde::Deserialize, serde::Serialize)]
    struct Event {
        user: String,
        value: f64,
    }

    const EVENT: &str = r#"{"user":"a","value":1.5}"#;

    fn read(request: &Request) -> Result<Event, Rejection> {
        let json = Json::<Event>::from_request(request, &Sharded::single(()));
        json.map(|Json(event)| event)
    }

    fn status_of(content: &'static str) -> u16 {
        let rejection = read(&Request::post("/").with_content(content)).unwrap_err();
        rejection.status().as_u16()
    }

    #[test]
    fn json_is_read_whatever_json_type_it_is_declared_as() {
        let request = || Request::post("/").with_content(EVENT);
        assert_eq!(read(&request()).unwrap().value.to_bits(), 1.5_f64.to_bits());
        for media_type in [
            "application/json",
            "Application/JSON; charset=utf-8",
            "application/problem+json",
            "model/gltf+json ;x",
        ] {
            let declared = request().with_field(header::CONTENT_TYPE, media_type);
            assert!(read(&declared).is_ok(), "{media_type}");
        }
    }

    #[test]
    fn a_number_is_the_double_that_is_nearest_to_it() {
        for text in ["31.245270191439438", "121.48791951161945", "0.1", "1e-323"] {
            let request = Request::post("/").with_content(text);
            let read = Json::<f64>::from_request(&request, &Sharded::single(()));
            let nearest: f64 = text.parse().unwrap();
            assert_eq!(read.unwrap().0.to_bits(), nearest.to_bits(), "{text}");
        }
    }

    #[test]
    fn content_of_another_type_is_refused_unread() {
        for media_type in [
            "text/plain",
            "application/x-www-form-urlencoded",
            "application/jsonp",
            "+json",
            "",
        ] {
            let declared = Request::post("/")
                .with_content(EVENT)
                .with_field(header::CONTENT_TYPE, media_type);
            assert_eq!(read(&declared).unwrap_err().status(), 415, "{media_type}");
        }
    }

    #[test]
    fn what_is_not_json_is_400_and_what_does_not_fit_is_422() {
        for content in [
            "",
            "{",
            "{]",
            "{\"user\":\"a\",\"value\":1.5} x",
            "\u{feff}{}",
        ] {
            assert_eq!(status_of(content), 400, "{content}");
        }
        for content in ["{}", "[]", "null", "{\"user\":1,\"value\":1.5}"] {
            assert_eq!(status_of(content), 422, "{content}");
        }
    }

    #[test]
    fn a_response_lies_in_one_block_of_the_pool() {
        let pool = Pool::new();
        let user = "a".to_owned();
        let response = Json(Event { user, value: 1.5 }).into_response(&pool);
        assert_eq!(response.status, StatusCode::OK);
        assert_eq!(response.content.as_bytes(), EVENT.as_bytes());
        let media_type = response.fields.get(&header::CONTENT_TYPE).unwrap();
        assert_eq!(media_type, b"application/json");
        assert_eq!(pool.outstanding(), 1);
    }

    #[test]
    fn a_long_response_is_whole() {
        let all: Vec<u32> = (0..10_000).collect();
        let response = Json(&all).into_response(&Pool::new());
        let read: Vec<u32> = serde_json::from_slice(response.content.as_bytes()).unwrap();
        assert_eq!(read, all);
    }

    #[test]
    fn a_value_that_cannot_be_serialised_is_500_also_with_a_status_before_it() {
        let map = std::collections::BTreeMap::from([((1, 2), "a tuple is no key")]);
        let response = (StatusCode::CREATED, Json(map)).into_response(&Pool::new());
        assert_eq!(response.status, StatusCode::INTERNAL_SERVER_ERROR);
        assert!(response.content.as_bytes().is_empty());
    }
}
