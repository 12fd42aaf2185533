//! Small files that break one rule each, and small files that break none.

/// A file on which `rule` must fire, on exactly `lines`.
pub(crate) struct Bad {
    pub(crate) rule: &'static str,
    pub(crate) path: &'static str,
    pub(crate) text: String,
    pub(crate) lines: &'static [usize],
}

fn bad_sample(rule: &'static str, path: &'static str, text: &str, lines: &'static [usize]) -> Bad {
    let text = text.to_owned();
    Bad {
        rule,
        path,
        text,
        lines,
    }
}

/// At least one for each rule.
pub(crate) fn bad() -> Vec<Bad> {
    let mut all = bad_layers();
    all.extend(bad_sizes());
    all.extend(bad_words());
    all.extend(bad_places());
    all
}

fn bad_layers() -> Vec<Bad> {
    let sample = |path, text, lines| bad_sample("layers", path, text, lines);
    vec![
        sample(
            "framework/src/http/h1/parse.rs",
            "use crate::runtime::x;",
            &[1],
        ),
        sample(
            "framework/src/runtime/op.rs",
            "\nfn a(b: crate::http::Head) {}",
            &[2],
        ),
        sample("framework/src/mem/buf.rs", "use crate::sys::Ring;", &[1]),
        sample(
            "framework/src/net/tcp.rs",
            "use crate::{\n mem::{Buf, a},\n server,\n};",
            &[1],
        ),
        sample("framework/src/metrics.rs", "use crate::server;", &[1]),
        sample(
            "framework/src/service/router.rs",
            "use crate::Result;",
            &[1],
        ),
        sample(
            "framework/src/service.rs",
            "use super::server::Server;",
            &[1],
        ),
        sample(
            "framework/src/http/h1/parse.rs",
            "use super::super::super::net;",
            &[1],
        ),
        sample(
            "framework/src/net/tcp.rs",
            "mod tests {\nuse super::super::super::server;}",
            &[2],
        ),
        sample("framework/src/newcomer.rs", "", &[1]),
    ]
}

fn bad_sizes() -> Vec<Bad> {
    let long_file = "//! a\n".repeat(801);
    let long_function = format!("\npub fn long(\n) {{\n{}}}\n", "    '}';\n".repeat(68));
    let long_line = format!("\n// {}", "a".repeat(98));
    let many_cfgs = "#[cfg(unix)]\n".repeat(41);
    vec![
        bad_sample("file-length", "app/src/a.rs", &long_file, &[801]),
        bad_sample("function-length", "app/src/a.rs", &long_function, &[2]),
        bad_sample("columns", "app/src/a.rs", &long_line, &[2]),
        bad_sample("cfg-budget", "app/src/a.rs", &many_cfgs, &[41]),
    ]
}

fn bad_words() -> Vec<Bad> {
    let source = "framework/src/net/tcp.rs";
    vec![
        bad_sample("opening", "app/build.rs", "fn main() {}", &[1]),
        bad_sample("opening", "app/src/empty.rs", "", &[1]),
        bad_sample("file-names", "app/src/util.rs", "", &[1]),
        bad_sample("file-names", "app/tests/common/mod.rs", "", &[1]),
        bad_sample(
            "names",
            "app/src/a.rs",
            "struct\nTaskManager;\nmod helpers {}",
            &[2, 3],
        ),
        bad_sample(
            "names",
            "app/src/a.rs",
            "trait ReadHelper {}\nenum SendImpl {}",
            &[1, 2],
        ),
        bad_sample("names", "app/src/a.rs", "fn do_send() {}", &[1]),
        bad_sample("names", source, "fn get_port() {}", &[1]),
        bad_sample(
            "words",
            source,
            "//! A worker.\n// event-loop\nlet a = \"EventLoop\";",
            &[1, 2, 3],
        ),
        bad_sample(
            "words",
            source,
            "struct Backends;\nlet poller = 1;",
            &[1, 2],
        ),
        bad_sample(
            "ignored-tests",
            source,
            "#[test]\n#[ignore]\nfn a() {}",
            &[2],
        ),
    ]
}

fn bad_places() -> Vec<Bad> {
    let parse = "framework/src/http/h1/parse.rs";
    vec![
        bad_sample("pure-http", parse, "async fn a() {\n b.await\n}", &[1, 2]),
        bad_sample("mod-files", "app/src/a/mod.rs", "mod b;\n\nfn c() {}", &[3]),
        bad_sample("unsafe", parse, "fn a() {\n unsafe { b() }\n}", &[2]),
        bad_sample("unsafe", "app/src/allocations.rs", "unsafe fn a() {}", &[1]),
        bad_sample(
            "unsafe",
            "loadgen/src/a.rs",
            "unsafe impl Send for A {}",
            &[1],
        ),
        bad_sample("kernel", parse, "use libc::c_int;", &[1]),
        bad_sample(
            "kernel",
            "loadgen/src/a.rs",
            "let a: io_uring::IoUring;",
            &[1],
        ),
        bad_sample(
            "kernel",
            "framework/src/sys/socket.rs",
            "\nopcode::Recv::new();",
            &[2],
        ),
    ]
}

/// Files that come close to the rules and keep them, each with its path.
pub(crate) fn good() -> Vec<(&'static str, String)> {
    let lines = |lines: &[&str]| lines.join("\n");
    let long_enough = "    a();\n".repeat(67);
    vec![
        (
            "framework/src/net/tcp.rs",
            lines(&[
                "//! A [`crate::server::Server`] may be spoken of; unsafe and libc::read as well.",
                "use super::buffer;",
                "use crate::runtime::{self, spawn};",
                "use crate::{mem::Buf, net::TcpListener};",
                "pub(crate) fn target() -> Target { \"crate::server #[ignore] unsafe libc::a\" }",
                "#[ignore = \"needs a second machine\"]",
                "mod tests { use super::*; }",
            ]),
        ),
        (
            "framework/src/http/h1/parse.rs",
            lines(&[
                "//! Parses.",
                "use super::super::error::Error;",
                "use ::http::Method;",
                "#[cfg(test)]",
                "mod tests {",
                "    use super::super::super::error::Error;",
                "}",
            ]),
        ),
        (
            "framework/src/runtime/uring.rs",
            lines(&[
                "//! Ring.",
                "use io_uring::opcode;",
                "fn a() { unsafe { b() } }",
            ]),
        ),
        (
            "app/tests/allocations.rs",
            lines(&["//! Counts.", "unsafe impl GlobalAlloc for Counting {}"]),
        ),
        (
            "framework/src/sys/epoll.rs",
            lines(&["//! Epoll.", "let bits = libc::EPOLLERR;"]),
        ),
        (
            "app/src/main.rs",
            format!("//! Main.\nfn get_stats() {{\n{long_enough}    '{{'\n}}\ntype A = fn(u8);\n"),
        ),
        (
            "app/src/http.rs",
            format!(
                "//! https://example.org/{}\ntrait A {{ fn b(c: [u8; 4]); }}",
                "a".repeat(99)
            ),
        ),
    ]
}
