//! [`RequestId`]: gives each request a name that stands in logs, in the request and in its answer.
//!
//! What must hold: what a client sends becomes an id only if it is short and of harmless
//! characters, so that it can stand in a log line.

use std::cell::Cell;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::io::Write;

use crate::http::{HeaderName, HeaderValue};
use crate::service::{Layer, Next, Reply, Request};

/// The field that carries the id, in requests and in responses.
pub(super) const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// The longest id that is taken from a client.
const LEN_MAX: usize = 128;

/// Gives each request an id: the one in its `X-Request-Id`, or a new one. The answer carries it in
/// the same field, and handlers find it there in the request.
///
/// Taken from a client is an id of 1 to 128 letters, digits and `-_.:=+/`. A new one has 32 hex
/// digits: 16 that are random once per shard, and a count. It is unique, not secret. Costs a copy
/// of the head for a request that has no id of its own.
#[derive(Debug)]
pub struct RequestId {
    seed: u64,
    count: Cell<u64>,
    trusts: bool,
}

impl RequestId {
    /// Makes ids, and takes those that clients or proxies have made.
    pub fn new() -> RequestId {
        RequestId {
            // The standard library's way to randomness; it is needed once per shard.
            seed: RandomState::new().build_hasher().finish(),
            count: Cell::new(0),
            trusts: true,
        }
    }

    /// Makes an id for every request, whatever the client sends.
    #[must_use]
    pub fn ignoring_clients(mut self) -> RequestId {
        self.trusts = false;
        self
    }

    fn make(&self) -> HeaderValue {
        let count = self.count.get();
        self.count.set(count.wrapping_add(1));
        let mut text = [0; 32];
        write!(&mut text[..], "{:016x}{count:016x}", self.seed).expect("32 digits");
        HeaderValue::from_bytes(&text).expect("hex digits are a field value")
    }
}

impl Default for RequestId {
    fn default() -> RequestId {
        RequestId::new()
    }
}

impl Layer for RequestId {
    fn call(&self, mut request: Request, next: &Next) -> Reply {
        let sent = request
            .field(&X_REQUEST_ID)
            .filter(|id| self.trusts && is_harmless(id))
            .and_then(|id| HeaderValue::from_bytes(id).ok());
        let id = sent.unwrap_or_else(|| {
            let id = self.make();
            request.add_first_field(&X_REQUEST_ID, &id);
            id
        });
        next.call(request).map(|mut response| {
            response.fields.insert(X_REQUEST_ID, id);
            response
        })
    }
}

/// Whether an id can stand in a log as it is.
fn is_harmless(id: &[u8]) -> bool {
    let harmless = |byte: &u8| byte.is_ascii_alphanumeric() || b"-_.:=+/".contains(byte);
    (1..=LEN_MAX).contains(&id.len()) && id.iter().all(harmless)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::{StatusCode, Version, header};
    use crate::service::{Response, Service, layered, service_fn};

    /// Answers with the id that the handler sees.
    fn echo(layer: RequestId) -> impl Service {
        let see = |request: Request| {
            let id = request.field(&X_REQUEST_ID).unwrap_or_default().to_vec();
            assert_eq!(request.version(), Version::Http11);
            assert_eq!((request.path(), request.query()), ("/a", Some("b")));
            Response::new(StatusCode::OK).with_content(id)
        };
        layered(layer, service_fn(see))
    }

    /// The id in the answer, which is the one that the handler saw.
    fn id_of(service: &impl Service, request: Request) -> String {
        let response = service.call(request).try_response().unwrap();
        let id = response.fields.get(&X_REQUEST_ID).unwrap();
        assert_eq!(response.content.as_bytes(), id);
        String::from_utf8(id.to_vec()).unwrap()
    }

    fn request(id: &str) -> Request {
        Request::get("/a?b").with_field(X_REQUEST_ID, id)
    }

    #[test]
    fn a_request_without_an_id_gets_one_of_its_own() {
        let service = echo(RequestId::new());
        let bare = || Request::get("/a?b").with_field(header::HOST, "h");
        let (first, second) = (id_of(&service, bare()), id_of(&service, bare()));
        assert_eq!((first.len(), second.len()), (32, 32));
        assert_ne!(first, second);
        let other = id_of(&echo(RequestId::new()), bare());
        assert_ne!(first, other, "two shards make different ids");
    }

    #[test]
    fn an_id_at_the_limit_is_kept_and_a_longer_or_odd_one_replaced() {
        let service = echo(RequestId::new());
        let longest = "x".repeat(LEN_MAX);
        for id in ["Root=1-67:a_b.c+d/e", longest.as_str()] {
            assert_eq!(id_of(&service, request(id)), id);
        }
        let longer = "x".repeat(LEN_MAX + 1);
        for id in ["", "a b", "a\"b", "<script>", longer.as_str()] {
            assert_eq!(id_of(&service, request(id)).len(), 32, "{id}");
        }
    }

    #[test]
    fn a_clients_id_is_ignored_if_so_told() {
        let service = echo(RequestId::new().ignoring_clients());
        assert_ne!(id_of(&service, request("mine")), "mine");
    }
}
