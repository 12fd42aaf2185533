//! Descriptors and locked memory run out.

use std::collections::BTreeSet;
use std::time::Duration;

use sunstar::runtime::Placement;
use sunstar::server::Config;
use sunstar::{Router, Server};

use super::program::{Client, Program, has_role, has_tool};

/// A server that believes it may have more connections than descriptors; see the test below it.
#[test]
fn server_with_too_many_connections() {
    if !has_role("greedy") {
        return;
    }
    let config = Config {
        placement: Some(Placement::unpinned(1)),
        connections_max: 10_000,
        announce: true,
        ..Config::default()
    };
    let server = Server::bind_with(config, "127.0.0.1:0").unwrap();
    let hello = || "Hello, World!";
    server
        .serve(move |_| Router::new(()).get("/plaintext", hello))
        .unwrap();
}

/// C16. Of the 64 descriptors a server takes some twenty for itself; hosts take two for each
/// connection.
#[test]
fn without_descriptors_old_connections_are_served_and_new_ones_when_some_close() {
    const TEST: &str = "exhaustion::server_with_too_many_connections";
    if !has_tool("prlimit") {
        return;
    }
    let server = Program::start_own(&["prlimit", "--nofile=64"], TEST, "greedy");
    let (mut old, mut told): (Vec<Client>, BTreeSet<u16>) = Default::default();
    for _ in 0..80 {
        let mut client = server.connect();
        match client.ask() {
            200 => old.push(client),
            other => drop(told.insert(other)),
        }
    }
    assert!((15..64).contains(&old.len()), "{} are served", old.len());
    assert_eq!(told, BTreeSet::from([503]), "what the others were told");
    // Nothing is said to a client that says nothing, and meanwhile nobody turns in vain.
    let before = server.cpu_time();
    assert!(old[0].hears_nothing_for(Duration::from_secs(1)));
    let used = server.cpu_time().saturating_sub(before);
    assert!(
        used <= Duration::from_millis(50),
        "{used:?} of CPU time in a second"
    );
    for client in &mut old {
        assert_eq!(client.ask(), 200);
    }
    // glommio has one more descriptor open while it accepts.
    old.truncate(old.len() - 2);
    let again = (0..1_000).any(|_| server.connect().ask() == 200);
    assert!(again, "nothing is accepted although descriptors are free");
    assert!(old.iter_mut().all(|client| client.ask() == 200));
}

/// C18: with little locked memory a server starts with smaller rings, or with another driver, or
/// says which limit to raise; what it answers is right. Root is not bound by the limit.
#[test]
fn little_locked_memory_is_lived_with_or_named() {
    const NOBODY: [&str; 4] = [
        "setpriv",
        "--reuid=65534",
        "--regid=65534",
        "--clear-groups",
    ];
    if !has_tool("prlimit") || !has_tool("setpriv") {
        return;
    }
    let root = Program::try_start(&NOBODY, &["--smp", "1"]).is_ok();
    for (bytes, must_start) in [("0", false), ("65536", false), ("8388608", true)] {
        let limit = format!("--memlock={bytes}");
        let mut wrapper = vec!["prlimit", limit.as_str()];
        wrapper.extend(NOBODY.iter().filter(|_| root));
        match Program::try_start(&wrapper, &["--smp", "2", "--verbose"]) {
            Ok(server) => {
                let mut clients: Vec<_> = (0..20).map(|_| server.connect()).collect();
                assert!(
                    clients.iter_mut().all(|client| client.ask() == 200),
                    "{bytes}"
                );
            }
            Err(said) => assert!(!must_start && said.contains("ulimit -l"), "{bytes}: {said}"),
        }
    }
}
