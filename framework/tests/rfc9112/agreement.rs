//! A request is understood alike however it is cut, also when it is broken at random.

use crate::harness::exchange_and_end;

const SEEDS: [&str; 6] = [
    "GET /a?b=%20c HTTP/1.1\r\nHost: example.org:80\r\nConnection: keep-alive, x\r\nA: b\r\n\r\n",
    "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\nhelloGET / HTTP/1.1\r\nHost: h\r\n\r\n",
    "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n\
     5;a=\"b\"\r\nhello\r\n0\r\nX: y\r\n\r\n",
    "OPTIONS * HTTP/1.1\r\nHost: [::1]\r\nExpect: 100-continue\r\nTE: x\r\n\r\n",
    "\r\nHEAD http://h/x HTTP/1.0\r\nConnection: keep-alive\r\n\r\n\
     GET / HTTP/1.9\r\nHost: h\r\n\r\n",
    "CONNECT h:443 HTTP/1.1\r\nHost: h:443\r\nContent-Length: 2\r\n\r\nhi",
];

/// What a broken byte becomes.
const BYTES: &[u8] = b"\r\n\t :;,/?%#*\"\\\0\x7f\xe909aAzZ.-_=";

/// A small generator (xorshift), so that each run tests the same.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 % bound as u64).expect("below a usize")
    }
}

fn break_somewhere(request: &mut Vec<u8>, random: &mut Random) {
    let at = random.below(request.len());
    let byte = BYTES[random.below(BYTES.len())];
    match random.below(4) {
        0 => request[at] = byte,
        1 => request.insert(at, byte),
        2 => drop(request.remove(at)),
        _ => {
            let line = request[at..]
                .iter()
                .position(|&byte| byte == b'\n')
                .unwrap_or(0);
            let copy = request[at..=at + line].to_vec();
            request.splice(at..at, copy);
        }
    }
}

#[test]
fn a_broken_request_is_understood_alike_however_it_is_cut() {
    let mut random = Random(0x9E37_79B9_7F4A_7C15);
    let mut refused = 0;
    for round in 0..1200 {
        let mut request = SEEDS[round % SEEDS.len()].as_bytes().to_vec();
        for _ in 0..=random.below(3) {
            break_somewhere(&mut request, &mut random);
        }
        // The harness compares the ways to cut it.
        let found = exchange_and_end(&request);
        refused += usize::from(found.contains("400 "));
    }
    assert!(
        (200..1100).contains(&refused),
        "{refused} of 1200 were refused"
    );
}
