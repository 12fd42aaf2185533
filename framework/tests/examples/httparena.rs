//! The `httparena` example, asked in the shapes of that board's requests, the malformed ones too.
//!
//! What must hold: an answer is the whole answer, so a connection that stays open is usable.

use std::fmt::Write as _;
use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::Running;

const ITEM_COUNT: i64 = 50;
const UPLOAD_LEN_MAX: usize = 20 * 1024 * 1024;
const STYLE: &str = "body { margin: 0 }";
/// Not compressed, since nobody here unpacks it.
const STYLE_AS_BROTLI: &str = "as brotli";

/// What the board mounts: a dataset and files, gone when dropped.
struct Data(PathBuf);

impl Data {
    fn new(name: &str) -> Data {
        let place = std::env::temp_dir().join(format!("httparena-{}-{name}", std::process::id()));
        std::fs::create_dir_all(place.join("static")).unwrap();
        std::fs::write(place.join("dataset.json"), dataset()).unwrap();
        std::fs::write(place.join("static/reset.css"), STYLE).unwrap();
        std::fs::write(place.join("static/reset.css.br"), STYLE_AS_BROTLI).unwrap();
        std::fs::write(place.join("static/app.js"), "run()").unwrap();
        Data(place)
    }

    fn start(&self) -> Running {
        let path = |name: &str| self.0.join(name).to_str().unwrap().to_owned();
        let (dataset, files) = (path("dataset.json"), path("static"));
        let own = ["--dataset", &dataset, "--files", &files];
        Running::start("httparena", &[&super::ARGUMENTS[..], &own[..]].concat())
    }
}

impl Drop for Data {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// An item, up to where its total goes.
fn item(id: i64) -> String {
    let (price, quantity, active) = (100 + id, id % 9, id % 2 == 0);
    let first = format!(r#"{{"id":{id},"name":"Item {id}","category":"tools","price":{price}"#);
    let second = format!(r#""quantity":{quantity},"active":{active},"tags":["new","eco"]"#);
    format!(r#"{first},{second},"rating":{{"score":{id},"count":7}}"#)
}

fn dataset() -> String {
    let items: Vec<_> = (1..=ITEM_COUNT).map(|id| item(id) + "}").collect();
    format!("[{}]", items.join(","))
}

/// A connection that reads whole answers.
struct Client(TcpStream);

impl Client {
    fn new(server: &Running) -> Client {
        let stream = TcpStream::connect(server.address()).unwrap();
        stream
            .set_read_timeout(Some(Duration::from_secs(10)))
            .unwrap();
        Client(stream)
    }

    fn ask(&mut self, request: impl AsRef<[u8]>) -> (u16, String, String) {
        self.0.write_all(request.as_ref()).unwrap();
        self.answer()
    }

    /// Status, head and content of the next answer.
    fn answer(&mut self) -> (u16, String, String) {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            self.0.read_exact(&mut byte).unwrap();
            head.push(byte[0]);
        }
        let head = String::from_utf8(head).unwrap().to_lowercase();
        let len = head.split("content-length: ").nth(1).unwrap();
        let mut content = vec![0; len.split("\r\n").next().unwrap().parse().unwrap()];
        self.0.read_exact(&mut content).unwrap();
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        (status, head, String::from_utf8(content).unwrap())
    }

    /// Whether the server now closes, without another byte.
    fn closes(mut self) -> bool {
        match self.0.read(&mut [0]) {
            Ok(len) => len == 0,
            Err(error) => error.kind() == ErrorKind::ConnectionReset,
        }
    }
}

fn get(target: &str) -> String {
    format!("GET {target} HTTP/1.1\r\nHost: localhost:8080\r\n\r\n")
}

fn post(target: &str, content: &str) -> String {
    let len = content.len();
    format!(
        "POST {target} HTTP/1.1\r\nHost: localhost:8080\r\nContent-Length: {len}\r\n\r\n{content}"
    )
}

fn post_chunked(target: &str, chunks: &[&str]) -> String {
    let mut request = format!(
        "POST {target} HTTP/1.1\r\nHost: localhost:8080\r\nTransfer-Encoding: chunked\r\n\r\n"
    );
    for chunk in chunks {
        write!(request, "{:x}\r\n{chunk}\r\n", chunk.len()).unwrap();
    }
    request + "0\r\n\r\n"
}

#[test]
fn sums_are_of_the_query_and_the_content_however_it_is_framed() {
    let data = Data::new("sums");
    let server = data.start();
    let mut client = Client::new(&server);
    let target = "/baseline11?a=13&b=42";
    for (request, sum) in [
        (get(target), "55"),
        (post(target, "20"), "75"),
        (post_chunked(target, &["20"]), "75"),
        (post_chunked(target, &["2", "0"]), "75"),
        (get("/baseline11?a=-7&b=907"), "900"),
        (post("/baseline11?b=1&a=2&c=9", " 4\n"), "7"),
    ] {
        let (status, head, content) = client.ask(&request);
        assert_eq!((status, content.as_str()), (200, sum), "{request}");
        assert!(head.contains("content-type: text/plain"), "{head}");
    }
    assert!(server.ends_well());
}

#[test]
fn sums_come_out_right_from_requests_in_pieces() {
    let data = Data::new("pieces");
    let server = data.start();
    let target = "/baseline11?a=13&b=42";
    for (request, sum) in [
        (get(target), "55"),
        (post_chunked(target, &["2", "0"]), "75"),
    ] {
        let mut client = Client::new(&server);
        client.0.set_nodelay(true).unwrap();
        for byte in request.as_bytes() {
            client.0.write_all(&[*byte]).unwrap();
        }
        assert_eq!(client.answer().2, sum);
    }
}

#[test]
fn what_cannot_be_added_up_is_a_bad_request() {
    let data = Data::new("bad");
    let server = data.start();
    let mut client = Client::new(&server);
    let most = i64::MAX;
    for request in [
        get("/baseline11?a=x&b=1"),
        post("/baseline11?a=1&b=1", "x"),
        post("/baseline11?a=1&b=1", ""),
        get(&format!("/baseline11?a={most}&b=1")),
        post(&format!("/baseline11?a={most}&b=0"), "1"),
    ] {
        assert_eq!(client.ask(&request).0, 400, "{request}");
    }
    // The connection is none the worse for it.
    assert_eq!(client.ask(get("/baseline11?a=1&b=1")).2, "2");
}

#[test]
fn sixteen_pipelined_requests_get_sixteen_answers() {
    let data = Data::new("pipeline");
    let server = data.start();
    let mut client = Client::new(&server);
    client
        .0
        .write_all(get("/pipeline").repeat(16).as_bytes())
        .unwrap();
    for _ in 0..16 {
        let (status, head, content) = client.answer();
        assert_eq!((status, content.as_str()), (200, "ok"));
        assert!(head.contains("content-type: text/plain"), "{head}");
    }
}

#[test]
fn a_listing_has_the_first_items_with_their_totals() {
    let data = Data::new("listing");
    let server = data.start();
    let mut client = Client::new(&server);
    for (count, multiplier) in [(1, 3), (5, 7), (12, 2), (50, 6), (0, 1)] {
        let (status, head, content) = client.ask(get(&format!("/json/{count}?m={multiplier}")));
        assert_eq!(status, 200);
        assert!(
            head.contains("content-type: application/json\r\n"),
            "{head}"
        );
        let lines: Vec<_> = (1..=count)
            .map(|id| {
                let total = (100 + id) * (id % 9) * multiplier;
                format!(r#"{},"total":{total}}}"#, item(id))
            })
            .collect();
        let expected = format!(r#"{{"items":[{}],"count":{count}}}"#, lines.join(","));
        assert_eq!(content, expected);
    }
    // More than there are gives all, without a multiplier it is one, and no number is no path.
    let (_, _, all) = client.ask(get("/json/99"));
    assert!(all.ends_with(r#""count":50}"#), "{all}");
    assert_eq!(client.ask(get("/json/many?m=1")).0, 400);
    assert_eq!(client.ask(get("/json/1?m=x")).0, 400);
}

#[test]
fn uploads_are_counted_up_to_their_limit() {
    let data = Data::new("uploads");
    let server = data.start();
    let mut client = Client::new(&server);
    for len in [0, 17, 512_000, UPLOAD_LEN_MAX] {
        let content = "a".repeat(len);
        assert_eq!(client.ask(post("/upload", &content)).2, len.to_string());
    }
    assert_eq!(client.ask(post_chunked("/upload", &["abc", "de"])).2, "5");
    let len = UPLOAD_LEN_MAX + 1;
    let (status, _, _) = client.ask(format!(
        "POST /upload HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len}\r\n\r\n"
    ));
    assert_eq!(status, 413);
}

#[test]
fn files_come_as_they_are_or_as_their_compressed_neighbours() {
    let data = Data::new("files");
    let server = data.start();
    let mut client = Client::new(&server);
    let (status, head, content) = client.ask(get("/static/reset.css"));
    assert_eq!((status, content.as_str()), (200, STYLE));
    assert!(head.contains("content-type: text/css"), "{head}");
    assert!(!head.contains("content-encoding"), "{head}");
    let accepting = |target: &str| {
        let fields = "Accept-Encoding: br;q=1, gzip;q=0.8\r\n\r\n";
        get(target).replace("\r\n\r\n", &format!("\r\n{fields}"))
    };
    let (_, head, content) = client.ask(accepting("/static/reset.css"));
    assert_eq!(content, STYLE_AS_BROTLI);
    assert!(head.contains("content-encoding: br\r\n"), "{head}");
    let (_, head, content) = client.ask(accepting("/static/app.js"));
    assert_eq!(content, "run()");
    assert!(head.contains("content-type: text/javascript"), "{head}");
    assert_eq!(client.ask(get("/static/nonexistent.txt")).0, 404);
    assert_eq!(client.ask(get("/static/../dataset.json")).0, 404);
}

#[test]
fn noise_is_refused_and_harms_nobody_else() {
    let data = Data::new("noise");
    let server = data.start();
    let mut bystander = Client::new(&server);
    let head = "GET /baseline11?a=1&b=1 HTTP/1.1";
    for (name, noise) in [
        ("bare CR", format!("{head}\rHost: a\r\n\r\n").into_bytes()),
        (
            "empty name",
            format!("{head}\r\nHost: a\r\n:\r\n\r\n").into_bytes(),
        ),
        (
            "folded field",
            format!("{head}\r\nHost: a\r\nX: b\r\n c\r\n\r\n").into_bytes(),
        ),
        (
            "null in the target",
            b"GET /base\0line11 HTTP/1.1\r\nHost: a\r\n\r\n".to_vec(),
        ),
        (
            "null in a field",
            format!("{head}\r\nHost: a\r\nX: b\0\r\n\r\n").into_bytes(),
        ),
        ("binary", (0..=255).cycle().skip(128).take(2000).collect()),
    ] {
        let mut client = Client::new(&server);
        assert_eq!(client.ask(noise).0, 400, "{name}");
        assert!(client.closes(), "{name}");
        assert_eq!(bystander.ask(get("/baseline11?a=1&b=2")).2, "3");
    }
    let huge = format!("{head}\r\nHost: a\r\nX: {}\r\n\r\n", "b".repeat(100_000));
    let mut client = Client::new(&server);
    // It may have closed before all is written.
    let _ = client.0.write_all(huge.as_bytes());
    assert_eq!(client.answer().0, 431);
    assert_eq!(bystander.ask(get("/this/path/does/not/exist")).0, 404);
    // A second empty line ends nothing: what follows it is no request.
    let mut client = Client::new(&server);
    assert_eq!(client.ask(get("/pipeline") + "X-After: a\r\n\r\n").0, 200);
    assert_eq!(client.answer().0, 400);
    // Content that never comes is waited for, until the peer is gone.
    let mut client = Client::new(&server);
    let short = "POST /baseline11 HTTP/1.1\r\nHost: a\r\nContent-Length: 999\r\n\r\n";
    client.0.write_all(short.as_bytes()).unwrap();
    client.0.shutdown(Shutdown::Write).unwrap();
    let mut rest = String::new();
    let _ = client.0.read_to_string(&mut rest);
    assert!(!rest.contains(" 200 "), "{rest}");
    assert_eq!(bystander.ask(get("/pipeline")).2, "ok");
    assert!(server.ends_well());
}

#[test]
fn a_dataset_that_is_not_there_is_named() {
    let nowhere = Path::new("/nonexistent/dataset.json");
    let output = super::example("httparena")
        .args(["--dataset", nowhere.to_str().unwrap()])
        .output()
        .unwrap();
    let text = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(
        text.contains("/nonexistent/dataset.json: No such file"),
        "{text}"
    );
}
