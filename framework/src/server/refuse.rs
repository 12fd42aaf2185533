//! What a server that is full tells a connection: 503, and when to come again (RFC 9110 section
//! 15.6.4).
//!
//! What must hold: a refused connection gets its answer after its request, as any other, and soon
//! makes room; few are refused at the same time, and whoever comes beyond those waits in the listen
//! queue.

use std::rc::Rc;
use std::time::Duration;

use super::accept::Connections;
use super::counters::Counters;
use super::session::{Shared, Spare};
use super::standing::Standing;
use crate::http::{HeaderValue, Limits, StatusCode, header};
use crate::runtime;
use crate::service::{Reply, Request, Response, Service};

/// How many connections of one shard may be in the middle of being refused.
pub(super) const REFUSED_MAX: usize = 64;

/// How long such a connection may take to send its request.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(1);

/// Answers every request with 503.
pub(super) struct Full;

impl Service for Full {
    fn call(&self, _request: Request) -> Reply {
        Response::new(StatusCode::SERVICE_UNAVAILABLE)
            .with_field(header::RETRY_AFTER, HeaderValue::from_static("1"))
            .into()
    }
}

/// What the sessions have in common that refuse connections, for a shard that serves as `shared`
/// tells. They are not among its own connections, and their requests not among its own.
pub(super) fn sessions<S>(shared: &Shared<S>, connections: Connections) -> Rc<Shared<Full>> {
    let limits = Limits {
        request_count_max: 1,
        idle_timeout: REQUEST_TIMEOUT,
        header_timeout: REQUEST_TIMEOUT,
        ..(*shared.limits).clone()
    };
    Rc::new(Shared {
        service: Full,
        limits: Rc::new(limits),
        memo: Rc::default(),
        spare: Spare::default(),
        write_timeout: shared.write_timeout,
        linger: shared.linger,
        announce: false,
        pool: runtime::pool(),
        standing: Standing::new(None),
        counters: Rc::new(Counters::default()),
        connections,
        shutdown: Rc::clone(&shared.shutdown),
    })
}
