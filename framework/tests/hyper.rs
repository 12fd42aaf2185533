//! Both ends of hyper on a shard, over [`Adapter`]: no runtime of tokio's is there.
#![expect(clippy::unwrap_used, reason = "a test may fail by unwrapping")]

use std::convert::Infallible;
use std::net::{Ipv4Addr, SocketAddr};

use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use sunstar::net::{Adapter, TcpListener, TcpStream};
use sunstar::runtime::{Config, Placement, run_on_all_shards, spawn};

/// More than the adapter and the sockets hold, so that each end has to wait for the other.
const CONTENT_LEN: usize = 4 << 20;

/// Answers with what it was sent, as it comes in.
async fn echo(request: Request<Incoming>) -> Result<Response<Incoming>, Infallible> {
    Ok(Response::new(request.into_body()))
}

/// Asks three times on one connection, and gives back what the answers bring.
async fn ask(address: SocketAddr, content: Bytes) -> Vec<Bytes> {
    let stream = Adapter::new(TcpStream::connect(address).await.unwrap());
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
        .await
        .unwrap();
    let connection = spawn(connection);
    let mut answers = Vec::new();
    for len in [0, 1, content.len()] {
        let request = Request::post("/").header("host", "localhost");
        let request = request.body(Full::new(content.slice(..len))).unwrap();
        let response = sender.send_request(request).await.unwrap();
        answers.push(response.into_body().collect().await.unwrap().to_bytes());
    }
    drop(sender);
    connection.await.unwrap();
    answers
}

#[test]
fn its_client_and_its_server_talk_on_one_shard() {
    let config = Config::new(Placement::unpinned(1));
    let done = run_on_all_shards(&config, |_| async {
        let mut listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0).into()).unwrap();
        let address = listener.local_addr().unwrap();
        let server = spawn(async move {
            let stream = TokioIo::new(Adapter::new(listener.accept().await.unwrap()));
            let server = hyper::server::conn::http1::Builder::new();
            server.serve_connection(stream, service_fn(echo)).await
        });
        let content: Bytes = (0..CONTENT_LEN)
            .map(|place| place.to_le_bytes()[1])
            .collect();
        let answers = ask(address, content.clone()).await;
        server.await.unwrap();
        let expected = [0, 1, CONTENT_LEN].map(|len| content.slice(..len));
        assert!(answers == expected, "the answers are not what was sent");
    });
    assert_eq!(done.unwrap(), [()]);
}
