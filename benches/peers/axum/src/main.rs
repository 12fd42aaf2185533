//! The service on axum, hyper and tokio: `axum PORT`.

use std::net::Ipv4Addr;
use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::{get, post};
use axum::serve::ListenerExt;
use axum::{Json, Router};
use peer_tally::{Event, HELLO, Message, Stats, Tally};
use tokio::net::TcpListener;

#[tokio::main]
async fn main() -> std::io::Result<()> {
    let router = Router::new()
        .route("/plaintext", get(async || HELLO))
        .route("/json", get(async || Json(Message::hello())))
        .route("/event", post(post_event))
        .route("/stats", get(stats))
        .with_state(Arc::new(Tally::default()));
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, peer_tally::port())).await?;
    // As its documentation advises for small answers.
    let listener = listener.tap_io(|stream| {
        stream
            .set_nodelay(true)
            .expect("a fresh socket takes the option");
    });
    axum::serve(listener, router).await
}

async fn post_event(State(tally): State<Arc<Tally>>, Json(event): Json<Event>) -> StatusCode {
    tally.record(event);
    StatusCode::OK
}

async fn stats(State(tally): State<Arc<Tally>>) -> Json<Stats> {
    Json(tally.stats())
}
