//! The service on `may_minihttp`, which has no router: `may PORT`.

use std::io::{self, BufRead};
use std::net::Ipv4Addr;
use std::sync::Arc;

use bytes::BufMut;
use may_minihttp::{HttpServer, HttpService, Request, Response};
use peer_tally::{Event, HELLO, Message, Tally};

#[derive(Clone)]
struct Service(Arc<Tally>);

impl HttpService for Service {
    fn call(&mut self, request: Request, response: &mut Response) -> io::Result<()> {
        match (request.method(), request.path()) {
            ("GET", "/plaintext") => response.header("Content-Type: text/plain").body(HELLO),
            ("GET", "/json") => {
                response.header("Content-Type: application/json");
                serde_json::to_writer(response.body_mut().writer(), &Message::hello())?;
            }
            ("POST", "/event") => {
                let mut body = request.body();
                self.0
                    .record(serde_json::from_slice::<Event>(body.fill_buf()?)?);
            }
            ("GET", "/stats") => {
                response.header("Content-Type: application/json");
                serde_json::to_writer(response.body_mut().writer(), &self.0.stats())?;
            }
            _ => drop(response.status_code(404, "Not Found")),
        }
        Ok(())
    }
}

fn main() {
    may::config().set_pool_capacity(1000).set_stack_size(0x1000);
    let service = Service(Arc::default());
    let server = HttpServer(service).start((Ipv4Addr::LOCALHOST, peer_tally::port()));
    server
        .expect("the port is free")
        .join()
        .expect("it serves until it is ended");
}
