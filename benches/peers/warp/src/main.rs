//! The service on warp, hyper and tokio: `warp PORT`.

use std::net::Ipv4Addr;
use std::sync::Arc;

use peer_tally::{HELLO, Message, Tally};
use warp::Filter;
use warp::http::StatusCode;

#[tokio::main]
async fn main() {
    let tally = Arc::new(Tally::default());
    let shared = Arc::clone(&tally);
    let plaintext = warp::path!("plaintext").and(warp::get()).map(|| HELLO);
    let json = warp::path!("json")
        .and(warp::get())
        .map(|| warp::reply::json(&Message::hello()));
    let event = warp::path!("event")
        .and(warp::post())
        .and(warp::body::json())
        .map(move |event| {
            shared.record(event);
            StatusCode::OK
        });
    let stats = warp::path!("stats")
        .and(warp::get())
        .map(move || warp::reply::json(&tally.stats()));
    warp::serve(plaintext.or(json).or(event).or(stats))
        .run((Ipv4Addr::LOCALHOST, peer_tally::port()))
        .await;
}
