//! The one frequent system call fails now and then.

use std::os::unix::process::ExitStatusExt;

use super::program::{Program, has_tool};

const SIGABRT: i32 = 6;

/// A server of which every hundredth enter (`when`: see `strace(1)`) fails with `error`.
fn disturbed(error: &str, when: &str) -> Option<Program> {
    let inject = format!("inject=io_uring_enter:error={error}:when={when}");
    let wrapper = ["strace", "-f", "-o", "/dev/null", "-e", &inject];
    has_tool("strace").then(|| Program::start(&wrapper, &["--smp", "2", "--driver", "uring"]))
}

/// C21.
#[test]
fn an_enter_that_fails_for_a_moment_harms_no_request() {
    for error in ["EINTR", "EBUSY", "EAGAIN"] {
        let Some(server) = disturbed(error, "1+100") else {
            return;
        };
        let mut clients: Vec<_> = (0..8).map(|_| server.connect()).collect();
        for _ in 0..100 {
            for client in &mut clients {
                client.send();
            }
            let right = clients.iter_mut().all(|client| client.status() == 200);
            assert!(right, "{error}");
        }
    }
}

/// A completion that the kernel has lost leaves nothing to go on with.
#[test]
fn a_lost_completion_aborts_with_a_message() {
    let Some(server) = disturbed("EBADR", "60+1") else {
        return;
    };
    for _ in 0..60 {
        let mut client = server.connect();
        client.send();
    }
    let (status, said) = server.ended();
    assert!(said.contains("lost it; aborting"), "{said}");
    assert_eq!(status.signal(), Some(SIGABRT));
}
