//! [`TypedHeader`]: fields as the types of the crate `headers` (feature `headers`).

use headers::Header;

use super::{FromRequest, IntoResponse, Rejection, Request, Response};
use crate::http::HeaderValue;
use crate::mem::Pool;
use crate::sharded::Sharded;

/// A field of a request or a response as a type, such as `headers::Authorization<Bearer>`.
///
/// As an argument it is refused with 400 if the field is missing or malformed; as the first half of
/// a pair it is added to a response. The types are those of the crate `headers`, which a program
/// names as a dependency of its own.
///
/// # Examples
/// ```
/// use sunstar::service::TypedHeader;
///
/// fn agent(TypedHeader(agent): TypedHeader<headers::UserAgent>) -> String {
///     agent.to_string()
/// }
///
/// fn cached() -> (TypedHeader<headers::CacheControl>, &'static str) {
///     (TypedHeader(headers::CacheControl::new().with_no_store()), "fresh")
/// }
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TypedHeader<H>(pub H);

impl<T, H: Header> FromRequest<T> for TypedHeader<H> {
    type Rejection = Rejection;

    fn from_request(request: &Request, _state: &Sharded<T>) -> Result<TypedHeader<H>, Rejection> {
        let lines = request.fields().named(H::name().as_str());
        let values: Result<Vec<_>, _> = lines.map(HeaderValue::from_bytes).collect();
        let malformed = || Rejection::bad_request(format!("field `{}` is malformed", H::name()));
        let values = values.map_err(|_| malformed())?;
        if values.is_empty() {
            let reason = format!("field `{}` is missing", H::name());
            return Err(Rejection::bad_request(reason));
        }
        let header = H::decode(&mut values.iter());
        header.map(TypedHeader).map_err(|_| malformed())
    }
}

/// The response with this field set.
impl<H: Header, R: IntoResponse> IntoResponse for (TypedHeader<H>, R) {
    fn into_response(self, pool: &Pool) -> Response {
        let (TypedHeader(header), inner) = self;
        let mut response = inner.into_response(pool);
        let mut values = Vec::with_capacity(1);
        header.encode(&mut values);
        response.fields.remove(H::name());
        for value in values {
            response.fields.append(H::name().clone(), value);
        }
        response
    }
}

#[cfg(test)]
mod tests {
    use headers::authorization::Bearer;
    use headers::{Authorization, CacheControl, Host};

    use super::*;
    use crate::http::header;

    type Token = TypedHeader<Authorization<Bearer>>;

    fn token(request: &Request) -> Result<String, (u16, String)> {
        let token = Token::from_request(request, &Sharded::single(()));
        token
            .map(|TypedHeader(token)| token.token().to_owned())
            .map_err(|error| (error.status().as_u16(), error.reason().to_owned()))
    }

    #[test]
    fn a_field_is_read_as_its_type() {
        let request = Request::get("/").with_field(header::AUTHORIZATION, "Bearer abc");
        assert_eq!(token(&request), Ok("abc".to_owned()));
    }

    #[test]
    fn a_missing_and_a_malformed_field_are_400_and_named() {
        let missing = (400, "field `authorization` is missing".to_owned());
        assert_eq!(token(&Request::get("/")), Err(missing));
        let basic = Request::get("/").with_field(header::AUTHORIZATION, "Basic abc");
        let malformed = (400, "field `authorization` is malformed".to_owned());
        assert_eq!(token(&basic), Err(malformed));
        let host = Request::get("/").with_field(header::HOST, "a b");
        assert!(TypedHeader::<Host>::from_request(&host, &Sharded::single(())).is_err());
    }

    #[test]
    fn a_response_has_the_field_once() {
        let no_store = || TypedHeader(CacheControl::new().with_no_store());
        let response = (no_store(), (no_store(), "x")).into_response(&Pool::new());
        let values: Vec<_> = response
            .fields
            .iter()
            .filter(|(n, _)| *n == "cache-control")
            .collect();
        assert_eq!(values, [("cache-control", &b"no-store"[..])]);
    }
}
