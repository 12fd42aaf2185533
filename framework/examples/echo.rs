//! Raw TCP without HTTP: every shard sends back whatever its connections send.
//!
//! `cargo run --release --example echo`, then `nc localhost 7000`.

use std::io;
use std::net::SocketAddr;

use clap::Parser;
use sunstar::net::{TcpListener, TcpStream, refuse_if_taken};
use sunstar::runtime::{self, Config, CpuSet, Placement, run_on_all_shards};

/// Sends back what it receives.
#[derive(Parser)]
struct Cli {
    /// Address to listen on; with port 0 every shard takes a port of its own
    #[arg(long, default_value = "127.0.0.1:7000")]
    listen: SocketAddr,
    /// Number of shards
    #[arg(long)]
    smp: Option<usize>,
    /// CPUs to run on, such as 0-3,8
    #[arg(long)]
    cpuset: Option<CpuSet>,
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let Cli {
        listen,
        smp,
        cpuset,
    } = Cli::parse();
    refuse_if_taken(listen).map_err(|error| format!("cannot listen on {listen}: {error}"))?;
    let placement = Placement::new(smp, cpuset.as_ref())?;
    let ended = run_on_all_shards(&Config::new(placement), move |shard| async move {
        let served = serve(listen).await;
        served.map_err(|error| format!("shard {shard} on {listen}: {error}"))
    })?;
    Ok(ended.into_iter().collect::<Result<(), String>>()?)
}

async fn serve(address: SocketAddr) -> io::Result<()> {
    let mut listener = TcpListener::bind(address)?;
    println!("echoes on {}", listener.local_addr()?);
    loop {
        let stream = listener.accept().await?;
        runtime::spawn(echo(stream)).detach();
    }
}

async fn echo(mut stream: TcpStream) -> io::Result<()> {
    while let Some(bytes) = stream.recv().await? {
        stream.queue(bytes);
        // Waits for a peer that sends and does not read, so that nothing piles up here.
        stream.flush().await?;
    }
    stream.shutdown();
    stream.flush().await
}
