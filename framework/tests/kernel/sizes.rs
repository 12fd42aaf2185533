//! Rings and buffer rings that are far too small.

use super::program::Program;

fn everybody_is_served(sizes: &str) {
    let server = Program::start(
        &[],
        &["--smp", "2", "--driver", "uring", "--uring-sizes", sizes],
    );
    let mut clients: Vec<_> = (0..200).map(|_| server.connect()).collect();
    for _ in 0..20 {
        for client in &mut clients {
            client.send();
        }
        for client in &mut clients {
            assert_eq!(client.status(), 200, "{sizes}");
        }
    }
}

/// C22.
#[test]
fn a_few_receive_buffers_serve_everybody() {
    for sizes in [
        "buffers=2,buffer-len=16",
        "buffers=4",
        "buffers=8,buffer-len=1",
    ] {
        everybody_is_served(sizes);
    }
}

/// C23.
#[test]
fn a_ring_of_a_few_entries_serves_everybody() {
    for sizes in [
        "sq=4,cq=8",
        "sq=1,cq=2",
        "sq=4,cq=8,buffers=2,buffer-len=16",
    ] {
        everybody_is_served(sizes);
    }
}
