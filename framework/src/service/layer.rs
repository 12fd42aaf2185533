//! [`Layer`]: what stands around a service; [`Next`]: the service behind it.
//!
//! What must hold: a layer makes a service of a service, so layers nest without end; where there is
//! none, nothing of this is called. A layer is one shard's own, like every service.

use std::rc::Rc;

use super::service::ServiceFn;
use super::{Reply, Request, Response, Service, service_fn};

/// Stands around a service: sees each request before it and each answer after it, and may answer in
/// its place.
///
/// It is shared by all routes that it is put around, so what it counts it counts over all of them,
/// on one shard. Costs one indirect call, and what it does itself.
///
/// # Examples
/// A layer that sees requests and answers is a function:
/// ```
/// use sunstar::http::{HeaderValue, StatusCode, header};
/// use sunstar::service::{Layer, Next, Reply, Request, Response, Router, Service, layer_fn};
/// use sunstar::Sharded;
///
/// fn members_only(request: Request, next: &Next) -> Reply {
///     if request.field(&header::AUTHORIZATION).is_none() {
///         return Response::new(StatusCode::UNAUTHORIZED).into();
///     }
///     let no_store = HeaderValue::from_static("no-store");
///     next.call(request).map(|response| response.with_field(header::CACHE_CONTROL, no_store))
/// }
///
/// let router = Router::with(Sharded::single(()))
///     .get("/secret", || "42")
///     .layer(layer_fn(members_only));
/// let response = router.call(Request::get("/secret")).try_response().unwrap();
/// assert_eq!(response.status, StatusCode::UNAUTHORIZED);
/// ```
/// One that has to wait before it calls the service keeps a copy of [`Next`]:
/// ```
/// use sunstar::service::{Layer, Next, Reply, Request};
///
/// struct Admission;
///
/// impl Layer for Admission {
///     fn call(&self, request: Request, next: &Next) -> Reply {
///         let next = next.clone();
///         Reply::later(async move {
///             sunstar::runtime::yield_now().await;
///             next.call(request).response().await
///         })
///     }
/// }
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a layer",
    note = "`layer_fn` makes a layer of a function; those in `service::layers` are some"
)]
pub trait Layer: 'static {
    /// Answers a request, mostly by calling `next`.
    fn call(&self, request: Request, next: &Next) -> Reply;
}

/// The service behind a layer. Cheap to clone.
#[derive(Clone)]
pub struct Next(Rc<dyn Service>);

impl Next {
    /// Makes the end of a chain of layers.
    pub fn new(service: impl Service) -> Next {
        Next(Rc::new(service))
    }

    /// Calls the service.
    #[inline]
    pub fn call(&self, request: Request) -> Reply {
        self.0.call(request)
    }
}

impl std::fmt::Debug for Next {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str("Next(..)")
    }
}

/// A layer that can be put around several services.
impl<L: Layer> Layer for Rc<L> {
    #[inline]
    fn call(&self, request: Request, next: &Next) -> Reply {
        (**self).call(request, next)
    }
}

/// Makes a layer of a function. See [`Layer`].
pub fn layer_fn<F>(function: F) -> LayerFn<F>
where
    F: Fn(Request, &Next) -> Reply + 'static,
{
    LayerFn { function }
}

/// The layer that [`layer_fn`] makes.
pub struct LayerFn<F> {
    function: F,
}

impl<F> Layer for LayerFn<F>
where
    F: Fn(Request, &Next) -> Reply + 'static,
{
    #[inline]
    fn call(&self, request: Request, next: &Next) -> Reply {
        (self.function)(request, next)
    }
}

/// Puts a layer around a service that is no router. A router has
/// [`Router::layer`](super::Router::layer).
///
/// # Examples
/// ```
/// use sunstar::service::layers::CatchPanic;
/// use sunstar::service::{Request, Response, Service, layered, service_fn};
///
/// let service = service_fn(|_| -> Response { panic!("no") });
/// let response = layered(CatchPanic::new(), service).call(Request::get("/"));
/// assert_eq!(response.try_response().unwrap().status, 500);
/// ```
pub fn layered(layer: impl Layer, service: impl Service) -> impl Service {
    let next = Next::new(service);
    let call = move |request: Request| layer.call(request, &next);
    let service: ServiceFn<_> = service_fn(call);
    service
}

impl Reply {
    /// The reply with another response: at once if it is there, else when it comes, which costs one
    /// more allocation.
    #[must_use]
    pub fn map(self, change: impl FnOnce(Response) -> Response + 'static) -> Reply {
        match self {
            Reply::Now(response) => Reply::Now(change(response)),
            Reply::Later(future) => Reply::later(async move { change(future.await) }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::{HeaderValue, StatusCode, header};

    /// Writes its name into `Via` of the answer, behind what is there.
    fn signed(name: &'static str) -> impl Layer {
        layer_fn(move |request, next| {
            next.call(request).map(move |mut response| {
                let name = HeaderValue::from_static(name);
                response.fields.append(header::VIA, name);
                response
            })
        })
    }

    fn via(response: &Response) -> Vec<&str> {
        let values = response.fields.iter().filter(|(name, _)| *name == "via");
        values.map(|(_, v)| str::from_utf8(v).unwrap()).collect()
    }

    #[test]
    fn layers_nest_and_the_outermost_sees_the_answer_last() {
        let service = service_fn(|_| Response::new(StatusCode::OK));
        let service = layered(signed("outer"), layered(signed("inner"), service));
        let response = service.call(Request::get("/")).try_response().unwrap();
        assert_eq!(via(&response), ["inner", "outer"]);
    }

    #[test]
    fn an_answer_that_comes_later_is_changed_when_it_comes() {
        let later = |_| Reply::later(async { Response::new(StatusCode::CREATED) });
        let service = layered(signed("a"), service_fn(later));
        let reply = service.call(Request::get("/"));
        assert!(matches!(reply, Reply::Later(_)));
        let response = reply.try_response().unwrap();
        assert_eq!((response.status.as_u16(), via(&response)), (201, vec!["a"]));
    }

    #[test]
    fn a_layer_may_answer_in_the_place_of_the_service() {
        let unreachable = |_: Request| -> Response { unreachable!("the layer has answered") };
        let teapot = |_: Request, _: &Next| Response::new(StatusCode::IM_A_TEAPOT).into();
        let service = layered(layer_fn(teapot), service_fn(unreachable));
        let response = service.call(Request::get("/")).try_response().unwrap();
        assert_eq!(response.status, 418);
    }

    #[test]
    fn a_layer_may_wait_before_it_calls_the_service() {
        let waits = |request: Request, next: &Next| {
            let next = next.clone();
            Reply::later(async move { next.call(request).response().await })
        };
        let path = service_fn(|request: Request| {
            Response::new(StatusCode::OK).with_content(request.path().to_owned())
        });
        let service = layered(layer_fn(waits), path);
        let response = service.call(Request::get("/a")).try_response().unwrap();
        assert_eq!(response.content.as_bytes(), b"/a");
    }
}
