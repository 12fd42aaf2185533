//! [`Methods`]: the handlers of one path, by method; [`Allow`]: which methods there are.
//!
//! What must hold: HTTP's own methods (RFC 9110 section 9, and PATCH) are found by index; `Allow`
//! is written when a route is registered, never for a request.

use super::Response;
use super::router::{Endpoint, SharedAllow};
use crate::http::{HeaderValue, Method, StatusCode, header};

/// How many methods have a place of their own.
const STANDARD_COUNT: usize = 9;

/// The place of one of HTTP's own methods.
#[inline]
fn index(method: &Method) -> Option<u8> {
    Some(match *method {
        Method::GET => 0,
        Method::HEAD => 1,
        Method::POST => 2,
        Method::PUT => 3,
        Method::DELETE => 4,
        Method::CONNECT => 5,
        Method::OPTIONS => 6,
        Method::TRACE => 7,
        Method::PATCH => 8,
        _ => return None,
    })
}

/// Whether a method is one of HTTP's own.
pub(super) fn is_standard(method: &Method) -> bool {
    index(method).is_some()
}

/// The handlers of one path.
pub(super) struct Methods<T> {
    standard: [Option<Endpoint<T>>; STANDARD_COUNT],
    others: Vec<(Method, Endpoint<T>)>,
    allow: SharedAllow,
}

impl<T> Default for Methods<T> {
    fn default() -> Methods<T> {
        Methods {
            standard: [const { None }; STANDARD_COUNT],
            others: Vec::new(),
            allow: SharedAllow::default(),
        }
    }
}

impl<T> Methods<T> {
    /// Adds a handler, unless the method has one.
    pub(super) fn add(&mut self, method: Method, endpoint: Endpoint<T>) -> bool {
        match index(&method) {
            Some(place) if self.at(place).is_none() => {
                self.standard[usize::from(place)] = Some(endpoint);
            }
            None if self.find(&method).is_none() => {
                self.others.push((method.clone(), endpoint));
            }
            _ => return false,
        }
        self.allow.borrow_mut().add(method);
        true
    }

    /// The handler for a method; that of GET for HEAD if HEAD has none. With it, where
    /// [`at`](Methods::at) finds it, if it is one of HTTP's own.
    #[inline]
    pub(super) fn find(&self, method: &Method) -> Option<(&Endpoint<T>, Option<u8>)> {
        let Some(place) = index(method) else {
            let mut others = self.others.iter();
            return others
                .find(|(other, _)| other == method)
                .map(|(_, endpoint)| (endpoint, None));
        };
        match &self.standard[usize::from(place)] {
            None if *method == Method::HEAD => self.find(&Method::GET),
            endpoint => endpoint.as_ref().map(|endpoint| (endpoint, Some(place))),
        }
    }

    /// The handler that was found there before.
    #[inline]
    pub(super) fn at(&self, place: u8) -> Option<&Endpoint<T>> {
        self.standard.get(usize::from(place))?.as_ref()
    }

    /// The same methods, each with another endpoint in the place of its own.
    pub(super) fn map<U>(self, change: impl Fn(Endpoint<T>) -> Endpoint<U>) -> Methods<U> {
        let others = self.others.into_iter();
        Methods {
            standard: self.standard.map(|endpoint| endpoint.map(&change)),
            others: others.map(|(method, end)| (method, change(end))).collect(),
            allow: self.allow,
        }
    }

    /// The methods that are answered.
    pub(super) fn allow(&self) -> &SharedAllow {
        &self.allow
    }
}

/// The methods that are answered, as the value of `Allow`, in alphabetical order.
pub(super) struct Allow {
    methods: Vec<Method>,
    value: HeaderValue,
}

impl Default for Allow {
    /// OPTIONS alone, which is always answered.
    fn default() -> Allow {
        Allow {
            methods: vec![Method::OPTIONS],
            value: HeaderValue::from_static("OPTIONS"),
        }
    }
}

impl Allow {
    /// Adds all methods of another.
    pub(super) fn add_all(&mut self, other: &Allow) {
        for method in &other.methods {
            self.add(method.clone());
        }
    }

    /// Adds a method, and HEAD with GET.
    pub(super) fn add(&mut self, method: Method) {
        if method == Method::GET {
            self.add(Method::HEAD);
        }
        let place = self
            .methods
            .binary_search_by(|known| known.as_str().cmp(method.as_str()));
        let Err(place) = place else { return };
        self.methods.insert(place, method);
        let names: Vec<_> = self.methods.iter().map(Method::as_str).collect();
        self.value = HeaderValue::try_from(names.join(", ")).expect("a method is a token");
    }

    /// Whether a method is answered.
    pub(super) fn contains(&self, method: &Method) -> bool {
        self.methods.contains(method)
    }

    /// A response without content that names the methods.
    pub(super) fn response(&self, status: StatusCode) -> Response {
        Response::new(status).with_field(header::ALLOW, self.value.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::service::{Reply, Request};
    use crate::sharded::Sharded;

    fn endpoint(status: StatusCode) -> Endpoint<()> {
        Box::new(move |_, _| Reply::from(Response::new(status)))
    }

    fn found(methods: &Methods<()>, method: &Method) -> Option<u16> {
        let reply = (methods.find(method)?.0)(Request::get("/"), &Sharded::single(()));
        Some(reply.try_response().unwrap().status.as_u16())
    }

    #[test]
    fn head_is_answered_by_get_until_it_has_a_handler() {
        let mut methods = Methods::default();
        assert_eq!(found(&methods, &Method::HEAD), None);
        assert!(methods.add(Method::GET, endpoint(StatusCode::OK)));
        assert_eq!(found(&methods, &Method::HEAD), Some(200));
        assert!(methods.add(Method::HEAD, endpoint(StatusCode::ACCEPTED)));
        assert_eq!(found(&methods, &Method::HEAD), Some(202));
        assert_eq!(found(&methods, &Method::GET), Some(200));
    }

    #[test]
    fn a_method_has_one_handler() {
        let link = Method::from_bytes(b"LINK").unwrap();
        let mut methods = Methods::default();
        for method in [Method::PUT, link] {
            assert!(methods.add(method.clone(), endpoint(StatusCode::OK)));
            assert!(!methods.add(method.clone(), endpoint(StatusCode::ACCEPTED)));
            assert_eq!(found(&methods, &method), Some(200));
        }
        let lower = Method::from_bytes(b"put").unwrap();
        assert_eq!(found(&methods, &lower), None);
    }

    #[test]
    fn allow_is_sorted_and_names_what_is_answered_unasked() {
        let mut allow = Allow::default();
        let value = |allow: &Allow| {
            let response = allow.response(StatusCode::NO_CONTENT);
            let value = response.fields.get(&header::ALLOW).unwrap();
            str::from_utf8(value).unwrap().to_owned()
        };
        assert_eq!(value(&allow), "OPTIONS");
        for method in [Method::PUT, Method::GET, Method::DELETE, Method::GET] {
            allow.add(method);
        }
        assert_eq!(value(&allow), "DELETE, GET, HEAD, OPTIONS, PUT");
    }
}
