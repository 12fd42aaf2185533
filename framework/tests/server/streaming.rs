//! Content that comes and goes piece by piece.

use std::io::{Read, Write};
use std::net::Shutdown;
use std::time::Duration;

use sunstar::http::{Fields, HeaderName, HeaderValue, Limits, header};
use sunstar::mem::Buf;
use sunstar::server::Config;
use sunstar::service::layers::ContentLimit;
use sunstar::service::{Body, BodyError, Bytes, Outflow, Response, generate};
use sunstar::sync::Queue;
use sunstar::{Router, Service, Sharded, StatusCode};

use crate::harness::{Client, Running, config, start_with};

async fn count(mut body: Body) -> Result<String, BodyError> {
    let mut total = 0;
    while let Some(piece) = body.next().await {
        total += piece?.len();
    }
    let trailers = body.trailers().fields().count();
    Ok(format!("{total} {trailers}"))
}

async fn limited(body: Body) -> Result<String, BodyError> {
    count(body.limited(10)).await
}

/// Answers without a look at the content.
async fn ignore(_body: Body) -> &'static str {
    "ignored"
}

fn echo(body: Body) -> Response {
    Response::new(StatusCode::OK).with_stream(body)
}

fn whole(Bytes(content): Bytes) -> String {
    content.len().to_string()
}

/// Ten lines, and a trailer.
fn lines() -> Response {
    let lines = generate(|mut out: Outflow| async move {
        for number in 0..10 {
            out.send(format!("{number}\n").into_bytes()).await;
        }
        let mut trailers = Fields::new();
        trailers.append(
            HeaderName::from_static("x-sum"),
            HeaderValue::from_static("45"),
        );
        trailers.append(header::CONTENT_LENGTH, HeaderValue::from_static("20"));
        out.send(trailers).await;
        Ok::<_, BodyError>(())
    });
    Response::new(StatusCode::OK).with_stream(lines)
}

fn broken() -> Response {
    let pieces = generate(|mut out: Outflow| async move {
        out.send("half").await;
        Err::<(), _>("lost")
    });
    Response::new(StatusCode::OK).with_stream(pieces)
}

fn panics() -> Response {
    let pieces = generate(|mut out: Outflow| async move {
        out.send("half").await;
        assert!(std::hint::black_box(false), "the generator panics");
        Ok::<_, BodyError>(())
    });
    Response::new(StatusCode::OK).with_stream(pieces)
}

fn sized(len: u64) -> impl Fn() -> Response {
    move || {
        let pieces = generate(|mut out: Outflow| async move {
            out.send("12345").await;
            out.send("67890").await;
            Ok::<_, BodyError>(())
        });
        Response::new(StatusCode::OK).with_sized_stream(len, pieces)
    }
}

fn routes(_shard: sunstar::ShardId) -> Router {
    Router::new(())
        .get("/", || "hello")
        .post("/count", count)
        .post("/limited", limited)
        .post("/ignore", ignore)
        .post("/echo", echo)
        .post("/whole", whole)
        .get("/lines", lines)
        .get("/broken", broken)
        .get("/panics", panics)
        .get("/exact", sized(10))
        .get("/less", sized(7))
        .get("/more", sized(11))
}

fn start() -> Running {
    start_with(config(1), routes)
}

fn chunked(target: &str, chunks: &str) -> String {
    format!("POST {target} HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n{chunks}")
}

/// What the server says to `request` until it closes.
fn says(request: &str) -> String {
    let server = start();
    let mut client = server.connect();
    client.send(request);
    client.rest()
}

#[test]
fn a_handler_reads_content_that_comes_in_many_pieces() {
    let server = start();
    let mut client = server.connect();
    client.send("POST /count HTTP/1.1\r\nHost: h\r\nContent-Length: 300000\r\n\r\n");
    for _ in 0..100 {
        client.send([b'x'; 3000]);
    }
    assert_eq!(client.answer().unwrap().content, "300000 0");
    client.send(chunked("/count", "5\r\nhello\r\n"));
    client.send("3\r\nabc\r\n0\r\nX: y\r\nZ: z\r\n\r\n");
    assert_eq!(client.answer().unwrap().content, "8 2");
    // All at once, with trailers and without.
    client.send(chunked("/count", "5\r\nhello\r\n0\r\nX: y\r\n\r\n"));
    assert_eq!(client.answer().unwrap().content, "5 1");
    client.send(chunked("/count", "5\r\nhello\r\n0\r\n\r\n"));
    assert_eq!(client.answer().unwrap().content, "5 0");
    assert_eq!(client.post("/count", "hello").content, "5 0");
    assert_eq!(client.post("/count", "").content, "0 0");
}

#[test]
fn a_plain_handler_gets_its_content_whole_however_it_comes() {
    let server = start();
    let mut client = server.connect();
    let request = chunked("/whole", "5\r\nhello\r\n6\r\n world\r\n0\r\n\r\n");
    for cut in 1..request.len() {
        client.send(&request[..cut]);
        // The peer has seen the first part when it has been answered elsewhere in between.
        assert_eq!(server.connect().get("/").content, "hello");
        client.send(&request[cut..]);
        assert_eq!(client.answer().unwrap().content, "11", "cut at {cut}");
    }
}

#[test]
fn a_peer_that_expects_it_gets_a_100_when_content_is_asked_for() {
    let server = start();
    let mut client = server.connect();
    let expecting = |target, len| {
        format!(
            "POST {target} HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\n\
             Content-Length: {len}\r\n\r\n"
        )
    };
    for target in ["/count", "/whole"] {
        client.send(expecting(target, 5));
        assert_eq!(client.answer().unwrap().status, 100);
        client.send("hello");
        assert!(client.answer().unwrap().content.starts_with('5'));
    }
    for (target, len, status) in [
        ("/ignore", 5, 200),
        ("/limited", 11, 413),
        ("/whole", (1 << 20) + 1, 413),
    ] {
        let mut client = server.connect();
        client.send(expecting(target, len));
        assert_eq!(client.answer().unwrap().status, status, "{target}");
        assert!(
            client.is_closed(),
            "content may come or not, so nothing can follow"
        );
    }
}

#[test]
fn content_limits_hold_to_the_byte() {
    let server = start();
    let sized = |target: &str, len: usize| {
        let mut client = server.connect();
        client.post(target, &"x".repeat(len)).status
    };
    assert_eq!((sized("/limited", 10), sized("/limited", 11)), (200, 413));
    let mib = 1 << 20;
    assert_eq!((sized("/whole", mib), sized("/whole", mib + 1)), (200, 413));
    assert_eq!(sized("/count", mib + 1), 200);
    for (chunks, status) in [
        ("a\r\n0123456789\r\n", 200),
        ("a\r\n0123456789\r\n1\r\nx\r\n", 413),
    ] {
        let mut client = server.connect();
        client.send(chunked("/limited", &format!("{chunks}0\r\n\r\n")));
        assert_eq!(client.answer().unwrap().status, status);
    }
}

#[test]
fn a_small_limit_also_holds_for_content_that_comes_with_its_head() {
    let limits = Limits {
        content_len_max: 4,
        stream_len_max: 8,
        ..Limits::default()
    };
    let server = start_with(
        Config {
            limits,
            ..config(1)
        },
        routes,
    );
    let status = |target, content| server.connect().post(target, content).status;
    assert_eq!(
        (status("/whole", "1234"), status("/whole", "12345")),
        (200, 413)
    );
    assert_eq!(
        (status("/count", "12345678"), status("/count", "123456789")),
        (200, 413)
    );
}

#[test]
fn content_that_is_not_read_never_becomes_a_request() {
    let server = start();
    let mut client = server.connect();
    let inner = "GET / HTTP/1.1\r\nHost: h\r\n\r\n";
    for _ in 0..3 {
        assert_eq!(client.post("/ignore", inner).content, "ignored");
    }
    client.send(chunked("/ignore", ""));
    assert_eq!(client.answer().unwrap().content, "ignored");
    client.send(format!("{:x}\r\n{inner}\r\n0\r\n\r\n", inner.len()));
    assert_eq!(client.get("/").content, "hello");
    // More than is worth reading: the connection ends instead.
    let mut client = server.connect();
    client.send("POST /ignore HTTP/1.1\r\nHost: h\r\nContent-Length: 1000000\r\n\r\n");
    assert_eq!(client.answer().unwrap().field("Connection"), Some("close"));
    client.send(inner);
    assert!(client.is_closed());
}

#[test]
fn malformed_content_is_a_400_for_every_kind_of_handler() {
    for target in ["/count", "/whole", "/limited"] {
        let answer = says(&chunked(target, "5\r\nhello\r\nX\r\n"));
        assert!(answer.starts_with("HTTP/1.1 400 "), "{target}: {answer}");
        assert!(answer.contains("Connection: close\r\n"), "{answer}");
        assert!(answer.ends_with("malformed chunk"), "{answer}");
    }
}

#[test]
fn an_answer_that_was_begun_ends_without_its_last_chunk_when_its_source_fails() {
    let cut = "4\r\nhalf\r\n";
    for target in ["/broken", "/panics"] {
        let answer = says(&format!("GET {target} HTTP/1.1\r\nHost: h\r\n\r\n"));
        assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
        assert!(
            answer.ends_with(&format!("\r\n\r\n{cut}")),
            "{target}: {answer}"
        );
    }
    let server = start();
    let mut client = server.connect();
    client.send(chunked("/echo", cut));
    assert_eq!(client.answer().unwrap().status, 200);
    client.send("X\r\n");
    assert_eq!(client.rest(), cut);
}

#[test]
fn a_stream_of_unknown_length_goes_out_in_chunks_with_its_trailers() {
    let answer = says("GET /lines HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n");
    let (head, content) = answer.split_once("\r\n\r\n").unwrap();
    assert!(head.contains("Transfer-Encoding: chunked"), "{head}");
    assert!(content.starts_with("2\r\n0\n\r\n2\r\n1\n\r\n"), "{content}");
    assert!(
        content.ends_with("2\r\n9\n\r\n0\r\nx-sum: 45\r\n\r\n"),
        "{content}"
    );
}

#[test]
fn an_old_peer_gets_a_stream_until_the_close() {
    let answer = says("GET /lines HTTP/1.0\r\n\r\n");
    let (head, content) = answer.split_once("\r\n\r\n").unwrap();
    assert!(
        !head.contains("Transfer-Encoding") && head.contains("Connection: close"),
        "{head}"
    );
    assert_eq!(content, "0\n1\n2\n3\n4\n5\n6\n7\n8\n9\n");
}

#[test]
fn head_gets_no_content_of_a_stream() {
    let server = start();
    let mut client = server.connect();
    for target in ["/lines", "/broken"] {
        client.send(format!("HEAD {target} HTTP/1.1\r\nHost: h\r\n\r\n"));
        assert_eq!(client.answer().unwrap().status, 200);
    }
    assert_eq!(client.get("/").content, "hello");
}

#[test]
fn a_stream_of_known_length_is_exactly_so_long_or_the_connection_ends() {
    let server = start();
    let mut client = server.connect();
    assert_eq!(client.get("/exact").content, "1234567890");
    assert_eq!(client.get("/less").content, "1234567");
    assert_eq!(client.get("/exact").content, "1234567890");
    client.send("GET /more HTTP/1.1\r\nHost: h\r\n\r\n");
    let text = client.rest();
    assert!(
        text.contains("Content-Length: 11\r\n") && text.ends_with("\r\n\r\n1234567890"),
        "{text}"
    );
}

#[test]
fn an_echo_is_streamed_while_it_comes() {
    let server = start();
    let client = server.connect();
    let mut stream = client.stream();
    stream
        .write_all(chunked("/echo", "5\r\nhello\r\n").as_bytes())
        .unwrap();
    let mut text = String::new();
    while !text.ends_with("5\r\nhello\r\n") {
        let mut piece = [0; 1000];
        let len = stream.read(&mut piece).unwrap();
        text += std::str::from_utf8(&piece[..len]).unwrap();
    }
    stream.write_all(b"1\r\n!\r\n0\r\n\r\n").unwrap();
    let mut last = [0; 11];
    stream.read_exact(&mut last).unwrap();
    assert_eq!(&last, b"1\r\n!\r\n0\r\n\r\n");
}

#[test]
fn a_handler_that_does_not_read_stops_the_peer() {
    async fn hold(mut body: Body) -> Result<String, BodyError> {
        body.next().await.transpose()?;
        sunstar::runtime::sleep(Duration::from_millis(200)).await;
        count(body).await
    }
    let server = start_with(config(1), |_| Router::new(()).post("/hold", hold));
    let client = server.connect();
    let mut stream = client.stream();
    let len = 64 << 20;
    let head = format!("POST /hold HTTP/1.1\r\nHost: h\r\nContent-Length: {len}\r\n\r\n");
    stream.write_all(head.as_bytes()).unwrap();
    stream.set_nonblocking(true).unwrap();
    let (piece, mut sent) = (vec![0; 1 << 16], 0);
    let blocked = loop {
        match stream.write(&piece) {
            Ok(count) => sent += count,
            Err(error) => break error,
        }
        assert!(sent < len, "everything went, though nobody read it");
    };
    assert_eq!(blocked.kind(), std::io::ErrorKind::WouldBlock);
    stream.set_nonblocking(false).unwrap();
    while sent < len {
        let rest = piece.len().min(len - sent);
        sent += stream.write(&piece[..rest]).unwrap();
    }
    let mut client = client;
    assert!(client.answer().unwrap().content.ends_with(" 0"));
}

#[test]
fn a_body_that_outlives_its_answer_ends_with_an_error() {
    async fn leave(told: Sharded<Option<bool>>, mut body: Body) -> &'static str {
        let read = async move {
            while let Some(Ok(_)) = body.next().await {}
            let end = body.next().await;
            told.local(|told| *told = Some(end.is_none()));
        };
        sunstar::runtime::spawn(read).detach();
        "left"
    }
    async fn was_told(told: Sharded<Option<bool>>) -> String {
        while told.local(|told| told.is_none()) {
            sunstar::runtime::yield_now().await;
        }
        "told".to_owned()
    }
    let make = |_| {
        Router::new(None)
            .post("/leave", leave)
            .get("/told", was_told)
    };
    let server = start_with(config(1), make);
    let mut client = server.connect();
    client.send("POST /leave HTTP/1.1\r\nHost: h\r\nContent-Length: 10\r\n\r\n12345");
    assert_eq!(client.answer().unwrap().content, "left");
    assert_eq!(server.connect().get("/told").content, "told");
    client.send("67890");
    assert_eq!(client.get("/told").content, "told");
}

#[test]
fn content_that_stalls_is_a_408_for_every_kind_of_handler() {
    let limits = Limits {
        content_timeout: Duration::from_millis(30),
        ..Limits::default()
    };
    let server = start_with(
        Config {
            limits,
            ..config(1)
        },
        routes,
    );
    for target in ["/count", "/whole"] {
        let mut client = server.connect();
        client.send(format!(
            "POST {target} HTTP/1.1\r\nHost: h\r\nContent-Length: 10\r\n\r\n12345"
        ));
        let answer = client.answer().unwrap();
        assert_eq!(
            (answer.status, answer.field("Connection")),
            (408, Some("close"))
        );
        assert!(client.is_closed());
    }
}

#[test]
fn a_service_of_ones_own_may_read_or_gather() {
    struct Own;
    impl Service for Own {
        fn call(&self, request: sunstar::Request) -> sunstar::service::Reply {
            if request.path() == "/read" {
                let body = request.body().expect("nobody has taken it");
                assert!(request.body().is_none() || request.is_whole());
                return sunstar::service::Reply::later(async {
                    let text = count(body).await.unwrap_or_default();
                    Response::new(StatusCode::OK).with_content(Buf::from(text.into_bytes()))
                });
            }
            sunstar::service::Reply::gather(request, |request| {
                let content = request.content().clone();
                Response::new(StatusCode::OK).with_content(content).into()
            })
        }
    }
    let server = start_with(config(1), |_| Own);
    let mut client = server.connect();
    for (target, content) in [("/read", "8 0"), ("/", "abcdefgh")] {
        client.send(chunked(target, "3\r\nabc\r\n"));
        assert_eq!(server.connect().post("/", "x").content, "x");
        client.send("5\r\ndefgh\r\n0\r\n\r\n");
        assert_eq!(client.answer().unwrap().content, content);
    }
}

#[test]
fn the_limit_of_a_layer_holds_for_chunks_whoever_reads_them() {
    let make = |_| {
        Router::new(())
            .post("/count", count)
            .post("/whole", whole)
            .layer(ContentLimit::new(10))
    };
    let server = start_with(config(1), make);
    for target in ["/count", "/whole"] {
        for (last, status) in [("5\r\n56789\r\n", 200), ("6\r\n56789X\r\n", 413)] {
            let mut client = server.connect();
            client.send(chunked(target, "5\r\n01234\r\n"));
            client.send(format!("{last}0\r\n\r\n"));
            assert_eq!(client.answer().unwrap().status, status, "{target} {last}");
        }
    }
}

#[test]
fn a_chunk_that_is_announced_to_be_too_long_is_not_waited_for() {
    let server = start();
    for chunks in [
        "b\r\n0123",
        "5\r\n01234\r\n6\r\n",
        "FFFFFFFFFFFFFFFE\r\nhello\r\n",
    ] {
        let mut client = server.connect();
        client.send(chunked("/limited", chunks));
        assert_eq!(client.answer().unwrap().status, 413, "{chunks}");
        assert!(client.is_closed());
    }
}

/// A stream that says what it is told to say, and what has become of it.
struct Spoken {
    pieces: Queue<&'static str>,
    has_ended: bool,
}

/// Tells when it is dropped, as the generator is that owns it.
struct Speaker(Sharded<Spoken>);

impl Drop for Speaker {
    fn drop(&mut self) {
        self.0.local(|spoken| spoken.has_ended = true);
    }
}

fn listen(spoken: Sharded<Spoken>) -> Response {
    let pieces = spoken.local(|spoken| spoken.pieces.clone());
    let speaker = Speaker(spoken);
    let speech = generate(move |mut out: Outflow| async move {
        let _speaker = speaker;
        while let Ok(piece) = pieces.pop().await {
            out.send(piece).await;
        }
        Ok::<_, BodyError>(())
    });
    Response::new(StatusCode::OK).with_stream(speech)
}

fn say(spoken: Sharded<Spoken>) -> &'static str {
    spoken.local(|spoken| spoken.pieces.try_push("word").expect("somebody listens"));
    "said"
}

fn end(spoken: Sharded<Spoken>) -> &'static str {
    spoken.local(|spoken| spoken.pieces.close());
    "ends"
}

fn has_ended(spoken: Sharded<Spoken>) -> String {
    spoken.local(|spoken| spoken.has_ended).to_string()
}

/// Wants nothing of the content, which may never come.
fn listen_only(_: Body, spoken: Sharded<Spoken>) -> Response {
    listen(spoken)
}

/// A server, and a client of it that has read the first word of a stream.
fn listening() -> (Running, Client) {
    listening_by("GET /listen HTTP/1.1\r\nHost: h\r\n\r\n")
}

fn listening_by(request: &str) -> (Running, Client) {
    let make = |_| {
        let spoken = Spoken {
            pieces: Queue::new(10),
            has_ended: false,
        };
        Router::new(spoken)
            .get("/listen", listen)
            .post("/listen", listen_only)
            .get("/say", say)
            .get("/end", end)
            .get("/has-ended", has_ended)
    };
    let server = start_with(config(1), make);
    let mut client = server.connect();
    client.send(request);
    assert_eq!(server.connect().get("/say").content, "said");
    let mut read = Vec::new();
    while !read.ends_with(b"4\r\nword\r\n") {
        let mut byte = [0];
        client.stream().read_exact(&mut byte).expect("more to come");
        read.extend(byte);
    }
    (server, client)
}

/// Asks often enough that what is under way has arrived.
fn ends_soon(operator: &mut Client) -> bool {
    (0..100).any(|_| operator.get("/has-ended").content == "true")
}

#[test]
fn a_peer_that_has_sent_its_end_gets_the_whole_stream() {
    let (server, mut client) = listening();
    client.stream().shutdown(Shutdown::Write).expect("open");
    let mut operator = server.connect();
    for _ in 0..3 {
        assert!(!ends_soon(&mut operator));
        assert_eq!(operator.get("/say").content, "said");
    }
    assert_eq!(operator.get("/end").content, "ends");
    assert_eq!(client.rest(), "4\r\nword\r\n".repeat(3) + "0\r\n\r\n");
}

#[test]
fn a_stream_to_a_peer_that_has_closed_ends_with_the_second_piece() {
    let (server, client) = listening();
    ends_with_the_second_piece(&server, client);
}

#[test]
fn a_stream_to_a_peer_that_closed_without_its_content_ends_with_the_second_piece() {
    let request = "POST /listen HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\n\r\n";
    let (server, client) = listening_by(request);
    ends_with_the_second_piece(&server, client);
}

fn ends_with_the_second_piece(server: &Running, client: Client) {
    drop(client); // It has read everything, so this sends FIN and no reset.
    let mut operator = server.connect();
    // The first piece is answered with a reset, and the second one cannot be sent.
    for _ in 0..2 {
        assert!(!ends_soon(&mut operator));
        assert_eq!(operator.get("/say").content, "said");
    }
    assert!(ends_soon(&mut operator));
}
