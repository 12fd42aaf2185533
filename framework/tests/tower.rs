//! A router of axum on shards, over real sockets (feature `tower`).
#![expect(clippy::unwrap_used, reason = "a test may fail by unwrapping")]

#[expect(dead_code, reason = "other suites use more of it")]
#[path = "server/harness.rs"]
mod harness;

use std::convert::Infallible;
use std::future::{Ready, poll_fn, ready};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use axum::body::{Body, Bytes};
use axum::extract::{Path, RawQuery, State};
use axum::http::{HeaderMap, Method, Request, Response, StatusCode, Uri};
use axum::routing::{get, post};
use harness::{Running, config, start_with};
use http_body::{Body as _, Frame};
use sunstar::service::tower::{TowerBody, TowerService};
use sunstar::{Router, Sharded};

/// Content that comes piece by piece, and ends with trailers.
struct Lines(u32);

impl http_body::Body for Lines {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        self.0 += 1;
        let frame = match self.0 {
            1 => Frame::data(Bytes::from_static(b"one\n")),
            2 => Frame::data(Bytes::new()),
            3 => Frame::data(Bytes::from_static(b"two\n")),
            4 => {
                let mut trailers = HeaderMap::new();
                trailers.insert("x-lines", "2".parse().unwrap());
                Frame::trailers(trailers)
            }
            _ => return Poll::Ready(None),
        };
        Poll::Ready(Some(Ok(frame)))
    }
}

/// Counts the content's bytes, and says what its trailers say.
async fn count(request: Request<Body>) -> String {
    let mut body = request.into_body();
    let (mut total, mut pieces, mut trailer) = (0, 0, String::new());
    while let Some(frame) = poll_fn(|context| Pin::new(&mut body).poll_frame(context)).await {
        match frame.unwrap().into_data() {
            Ok(data) => (total, pieces) = (total + data.len(), pieces + 1),
            Err(frame) => {
                let trailers = frame.into_trailers().unwrap();
                trailer = String::from(trailers["x"].to_str().unwrap());
            }
        }
    }
    format!("{total} {} {trailer}", pieces > 1)
}

async fn told(method: Method, uri: Uri, RawQuery(query): RawQuery, headers: HeaderMap) -> String {
    let all: Vec<_> = headers
        .get_all("x")
        .iter()
        .map(|it| it.to_str().unwrap())
        .collect();
    format!(
        "{method} {} {} {all:?}",
        uri.path(),
        query.unwrap_or_default()
    )
}

async fn none(Path(status): Path<u16>) -> StatusCode {
    StatusCode::from_u16(status).unwrap()
}

fn theirs() -> axum::Router {
    axum::Router::new()
        .route(
            "/t/hello/{name}",
            get(|Path(name): Path<String>| async move { name }),
        )
        .route("/t/told", get(told))
        .route("/t/count", post(count))
        .route("/t/echo", post(|body: Body| async { body }))
        .route(
            "/t/lines",
            get(|| async { Response::new(Body::new(Lines(0))) }),
        )
        .route(
            "/t/state",
            get(|State(state): State<&'static str>| async move { state }),
        )
        .route(
            "/t/gone",
            get(|| async { (StatusCode::GONE, [("X-Why", "old")], "gone") }),
        )
        .route("/t/none/{status}", get(none))
        .route(
            "/t/sized",
            get(|| async { ([("Content-Length", "8")], Body::new(Lines(0))) }),
        )
        .route(
            "/t/long",
            get(|| async { "0123456789abcdef".repeat(64 * 1024) }),
        )
        .route("/t/early", get(|| async { StatusCode::CONTINUE }))
        .with_state("kept")
}

fn start() -> Running {
    start_with(config(2), |_| {
        let ours = Router::new(0_u32).get("/ours", |count: Sharded<u32>| {
            count.local(|count| *count += 1);
            "ours"
        });
        ours.mount("/t", TowerService::new(theirs()))
    })
}

#[test]
fn a_router_of_axum_answers_beside_ours() {
    let server = start();
    let mut client = server.connect();
    assert_eq!(client.get("/ours").content, "ours");
    assert_eq!(client.get("/t/hello/w%C3%B6rld").content, "wörld");
    assert_eq!(client.get("/t/state").content, "kept");
    let gone = client.get("/t/gone");
    assert_eq!((gone.status, gone.content.as_str()), (410, "gone"));
    assert_eq!(gone.field("x-why"), Some("old"));
    let lengths = gone
        .fields
        .iter()
        .filter(|(name, _)| name.eq_ignore_ascii_case("content-length"));
    assert_eq!(lengths.count(), 1);
    assert_eq!(client.get("/t/nothing").status, 404);
    let refused = client.post("/t/told", "");
    assert_eq!(
        (refused.status, refused.field("allow")),
        (405, Some("GET,HEAD"))
    );
    client.send("GET /t/told?a=b&c HTTP/1.1\r\nHost: h\r\nX: 1\r\nx: 2\r\n\r\n");
    assert_eq!(
        client.answer().unwrap().content,
        "GET /t/told a=b&c [\"1\", \"2\"]"
    );
}

#[test]
fn content_goes_through_in_both_directions() {
    let server = start();
    let mut client = server.connect();
    let chunked = "POST /t/count HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n";
    client.send(format!("{chunked}5\r\nhello\r\n0\r\nX: y\r\n\r\n"));
    assert_eq!(client.answer().unwrap().content, "5 false y");
    assert_eq!(client.post("/t/count", "").content, "0 false ");
    let long = "0123456789abcdef".repeat(20_000);
    assert_eq!(client.post("/t/count", &long).content, "320000 true ");
    let echoed = client.post("/t/echo", &long);
    assert!(echoed.content == long && echoed.field("content-length") == Some("320000"));
    client.send("GET /t/lines HTTP/1.1\r\nHost: h\r\nTE: trailers\r\nConnection: close\r\n\r\n");
    let lines = client.rest();
    let end = "4\r\none\n\r\n4\r\ntwo\n\r\n0\r\nx-lines: 2\r\n\r\n";
    assert!(lines.ends_with(end), "{lines}");
}

#[test]
fn an_answer_to_head_has_the_length_and_no_content() {
    let server = start();
    let mut client = server.connect();
    client.send("HEAD /t/hello/you HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n");
    let answer = client.rest();
    let (head, content) = answer.split_once("\r\n\r\n").unwrap();
    assert!(
        head.to_ascii_lowercase().contains("\r\ncontent-length: 3"),
        "{head}"
    );
    assert_eq!(content, "");
}

#[test]
fn an_answer_without_content_says_no_length() {
    let server = start();
    let mut client = server.connect();
    for (target, status) in [("/t/none/304", 304), ("/t/none/204", 204)] {
        let answer = client.get(target);
        assert_eq!(
            (answer.status, answer.field("content-length")),
            (status, None)
        );
    }
    assert_eq!(client.get("/t/none/200").field("content-length"), Some("0"));
}

#[test]
fn a_length_that_the_body_does_not_know_is_believed() {
    let server = start();
    let mut client = server.connect();
    let lines = client.get("/t/sized");
    assert_eq!(
        (lines.field("content-length"), lines.content.as_str()),
        (Some("8"), "one\ntwo\n")
    );
    assert_eq!(client.get("/ours").content, "ours");
}

#[test]
fn a_frame_of_any_length_goes_out_in_pieces() {
    let server = start();
    let long = "0123456789abcdef".repeat(64 * 1024);
    let answer = server.connect().get("/t/long");
    assert!(answer.content == long && answer.field("content-length") == Some("1048576"));
}

/// What is over must be known exactly: a proxy ends its own request by it.
#[test]
fn content_is_over_only_behind_its_trailers_or_its_error() {
    let (tell, told) = std::sync::mpsc::channel();
    let server = start_with(config(1), move |_| TowerService::new(Looks(tell.clone())));
    let mut client = server.connect();
    let chunked = "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n";
    client.send(format!("{chunked}0\r\nX: y\r\n\r\n"));
    assert_eq!(client.answer().unwrap().status, 200);
    let looked = told.recv().unwrap();
    assert_eq!(looked, ["false data", "false trailers", "true end"]);
    client.send("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 9\r\n\r\nhello");
    client.stream().shutdown(std::net::Shutdown::Write).unwrap();
    let looked = told.recv().unwrap();
    assert_eq!(looked, ["false data", "false error", "true end"]);
}

/// Tells before each frame whether the content was over, and what came then.
#[derive(Clone)]
struct Looks(std::sync::mpsc::Sender<Vec<String>>);

impl tower_service::Service<Request<TowerBody>> for Looks {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Body>, Infallible>>>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<TowerBody>) -> Self::Future {
        let tell = self.0.clone();
        Box::pin(async move {
            let mut body = request.into_body();
            let mut looked = Vec::new();
            loop {
                let is_over = body.is_end_stream();
                let next = poll_fn(|context| Pin::new(&mut body).poll_frame(context)).await;
                let what = match &next {
                    None => "end",
                    Some(Err(_)) => "error",
                    Some(Ok(frame)) if frame.is_data() => "data",
                    Some(Ok(_)) => "trailers",
                };
                looked.push(format!("{is_over} {what}"));
                if next.is_none() {
                    break;
                }
            }
            tell.send(looked).unwrap();
            Ok(Response::new(Body::empty()))
        })
    }
}

#[test]
fn what_cannot_be_passed_on_is_an_error() {
    let server = start();
    let mut client = server.connect();
    assert_eq!(client.get("/t/early").status, 500);
    // A host that the grammar of RFC 3986 allows, and the crate `http` does not.
    let refused = client.get("http://%41/t/told");
    assert!(
        refused.status == 400 && refused.content.contains("%41"),
        "{}",
        refused.content
    );
    assert_eq!(
        client.get("/ours").content,
        "ours",
        "the connection goes on"
    );
}

/// A service that is ready at its second poll, and fails where it is asked to. It is not `Send`.
#[derive(Clone)]
struct Fickle {
    is_ready: bool,
    own: Rc<str>,
}

impl tower_service::Service<Request<TowerBody>> for Fickle {
    type Response = Response<Body>;
    type Error = String;
    type Future = Ready<Result<Response<Body>, String>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), String>> {
        if self.is_ready {
            return Poll::Ready(Ok(()));
        }
        self.is_ready = true;
        context.waker().wake_by_ref();
        Poll::Pending
    }

    fn call(&mut self, request: Request<TowerBody>) -> Self::Future {
        assert!(self.is_ready, "called before it was ready");
        assert!(request.body().is_end_stream() && request.body().size_hint().exact() == Some(0));
        ready(match request.uri().path() {
            "/fails" => Err(self.own.to_string()),
            _ => Ok(Response::new(Body::from("fine"))),
        })
    }
}

#[test]
fn a_service_is_called_when_it_is_ready_and_may_fail() {
    let server = start_with(config(1), |_| {
        TowerService::new(Fickle {
            is_ready: false,
            own: "as asked".into(),
        })
    });
    let mut client = server.connect();
    for _ in 0..3 {
        assert_eq!(client.get("/").content, "fine");
        let failed = client.get("/fails");
        assert_eq!((failed.status, failed.content.as_str()), (500, ""));
    }
}
