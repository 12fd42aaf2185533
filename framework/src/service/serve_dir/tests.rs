//! Tests of [`ServeDir`](super::ServeDir) over a directory of their own.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::os::unix::net::UnixListener;
use std::path::PathBuf;
use std::task::{Context, Poll, Waker};

use super::*;
use crate::http::{HeaderName, Length};
use crate::service::{Content, Router, stream};
use crate::sharded::Sharded;

/// When every file of a site was changed.
const CHANGED: &str = "Sun, 06 Nov 1994 08:49:37 GMT";

/// A directory with files that goes with the test.
struct Site(PathBuf);

impl Site {
    fn new(name: &str) -> Site {
        let name = format!("sunstar-site-{name}-{}", std::process::id());
        let site = Site(std::env::temp_dir().join(name));
        fs::create_dir_all(site.root().join("sub")).unwrap();
        fs::create_dir_all(site.root().join(".git")).unwrap();
        fs::write(site.0.join("secret.txt"), "secret").unwrap();
        for (path, text) in [
            ("index.html", "<p>root"),
            ("a.txt", "0123456789"),
            ("\u{fc} %41.txt", "odd"),
            ("empty.css", ""),
            ("sub/index.html", "<p>sub"),
            (".git/config", "hidden"),
        ] {
            site.write(path, text);
        }
        site
    }

    fn root(&self) -> PathBuf {
        self.0.join("root")
    }

    fn write(&self, path: &str, text: impl AsRef<[u8]>) {
        let path = self.root().join(path);
        fs::write(&path, text).unwrap();
        let changed = httpdate::parse_http_date(CHANGED).unwrap();
        fs::File::options()
            .write(true)
            .open(path)
            .unwrap()
            .set_modified(changed)
            .unwrap();
    }

    fn service(&self) -> ServeDir {
        ServeDir::new(self.root()).unwrap()
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        // What is left over lies in the system's directory for that.
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// Calls a service and polls the reply to its end.
fn respond(service: &impl Service, request: Request) -> Response {
    wait(service.call(request).response())
}

/// Polls a future to its end.
fn wait<F: Future>(future: F) -> F::Output {
    let mut future = std::pin::pin!(future);
    loop {
        let polled = future
            .as_mut()
            .poll(&mut Context::from_waker(Waker::noop()));
        if let Poll::Ready(output) = polled {
            break output;
        }
    }
}

fn get(service: &impl Service, target: &str) -> (u16, String) {
    let response = respond(service, Request::get(target));
    (response.status.as_u16(), text(&response))
}

fn text(response: &Response) -> String {
    String::from_utf8(response.content.as_bytes().to_vec()).unwrap()
}

fn field<'a>(response: &'a Response, name: &HeaderName) -> Option<&'a str> {
    response
        .fields
        .get(name)
        .map(|value| str::from_utf8(value).unwrap())
}

fn mounted(prefix: &str, service: ServeDir) -> Router {
    Router::with(Sharded::single(())).mount(prefix, service)
}

#[test]
fn files_are_found_below_the_prefix_and_without_one() {
    let site = Site::new("found");
    let text = (200, "0123456789".to_owned());
    assert_eq!(get(&site.service(), "/a.txt?query"), text);
    assert_eq!(get(&mounted("/", site.service()), "/a.txt"), text);
    let router = mounted("/s/t", site.service());
    assert_eq!(get(&router, "/s/t/a.txt"), text);
    assert_eq!(
        get(&router, "/s/t/sub/index.html"),
        (200, "<p>sub".to_owned())
    );
    assert_eq!(
        get(&router, "/s/t/%C3%BC%20%2541.txt"),
        (200, "odd".to_owned())
    );
    for missing in [
        "/s/t/b",
        "/s/t/a.txt/",
        "/s/t/a.txt/b",
        "/s/t/sub/b",
        "/a.txt",
    ] {
        assert_eq!(get(&router, missing).0, 404, "{missing}");
    }
}

#[test]
fn a_directory_is_answered_with_its_index_behind_a_slash() {
    let site = Site::new("index");
    let router = mounted("/s", site.service());
    assert_eq!(get(&router, "/s/"), (200, "<p>root".to_owned()));
    assert_eq!(get(&router, "/s/sub/"), (200, "<p>sub".to_owned()));
    for (target, location) in [("/s", "/s/"), ("/s/sub?a=b", "/s/sub/?a=b")] {
        let response = respond(&router, Request::get(target));
        assert_eq!(response.status, StatusCode::PERMANENT_REDIRECT);
        assert_eq!(field(&response, &header::LOCATION), Some(location));
    }
    fs::create_dir(site.root().join("bare")).unwrap();
    assert_eq!(get(&router, "/s/bare/").0, 404, "there are no listings");
    let other = mounted("/", site.service().with_index("a.txt"));
    assert_eq!(get(&other, "/"), (200, "0123456789".to_owned()));
}

#[test]
fn no_path_leads_out_of_the_directory() {
    let site = Site::new("out");
    symlink("../secret.txt", site.root().join("link.txt")).unwrap();
    symlink("..", site.root().join("up")).unwrap();
    symlink(site.0.join("secret.txt"), site.root().join("absolute.txt")).unwrap();
    let absolute = site.0.join("secret.txt").to_str().unwrap().to_owned();
    for service in [
        mounted("/", site.service()),
        mounted("/", site.service().with_dot_files()),
    ] {
        for target in [
            "/../secret.txt",
            "/sub/../../secret.txt",
            "/%2e%2e/secret.txt",
            "/.%2E/secret.txt",
            "/..%2fsecret.txt",
            "/sub/..%2F..%2Fsecret.txt",
            "/..%5csecret.txt",
            "/%252e%252e/secret.txt",
            "/./a.txt",
            "/sub/%2e/index.html",
            "//a.txt",
            "/sub//index.html",
            "//",
            "/a.txt%00",
            "/a.txt%00.html",
            "/sub%2findex.html",
            "/link.txt",
            "/absolute.txt",
            "/up/secret.txt",
            "/up/",
            absolute.as_str(),
            &format!("/{absolute}"),
        ] {
            assert_eq!(get(&service, target), (404, String::new()), "{target}");
        }
    }
}

#[test]
fn a_redirect_never_names_another_host() {
    let site = Site::new("host");
    fs::create_dir_all(site.root().join("evil.example")).unwrap();
    fs::create_dir_all(format!("{}/\\evil.example", site.root().display())).unwrap();
    for service in [mounted("/", site.service()), mounted("/s", site.service())] {
        assert_eq!(get(&service, "//evil.example").0, 404);
    }
    assert_eq!(get(&site.service(), "//evil.example").0, 404);
    let backslash = respond(&site.service(), Request::get("/\\evil.example"));
    assert_eq!(
        field(&backslash, &header::LOCATION),
        Some("/%5Cevil.example/")
    );
}

#[test]
fn dot_files_are_not_there_unless_wanted() {
    let site = Site::new("dots");
    assert_eq!(get(&site.service(), "/.git/config").0, 404);
    assert_eq!(get(&site.service(), "/%2egit/config").0, 404);
    let open = site.service().with_dot_files();
    assert_eq!(get(&open, "/.git/config"), (200, "hidden".to_owned()));
}

#[test]
fn what_is_no_regular_file_is_not_there() {
    let site = Site::new("special");
    let _socket = UnixListener::bind(site.root().join("socket")).unwrap();
    let fifo = std::process::Command::new("mkfifo")
        .arg(site.root().join("fifo"))
        .status();
    assert!(fifo.unwrap().success());
    for target in ["/socket", "/fifo"] {
        assert_eq!(get(&site.service(), target).0, 404, "{target}");
    }
    let long = format!("/{}", "x".repeat(256));
    assert_eq!(
        get(&site.service(), &long).0,
        404,
        "longer than a name can be"
    );
}

#[test]
fn a_response_says_what_the_file_is() {
    let site = Site::new("type");
    let no_cache = HeaderValue::from_static("no-cache");
    let service = site.service().with_cache_control(no_cache);
    let response = respond(&service, Request::get("/a.txt"));
    for (name, value) in [
        (header::CONTENT_TYPE, "text/plain; charset=utf-8"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::CACHE_CONTROL, "no-cache"),
        (header::LAST_MODIFIED, CHANGED),
        (header::ACCEPT_RANGES, "bytes"),
    ] {
        assert_eq!(field(&response, &name), Some(value));
    }
    let etag = field(&response, &header::ETAG).unwrap();
    assert!(etag.starts_with('"') && etag.ends_with("-a\""), "{etag}");
    assert_eq!(field(&response, &header::VARY), None);
    assert_eq!(get(&service, "/empty.css"), (200, String::new()));
}

#[test]
fn head_reads_nothing_and_tells_the_length() {
    let site = Site::new("head");
    let response = respond(
        &site.service(),
        Request::get("/a.txt").with_method(Method::HEAD),
    );
    assert_eq!(
        (response.status.as_u16(), text(&response)),
        (200, String::new())
    );
    assert_eq!(field(&response, &header::CONTENT_LENGTH), Some("10"));
}

#[test]
fn other_methods_are_405_and_options_tells_which_there_are() {
    let site = Site::new("methods");
    for (method, status) in [
        (Method::POST, 405),
        (Method::DELETE, 405),
        (Method::OPTIONS, 204),
    ] {
        let request = Request::get("/a.txt").with_method(method);
        let response = respond(&mounted("/", site.service()), request);
        assert_eq!(response.status, status);
        assert_eq!(field(&response, &header::ALLOW), Some("GET, HEAD, OPTIONS"));
    }
}

#[test]
fn conditions_are_honoured() {
    let site = Site::new("conditions");
    let service = site.service();
    let fresh = respond(&service, Request::get("/a.txt"));
    let etag = field(&fresh, &header::ETAG).unwrap();
    for (name, value, status) in [
        (header::IF_NONE_MATCH, etag, 304),
        (header::IF_NONE_MATCH, "\"other\"", 200),
        (header::IF_MODIFIED_SINCE, CHANGED, 304),
        (header::IF_MATCH, etag, 200),
        (header::IF_MATCH, "\"other\"", 412),
    ] {
        let response = respond(&service, Request::get("/a.txt").with_field(name, value));
        assert_eq!(response.status, status, "{value}");
        if status == 304 {
            assert_eq!(field(&response, &header::ETAG), Some(etag));
            assert_eq!(field(&response, &header::CONTENT_TYPE), None);
            assert!(response.content.as_bytes().is_empty());
        }
    }
}

#[test]
fn a_file_that_has_changed_has_another_tag() {
    let site = Site::new("changed");
    let tag = || {
        let response = respond(&site.service(), Request::get("/a.txt"));
        field(&response, &header::ETAG).unwrap().to_owned()
    };
    let before = tag();
    site.write("a.txt", "012345678");
    let shorter = tag();
    assert_ne!(before, shorter);
    fs::write(site.root().join("a.txt"), "876543210").unwrap();
    assert_ne!(shorter, tag(), "as long, but later");
    assert!(
        tag().starts_with("W/"),
        "it may change again within its time stamp"
    );
}

#[test]
fn ranges_are_read_from_the_file() {
    let site = Site::new("ranges");
    let ask = |range| {
        let request = Request::get("/a.txt").with_field(header::RANGE, range);
        respond(&site.service(), request)
    };
    let one = ask("bytes=2-4");
    assert_eq!((one.status.as_u16(), text(&one)), (206, "234".to_owned()));
    assert_eq!(field(&one, &header::CONTENT_RANGE), Some("bytes 2-4/10"));
    let none = ask("bytes=10-");
    assert_eq!((none.status.as_u16(), text(&none)), (416, String::new()));
    assert_eq!(field(&none, &header::CONTENT_RANGE), Some("bytes */10"));
    let two = ask("bytes=0-1,-1");
    assert_eq!(two.status, 206);
    let expected = "\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Range: bytes 9-9/10\
                    \r\n\r\n9\r\n--";
    assert!(text(&two).contains(expected), "{}", text(&two));
}

#[test]
fn a_ready_variant_is_sent_to_those_who_take_it() {
    let site = Site::new("variants");
    site.write("a.txt.br", "brotli");
    site.write("a.txt.gz", "gzip!");
    let service = site.service().with_precompressed();
    let ask = |accept| {
        let request = Request::get("/a.txt").with_field(header::ACCEPT_ENCODING, accept);
        respond(&service, request)
    };
    for (accept, coding, content) in [
        ("gzip, br, zstd", Some("br"), "brotli"),
        ("gzip", Some("gzip"), "gzip!"),
        ("zstd", None, "0123456789"),
        ("zstd, gzip;q=0.5", Some("gzip"), "gzip!"),
        ("", None, "0123456789"),
        ("br;q=0", None, "0123456789"),
    ] {
        let response = ask(accept);
        assert_eq!(text(&response), content, "{accept}");
        assert_eq!(
            field(&response, &header::CONTENT_ENCODING),
            coding,
            "{accept}"
        );
        assert_eq!(field(&response, &header::VARY), Some("Accept-Encoding"));
        let media_type = field(&response, &header::CONTENT_TYPE);
        assert_eq!(media_type, Some("text/plain; charset=utf-8"));
    }
    let tag = |accept| field(&ask(accept), &header::ETAG).unwrap().to_owned();
    assert_ne!(tag("br"), tag("gzip"));
    assert_ne!(tag("br"), tag(""));
    let plain = Request::get("/a.txt").with_field(header::ACCEPT_ENCODING, "br");
    assert_eq!(
        text(&respond(&site.service(), plain)),
        "0123456789",
        "only if so told"
    );
}

#[test]
fn a_long_file_is_read_over_several_turns_and_a_short_one_at_once() {
    let site = Site::new("long");
    let piece = usize::try_from(PIECE_LEN).unwrap();
    let content: Vec<u8> = (0..3 * piece + 7)
        .map(|at| (at % 251).to_le_bytes()[0])
        .collect();
    site.write("long", &content);
    site.write("piece", &content[..piece]);
    let piece_reply = site.service().call(Request::get("/piece"));
    assert!(
        matches!(piece_reply, Reply::Now(_)),
        "as much as one turn reads"
    );
    let long = site.service().call(Request::get("/long"));
    assert!(
        long.try_response().is_none(),
        "it lets others run in between"
    );
    let response = respond(&site.service(), Request::get("/long"));
    assert!(response.content.as_bytes() == content.as_slice());
    let range = format!("bytes={}-{}", piece - 1, 2 * piece + 1);
    let part = Request::get("/long").with_field(header::RANGE, &range);
    let part = respond(&site.service(), part);
    assert!(part.content.as_bytes() == &content[piece - 1..2 * piece + 2]);
}

#[test]
fn a_file_at_the_limit_is_gathered_and_a_longer_one_streamed() {
    let site = Site::new("limit");
    let with = |len| site.service().with_gathered_max(len);
    let whole = respond(&with(10), Request::get("/a.txt"));
    assert_eq!(text(&whole), "0123456789");
    let streamed = respond(&with(9), Request::get("/a.txt"));
    assert!(matches!(&streamed.content, Content::Stream(_)));
    assert_eq!(drained(streamed), Ok("0123456789".to_owned()));
    let part = Request::get("/a.txt").with_field(header::RANGE, "bytes=1-");
    assert_eq!(text(&respond(&with(9), part)), "123456789");
    let parts = Request::get("/a.txt").with_field(header::RANGE, "bytes=1-2,4-5");
    let gathered = text(&respond(&with(1000), parts));
    let parts = Request::get("/a.txt").with_field(header::RANGE, "bytes=1-2,4-5");
    let streamed = drained(respond(&with(3), parts)).unwrap();
    // The boundary is another one.
    assert_eq!(streamed.len(), gathered.len());
    assert!(streamed.contains("\r\n\r\n12\r\n--") && streamed.contains("\r\n\r\n45\r\n--"));
    let head = Request::get("/a.txt").with_method(Method::HEAD);
    assert_eq!(respond(&with(9), head).status, 200);
}

/// The content of a streamed response, of whose length nothing is missing.
fn drained(response: Response) -> Result<String, String> {
    let Content::Stream(mut stream) = response.content else {
        panic!("it is streamed")
    };
    let mut text = Vec::new();
    let mut context = Context::from_waker(Waker::noop());
    loop {
        match stream.poll_piece(&mut context) {
            Poll::Ready(Some(Ok(stream::Piece::Data(data)))) => text.extend_from_slice(&data),
            Poll::Ready(Some(Ok(piece))) => panic!("{piece:?}"),
            Poll::Ready(Some(Err(error))) => return Err(error.to_string()),
            Poll::Ready(None) => break,
            Poll::Pending => {}
        }
    }
    assert_eq!(stream.length(), Length::Known(text.len() as u64));
    Ok(String::from_utf8(text).unwrap())
}

#[test]
fn a_file_that_became_shorter_is_500_or_cut_off_and_no_panic() {
    let site = Site::new("shorter");
    let service = site.service();
    let pieces = |len| {
        let head = Buf::new();
        SmallVec::from_iter([Piece {
            head,
            range: 0..len,
        }])
    };
    let find = || match wait(site_file::find(&service.site.root, b"a.txt")) {
        Ok(Found::File(file)) => file,
        _ => panic!("the file is there"),
    };
    let (file, other) = (find(), find());
    site.write("a.txt", "0123");
    let response = Response::new(StatusCode::OK);
    let gathered = wait(gathered(response, &file, pieces(file.len), 10));
    assert_eq!(gathered.status, 500);
    let response = Response::new(StatusCode::OK);
    let pieces = pieces(other.len);
    let streamed = response.with_sized_stream(10, generate(|out| stream(out, other, pieces)));
    assert!(drained(streamed).is_err());
}

#[test]
fn a_file_that_may_not_be_read_is_not_there() {
    let site = Site::new("closed");
    let path = site.root().join("a.txt");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o000)).unwrap();
    // Root may read everything, so then there is nothing to be seen here.
    let status = if fs::read(&path).is_ok() { 200 } else { 404 };
    assert_eq!(get(&site.service(), "/a.txt").0, status);
}

#[test]
fn a_directory_that_is_not_there_is_an_error_that_names_it() {
    let error = ServeDir::new("/nowhere/at/all").unwrap_err();
    let text = error.to_string();
    assert!(
        text.starts_with("cannot open the directory `/nowhere/at/all`: "),
        "{text}"
    );
}

#[test]
fn paths_are_decoded_once_and_segment_by_segment() {
    let decoded = |path| relative(path, false).map(|path| String::from_utf8(path).unwrap());
    for (encoded, path) in [("", ""), ("a/b", "a/b"), ("a/", "a"), ("%41%2541", "A%41")] {
        assert_eq!(decoded(encoded).as_deref(), Some(path), "{encoded}");
    }
    for encoded in [
        "/", "a//b", "a//", ".", "..", "a/..", ".a", "a/%2e%2e", "%2F", "a%00", "%2f..",
    ] {
        assert_eq!(decoded(encoded), None, "{encoded}");
    }
    assert_eq!(relative(".a", true), Some(b".a".to_vec()));
    assert_eq!(relative("..", true), None);
}
