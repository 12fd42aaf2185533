//! [`Form`]: content in `application/x-www-form-urlencoded`.

use serde::de::DeserializeOwned;

use super::{FromRequest, Rejection, Request};
use crate::http::{StatusCode, header};
use crate::sharded::Sharded;

/// The fields of an HTML form, as a struct or a map.
///
/// Refused with 415 unless the content is declared as `application/x-www-form-urlencoded`, with 400
/// if it is not an `F`. For forms that send files there is [`Multipart`](super::Multipart).
///
/// # Examples
/// ```
/// use serde::Deserialize;
/// use sunstar::service::{Form, Redirect};
///
/// #[derive(Deserialize)]
/// struct Login { name: String, remember: Option<String> }
///
/// fn login(Form(login): Form<Login>) -> Redirect {
///     Redirect::see_other(&format!("/home/{}", login.name))
/// }
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Form<F>(pub F);

impl<T, F: DeserializeOwned> FromRequest<T> for Form<F> {
    type Rejection = Rejection;

    fn from_request(request: &Request, _state: &Sharded<T>) -> Result<Form<F>, Rejection> {
        if !request.field(&header::CONTENT_TYPE).is_some_and(is_form) {
            return Err(Rejection::new(
                StatusCode::UNSUPPORTED_MEDIA_TYPE,
                "content is not declared as a form: send \
                 `Content-Type: application/x-www-form-urlencoded`",
            ));
        }
        serde_urlencoded::from_bytes(request.content())
            .map(Form)
            .map_err(|error| Rejection::bad_request(format!("form: {error}")))
    }
}

/// Whether a `Content-Type` names an URL-encoded form.
fn is_form(media_type: &[u8]) -> bool {
    let essence = media_type.split(|&byte| byte == b';').next();
    let essence = essence.unwrap_or_default().trim_ascii();
    essence.eq_ignore_ascii_case(b"application/x-www-form-urlencoded")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, PartialEq, serde::Deserialize)]
    struct Login {
        name: String,
        age: Option<u8>,
    }

    fn read(media_type: &str, content: &'static str) -> Result<Login, (u16, String)> {
        let request = Request::post("/")
            .with_field(header::CONTENT_TYPE, media_type)
            .with_content(content);
        let form = Form::<Login>::from_request(&request, &Sharded::single(()));
        form.map(|Form(login)| login)
            .map_err(|error| (error.status().as_u16(), error.reason().to_owned()))
    }

    const FORM: &str = "application/x-www-form-urlencoded";

    #[test]
    fn a_form_is_decoded_once() {
        let name = "J\u{f6}rg + %41".to_owned();
        let login = Login { name, age: Some(7) };
        assert_eq!(
            read(FORM, "name=J%C3%B6rg+%2B+%2541&age=7&more=1"),
            Ok(login)
        );
        let name = String::new();
        let upper = "Application/X-WWW-Form-URLencoded; charset=UTF-8";
        assert_eq!(read(upper, "name="), Ok(Login { name, age: None }));
    }

    #[test]
    fn what_is_not_declared_as_a_form_is_415() {
        for media_type in ["", "text/plain", "multipart/form-data; boundary=x"] {
            let (status, _) = read(media_type, "name=a").unwrap_err();
            assert_eq!(status, 415, "{media_type}");
        }
    }

    #[test]
    fn what_does_not_fit_is_400() {
        let missing = (400, "form: missing field `name`".to_owned());
        assert_eq!(read(FORM, "age=7"), Err(missing));
        assert_eq!(read(FORM, "name=a&age=x").unwrap_err().0, 400);
    }
}
