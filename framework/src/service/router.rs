//! [`Router`]: finds the handler for the path and the method of a request.
//!
//! What must hold: a path without parameters stands in `literals` and nowhere else, one with
//! parameters in `patterns` and nowhere else; both hold indices into `routes`. A route that cannot
//! be matched, or not without doubt, panics when it is registered, never when it is asked for.

use std::cell::{Cell, RefCell};
use std::num::NonZeroU32;
use std::rc::Rc;

use super::blocking::{self, BlockingHandler};
use super::literals::Literals;
use super::methods::{Allow, Methods, is_standard};
use super::request::{Names, ParamSpans};
use super::{Handler, Reply, Request, Response, Service};
use crate::http::{Found, Head, Method, Span, StatusCode};
use crate::sharded::Sharded;

pub(super) mod nest;

/// A handler, with its arguments hidden.
pub(super) type Endpoint<T> = Box<dyn Fn(Request, &Sharded<T>) -> Reply>;

/// Methods that grow while routes are registered, as the answers that name them see them.
pub(super) type SharedAllow = Rc<RefCell<Allow>>;

/// Routes requests to handlers by path and method, on a shard whose state is `T`.
///
/// # Paths
/// A route is a path such as `/users/{id}` or `/files/{*rest}`: `{name}` holds one segment or a
/// part of one (`/img-{id}.png`) and is never empty, `{*name}` holds the rest of the path, slashes
/// and all. `{{` and `}}` are braces. Where several routes match, the one that is literal for
/// longer wins. Two that cannot be told apart are refused when the second one is registered.
///
/// The path of the target is matched as it was sent: percent-encoding is not normalised, so `%2F`
/// divides no segments, and a trailing slash is significant. Only the parameters are decoded, once
/// and after matching, by [`Path`](super::Path).
///
/// # Answers without a handler
/// - 404 if no route has the path, unless there is a [`fallback`](Router::fallback).
/// - 405 with `Allow` if the route has not the method; 501 if the method is none of HTTP's and no
///   route has it (RFC 9110 sections 15.5.6 and 15.6.2).
/// - `HEAD` is answered by the handler of `GET`; its content is not sent.
/// - `OPTIONS` is answered with 204 and `Allow`, also for `*`.
///
/// # Cost
/// Routing allocates nothing, with two exceptions that cost one allocation each: a route of more
/// than three parameters, and a path that takes a literal where a parameter would do as well
/// (`/users/me/{page}` beside `/users/{id}/{page}`). Paths without parameters never do.
///
/// # Examples
/// ```
/// use sunstar::http::StatusCode;
/// use sunstar::service::{Path, Request, Router, Service};
/// use sunstar::Sharded;
///
/// fn add(total: Sharded<u64>, Path(amount): Path<u64>) -> StatusCode {
///     total.local(|total| *total += amount);
///     StatusCode::OK
/// }
///
/// async fn read(total: Sharded<u64>) -> String {
///     total.local(|total| total.to_string())
/// }
///
/// let router = Router::with(Sharded::single(40))
///     .post("/add/{amount}", add)
///     .get("/total", read);
///
/// router.call(Request::post("/add/2")).try_response().unwrap();
/// let response = router.call(Request::get("/total")).try_response().unwrap();
/// assert_eq!(response.content.as_bytes(), b"42");
/// ```
pub struct Router<T = ()> {
    /// By which a head names the router that has found its handler: another one after each route
    /// and each method that is added. Layers change what stands at a place, and no places.
    id: Option<NonZeroU32>,
    state: Sharded<T>,
    routes: Vec<Route<T>>,
    /// The paths without parameters.
    literals: Literals,
    /// The paths with parameters.
    patterns: matchit::Router<usize>,
    /// What answers below the prefixes of nested routers where no route is.
    nests: Vec<(Box<str>, Endpoint<T>)>,
    /// The prefixes, as indices into `nests`.
    nest_patterns: matchit::Router<usize>,
    unrouted: Unrouted<T>,
    /// The methods that some route has.
    allow: SharedAllow,
}

/// What belongs to one path.
struct Route<T> {
    path: Box<str>,
    /// The names of the parameters in the order of the path.
    names: Names,
    methods: Methods<T>,
    /// Answers every method that is not in `methods`.
    otherwise: Endpoint<T>,
}

/// What answers where no route is.
struct Unrouted<T> {
    endpoint: Endpoint<T>,
    /// Whether it is more than a bare 404.
    is_own: bool,
    /// Whether it is a fallback of the user's.
    has_handler: bool,
}

impl<T: 'static> Router<T> {
    /// Makes a router without routes and registers `state` as the current shard's `T`.
    ///
    /// Every shard must make one. A router that needs no state has `()`.
    ///
    /// # Panics
    /// Outside a shard, and if the shard has a `T` already: see [`Sharded::start`].
    #[track_caller]
    pub fn new(state: T) -> Router<T> {
        Router::with(Sharded::start(state))
    }

    /// Makes a router without routes over state that is registered already.
    ///
    /// For tests, over [`Sharded::single`], and for routers that share one state.
    pub fn with(state: Sharded<T>) -> Router<T> {
        let allow = SharedAllow::default();
        let not_found: Endpoint<T> = Box::new(|_, _| Response::new(StatusCode::NOT_FOUND).into());
        Router {
            id: next_id(),
            state,
            routes: Vec::new(),
            literals: Literals::default(),
            patterns: matchit::Router::new(),
            nests: Vec::new(),
            nest_patterns: matchit::Router::new(),
            unrouted: Unrouted {
                endpoint: unless_asterisk(not_found, Rc::clone(&allow)),
                is_own: false,
                has_handler: false,
            },
            allow,
        }
    }

    /// Answers `GET`, and `HEAD` unless there is a [`head`](Router::head), with `handler`.
    ///
    /// # Panics
    /// As [`route`](Router::route).
    #[must_use]
    #[track_caller]
    pub fn get<M>(self, path: &str, handler: impl Handler<T, M>) -> Router<T> {
        self.route(Method::GET, path, handler)
    }

    /// Answers `POST` with `handler`.
    ///
    /// # Panics
    /// As [`route`](Router::route).
    #[must_use]
    #[track_caller]
    pub fn post<M>(self, path: &str, handler: impl Handler<T, M>) -> Router<T> {
        self.route(Method::POST, path, handler)
    }

    /// Answers `PUT` with `handler`.
    ///
    /// # Panics
    /// As [`route`](Router::route).
    #[must_use]
    #[track_caller]
    pub fn put<M>(self, path: &str, handler: impl Handler<T, M>) -> Router<T> {
        self.route(Method::PUT, path, handler)
    }

    /// Answers `PATCH` with `handler`.
    ///
    /// # Panics
    /// As [`route`](Router::route).
    #[must_use]
    #[track_caller]
    pub fn patch<M>(self, path: &str, handler: impl Handler<T, M>) -> Router<T> {
        self.route(Method::PATCH, path, handler)
    }

    /// Answers `DELETE` with `handler`.
    ///
    /// # Panics
    /// As [`route`](Router::route).
    #[must_use]
    #[track_caller]
    pub fn delete<M>(self, path: &str, handler: impl Handler<T, M>) -> Router<T> {
        self.route(Method::DELETE, path, handler)
    }

    /// Answers `HEAD` with `handler` instead of the handler of `GET`.
    ///
    /// # Panics
    /// As [`route`](Router::route).
    #[must_use]
    #[track_caller]
    pub fn head<M>(self, path: &str, handler: impl Handler<T, M>) -> Router<T> {
        self.route(Method::HEAD, path, handler)
    }

    /// Answers `OPTIONS` with `handler` instead of the methods that the path has.
    ///
    /// # Panics
    /// As [`route`](Router::route).
    #[must_use]
    #[track_caller]
    pub fn options<M>(self, path: &str, handler: impl Handler<T, M>) -> Router<T> {
        self.route(Method::OPTIONS, path, handler)
    }

    /// Answers any method, also one that is not HTTP's own, with `handler`.
    ///
    /// # Panics
    /// If the path does not begin with `/`, holds what a target's path cannot hold, is malformed,
    /// has a segment that begins with `:` or `*` (parameters are written `{id}` and `{*rest}`), or
    /// conflicts with a route that is there; if the path has this method already.
    #[must_use]
    #[track_caller]
    pub fn route<M>(self, method: Method, path: &str, handler: impl Handler<T, M>) -> Router<T> {
        self.add(method, path, erase(handler))
    }

    /// Answers any method with a plain function that may block: a file, a lock, a long computation,
    /// a client library that knows no other way. It runs on a thread that is no shard, and holds up
    /// nobody; see [`blocking`](crate::blocking()).
    ///
    /// While [as many](crate::runtime::BlockingLimits) calls wait for a thread as may, the answer
    /// is 503 with `Retry-After`. A panic in it costs that one answer.
    ///
    /// # Panics
    /// As [`route`](Router::route).
    ///
    /// # Examples
    /// ```
    /// use sunstar::service::Path;
    /// use sunstar::{Method, Router, Sharded, StatusCode};
    ///
    /// fn read_note(Path(name): Path<String>) -> Result<String, StatusCode> {
    ///     let place = std::path::Path::new("/var/notes").join(name);
    ///     std::fs::read_to_string(place).map_err(|_| StatusCode::NOT_FOUND)
    /// }
    ///
    /// let router = Router::with(Sharded::single(())).blocking(Method::GET, "/{name}", read_note);
    /// ```
    #[must_use]
    #[track_caller]
    pub fn blocking<M>(
        self,
        method: Method,
        path: &str,
        handler: impl BlockingHandler<T, M>,
    ) -> Router<T> {
        self.add(method, path, blocking::endpoint(handler))
    }

    #[track_caller]
    fn add(mut self, method: Method, path: &str, endpoint: Endpoint<T>) -> Router<T> {
        let at = match self.place(path) {
            Ok(at) => at,
            Err(reason) => panic!("route `{method} {path}`: {reason}"),
        };
        let added = self.routes[at].methods.add(method.clone(), endpoint);
        assert!(added, "route `{method} {path}`: it is there already");
        self.id = next_id();
        self.allow.borrow_mut().add(method);
        self
    }

    /// Answers what no route has the path for with `handler`.
    ///
    /// # Panics
    /// If there is a fallback already.
    #[must_use]
    #[track_caller]
    pub fn fallback<M>(mut self, handler: impl Handler<T, M>) -> Router<T> {
        assert!(!self.unrouted.has_handler, "a router has one fallback");
        self.unrouted = Unrouted {
            endpoint: unless_asterisk(erase(handler), Rc::clone(&self.allow)),
            is_own: true,
            has_handler: true,
        };
        self
    }

    /// Where the route of `path` stands; it is made if it is not there.
    fn place(&mut self, path: &str) -> Result<usize, String> {
        if let Some(at) = self.routes.iter().position(|route| *route.path == *path) {
            return Ok(at);
        }
        if !path.starts_with('/') {
            return Err("a path begins with `/`".into());
        }
        if let Some(wrong) = path.chars().find(|&character| !stands_in_a_path(character)) {
            return Err(format!("no path holds {wrong:?} unless percent-encoded"));
        }
        let mut segments = path.split('/');
        if let Some(segment) = segments.find(|segment| segment.starts_with([':', '*'])) {
            let braced = braced(segment);
            return Err(format!(
                "`{segment}` is no parameter here: write `{braced}`"
            ));
        }
        let at = self.routes.len();
        if path.contains(['{', '}']) {
            let inserted = self.patterns.insert(path, at);
            inserted.map_err(|error| error.to_string())?;
        } else {
            self.literals.insert(path, at);
        }
        self.id = next_id();
        let methods = Methods::default();
        self.routes.push(Route {
            path: path.into(),
            names: parameter_names(path)?,
            otherwise: answer_unallowed(Rc::clone(methods.allow()), Rc::clone(&self.allow)),
            methods,
        });
        Ok(at)
    }

    /// The handler that was found for this head before.
    #[inline]
    fn recall(&self, head: &Head) -> Option<&Endpoint<T>> {
        let found = head.found().get();
        if found.router.is_none() || found.router != self.id {
            return None;
        }
        self.routes
            .get(usize::from(found.route))?
            .methods
            .at(found.method)
    }

    /// Finds who answers `request`, and notes the parameters in its path.
    #[inline(never)]
    fn find(&self, request: &mut Request) -> Option<&Endpoint<T>> {
        let Some(at) = self.literals.find(request.head().path_bytes()) else {
            let route = self.find_pattern(request)?;
            let found = route.methods.find(request.method());
            return Some(found.map_or(&route.otherwise, |(endpoint, _)| endpoint));
        };
        let route = &self.routes[at];
        let Some((endpoint, place)) = route.methods.find(request.method()) else {
            return Some(&route.otherwise);
        };
        if let (Ok(route), Some(method)) = (u16::try_from(at), place) {
            let router = self.id;
            request.head().found().set(Found {
                router,
                route,
                method,
            });
        }
        Some(endpoint)
    }

    /// Kept out of line: a path without parameters must not pay for the room that they need.
    #[inline(never)]
    fn find_pattern(&self, request: &mut Request) -> Option<&Route<T>> {
        let path = request.path();
        let found = self.patterns.at(path).ok()?;
        let values = found.params.iter().map(|(_, value)| span(path, value));
        let values: ParamSpans = values.collect();
        let route = &self.routes[*found.value];
        request.set_params(Rc::clone(&route.names), values);
        Some(route)
    }

    /// Answers a request whose path no route has.
    #[cold]
    fn answer_unrouted(&self, request: Request) -> Reply {
        let endpoint = match self.nest_patterns.at(request.path()) {
            Ok(found) => &self.nests[*found.value].1,
            Err(_) => &self.unrouted.endpoint,
        };
        endpoint(request, &self.state)
    }
}

impl<T: 'static> Service for Router<T> {
    #[inline]
    fn call(&self, mut request: Request) -> Reply {
        if let Some(endpoint) = self.recall(request.head()) {
            return endpoint(request, &self.state);
        }
        match self.find(&mut request) {
            Some(endpoint) => endpoint(request, &self.state),
            None => self.answer_unrouted(request),
        }
    }
}

/// A number that no other router of this thread has had; `None` once there are no more.
fn next_id() -> Option<NonZeroU32> {
    thread_local! {
        static LAST: Cell<u32> = const { Cell::new(0) };
    }
    let id = LAST.get().checked_add(1)?;
    LAST.set(id);
    NonZeroU32::new(id)
}

/// Answers `OPTIONS *` with the methods that there are, and leaves all else to `endpoint`.
fn unless_asterisk<T: 'static>(endpoint: Endpoint<T>, all: SharedAllow) -> Endpoint<T> {
    Box::new(move |request, state| {
        if request.path() == "*" && request.method() == Method::OPTIONS {
            return all.borrow().response(StatusCode::NO_CONTENT).into();
        }
        endpoint(request, state)
    })
}

/// Answers a request whose path has a route, but not for its method. `allow` are the methods of the
/// route, `all` those of the router.
fn answer_unallowed<T>(allow: SharedAllow, all: SharedAllow) -> Endpoint<T> {
    Box::new(move |request, _| {
        let method = request.method();
        let status = match *method {
            Method::OPTIONS => StatusCode::NO_CONTENT,
            _ if is_standard(method) || all.borrow().contains(method) => {
                StatusCode::METHOD_NOT_ALLOWED
            }
            _ => StatusCode::NOT_IMPLEMENTED,
        };
        allow.borrow().response(status).into()
    })
}

/// Hides the type of a handler, and with it the marker. A handler that does not read the content by
/// itself gets it whole.
fn erase<T: 'static, M, H: Handler<T, M>>(handler: H) -> Endpoint<T> {
    let handler = Rc::new(handler);
    Box::new(move |request, state| {
        if H::STREAMS || request.is_whole() {
            handler.handle(request, state)
        } else {
            handle_gathered(&handler, request, *state)
        }
    })
}

/// Kept out of line: a request that is whole must not pay for the room that this needs.
#[cold]
#[inline(never)]
fn handle_gathered<T: 'static, M, H: Handler<T, M>>(
    handler: &Rc<H>,
    request: Request,
    state: Sharded<T>,
) -> Reply {
    let handler = Rc::clone(handler);
    Reply::gather(request, move |request| handler.handle(request, &state))
}

/// Where `part`, a slice of `path`, lies in it.
#[inline]
fn span(path: &str, part: &str) -> Span {
    let start = part.as_ptr().addr() - path.as_ptr().addr();
    let narrow = |len: usize| u16::try_from(len).expect("a head is at most 64 KiB");
    Span {
        start: narrow(start),
        len: narrow(part.len()),
    }
}

/// Whether a character can stand in the path of a route: what ends a path cannot.
fn stands_in_a_path(character: char) -> bool {
    character.is_ascii_graphic() && !matches!(character, '?' | '#')
}

/// What to write instead of the parameter of a router that marks them by `:` or `*`.
fn braced(segment: &str) -> String {
    let (mark, name) = segment.split_at(1);
    let name = if name.is_empty() { "rest" } else { name };
    let star = mark.trim_start_matches(':');
    format!("{{{star}{name}}}")
}

/// The names of the parameters in a well-formed path.
fn parameter_names(path: &str) -> Result<Names, String> {
    let unescaped = path.replace("{{", "").replace("}}", "");
    let mut names: Vec<Box<str>> = Vec::new();
    for rest in unescaped.split('{').skip(1) {
        let (name, _) = rest.split_once('}').unwrap_or((rest, ""));
        let name = name.trim_start_matches('*');
        if names.iter().any(|known| **known == *name) {
            return Err(format!("two parameters are named `{name}`"));
        }
        names.push(name.into());
    }
    Ok(Rc::new(names))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mem::{Buf, Pool};
    use crate::service::Path;

    /// A router on whose routes each handler answers with its own name.
    fn router(paths: &[&'static str]) -> Router {
        let start = Router::with(Sharded::single(()));
        paths
            .iter()
            .fold(start, |router, &path| router.get(path, move || path))
    }

    /// Status and content of the answer to `request`.
    fn answer(router: &Router, request: Request) -> (u16, String) {
        let response = router.call(request).try_response().unwrap();
        let content = response.content.as_bytes().to_vec();
        (
            response.status.as_u16(),
            String::from_utf8(content).unwrap(),
        )
    }

    /// Which route answers a `GET` of `target`.
    fn routed(router: &Router, target: &str) -> Option<String> {
        match answer(router, Request::get(target)) {
            (200, path) => Some(path),
            (status, _) => {
                assert_eq!(status, 404, "{target}");
                None
            }
        }
    }

    #[test]
    fn each_path_finds_its_route_and_no_other() {
        let paths = [
            "/",
            "/b",
            "/a",
            "/aa",
            "/users",
            "/users/",
            "/users/{id}",
            "/users/me",
            "/users/{id}/pets/{pet}",
            "/img-{n}.png",
            "/files/{*rest}",
            "/files",
            "/{{x}}",
        ];
        let router = router(&paths);
        for (target, path) in [
            ("/", "/"),
            ("/?query", "/"),
            ("http://host/a?b", "/a"),
            ("/a", "/a"),
            ("/aa", "/aa"),
            ("/users/", "/users/"),
            ("/users/me", "/users/me"),
            ("/users/mes", "/users/{id}"),
            ("/users/a%2Fb", "/users/{id}"),
            ("/users/7/pets/8", "/users/{id}/pets/{pet}"),
            ("/img-7.png", "/img-{n}.png"),
            ("/files/a/b/", "/files/{*rest}"),
            ("/{x}", "/{{x}}"),
        ] {
            assert_eq!(routed(&router, target).as_deref(), Some(path), "{target}");
        }
        for target in [
            "/c",
            "//",
            "/A",
            "/%61",
            "/a/",
            "/users/7/",
            "/users//pets/8",
            "/img-.png",
            "/files/",
            "*",
        ] {
            assert_eq!(routed(&router, target), None, "{target}");
        }
    }

    #[test]
    fn every_method_has_a_handler_of_its_own() {
        let router = Router::with(Sharded::single(()))
            .get("/x", || "get")
            .post("/x", || "post")
            .put("/x", || "put")
            .patch("/x", || "patch")
            .delete("/x", || "delete")
            .head("/x", || "head")
            .options("/x", || "options")
            .route(Method::TRACE, "/x", || "trace")
            .route(
                Method::from_bytes(b"PROPFIND").unwrap(),
                "/x",
                || "propfind",
            );
        for name in [
            "get", "post", "put", "patch", "delete", "head", "options", "trace", "propfind",
        ] {
            let method = Method::from_bytes(name.to_uppercase().as_bytes()).unwrap();
            let request = Request::get("/x").with_method(method);
            assert_eq!(answer(&router, request), (200, name.to_owned()));
        }
    }

    #[test]
    fn parameters_lie_where_the_path_has_them() {
        let router = Router::with(Sharded::single(())).get(
            "/{a}/x/{*b}",
            |request: &Request, Path((a, b)): Path<(String, String)>| {
                assert_eq!(request.param("a").unwrap(), *a);
                format!("{a}|{b}|{}", request.param("b").unwrap())
            },
        );
        let origin = Request::get("/one/x/two/three?q");
        assert_eq!(
            answer(&router, origin),
            (200, "one|two/three|two/three".into())
        );
        let absolute = Request::get("http://example.org/1/x/2");
        assert_eq!(answer(&router, absolute), (200, "1|2|2".into()));
    }

    #[test]
    fn names_are_told_from_escaped_braces() {
        let names = parameter_names("/{{a}}/{b}/x-{c}.{{/{*d}").unwrap();
        assert_eq!(**names, ["b", "c", "d"].map(Box::from));
    }

    #[test]
    #[should_panic(expected = "route `GET /a`: it is there already")]
    fn a_route_cannot_be_registered_twice() {
        let _ = router(&["/a", "/a"]);
    }

    #[test]
    #[should_panic(expected = "previously registered route: /u/{id}")]
    fn routes_that_cannot_be_told_apart_are_refused_by_name() {
        let _ = router(&["/u/{id}", "/u/{name}"]);
    }

    #[test]
    #[should_panic(expected = "route `GET /{a`: Parameters must be registered with a valid name")]
    fn an_open_brace_is_refused() {
        let _ = router(&["/{a"]);
    }

    #[test]
    #[should_panic(expected = "route `GET /{a}/{a}`: two parameters are named `a`")]
    fn two_parameters_of_one_name_are_refused() {
        let _ = router(&["/{a}/{a}"]);
    }

    #[test]
    #[should_panic(expected = "route `GET a`: a path begins with `/`")]
    fn a_relative_path_is_refused() {
        let _ = router(&["a"]);
    }

    #[test]
    #[should_panic(expected = "route `GET /a?b`: no path holds '?' unless percent-encoded")]
    fn a_path_that_no_target_has_is_refused() {
        let _ = router(&["/a?b"]);
    }

    #[test]
    #[should_panic(expected = "route `GET /u/:id`: `:id` is no parameter here: write `{id}`")]
    fn a_parameter_with_a_colon_is_refused() {
        let _ = router(&["/v1/a:cancel", "/u/:id"]);
    }

    #[test]
    #[should_panic(expected = "route `GET /u/*`: `*` is no parameter here: write `{*rest}`")]
    fn a_wildcard_without_braces_is_refused() {
        let _ = router(&["/u/a*", "/u/*"]);
    }

    /// The same head, as a connection that recalls it would have it.
    fn again(request: &Request) -> Request {
        Request::new(request.head().clone(), Buf::new(), Pool::new())
    }

    #[test]
    fn a_head_that_comes_again_is_answered_as_the_first_time() {
        let router = router(&["/a", "/b", "/{name}"]).post("/a", || "posted");
        let paths = ["/a", "/b", "/c"].map(|path| (Request::get(path), path));
        for (request, path) in &paths {
            let expected = if *path == "/c" { "/{name}" } else { path };
            for _ in 0..3 {
                let answer = answer(&router, again(request));
                assert_eq!(answer, (200, expected.to_owned()));
            }
        }
        let (get, post) = (Request::get("/a"), Request::post("/a"));
        let put = Request::get("/a").with_method(Method::PUT);
        for _ in 0..3 {
            assert_eq!(answer(&router, again(&get)), (200, "/a".to_owned()));
            assert_eq!(answer(&router, again(&post)), (200, "posted".to_owned()));
            assert_eq!(answer(&router, again(&put)).0, 405);
        }
        assert_ne!(get.head().found().get(), Found::default(), "it was noted");
        assert_eq!(
            put.head().found().get(),
            Found::default(),
            "nobody answers it"
        );
    }

    #[test]
    fn what_one_router_has_found_another_does_not_believe() {
        let (first, second) = (router(&["/a", "/b"]), router(&["/b", "/a"]));
        let request = Request::get("/a");
        for _ in 0..3 {
            assert_eq!(answer(&first, again(&request)), (200, "/a".to_owned()));
            assert_eq!(answer(&second, again(&request)), (200, "/a".to_owned()));
        }
        // The one that it was found by, with a route more: HEAD was answered by GET.
        let head = Request::get("/a").with_method(Method::HEAD);
        assert_eq!(answer(&second, again(&head)), (200, "/a".to_owned()));
        let second = second.route(Method::HEAD, "/a", || StatusCode::NO_CONTENT);
        assert_eq!(answer(&second, again(&head)).0, 204);
    }

    #[test]
    #[should_panic(expected = "a router has one fallback")]
    fn a_second_fallback_is_refused() {
        let _ = router(&[]).fallback(|| ()).fallback(|| ());
    }
}
