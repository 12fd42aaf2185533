//! [`Script`]: what one client sends, when, and what it must get for it. Follows from a seed.

use std::time::Duration;

use sunstar::testing::Seed;

/// What a client does.
#[derive(Clone, Debug)]
pub(crate) enum Step {
    Send(Vec<u8>),
    Pause(Duration),
    /// Waits until so many answers have come in all.
    Await(usize),
    HalfClose,
    /// Breaks the connection off: nothing is expected after it.
    Reset,
}

/// An answer, without the fields that do not matter here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) content: Vec<u8>,
}

/// One connection of a client.
#[derive(Clone, Debug)]
pub(crate) struct Script {
    pub(crate) steps: Vec<Step>,
    pub(crate) expected: Vec<Answer>,
    /// The identifiers of its requests, in order.
    pub(crate) ids: Vec<usize>,
    /// Whether the server closes after the last answer.
    pub(crate) closes: bool,
    /// Whether the client breaks it off, so that answers may be missing.
    pub(crate) resets: bool,
}

/// The content of `/big/{id}`: long enough to need several sends, and of nobody else.
pub(crate) fn big(id: usize) -> Vec<u8> {
    let line = format!("{id}.");
    line.bytes().cycle().take(id * 37 % 3000).collect()
}

struct Request {
    bytes: Vec<u8>,
    answer: Answer,
    closes: bool,
}

fn request(seed: &mut Seed, id: usize, last: bool) -> Request {
    let close = last && seed.one_in(3);
    let fields = if close {
        "Host: a\r\nConnection: close\r\n"
    } else {
        "Host: a\r\n"
    };
    let get = |target: &str| format!("GET /{target}/{id} HTTP/1.1\r\n{fields}\r\n").into_bytes();
    let ok = |content: String| Answer {
        status: 200,
        content: content.into_bytes(),
    };
    let panics = last && seed.one_in(4);
    let (bytes, answer) = match seed.below(12) {
        _ if panics => {
            let content = Vec::new();
            let answer = Answer {
                status: 500,
                content,
            };
            (get("panic"), answer)
        }
        0 | 1 => (get("sum"), ok(format!("sum {id}"))),
        2 => (get("slow"), ok(format!("slow {id}"))),
        3 => {
            let content = big(id);
            (
                get("big"),
                Answer {
                    status: 200,
                    content,
                },
            )
        }
        4..=6 => {
            let len = seed.len(0, 300);
            let body: String = format!("<{id}>").chars().cycle().take(len).collect();
            (
                post(seed, id, fields, &body),
                ok(format!("echo {id}: {body}")),
            )
        }
        _ => (get("item"), ok(format!("item {id}"))),
    };
    Request {
        bytes,
        answer,
        closes: close || panics,
    }
}

fn post(seed: &mut Seed, id: usize, fields: &str, body: &str) -> Vec<u8> {
    let head = format!("POST /echo/{id} HTTP/1.1\r\n{fields}");
    if seed.one_in(2) {
        let len = body.len();
        return format!("{head}Content-Length: {len}\r\n\r\n{body}").into_bytes();
    }
    let mut bytes = format!("{head}Transfer-Encoding: chunked\r\n\r\n").into_bytes();
    let mut rest = body.as_bytes();
    while !rest.is_empty() {
        let (chunk, after) = rest.split_at(seed.len(1, rest.len()));
        bytes.extend(format!("{:x}\r\n", chunk.len()).bytes());
        bytes.extend(chunk);
        bytes.extend(b"\r\n");
        rest = after;
    }
    bytes.extend(b"0\r\n\r\n");
    bytes
}

impl Script {
    /// A script whose requests are numbered from `*next_id` on.
    pub(crate) fn drawn(seed: &mut Seed, next_id: &mut usize) -> Script {
        let count = seed.len(1, 6);
        let pipelined = seed.one_in(2);
        let (mut steps, mut expected, mut ids) = (Vec::new(), Vec::new(), Vec::new());
        let (mut closes, mut unsent) = (false, Vec::new());
        for index in 0..count {
            let request = request(seed, *next_id, index + 1 == count);
            ids.push(*next_id);
            *next_id += 1;
            expected.push(request.answer);
            closes |= request.closes;
            unsent.extend(request.bytes);
            if !pipelined {
                cut(seed, std::mem::take(&mut unsent), &mut steps);
                steps.push(Step::Await(index + 1));
            }
        }
        cut(seed, unsent, &mut steps);
        let resets = seed.one_in(8);
        if resets {
            steps.truncate(seed.len(0, steps.len()));
            steps.push(Step::Reset);
        } else if seed.one_in(3) {
            steps.push(Step::HalfClose);
            closes = true;
        }
        Script {
            steps,
            expected,
            ids,
            closes,
            resets,
        }
    }
}

/// Sends bytes in pieces, with and without pauses in between.
fn cut(seed: &mut Seed, bytes: Vec<u8>, steps: &mut Vec<Step>) {
    let pieces = seed.one_of(&[1, 1, 2, 5]);
    let mut rest = bytes.as_slice();
    for _ in 1..pieces {
        let (piece, after) = rest.split_at(seed.len(0, rest.len()));
        steps.push(Step::Send(piece.to_vec()));
        let pause = Duration::from_micros(seed.one_of(&[0, 1, 300, 20_000]));
        steps.push(Step::Pause(pause));
        rest = after;
    }
    steps.push(Step::Send(rest.to_vec()));
}

/// Takes one answer off the front of `bytes`; `None` while it is not whole.
///
/// # Panics
/// If it is no answer.
pub(crate) fn take_answer(bytes: &mut Vec<u8>) -> Option<Answer> {
    let start = bytes.windows(4).position(|window| window == b"\r\n\r\n")?;
    let head = std::str::from_utf8(&bytes[..start]).expect("a head is ASCII");
    let status = head
        .strip_prefix("HTTP/1.1 ")
        .expect("an answer of HTTP/1.1");
    let status = status[..3].parse().expect("a status of three digits");
    let len = head
        .split("\r\n")
        .find_map(|line| line.strip_prefix("Content-Length: "));
    let len: usize = len.map_or(0, |len| len.parse().expect("a length"));
    let end = start + 4 + len;
    if bytes.len() < end {
        return None;
    }
    let content = bytes[start + 4..end].to_vec();
    bytes.drain(..end);
    Some(Answer { status, content })
}
