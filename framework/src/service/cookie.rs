//! [`Cookies`]: what a client has kept for us; [`SetCookie`]: what it is to keep (RFC 6265).
//!
//! What must hold: a cookie that we set holds nothing that could end it early: what RFC 6265
//! section 4.1.1 does not admit panics where it is written, and never stands on the wire.

use std::borrow::Cow;
use std::convert::Infallible;
use std::fmt::Write;
use std::time::Duration;

use super::{FromRequest, IntoResponse, Request, Response};
use crate::http::{Head, HeaderValue, header};
use crate::mem::Pool;
use crate::sharded::Sharded;

/// The cookies of a request. Costs nothing until they are looked at, and never an allocation.
///
/// They are what the client says: a name may stand twice, and a value is not signed.
///
/// # Examples
/// ```
/// use sunstar::service::{Cookies, SetCookie};
///
/// fn visit(cookies: Cookies) -> (SetCookie, String) {
///     let visits = cookies.value("visits").and_then(|text| text.parse().ok()).unwrap_or(0_u32);
///     let cookie = SetCookie::new("visits", (visits + 1).to_string());
///     (cookie, format!("you were here {visits} times"))
/// }
/// ```
#[derive(Clone, Debug)]
pub struct Cookies {
    head: Head,
}

impl Cookies {
    /// The value of the first cookie of this name, without the quotes that may stand around it.
    pub fn value(&self, name: &str) -> Option<&str> {
        self.iter()
            .find(|(known, _)| *known == name)
            .map(|(_, value)| value)
    }

    /// Name and value of each cookie, in the order in which they were sent. Pairs that are not
    /// ASCII or have no `=` are passed over.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        let lines = self.head.fields().named(header::COOKIE.as_str());
        lines.flat_map(|line| line.split(|&byte| byte == b';').filter_map(pair))
    }
}

fn pair(text: &[u8]) -> Option<(&str, &str)> {
    let text = str::from_utf8(text).ok().filter(|text| text.is_ascii())?;
    let (name, value) = text.split_once('=')?;
    let (name, value) = (name.trim(), value.trim());
    let quoted = value
        .strip_prefix('"')
        .and_then(|value| value.strip_suffix('"'));
    (!name.is_empty()).then_some((name, quoted.unwrap_or(value)))
}

impl<T> FromRequest<T> for Cookies {
    type Rejection = Infallible;

    #[inline]
    fn from_request(request: &Request, _state: &Sharded<T>) -> Result<Cookies, Infallible> {
        let head = request.head().clone();
        Ok(Cookies { head })
    }
}

/// When a browser sends a cookie along with requests that another site has caused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SameSite {
    /// Never.
    Strict,
    /// Only when the user follows a link.
    Lax,
    /// Always. The cookie is `Secure` then, as browsers demand.
    None,
}

/// A cookie that the client is to keep, as a part of a response: return `(cookie, response)`.
///
/// Its defaults are the careful ones: `HttpOnly` (no script reads it), `SameSite=Lax`, `Path=/`,
/// and until the browser is closed. Over TLS add [`secure`](SetCookie::secure).
#[derive(Clone, Debug)]
pub struct SetCookie {
    name: Cow<'static, str>,
    value: Cow<'static, str>,
    path: Cow<'static, str>,
    domain: Option<Cow<'static, str>>,
    max_age: Option<Duration>,
    same_site: SameSite,
    is_http_only: bool,
    is_secure: bool,
}

impl SetCookie {
    /// Makes a cookie. One whose name begins with `__Host-` or `__Secure-` is `Secure`.
    ///
    /// # Panics
    /// If the name is no token, or the value holds anything but visible ASCII without quote, comma,
    /// semicolon and backslash: encode what comes from elsewhere (percent-encoding, base64).
    pub fn new(
        name: impl Into<Cow<'static, str>>,
        value: impl Into<Cow<'static, str>>,
    ) -> SetCookie {
        let (name, value) = (name.into(), value.into());
        let is_token = !name.is_empty() && name.bytes().all(is_token_byte);
        assert!(
            is_token,
            "cookie `{name}`: a name is a token such as `session`"
        );
        let fits = value.bytes().all(is_value_byte);
        assert!(
            fits,
            "cookie `{name}`: encode its value, `{value}` cannot stand there"
        );
        let is_secure = name.starts_with("__Host-") || name.starts_with("__Secure-");
        SetCookie {
            name,
            value,
            path: "/".into(),
            domain: None,
            max_age: None,
            same_site: SameSite::Lax,
            is_http_only: true,
            is_secure,
        }
    }

    /// Tells the client to forget the cookie of this name.
    ///
    /// # Panics
    /// As [`new`](SetCookie::new).
    pub fn removal(name: impl Into<Cow<'static, str>>) -> SetCookie {
        SetCookie::new(name, "").with_max_age(Duration::ZERO)
    }

    /// Has it sent over TLS only.
    #[must_use]
    pub fn secure(mut self) -> SetCookie {
        self.is_secure = true;
        self
    }

    /// Lets scripts read it.
    #[must_use]
    pub fn readable_by_scripts(mut self) -> SetCookie {
        self.is_http_only = false;
        self
    }

    /// Has it kept this long, in whole seconds, instead of until the browser is closed.
    #[must_use]
    pub fn with_max_age(mut self, max_age: Duration) -> SetCookie {
        self.max_age = Some(max_age);
        self
    }

    /// Has it sent for this path and what is below.
    ///
    /// # Panics
    /// If it does not begin with `/`, or holds a semicolon or what is not visible ASCII.
    #[must_use]
    pub fn with_path(mut self, path: impl Into<Cow<'static, str>>) -> SetCookie {
        self.path = path.into();
        let fits = self.path.starts_with('/') && self.path.bytes().all(is_attribute_byte);
        assert!(
            fits,
            "cookie path `{}`: write it like `/account`",
            self.path
        );
        self
    }

    /// Has it sent to this domain and those below it, instead of to this host alone.
    ///
    /// # Panics
    /// If it is no host name.
    #[must_use]
    pub fn with_domain(mut self, domain: impl Into<Cow<'static, str>>) -> SetCookie {
        let domain = domain.into();
        let is_host = |byte: u8| byte.is_ascii_alphanumeric() || b"-.".contains(&byte);
        let fits = !domain.is_empty() && domain.bytes().all(is_host);
        assert!(
            fits,
            "cookie domain `{domain}`: write it like `example.org`"
        );
        self.domain = Some(domain);
        self
    }

    /// Says when it is sent along with requests from other sites.
    #[must_use]
    pub fn with_same_site(mut self, same_site: SameSite) -> SetCookie {
        self.same_site = same_site;
        self.is_secure |= same_site == SameSite::None;
        self
    }

    fn write(&self, line: &mut String) -> std::fmt::Result {
        write!(line, "{}={}; Path={}", self.name, self.value, self.path)?;
        if let Some(domain) = &self.domain {
            write!(line, "; Domain={domain}")?;
        }
        if let Some(max_age) = self.max_age {
            write!(line, "; Max-Age={}", max_age.as_secs())?;
        }
        write!(line, "; SameSite={:?}", self.same_site)?;
        line.push_str(if self.is_http_only { "; HttpOnly" } else { "" });
        line.push_str(if self.is_secure { "; Secure" } else { "" });
        Ok(())
    }
}

/// The value of `Set-Cookie`.
impl From<&SetCookie> for HeaderValue {
    fn from(cookie: &SetCookie) -> HeaderValue {
        let mut line = String::with_capacity(96);
        cookie.write(&mut line).expect("a string grows");
        HeaderValue::try_from(line).expect("every part was checked")
    }
}

/// The response with one cookie more.
impl<R: IntoResponse> IntoResponse for (SetCookie, R) {
    fn into_response(self, pool: &Pool) -> Response {
        let (cookie, inner) = self;
        let mut response = inner.into_response(pool);
        response.fields.append(header::SET_COOKIE, (&cookie).into());
        response
    }
}

/// A byte of a token (RFC 9110 section 5.6.2).
fn is_token_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

/// A byte of a cookie's value (RFC 6265 section 4.1.1).
fn is_value_byte(byte: u8) -> bool {
    byte.is_ascii_graphic() && !b"\",;\\".contains(&byte)
}

/// A byte of an attribute's value (RFC 6265 section 4.1.1).
fn is_attribute_byte(byte: u8) -> bool {
    byte.is_ascii_graphic() && byte != b';'
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::StatusCode;

    fn cookies(lines: &[&str]) -> Cookies {
        let request = lines.iter().fold(Request::get("/"), |request, line| {
            request.with_field(header::COOKIE, line)
        });
        match Cookies::from_request(&request, &Sharded::single(())) {
            Ok(cookies) => cookies,
            Err(never) => match never {},
        }
    }

    fn line(cookie: SetCookie) -> String {
        HeaderValue::from(&cookie).to_str().unwrap().to_owned()
    }

    #[test]
    fn cookies_are_found_by_name_over_all_lines() {
        let cookies = cookies(&["a=1; b=\"two words\";c=x=y", " d = 4 ;a=5"]);
        let all: Vec<_> = cookies.iter().collect();
        let expected = [
            ("a", "1"),
            ("b", "two words"),
            ("c", "x=y"),
            ("d", "4"),
            ("a", "5"),
        ];
        assert_eq!(all, expected);
        assert_eq!(cookies.value("a"), Some("1"));
        assert_eq!(cookies.value("A"), None);
    }

    #[test]
    fn malformed_pairs_are_passed_over() {
        let cookies = cookies(&["; ;=1;a;b=;\u{fc}=1;c=\"x"]);
        let all: Vec<_> = cookies.iter().collect();
        assert_eq!(all, [("b", ""), ("c", "\"x")]);
    }

    #[test]
    fn a_cookie_is_careful_unless_told_otherwise() {
        let careful = "a=1; Path=/; SameSite=Lax; HttpOnly";
        assert_eq!(line(SetCookie::new("a", "1")), careful);
        let all = SetCookie::new("a", "1")
            .with_path("/x")
            .with_domain("example.org")
            .with_max_age(Duration::from_millis(60_999))
            .with_same_site(SameSite::Strict)
            .readable_by_scripts()
            .secure();
        let expected = "a=1; Path=/x; Domain=example.org; Max-Age=60; SameSite=Strict; Secure";
        assert_eq!(line(all), expected);
        let removal = "a=; Path=/; Max-Age=0; SameSite=Lax; HttpOnly";
        assert_eq!(line(SetCookie::removal("a")), removal);
    }

    #[test]
    fn what_browsers_take_only_over_tls_is_secure() {
        for name in ["__Host-a", "__Secure-a"] {
            assert!(line(SetCookie::new(name, "1")).ends_with("; Secure"));
        }
        let anywhere = SetCookie::new("a", "1").with_same_site(SameSite::None);
        assert!(line(anywhere).ends_with("; SameSite=None; HttpOnly; Secure"));
    }

    #[test]
    fn a_response_may_set_several_cookies() {
        let both = (
            SetCookie::new("a", "1"),
            (SetCookie::new("b", "2"), StatusCode::CREATED),
        );
        let response = both.into_response(&Pool::new());
        assert_eq!(
            (response.status, response.fields.len()),
            (StatusCode::CREATED, 2)
        );
    }

    #[test]
    #[should_panic(expected = "encode its value")]
    fn a_value_that_would_add_attributes_is_refused() {
        let _ = SetCookie::new("a", "1; Domain=evil.example");
    }

    #[test]
    #[should_panic(expected = "encode its value")]
    fn a_value_with_a_line_break_is_refused() {
        let _ = SetCookie::new("a", "1\r\nX: y");
    }

    #[test]
    #[should_panic(expected = "a name is a token")]
    fn a_name_with_an_equals_sign_is_refused() {
        let _ = SetCookie::new("a=b", "1");
    }

    #[test]
    #[should_panic(expected = "write it like `/account`")]
    fn a_path_with_a_semicolon_is_refused() {
        let _ = SetCookie::new("a", "1").with_path("/;Domain=x");
    }
}
