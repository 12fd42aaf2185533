//! Stops and starts: nothing acknowledged is lost, and no number is ever wrong.

use std::collections::HashSet;
use std::fs;
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::Value;

use crate::harness::{Server, ZEROS, output, request};

const CONNECTION_COUNT: usize = 16;
const DEPTH: usize = 4;

/// Posts events until the server closes; the numbers of those that were acknowledged, and how many
/// were not.
fn post_until_closed(server: &str, connection: usize, total: &AtomicUsize) -> (Vec<usize>, usize) {
    let mut client = crate::harness::Client::connect(server);
    let mut acknowledged = Vec::new();
    for first in (0..).step_by(DEPTH) {
        let body = |at: usize| {
            let number = at * CONNECTION_COUNT + connection;
            format!(r#"{{"userId":"user_{number}","value":{number}}}"#)
        };
        let requests =
            (first..first + DEPTH).map(|at| request("POST", "/event", body(at).as_bytes()));
        let sent = client.try_send(&requests.collect::<Vec<_>>().concat());
        for at in first..first + DEPTH {
            match client.try_reply() {
                Some((status, ..)) => assert_eq!(status, 200),
                None => return (acknowledged, first + DEPTH - at),
            }
            acknowledged.push(at * CONNECTION_COUNT + connection);
            total.fetch_add(1, Ordering::SeqCst);
        }
        assert!(sent, "what was answered had been sent");
    }
    unreachable!("the server never closed")
}

#[test]
fn a_stop_under_load_says_what_was_acknowledged() {
    for round in 0..20 {
        let server = Server::start(&["--smp", "2"]);
        let (address, total) = (server.address.clone(), AtomicUsize::new(0));
        let (stats, logs) = std::thread::scope(|scope| {
            let (address, total) = (&address, &total);
            let posts: Vec<_> = (0..CONNECTION_COUNT)
                .map(|at| scope.spawn(move || post_until_closed(address, at, total)))
                .collect();
            while total.load(Ordering::SeqCst) < 2000 + 97 * round {
                std::thread::yield_now();
            }
            let stats = server.stop().expect("a graceful stop ends with 0");
            let logs = posts.into_iter().map(|post| post.join().unwrap());
            (stats, logs.collect::<Vec<_>>())
        });
        let acknowledged: HashSet<usize> = logs.iter().flat_map(|(log, _)| log).copied().collect();
        let stats: Value = serde_json::from_str(&stats).unwrap();
        // What was not answered was not counted: the server answers all that it has read.
        assert_eq!(stats["totalRequests"], acknowledged.len(), "round {round}");
        assert_eq!(stats["uniqueUsers"], acknowledged.len());
        assert_eq!(stats["sum"], acknowledged.iter().sum::<usize>());
    }
}

/// A path of this test's own that is free, and is freed again.
struct Place(PathBuf);

impl Place {
    fn new(name: &str) -> Place {
        let name = format!("app-1mrc-{}-{name}", std::process::id());
        let path = std::env::temp_dir().join(name);
        fs::create_dir(&path).unwrap();
        Place(path)
    }

    fn file(&self) -> String {
        self.0.join("figures").to_str().unwrap().to_owned()
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

const ONCE: &str = r#"{"totalRequests":3,"uniqueUsers":2,"sum":0.30000000000000004,"avg":0.1}"#;

/// Counts three events on whatever shards, the third with a connection of its own.
fn count_three(server: &Server) {
    for user in ["a", "b", "a"] {
        let body = format!(r#"{{"userId":"{user}","value":0.1}}"#);
        assert_eq!(server.connect().post(&body), 200);
    }
}

#[test]
fn a_snapshot_goes_on_where_the_last_process_stopped() {
    let place = Place::new("goes-on");
    let file = place.file();
    let arguments = ["--smp", "2", "--snapshot", &file];
    let server = Server::start(&arguments);
    assert_eq!(server.connect().stats(), ZEROS);
    count_three(&server);
    assert_eq!(server.stop().as_deref(), Some(ONCE));
    let server = Server::start(&arguments);
    assert_eq!(server.connect().stats(), ONCE);
    assert_eq!(server.connect().metric("events_restored"), 3.0);
    count_three(&server);
    let twice = r#"{"totalRequests":6,"uniqueUsers":2,"sum":0.6000000000000001,"avg":0.1}"#;
    assert_eq!(server.stop().as_deref(), Some(twice));
    // Another number of shards reads the same file.
    let server = Server::start(&["--smp", "1", "--snapshot", &file]);
    assert_eq!(server.connect().stats(), twice);
    assert_eq!(server.connect().ask("POST", "/reset", b"").0, 200);
    assert_eq!(server.stop().as_deref(), Some(ZEROS));
    assert_eq!(Server::start(&arguments).connect().stats(), ZEROS);
}

/// Starts a server six times. The third one is stopped after three events and leaves a snapshot,
/// which those behind it must begin with; what becomes of the others, `end` decides.
fn in_six_lives(name: &str, end: impl Fn(Server)) {
    let place = Place::new(name);
    let file = place.file();
    for round in 0..6 {
        let server = Server::start(&["--smp", "2", "--snapshot", &file]);
        let expected = if round < 3 { ZEROS } else { ONCE };
        assert_eq!(server.connect().stats(), expected, "round {round}");
        if round == 2 {
            count_three(&server);
            assert_eq!(server.stop().as_deref(), Some(ONCE));
        } else {
            end(server);
        }
    }
}

#[test]
fn a_kill_leaves_zeros_or_the_last_snapshot() {
    in_six_lives("kill", |server| {
        count_three(&server);
        server.signal("KILL");
        assert_eq!(server.farewell(), None);
    });
}

#[test]
fn a_kill_under_load_leaves_zeros_or_the_last_snapshot() {
    in_six_lives("kill-under-load", |server| {
        let (address, total) = (server.address.clone(), AtomicUsize::new(0));
        std::thread::scope(|scope| {
            for at in 0..CONNECTION_COUNT {
                let (address, total) = (&address, &total);
                scope.spawn(move || post_until_closed(address, at, total));
            }
            while total.load(Ordering::SeqCst) < 500 {
                std::thread::yield_now();
            }
            server.signal("KILL");
            assert_eq!(server.farewell(), None);
        });
    });
}

#[test]
fn a_kill_while_the_snapshot_is_written_leaves_the_old_one_or_the_new() {
    let place = Place::new("kill-in-the-stop");
    let file = place.file();
    let arguments = ["--smp", "2", "--snapshot", &file];
    let mut before = ZEROS.to_owned();
    for round in 0..9 {
        let mut server = Server::start(&arguments);
        let mut client = server.connect();
        assert_eq!(client.stats(), before, "round {round}");
        let body = |at| format!(r#"{{"userId":"{round} {at:0200}","value":{at}}}"#);
        client.post_all(&(0..2000).map(body).collect::<Vec<_>>());
        let after = client.stats();
        drop(client);
        // At once, when the writing has begun, and when some of it is written.
        let least = [None, Some(0), Some(1)][round % 3];
        let len = |path: &str| fs::metadata(path).map(|it| it.len()).ok();
        let kept = len(&file);
        let written = || len(&format!("{file}.tmp")).or(len(&file).filter(|_| len(&file) != kept));
        server.signal("TERM");
        while written() < least && !server.has_ended() {
            std::thread::yield_now();
        }
        drop(server); // which kills it
        let stats = Server::start(&arguments).connect().stats();
        assert!([&before, &after].contains(&&stats), "{stats} is neither");
        before = stats;
    }
}

#[test]
fn what_a_crash_left_beside_the_snapshot_is_no_hindrance() {
    let place = Place::new("beside");
    let file = place.file();
    let arguments = ["--smp", "1", "--snapshot", &file];
    let server = Server::start(&arguments);
    count_three(&server);
    server.stop().unwrap();
    fs::write(format!("{file}.tmp"), "half of it").unwrap();
    let server = Server::start(&arguments);
    assert_eq!(server.connect().stats(), ONCE);
    assert_eq!(server.stop().as_deref(), Some(ONCE));
}

#[test]
fn two_processes_do_not_keep_their_figures_in_one_file() {
    let place = Place::new("taken");
    let file = place.file();
    let server = Server::start(&["--snapshot", &file]);
    count_three(&server);
    let ended = output(&["--snapshot", &file]);
    assert_eq!(ended.status.code(), Some(1));
    let error = String::from_utf8(ended.stderr).unwrap();
    assert!(error.contains(&file), "{error}");
    assert!(error.contains("another app-1mrc"), "{error}");
    assert!(error.contains("name another file"), "{error}");
    assert_eq!(server.stop().as_deref(), Some(ONCE));
    assert_eq!(
        Server::start(&["--snapshot", &file]).connect().stats(),
        ONCE
    );
}

#[test]
fn a_damaged_snapshot_is_named_and_not_overwritten() {
    let place = Place::new("damaged");
    let file = place.file();
    let server = Server::start(&["--snapshot", &file]);
    count_three(&server);
    server.stop().unwrap();
    let mut bytes = fs::read(&file).unwrap();
    let at = bytes.len() / 2;
    bytes[at] ^= 1;
    for damaged in [
        bytes.as_slice(),
        &bytes[..at],
        b"",
        b"not a snapshot at all",
    ] {
        fs::write(&file, damaged).unwrap();
        let ended = output(&["--snapshot", &file]);
        assert_eq!(ended.status.code(), Some(1));
        let error = String::from_utf8(ended.stderr).unwrap();
        let is_ours = damaged.len() > 8 && damaged[..8] == bytes[..8];
        let advice = if is_ours {
            "move it away"
        } else {
            "name another file"
        };
        assert!(error.contains(&file) && error.contains(advice), "{error}");
        assert!(ended.stdout.is_empty(), "it has not listened");
        assert_eq!(fs::read(&file).unwrap(), damaged);
    }
}

#[test]
fn beside_a_file_of_somebody_else_nothing_is_left() {
    let place = Place::new("foreign");
    let file = place.file();
    fs::write(&file, "root:x:0:0").unwrap();
    assert_eq!(output(&["--snapshot", &file]).status.code(), Some(1));
    let around = fs::read_dir(&place.0).unwrap();
    let names: Vec<_> = around.map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(names, ["figures"]);
}

#[test]
fn whoever_names_what_cannot_be_read_is_not_told_to_move_it_away() {
    let around = Place::new("directory");
    let directory = around.file();
    fs::create_dir(&directory).unwrap();
    for place in [directory.as_str(), "/dev/null/figures"] {
        let ended = output(&["--snapshot", place]);
        assert_eq!(ended.status.code(), Some(1));
        let error = String::from_utf8(ended.stderr).unwrap();
        assert!(error.contains(place), "{error}");
        assert!(error.contains("irectory (os error "), "{error}");
        assert!(error.contains("; name a file that can be read"), "{error}");
    }
}

#[test]
fn a_place_that_cannot_be_written_is_noticed_at_the_start() {
    let ended = output(&["--snapshot", "/nowhere/figures"]);
    assert_eq!(ended.status.code(), Some(1));
    let error = String::from_utf8(ended.stderr).unwrap();
    assert!(
        error.contains("/nowhere/figures") && error.contains("can be written"),
        "{error}"
    );
}

#[test]
fn a_second_signal_ends_it_at_once_and_the_figures_stand() {
    let server = Server::start(&["--smp", "2"]);
    count_three(&server);
    let mut client = server.connect();
    // A request that never comes whole holds up a graceful stop.
    assert!(client.try_send(b"POST /event HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\n{"));
    assert_eq!(server.connect().stats(), ONCE);
    server.signal("TERM");
    server.signal("INT");
    assert_eq!(
        server.farewell().as_deref(),
        Some(format!("stopped with {ONCE}\n").as_str())
    );
}
