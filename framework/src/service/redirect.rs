//! [`Redirect`]: sends the client to another place.
//!
//! What must hold: whatever text is given, `Location` is one line of visible ASCII.

use percent_encoding::{AsciiSet, CONTROLS, utf8_percent_encode};

use super::{IntoResponse, Response};
use crate::http::{HeaderValue, StatusCode, header};
use crate::mem::Pool;

/// What cannot stand in a reference (RFC 3986). What may be percent-encoded already stays.
const NOT_IN_A_REFERENCE: &AsciiSet = &CONTROLS
    .add(b' ')
    .add(b'"')
    .add(b'<')
    .add(b'>')
    .add(b'\\')
    .add(b'^')
    .add(b'`')
    .add(b'{')
    .add(b'|')
    .add(b'}');

/// An answer that sends the client to another place by `Location` (RFC 9110 section 15.4).
///
/// The place is a path such as `/login` or a whole URL. Characters that cannot stand in it are
/// percent-encoded. One that comes from a client leads wherever the client says: check it first.
///
/// # Examples
/// ```
/// use sunstar::service::Redirect;
///
/// fn post_order() -> Redirect {
///     Redirect::see_other("/orders/7")
/// }
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Redirect {
    status: StatusCode,
    location: String,
}

impl Redirect {
    /// 307: for now, with the same method and content.
    pub fn to(location: &str) -> Redirect {
        Redirect::with_status(StatusCode::TEMPORARY_REDIRECT, location)
    }

    /// 308: for good, with the same method and content. Browsers remember it.
    pub fn permanent(location: &str) -> Redirect {
        Redirect::with_status(StatusCode::PERMANENT_REDIRECT, location)
    }

    /// 303: the outcome is there, to be read with GET. For the answer to a form.
    pub fn see_other(location: &str) -> Redirect {
        Redirect::with_status(StatusCode::SEE_OTHER, location)
    }

    fn with_status(status: StatusCode, location: &str) -> Redirect {
        let location = utf8_percent_encode(location, NOT_IN_A_REFERENCE).to_string();
        Redirect { status, location }
    }
}

impl IntoResponse for Redirect {
    fn into_response(self, _pool: &Pool) -> Response {
        let location = HeaderValue::try_from(self.location).expect("encoded to visible ASCII");
        Response::new(self.status).with_field(header::LOCATION, location)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parts(redirect: Redirect) -> (u16, String) {
        let response = redirect.into_response(&Pool::new());
        let location = response.fields.get(&header::LOCATION).unwrap().to_vec();
        (
            response.status.as_u16(),
            String::from_utf8(location).unwrap(),
        )
    }

    #[test]
    fn each_kind_has_its_status() {
        assert_eq!(parts(Redirect::to("/a?b#c")), (307, "/a?b#c".into()));
        assert_eq!(
            parts(Redirect::permanent("https://a.b/")),
            (308, "https://a.b/".into())
        );
        assert_eq!(parts(Redirect::see_other("/%41")), (303, "/%41".into()));
    }

    #[test]
    fn no_text_breaks_out_of_the_line() {
        let (_, location) = parts(Redirect::to("/a\r\nSet-Cookie: b=\u{fc} \"\0"));
        assert_eq!(location, "/a%0D%0ASet-Cookie:%20b=%C3%BC%20%22%00");
    }
}
