//! [`Cors`]: which pages of other origins may use a service, as browsers ask it (Fetch standard).
//!
//! What must hold: an answer that depends on `Origin` says so in `Vary`; no answer names an origin
//! that was not allowed; credentials are never allowed together with "any origin".

use std::time::Duration;

use crate::http::{Fields, HeaderName, HeaderValue, Method, StatusCode, header};
use crate::service::{Layer, Next, Reply, Request, Response};

/// Tells browsers which pages of other origins may read the answers, and answers their questions
/// beforehand (preflights) with 204.
///
/// A preflight is an `OPTIONS` with `Origin` and `Access-Control-Request-Method`; it is answered
/// here and reaches no handler. Nothing else is refused: CORS protects the readers of answers, not
/// the service. Requests without `Origin` go through untouched.
///
/// # Examples
/// ```
/// use std::time::Duration;
/// use sunstar::http::{Method, header};
/// use sunstar::service::layers::Cors;
///
/// let cors = Cors::for_origins(["https://example.org"])
///     .with_methods([Method::GET, Method::PUT])
///     .with_fields([header::CONTENT_TYPE])
///     .with_max_age(Duration::from_mins(10));
/// ```
#[derive(Clone, Debug)]
pub struct Cors {
    /// `None` allows any.
    origins: Option<Vec<HeaderValue>>,
    methods: HeaderValue,
    fields: Option<HeaderValue>,
    exposed: Option<HeaderValue>,
    max_age: Option<HeaderValue>,
    credentials: bool,
}

impl Cors {
    /// Allows pages of every origin to read the answers, without credentials.
    pub fn for_any_origin() -> Cors {
        Cors {
            origins: None,
            methods: HeaderValue::from_static("GET, HEAD, POST"),
            fields: None,
            exposed: None,
            max_age: None,
            credentials: false,
        }
    }

    /// Allows pages of these origins, each such as `https://example.org` or
    /// `http://localhost:8000`.
    ///
    /// # Panics
    /// If one is not a scheme and a host, with a port at most: browsers send nothing else, so it
    /// would never match.
    pub fn for_origins<'a>(origins: impl IntoIterator<Item = &'a str>) -> Cors {
        let origins = origins.into_iter().map(|origin| {
            let (_, host) = origin.split_once("://").unwrap_or_default();
            let ends_well = !host.is_empty() && !host.contains(['/', '?', '#', '*', ' ']);
            assert!(
                ends_well,
                "origin `{origin}`: write it like `https://example.org`"
            );
            HeaderValue::from_str(origin).expect("an origin is visible ASCII")
        });
        Cors {
            origins: Some(origins.collect()),
            ..Cors::for_any_origin()
        }
    }

    /// Allows these methods. Default: GET, HEAD and POST.
    #[must_use]
    pub fn with_methods(mut self, methods: impl IntoIterator<Item = Method>) -> Cors {
        self.methods = list(methods).expect("a method is a token");
        self
    }

    /// Allows these request fields, beyond those that are always allowed.
    #[must_use]
    pub fn with_fields(mut self, fields: impl IntoIterator<Item = HeaderName>) -> Cors {
        self.fields = list(fields);
        self
    }

    /// Lets pages read these response fields, beyond those that they always may.
    #[must_use]
    pub fn with_exposed_fields(mut self, fields: impl IntoIterator<Item = HeaderName>) -> Cors {
        self.exposed = list(fields);
        self
    }

    /// Lets browsers keep the answer to a preflight this long, in whole seconds.
    #[must_use]
    pub fn with_max_age(mut self, max_age: Duration) -> Cors {
        self.max_age = Some(HeaderValue::from(max_age.as_secs()));
        self
    }

    /// Lets pages send cookies and read the answers to them.
    ///
    /// # Panics
    /// If any origin is allowed: every page on the web could act as the user.
    #[must_use]
    pub fn with_credentials(mut self) -> Cors {
        assert!(
            self.origins.is_some(),
            "credentials need named origins: use `Cors::for_origins`"
        );
        self.credentials = true;
        self
    }

    /// What `Access-Control-Allow-Origin` says to this origin.
    fn allowed(&self, origin: &[u8]) -> Option<HeaderValue> {
        match &self.origins {
            None => Some(HeaderValue::from_static("*")),
            Some(known) => known.iter().find(|known| *known == origin).cloned(),
        }
    }

    /// Adds the fields that every answer has.
    fn mark(&self, fields: &mut Fields, origin: Option<&HeaderValue>) {
        if self.origins.is_some() {
            fields.append(header::VARY, HeaderValue::from_static("Origin"));
        }
        if let Some(origin) = origin {
            fields.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin.clone());
            if self.credentials {
                let yes = HeaderValue::from_static("true");
                fields.insert(header::ACCESS_CONTROL_ALLOW_CREDENTIALS, yes);
            }
        }
    }

    /// Answers a preflight; one of an origin that is not allowed is told nothing.
    fn preflight(&self, origin: Option<&HeaderValue>) -> Response {
        let mut response = Response::new(StatusCode::NO_CONTENT);
        self.mark(&mut response.fields, origin);
        if origin.is_some() {
            let methods = Some(&self.methods);
            for (name, value) in [
                (header::ACCESS_CONTROL_ALLOW_METHODS, methods),
                (header::ACCESS_CONTROL_ALLOW_HEADERS, self.fields.as_ref()),
                (header::ACCESS_CONTROL_MAX_AGE, self.max_age.as_ref()),
            ] {
                if let Some(value) = value {
                    response.fields.insert(name, value.clone());
                }
            }
        }
        response
    }
}

impl Layer for Cors {
    fn call(&self, request: Request, next: &Next) -> Reply {
        let origin = request.field(&header::ORIGIN);
        let allowed = origin.and_then(|origin| self.allowed(origin));
        let asks = request
            .field(&header::ACCESS_CONTROL_REQUEST_METHOD)
            .is_some();
        if origin.is_some() && asks && request.method() == Method::OPTIONS {
            return self.preflight(allowed.as_ref()).into();
        }
        // Caches need `Vary` also on the answer to a request that had no origin.
        let cors = self.clone();
        next.call(request).map(move |mut response| {
            cors.mark(&mut response.fields, allowed.as_ref());
            if let (Some(_), Some(exposed)) = (&allowed, cors.exposed) {
                response
                    .fields
                    .insert(header::ACCESS_CONTROL_EXPOSE_HEADERS, exposed);
            }
            response
        })
    }
}

/// A list as a field's value; `None` for an empty one.
fn list<N: AsRef<str>>(names: impl IntoIterator<Item = N>) -> Option<HeaderValue> {
    let mut text = String::new();
    for name in names {
        if !text.is_empty() {
            text.push_str(", ");
        }
        text.push_str(name.as_ref());
    }
    let value = (!text.is_empty()).then_some(text);
    value.map(|text| HeaderValue::try_from(text).expect("names are tokens"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::service::{Service, layered, service_fn};

    const ORIGIN: &str = "https://example.org";

    fn ask(cors: Cors, request: Request) -> (u16, Vec<String>) {
        let service = service_fn(|_| Response::new(StatusCode::OK));
        let response = layered(cors, service).call(request).try_response().unwrap();
        let lines = response.fields.iter();
        let lines = lines.map(|(name, value)| format!("{name}: {}", value.escape_ascii()));
        (response.status.as_u16(), lines.collect())
    }

    fn from(origin: &str) -> Request {
        Request::get("/").with_field(header::ORIGIN, origin)
    }

    fn preflight(origin: &str) -> Request {
        from(origin)
            .with_method(Method::OPTIONS)
            .with_field(header::ACCESS_CONTROL_REQUEST_METHOD, "PUT")
    }

    fn strict() -> Cors {
        Cors::for_origins([ORIGIN, "http://localhost:8000"])
            .with_methods([Method::GET, Method::PUT])
            .with_fields([header::CONTENT_TYPE, header::AUTHORIZATION])
            .with_exposed_fields([header::ETAG])
            .with_max_age(Duration::from_mins(10))
            .with_credentials()
    }

    #[test]
    fn an_allowed_origin_is_named_with_credentials() {
        let (status, lines) = ask(strict(), from(ORIGIN));
        assert_eq!(status, 200);
        let expected = [
            "vary: Origin",
            "access-control-allow-origin: https://example.org",
            "access-control-allow-credentials: true",
            "access-control-expose-headers: etag",
        ];
        assert_eq!(lines, expected);
    }

    #[test]
    fn a_strange_origin_is_served_but_not_named() {
        for origin in ["https://example.org.evil", "null", "https://EXAMPLE.org"] {
            let vary = (200, vec!["vary: Origin".to_owned()]);
            assert_eq!(ask(strict(), from(origin)), vary, "{origin}");
        }
        let vary = (204, vec!["vary: Origin".to_owned()]);
        assert_eq!(ask(strict(), preflight("https://evil.example")), vary);
    }

    #[test]
    fn a_preflight_is_answered_without_the_service() {
        let (status, lines) = ask(strict(), preflight(ORIGIN));
        assert_eq!(status, 204);
        let expected = [
            "vary: Origin",
            "access-control-allow-origin: https://example.org",
            "access-control-allow-credentials: true",
            "access-control-allow-methods: GET, PUT",
            "access-control-allow-headers: content-type, authorization",
            "access-control-max-age: 600",
        ];
        assert_eq!(lines, expected);
    }

    #[test]
    fn options_that_ask_nothing_beforehand_reach_the_service() {
        let plain = from(ORIGIN).with_method(Method::OPTIONS);
        assert_eq!(ask(strict(), plain).0, 200);
        let no_origin = Request::get("/").with_method(Method::OPTIONS);
        let no_origin = no_origin.with_field(header::ACCESS_CONTROL_REQUEST_METHOD, "PUT");
        assert_eq!(ask(strict(), no_origin).0, 200);
    }

    #[test]
    fn any_origin_is_a_star_and_nothing_varies() {
        let (_, lines) = ask(Cors::for_any_origin(), from("https://anywhere.example"));
        assert_eq!(lines, ["access-control-allow-origin: *"]);
        let (_, lines) = ask(Cors::for_any_origin(), Request::get("/"));
        assert!(lines.is_empty());
    }

    #[test]
    fn a_cache_is_told_also_without_an_origin() {
        let (_, lines) = ask(strict(), Request::get("/"));
        assert_eq!(lines, ["vary: Origin"]);
    }

    #[test]
    #[should_panic(expected = "credentials need named origins")]
    fn credentials_for_any_origin_are_refused() {
        let _ = Cors::for_any_origin().with_credentials();
    }

    #[test]
    #[should_panic(expected = "write it like `https://example.org`")]
    fn an_origin_with_a_path_is_refused() {
        let _ = Cors::for_origins(["https://example.org/"]);
    }
}
