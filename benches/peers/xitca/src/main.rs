//! The service on xitca-web with its io_uring: `xitca PORT`.

use std::net::Ipv4Addr;
use std::sync::Arc;

use peer_tally::{Event, HELLO, Message, Stats, Tally};
use xitca_web::App;
use xitca_web::handler::handler_service;
use xitca_web::handler::json::Json;
use xitca_web::handler::state::StateRef;
use xitca_web::http::StatusCode;
use xitca_web::route::{get, post};

fn main() -> std::io::Result<()> {
    App::new()
        .with_state(Arc::new(Tally::default()))
        .at("/plaintext", get(handler_service(async || HELLO)))
        .at(
            "/json",
            get(handler_service(async || Json(Message::hello()))),
        )
        .at("/event", post(handler_service(post_event)))
        .at("/stats", get(handler_service(stats)))
        .serve()
        .enable_io_uring()
        .bind((Ipv4Addr::LOCALHOST, peer_tally::port()))?
        .run()
        .wait()
}

async fn post_event(tally: StateRef<'_, Arc<Tally>>, Json(event): Json<Event>) -> StatusCode {
    tally.record(event);
    StatusCode::OK
}

async fn stats(tally: StateRef<'_, Arc<Tally>>) -> Json<Stats> {
    Json(tally.stats())
}
