//! Routers inside routers, services inside routers, and layers around routes.
//!
//! What must hold: a nested route stands in the table of the router around it, so that finding it
//! costs no more than finding any other; where there is no layer, no endpoint is wrapped.

use std::rc::Rc;

use super::{Endpoint, Router, Unrouted};
use crate::service::{Layer, Next, Request, Service, service_fn};
use crate::sharded::Sharded;

/// The name of the parameter that holds the path behind the prefix of a mounted service.
pub(in crate::service) const REST: &str = "rest";

/// Routers and services below a prefix.
impl<T: 'static> Router<T> {
    /// Takes the routes of another router in, each behind `prefix`; its state may be of another
    /// type. With the prefix `/` the routes are taken as they are.
    ///
    /// The prefix may hold parameters, which come before those of the route. The route `/` of the
    /// other router is the prefix itself; handlers see the whole path.
    ///
    /// Layers stay around the routes that they were put around. A path below the prefix that has no
    /// route is the other router's to answer if it has a fallback or a layer, else this one's.
    ///
    /// # Panics
    /// If the prefix does not begin with `/`, ends with `/` or holds `{*`; if a route cannot be
    /// told from one that is there.
    ///
    /// # Examples
    /// ```
    /// use sunstar::service::{Path, Request, Router, Service};
    /// use sunstar::Sharded;
    ///
    /// let users = Router::with(Sharded::single(7_u32))
    ///     .get("/", |count: Sharded<u32>| count.local(|count| count.to_string()))
    ///     .get("/{id}", |Path(id): Path<u32>| format!("user {id}"));
    /// let router = Router::with(Sharded::single(())).nest("/users", users);
    ///
    /// let text = |target| {
    ///     let response = router.call(Request::get(target)).try_response().unwrap();
    ///     String::from_utf8(response.content.as_bytes().to_vec()).unwrap()
    /// };
    /// assert_eq!(text("/users"), "7");
    /// assert_eq!(text("/users/3"), "user 3");
    /// ```
    #[must_use]
    #[track_caller]
    pub fn nest<U: 'static>(mut self, prefix: &str, inner: Router<U>) -> Router<T> {
        check_prefix(prefix);
        let state = inner.state;
        for route in inner.routes {
            let path = joined(prefix, &route.path);
            let at = self.place_new(&path);
            let methods = route.methods.map(|endpoint| adopt(endpoint, state));
            self.routes[at].methods = methods;
            self.routes[at].otherwise = adopt(route.otherwise, state);
        }
        self.allow.borrow_mut().add_all(&inner.allow.borrow());
        if inner.unrouted.is_own {
            self.add_nest(prefix, adopt(inner.unrouted.endpoint, state));
        }
        for (below, endpoint) in inner.nests {
            self.add_nest(&joined(prefix, &below), adopt(endpoint, state));
        }
        self
    }

    /// Has `service` answer for `prefix` and for every path below it, with any method.
    ///
    /// The service sees the whole path; the parameter `rest` is what stands behind the prefix and
    /// its slash. Routes of this router that are literal for longer win.
    ///
    /// # Panics
    /// As [`nest`](Router::nest).
    ///
    /// # Examples
    /// ```
    /// use sunstar::http::StatusCode;
    /// use sunstar::service::{Request, Response, Router, Service, service_fn};
    /// use sunstar::Sharded;
    ///
    /// let echo = service_fn(|request: Request| {
    ///     let rest = request.param("rest").unwrap_or_default().into_owned();
    ///     Response::new(StatusCode::OK).with_content(rest)
    /// });
    /// let router = Router::with(Sharded::single(())).mount("/echo", echo);
    /// let response = router.call(Request::post("/echo/a/b")).try_response().unwrap();
    /// assert_eq!(response.content.as_bytes(), b"a/b");
    /// ```
    #[must_use]
    #[track_caller]
    pub fn mount(mut self, prefix: &str, service: impl Service) -> Router<T> {
        check_prefix(prefix);
        let below = joined(prefix, "/{*rest}");
        let at = self.place_new(&below);
        let names = Rc::clone(&self.routes[at].names);
        let next = Next::new(service);
        let all = next.clone();
        self.routes[at].otherwise = Box::new(move |request, _| all.call(request));
        let slash = format!("{prefix}/");
        let exact = [prefix, &slash];
        for path in &exact[..if prefix == "/" { 1 } else { 2 }] {
            let at = self.place_new(path);
            let (next, names) = (next.clone(), Rc::clone(&names));
            self.routes[at].otherwise = Box::new(move |mut request: Request, _| {
                request.add_empty_param(&names);
                next.call(request)
            });
        }
        self
    }

    /// Puts `layer` around everything that this router answers so far: its routes with their 405
    /// and `OPTIONS`, nested ones included, and what it answers where no route is. Routes and a
    /// fallback that are registered afterwards are not behind it.
    ///
    /// Of several layers the last one stands outermost: it sees a request first and its answer
    /// last.
    #[must_use]
    pub fn layer(mut self, layer: impl Layer) -> Router<T> {
        let (layer, state) = (Rc::new(layer), self.state);
        for at in 0..self.routes.len() {
            self.wrap_route(at, &layer);
        }
        let nests = self.nests.drain(..);
        self.nests = nests
            .map(|(prefix, endpoint)| (prefix, wrap(endpoint, state, &layer)))
            .collect();
        self.unrouted = Unrouted {
            endpoint: wrap(self.unrouted.endpoint, state, &layer),
            is_own: true,
            has_handler: self.unrouted.has_handler,
        };
        self
    }

    /// Puts `layer` around what the route `path` answers so far.
    ///
    /// # Panics
    /// If there is no such route.
    ///
    /// # Examples
    /// ```
    /// use sunstar::service::layers::ContentLimit;
    /// use sunstar::service::{Request, Router, Service};
    /// use sunstar::Sharded;
    ///
    /// let router = Router::with(Sharded::single(()))
    ///     .post("/note", || "noted")
    ///     .layer_route("/note", ContentLimit::new(4));
    /// let long = Request::post("/note").with_content("12345");
    /// assert_eq!(router.call(long).try_response().unwrap().status, 413);
    /// ```
    #[must_use]
    #[track_caller]
    pub fn layer_route(mut self, path: &str, layer: impl Layer) -> Router<T> {
        let Some(at) = self.routes.iter().position(|route| *route.path == *path) else {
            panic!("layer for `{path}`: register the route before its layer");
        };
        self.wrap_route(at, &Rc::new(layer));
        self
    }

    fn wrap_route<L: Layer>(&mut self, at: usize, layer: &Rc<L>) {
        let (route, state) = (&mut self.routes[at], self.state);
        let methods = std::mem::take(&mut route.methods);
        route.methods = methods.map(|endpoint| wrap(endpoint, state, layer));
        let nobody: Endpoint<T> = Box::new(|_, _| unreachable!("replaced at once"));
        let otherwise = std::mem::replace(&mut route.otherwise, nobody);
        route.otherwise = wrap(otherwise, state, layer);
    }

    /// Makes a route of a path that is not there yet.
    #[track_caller]
    fn place_new(&mut self, path: &str) -> usize {
        let before = self.routes.len();
        match self.place(path) {
            Ok(at) if at == before => at,
            Ok(_) => panic!("route `{path}`: it is there already"),
            Err(reason) => panic!("route `{path}`: {reason}"),
        }
    }

    /// Has `endpoint` answer for what has no route at `prefix` and below.
    #[track_caller]
    fn add_nest(&mut self, prefix: &str, endpoint: Endpoint<T>) {
        if prefix == "/" {
            assert!(!self.unrouted.is_own, "a router has one fallback");
            let has_handler = true;
            self.unrouted = Unrouted {
                endpoint,
                is_own: true,
                has_handler,
            };
            return;
        }
        let at = self.nests.len();
        for end in ["", "/", "/{*rest}"] {
            let inserted = self.nest_patterns.insert(format!("{prefix}{end}"), at);
            if let Err(reason) = inserted {
                panic!("nest `{prefix}`: {reason}");
            }
        }
        self.nests.push((prefix.into(), endpoint));
    }
}

/// An endpoint that brings its own state.
fn adopt<T: 'static, U: 'static>(endpoint: Endpoint<U>, state: Sharded<U>) -> Endpoint<T> {
    Box::new(move |request, _| endpoint(request, &state))
}

/// An endpoint behind a layer.
fn wrap<T: 'static, L: Layer>(
    endpoint: Endpoint<T>,
    state: Sharded<T>,
    layer: &Rc<L>,
) -> Endpoint<T> {
    let next = Next::new(service_fn(move |request| endpoint(request, &state)));
    let layer = Rc::clone(layer);
    Box::new(move |request, _| layer.call(request, &next))
}

/// `path` behind `prefix`.
fn joined(prefix: &str, path: &str) -> String {
    match (prefix, path) {
        ("/", path) => path.into(),
        (prefix, "/") => prefix.into(),
        (prefix, path) => format!("{prefix}{path}"),
    }
}

#[track_caller]
fn check_prefix(prefix: &str) {
    let bare = prefix == "/" || !prefix.ends_with('/');
    assert!(
        prefix.starts_with('/') && bare && !prefix.contains("{*"),
        "prefix `{prefix}`: it begins with `/`, does not end with it and holds no `{{*`"
    );
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::{HeaderValue, Method, StatusCode, header};
    use crate::service::{Path, Response, layer_fn};

    fn router() -> Router {
        Router::with(Sharded::single(()))
    }

    /// Status and content of the answer, and how many layers have signed it.
    fn answer<T: 'static>(router: &Router<T>, request: Request) -> (u16, String, usize) {
        let response = router.call(request).try_response().unwrap();
        let signed = response
            .fields
            .iter()
            .filter(|(name, _)| *name == "via")
            .count();
        let content = String::from_utf8(response.content.as_bytes().to_vec()).unwrap();
        (response.status.as_u16(), content, signed)
    }

    fn routed(router: &Router, target: &str) -> (u16, String) {
        let (status, content, _) = answer(router, Request::get(target));
        (status, content)
    }

    fn ok(content: &str) -> (u16, String) {
        (200, content.to_owned())
    }

    fn missing() -> (u16, String) {
        (404, String::new())
    }

    /// Adds a `Via` to each answer.
    fn signing() -> impl Layer {
        layer_fn(|request, next| {
            next.call(request).map(|mut response| {
                response
                    .fields
                    .append(header::VIA, HeaderValue::from_static("a"));
                response
            })
        })
    }

    #[test]
    fn nested_routes_stand_behind_their_prefix() {
        let inner = router()
            .get("/", || "root")
            .get("/{id}", |Path(id): Path<u8>| format!("item {id}"))
            .get("/files/{*rest}", |Path(rest): Path<String>| rest);
        let router = router().get("/api/own", || "own").nest("/api", inner);
        assert_eq!(routed(&router, "/api"), ok("root"));
        assert_eq!(routed(&router, "/api/7"), ok("item 7"));
        assert_eq!(routed(&router, "/api/files/a/b%20c"), ok("a/b c"));
        assert_eq!(routed(&router, "/api/own"), ok("own"));
        for target in ["/", "/api/", "/7", "/api/7/8", "/apix/7"] {
            assert_eq!(routed(&router, target), missing(), "{target}");
        }
    }

    #[test]
    fn routers_nest_twice_and_parameters_of_prefixes_come_first() {
        let pets = router().get("/{pet}", |Path((user, pet)): Path<(String, String)>| {
            format!("{pet} of {user}")
        });
        let users = router().nest("/{user}/pets", pets);
        let router = router().nest("/users", users);
        assert_eq!(routed(&router, "/users/ann/pets/rex"), ok("rex of ann"));
    }

    #[test]
    fn a_nested_router_keeps_its_own_state() {
        let inner = Router::with(Sharded::single(7_u32)).get("/", |count: Sharded<u32>| {
            count.local(|count| count.to_string())
        });
        let outer = Router::with(Sharded::single("outer"))
            .get("/", |name: Sharded<&'static str>| name.local(|name| *name))
            .nest("/inner", inner);
        assert_eq!(answer(&outer, Request::get("/")).1, "outer");
        assert_eq!(answer(&outer, Request::get("/inner")).1, "7");
    }

    #[test]
    fn the_prefix_of_a_single_slash_merges() {
        let router = router()
            .get("/a", || "a")
            .nest("/", router().get("/b", || "b"));
        assert_eq!(routed(&router, "/a"), ok("a"));
        assert_eq!(routed(&router, "/b"), ok("b"));
    }

    #[test]
    fn a_nested_route_answers_405_and_options_with_its_own_methods() {
        let inner = router().get("/x", || "x").put("/x", || "put");
        let router = router().post("/y", || "y").nest("/api", inner);
        for (method, status) in [(Method::DELETE, 405), (Method::OPTIONS, 204)] {
            let request = Request::get("/api/x").with_method(method);
            let response = router.call(request).try_response().unwrap();
            assert_eq!(response.status, status);
            let allow = response.fields.get(&header::ALLOW);
            assert_eq!(allow, Some(&b"GET, HEAD, OPTIONS, PUT"[..]));
        }
        let all = Request::get("*").with_method(Method::OPTIONS);
        let response = router.call(all).try_response().unwrap();
        let allow = response.fields.get(&header::ALLOW);
        assert_eq!(allow, Some(&b"GET, HEAD, OPTIONS, POST, PUT"[..]));
    }

    #[test]
    fn the_closest_fallback_answers() {
        let deep = router().fallback(|| "deep");
        let api = router()
            .get("/x", || "x")
            .nest("/deep", deep)
            .fallback(|| "api");
        let plain = router().get("/x", || "x");
        let router = router()
            .nest("/api", api)
            .nest("/plain", plain)
            .fallback(|| "outer");
        for (target, content) in [
            ("/nowhere", "outer"),
            ("/apix", "outer"),
            ("/plain/nowhere", "outer"),
            ("/api", "api"),
            ("/api/", "api"),
            ("/api/no/where", "api"),
            ("/api/deep", "deep"),
            ("/api/deep/er", "deep"),
            ("/api/x", "x"),
        ] {
            assert_eq!(routed(&router, target), ok(content), "{target}");
        }
    }

    #[test]
    fn a_layer_is_around_all_that_was_there_before_it() {
        let router = router()
            .get("/a", || "a")
            .layer(signing())
            .get("/b", || "b")
            .layer(signing())
            .get("/c", || "c");
        let signed = |target| answer(&router, Request::get(target)).2;
        assert_eq!((signed("/a"), signed("/b"), signed("/c")), (2, 1, 0));
        assert_eq!(
            answer(&router, Request::post("/a")),
            (405, String::new(), 2)
        );
        assert_eq!(answer(&router, Request::get("/x")), (404, String::new(), 2));
        let options = Request::get("*").with_method(Method::OPTIONS);
        assert_eq!(answer(&router, options), (204, String::new(), 2));
        let head = Request::get("/a").with_method(Method::HEAD);
        assert_eq!(answer(&router, head).2, 2);
    }

    #[test]
    fn a_method_that_comes_after_a_layer_is_in_the_layered_allow() {
        let router = router()
            .get("/a", || "a")
            .layer(signing())
            .put("/a", || "put");
        let response = router.call(Request::post("/a")).try_response().unwrap();
        let allow = response.fields.get(&header::ALLOW);
        assert_eq!(allow, Some(&b"GET, HEAD, OPTIONS, PUT"[..]));
    }

    #[test]
    fn layers_of_a_nested_router_are_around_it_and_nothing_else() {
        let inner = router().get("/x", || "x").layer(signing());
        let router = router().get("/y", || "y").nest("/api", inner);
        let signed = |target| answer(&router, Request::get(target)).2;
        assert_eq!((signed("/api/x"), signed("/y")), (1, 0));
        assert_eq!((signed("/api/nowhere"), signed("/nowhere")), (1, 0));
        let router = router.layer(signing());
        let signed = |target| answer(&router, Request::get(target)).2;
        assert_eq!((signed("/api/x"), signed("/api/nowhere")), (2, 2));
    }

    #[test]
    fn a_layer_around_one_route_is_around_that_route() {
        let router = router()
            .get("/a", || "a")
            .post("/a", || "post")
            .get("/b", || "b")
            .layer_route("/a", signing());
        assert_eq!(answer(&router, Request::get("/a")).2, 1);
        assert_eq!(answer(&router, Request::post("/a")).2, 1);
        assert_eq!(answer(&router, Request::get("/b")).2, 0);
    }

    #[test]
    fn a_mounted_service_answers_for_its_prefix_and_all_below_with_any_method() {
        let rest = service_fn(|request: Request| {
            let rest = request.param(REST).expect("mounted").into_owned();
            let user = request.param("user").unwrap_or_default().into_owned();
            let content = format!("{} {user} [{rest}]", request.method());
            Response::new(StatusCode::OK).with_content(content)
        });
        let router = router().get("/s/own", || "own").mount("/s", rest).mount(
            "/of/{user}",
            service_fn(|request: Request| {
                let user = request.param("user").expect("of the prefix").into_owned();
                let rest = request.param(REST).expect("mounted").into_owned();
                Response::new(StatusCode::OK).with_content(format!("{user} [{rest}]"))
            }),
        );
        for (target, content) in [
            ("/s", "GET  []"),
            ("/s/", "GET  []"),
            ("/s/a/b", "GET  [a/b]"),
            ("/s/own", "own"),
            ("/of/ann", "ann []"),
            ("/of/ann/", "ann []"),
            ("/of/ann/x/y", "ann [x/y]"),
        ] {
            assert_eq!(routed(&router, target), ok(content), "{target}");
        }
        let delete = Request::get("/s/x").with_method(Method::DELETE);
        assert_eq!(answer(&router, delete).1, "DELETE  [x]");
        assert_eq!(routed(&router, "/sx"), missing());
    }

    #[test]
    fn a_service_mounted_at_the_root_leaves_routes_alone() {
        let router = router()
            .get("/api/x", || "x")
            .mount("/", service_fn(|_| Response::new(StatusCode::ACCEPTED)));
        assert_eq!(routed(&router, "/api/x"), ok("x"));
        for target in ["/", "/a", "/a/b", "/api", "/api/y", "/api/x/z"] {
            assert_eq!(routed(&router, target), (202, String::new()), "{target}");
        }
    }

    #[test]
    #[should_panic(expected = "route `/api/x`: it is there already")]
    fn a_nested_route_that_is_there_is_refused() {
        let inner = router().post("/x", || "x");
        let _ = router().get("/api/x", || "x").nest("/api", inner);
    }

    #[test]
    #[should_panic(expected = "prefix `/api/`: it begins with `/`")]
    fn a_prefix_that_ends_with_a_slash_is_refused() {
        let _ = router().nest("/api/", router());
    }

    #[test]
    #[should_panic(expected = "a router has one fallback")]
    fn two_fallbacks_at_one_place_are_refused() {
        let inner = router().fallback(|| "inner");
        let _ = router().fallback(|| "outer").nest("/", inner);
    }

    #[test]
    #[should_panic(expected = "register the route before its layer")]
    fn a_layer_for_a_route_that_is_not_there_is_refused() {
        let _ = router().layer_route("/a", signing());
    }
}
