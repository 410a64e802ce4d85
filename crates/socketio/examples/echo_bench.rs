//! Prints what one process can do, so that a regression is seen: acknowledged events a second, fan-out
//! deliveries a second, and memory of an idle connection. Server and clients share the process and its cores,
//! except for the memory, where the clients are another process. Not a test: the numbers are the machine's.
//!
//! `cargo run --release -p socketio --example echo_bench [connections]`

use std::io::{self, Write};
use std::net::SocketAddr;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use socketio::websocket::{Data, Decoded, Decoder, Message, OpCode, Role, encode_masked};
use socketio::{Config, Connection, Frame, Incoming, Outgoing};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;

const PIPELINE: usize = 64;
const CLIENTS: usize = 32;
const ROUNDS: usize = 300;
const READERS: usize = 500;
const BROADCASTS: usize = 400;

#[tokio::main]
async fn main() -> io::Result<()> {
    let mut arguments = std::env::args().skip(1);
    let first = arguments.next();
    if let (Some("--idle"), Some(address), Some(count)) =
        (first.as_deref(), arguments.next().and_then(|a| a.parse().ok()), arguments.next())
    {
        return idle(address, count.parse().unwrap_or(0)).await;
    }
    let connections = first.and_then(|count| count.parse().ok()).unwrap_or(10_000);
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    let (joined, mut handles) = mpsc::unbounded_channel();
    tokio::spawn(serve(listener, joined));

    let mut out = io::stdout();
    let memory = measure_memory(address, connections, &mut handles).await?;
    writeln!(out, "{memory:>10} bytes resident per idle connection, of {connections}")?;
    let events = measure_acks(address, &mut handles).await?;
    writeln!(
        out,
        "{events:>10.0} acknowledged events a second, {CLIENTS} clients, {PIPELINE} in flight each"
    )?;
    let deliveries = measure_fanout(address, &mut handles).await?;
    writeln!(out, "{deliveries:>10.0} deliveries a second, one event to {READERS} readers at a time")?;
    Ok(())
}

async fn serve(listener: TcpListener, joined: mpsc::UnboundedSender<Outgoing>) {
    let config = Arc::new(Config { connect_timeout: Duration::from_secs(300), ..Config::default() });
    while let Ok((stream, _)) = listener.accept().await {
        let config = Arc::clone(&config);
        let joined = joined.clone();
        tokio::spawn(async move {
            let _ = stream.set_nodelay(true);
            let mut connection = Connection::new(stream, Bytes::new(), config, "sid");
            let outgoing = connection.outgoing();
            loop {
                match connection.next().await {
                    Incoming::Connect { namespace, .. } => {
                        connection.accept(&namespace, "sid");
                        let _ = joined.send(outgoing.clone());
                    }
                    Incoming::Event { namespace, event } => {
                        if let Some(Ok(frame)) =
                            event.ack.map(|id| Frame::ack_with(&namespace, id, &event.args))
                        {
                            outgoing.send(frame);
                        }
                    }
                    Incoming::Disconnect { .. } | Incoming::TooLarge { .. } => {}
                    Incoming::Closed(_) => return,
                }
            }
        });
    }
}

/// The process's resident memory in bytes.
fn resident() -> io::Result<usize> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let kib = status.lines().find_map(|line| line.strip_prefix("VmRSS:")?.trim().strip_suffix(" kB"));
    kib.and_then(|kib| kib.trim().parse::<usize>().ok())
        .map(|kib| kib * 1024)
        .ok_or_else(|| io::Error::other("no VmRSS"))
}

async fn measure_memory(
    address: SocketAddr,
    count: usize,
    handles: &mut mpsc::UnboundedReceiver<Outgoing>,
) -> io::Result<usize> {
    // One connection first, so that what every process has is not counted.
    let warm = client(address).await?;
    drop(handles.recv().await);
    drop(warm);
    let before = resident()?;
    let mut clients = Command::new(std::env::current_exe()?)
        .args(["--idle", &address.to_string(), &count.to_string()])
        .stdin(Stdio::piped())
        .spawn()?;
    for _ in 0..count {
        drop(handles.recv().await);
    }
    tokio::time::sleep(Duration::from_millis(500)).await;
    let after = resident()?;
    drop(clients.stdin.take());
    clients.wait()?;
    Ok(after.saturating_sub(before) / count.max(1))
}

/// The other process: joins `count` times and stays until its input ends.
async fn idle(address: SocketAddr, count: usize) -> io::Result<()> {
    let mut clients = Vec::with_capacity(count);
    for _ in 0..count {
        clients.push(client(address).await?);
    }
    let mut end = String::new();
    io::stdin().read_line(&mut end)?;
    Ok(())
}

/// A client in `/` that has read its greetings.
async fn client(address: SocketAddr) -> io::Result<TcpStream> {
    let mut stream = TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    stream.write_all(&text("40")).await?;
    read_texts(&mut stream, &mut Vec::new(), 2).await?;
    Ok(stream)
}

fn text(text: &str) -> Vec<u8> {
    let mut out = Vec::new();
    encode_masked(&mut out, OpCode::Data(Data::Text), text.as_bytes(), [1, 2, 3, 4]);
    out
}

async fn read_texts(stream: &mut TcpStream, unread: &mut Vec<u8>, count: usize) -> io::Result<()> {
    let mut decoder = Decoder::new(Role::Client, 1 << 20);
    let mut seen = 0;
    loop {
        let mut used = 0;
        while seen < count {
            match decoder.decode(&mut unread[used..]).map_err(io::Error::other)? {
                Decoded::Incomplete => break,
                Decoded::Fragment { consumed } | Decoded::Skipped { consumed } => used += consumed,
                Decoded::Message { consumed, message } => {
                    used += consumed;
                    seen += usize::from(!matches!(message, Message::Text(text) if text == "2"));
                }
            }
        }
        unread.drain(..used);
        if seen == count {
            return Ok(());
        }
        if stream.read_buf(unread).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    }
}

async fn measure_acks(
    address: SocketAddr,
    handles: &mut mpsc::UnboundedReceiver<Outgoing>,
) -> io::Result<f64> {
    let burst: Vec<u8> = (0..PIPELINE)
        .flat_map(|id| text(&format!("42{id}[\"say\",{{\"text\":\"hello there\",\"n\":{id}}}]")))
        .collect();
    let burst = Arc::new(burst);
    let mut tasks = tokio::task::JoinSet::new();
    let mut streams = Vec::new();
    for _ in 0..CLIENTS {
        streams.push(client(address).await?);
        drop(handles.recv().await);
    }
    let start = Instant::now();
    for mut stream in streams {
        let burst = Arc::clone(&burst);
        tasks.spawn(async move {
            let mut unread = Vec::new();
            for _ in 0..ROUNDS {
                stream.write_all(&burst).await?;
                read_texts(&mut stream, &mut unread, PIPELINE).await?;
            }
            io::Result::Ok(())
        });
    }
    while let Some(done) = tasks.join_next().await {
        done.map_err(io::Error::other)??;
    }
    Ok((CLIENTS * ROUNDS * PIPELINE) as f64 / start.elapsed().as_secs_f64())
}

async fn measure_fanout(
    address: SocketAddr,
    handles: &mut mpsc::UnboundedReceiver<Outgoing>,
) -> io::Result<f64> {
    let mut tasks = tokio::task::JoinSet::new();
    let mut room = Vec::new();
    for _ in 0..READERS {
        let mut stream = client(address).await?;
        room.extend(handles.recv().await);
        tasks.spawn(async move { read_texts(&mut stream, &mut Vec::new(), BROADCASTS).await });
    }
    let start = Instant::now();
    for number in 0..BROADCASTS {
        let frame = Frame::event("/", "said", &(number, "hello there, this is a message of usual length"))
            .map_err(io::Error::other)?;
        for outgoing in &room {
            outgoing.send(frame.clone());
        }
        tokio::task::yield_now().await;
    }
    while let Some(done) = tasks.join_next().await {
        done.map_err(io::Error::other)??;
    }
    Ok((READERS * BROADCASTS) as f64 / start.elapsed().as_secs_f64())
}
