//! A TCP proxy that does what networks do: it holds bytes back, loses the way back, resets connections.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::Result;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::{ReadHalf, WriteHalf};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::watch;
use tokio::task::AbortHandle;

const CHUNK: usize = 16 * 1024;
/// Connections that may wait for being accepted.
const BACKLOG: u32 = 16;

/// What the proxy does with the bytes of all connections, those that are open and those to come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Passage {
    /// Hands them on.
    #[default]
    Free,
    /// Hands each piece on so much later. Pieces keep their order.
    Slow(Duration),
    /// Holds them; connections stay open and nothing is lost. A network that has gone away, but may come back.
    Held,
    /// Hands on what the client says, and holds what the server answers: it has been done, but who asked can't know.
    AnswersHeld,
    /// Resets connections as soon as they are made.
    Refused,
    /// Answers whoever connects with this and hangs up, as an ingress, a firewall or a captive portal do.
    Answered(&'static str),
    /// Answers no try to connect, not even with a refusal: the kernel drops what would open a connection.
    Swallowed,
}

/// A proxy on a port of its own, which stays the same when the server behind it moves. Dropped, it resets all
/// connections.
#[derive(Debug)]
pub struct FaultProxy {
    address: SocketAddr,
    target: Arc<Mutex<SocketAddr>>,
    passage: watch::Sender<Passage>,
    cuts: watch::Sender<u64>,
    freezes: watch::Sender<u64>,
    task: AbortHandle,
}

impl FaultProxy {
    /// A proxy to this address, on a free port of 127.0.0.1. Must be called within a runtime.
    ///
    /// # Errors
    /// If there is no free port.
    pub async fn start(target: SocketAddr) -> Result<Self> {
        let socket = TcpSocket::new_v4()?;
        socket.bind((Ipv4Addr::LOCALHOST, 0).into())?;
        let listener = socket.listen(BACKLOG)?;
        let address = listener.local_addr()?;
        let target = Arc::new(Mutex::new(target));
        let (passage, passing) = watch::channel(Passage::Free);
        let (cuts, cutting) = watch::channel(0);
        let (freezes, freezing) = watch::channel(0);
        let ends = Ends { passage: passing, cuts: cutting, freezes: freezing };
        let task = tokio::spawn(accept(listener, Arc::clone(&target), ends)).abort_handle();
        Ok(Self { address, target, passage, cuts, freezes, task })
    }

    /// Where clients connect.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Where new connections go from now on.
    pub fn lead_to(&self, target: SocketAddr) {
        *self.target.lock().unwrap_or_else(PoisonError::into_inner) = target;
    }

    /// What is done with bytes from now on, those that are held included.
    pub fn set(&self, passage: Passage) {
        self.passage.send_replace(passage);
    }

    /// Lets all connections that there are fall silent for ever, both ways and without a word; new ones pass. A network that was
    /// left for another.
    pub fn freeze(&self) {
        self.freezes.send_modify(|freezes| *freezes += 1);
    }

    /// Resets all connections that there are, once. Bytes that are held are lost.
    pub fn cut(&self) {
        self.cuts.send_modify(|cuts| *cuts += 1);
    }
}

impl Drop for FaultProxy {
    fn drop(&mut self) {
        self.task.abort();
        self.cut();
    }
}

/// What the proxy tells its connections.
#[derive(Clone)]
struct Ends {
    passage: watch::Receiver<Passage>,
    cuts: watch::Receiver<u64>,
    freezes: watch::Receiver<u64>,
}

async fn accept(listener: TcpListener, target: Arc<Mutex<SocketAddr>>, mut ends: Ends) {
    loop {
        if *ends.passage.borrow_and_update() == Passage::Swallowed {
            let Ok(()) = swallow(&listener, &mut ends.passage).await else { return };
        }
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            changed = ends.passage.changed() => match changed {
                Ok(()) => continue,
                // The proxy is gone.
                Err(_) => return,
            },
        };
        // What fails is the connection that was about to be made, or this process has no files left: the next may
        // do better.
        let Ok((client, _)) = accepted else {
            tokio::time::sleep(Duration::from_millis(10)).await;
            continue;
        };
        let target = *target.lock().unwrap_or_else(PoisonError::into_inner);
        tokio::spawn(carry(client, target, ends.clone()));
    }
}

/// Fills the queue of connections that nobody has accepted, whereupon Linux drops what would open another, and empties it when
/// the passage is another one.
async fn swallow(listener: &TcpListener, passage: &mut watch::Receiver<Passage>) -> Result<()> {
    let address = listener.local_addr()?;
    let mut filling = Vec::new();
    // One that is not made at once finds the queue full.
    while let Ok(made) = tokio::time::timeout(Duration::from_millis(100), TcpStream::connect(address)).await {
        filling.push(made?);
    }
    passage.wait_for(|passage| *passage != Passage::Swallowed).await?;
    drop(filling);
    Ok(())
}

async fn carry(mut client: TcpStream, target: SocketAddr, ends: Ends) {
    let Ends { passage, mut cuts, mut freezes } = ends;
    cuts.mark_unchanged();
    freezes.mark_unchanged();
    let now = *passage.borrow();
    match now {
        Passage::Refused => return reset(&client),
        Passage::Answered(answer) => {
            // Who asks may go whenever they like.
            let _ = client.read(&mut [0; 4_096]).await;
            let _ = client.write_all(answer.as_bytes()).await;
            return;
        }
        _ => {}
    }
    let Ok(mut server) = TcpStream::connect(target).await else { return reset(&client) };
    // Without it the kernel would add delays that nobody asked for; an open socket takes it.
    let _ = (client.set_nodelay(true), server.set_nodelay(true));
    let is_cut = {
        let ((from_client, to_client), (from_server, to_server)) = (client.split(), server.split());
        let there = pump(from_client, to_server, passage.clone(), Direction::There);
        let back = pump(from_server, to_client, passage, Direction::Back);
        tokio::select! {
            _ = async { tokio::join!(there, back) } => false,
            // The proxy is gone, or wants it so.
            _ = cuts.changed() => true,
            Ok(()) = freezes.changed() => {
                // The streams stay open, and nobody reads them.
                let _ = cuts.changed().await;
                true
            }
        }
    };
    if is_cut {
        reset(&client);
        reset(&server);
    }
}

fn reset(stream: &TcpStream) {
    // Without lingering the kernel sends a reset.
    let _ = stream.set_zero_linger();
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Direction {
    There,
    Back,
}

async fn pump(
    mut from: ReadHalf<'_>,
    mut to: WriteHalf<'_>,
    mut passage: watch::Receiver<Passage>,
    direction: Direction,
) {
    let mut chunk = vec![0; CHUNK];
    loop {
        let read = from.read(&mut chunk).await.unwrap_or(0);
        let may_pass = |passage: &Passage| match passage {
            Passage::Held => false,
            Passage::AnswersHeld => direction == Direction::There,
            _ => true,
        };
        // The proxy is gone: what it held is lost.
        let Ok(now) = passage.wait_for(may_pass).await.map(|passage| *passage) else { return };
        if let Passage::Slow(delay) = now {
            tokio::time::sleep(delay).await;
        }
        if read == 0 || to.write_all(&chunk[..read]).await.is_err() {
            // Tells the other side that no more comes; it may still have something to say.
            let _ = to.shutdown().await;
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SOON: Duration = Duration::from_secs(10);

    /// A proxy, a connection through it, and the server's end of that.
    async fn connection() -> (FaultProxy, TcpStream, TcpStream) {
        let server = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let proxy = FaultProxy::start(server.local_addr().unwrap()).await.unwrap();
        let client = TcpStream::connect(proxy.address()).await.unwrap();
        let (accepted, _) = server.accept().await.unwrap();
        (proxy, client, accepted)
    }

    async fn byte(from: &mut TcpStream) -> u8 {
        tokio::time::timeout(SOON, from.read_u8()).await.unwrap().unwrap()
    }

    #[tokio::test]
    async fn what_is_held_comes_later_and_in_order() {
        let (proxy, mut client, mut server) = connection().await;
        client.write_u8(1).await.unwrap();
        assert_eq!(byte(&mut server).await, 1);
        proxy.set(Passage::AnswersHeld);
        server.write_u8(2).await.unwrap();
        client.write_u8(3).await.unwrap();
        assert_eq!(byte(&mut server).await, 3, "requests pass");
        assert!(client.try_read(&mut [0]).is_err(), "answers do not");
        proxy.set(Passage::Held);
        client.write_u8(4).await.unwrap();
        proxy.set(Passage::Slow(Duration::from_millis(1)));
        assert_eq!((byte(&mut client).await, byte(&mut server).await), (2, 4));
    }

    #[tokio::test]
    async fn a_cut_resets_both_sides_and_new_connections_go_where_the_server_has_moved() {
        let (proxy, mut client, mut server) = connection().await;
        proxy.cut();
        for end in [&mut client, &mut server] {
            let read = tokio::time::timeout(SOON, end.read_u8()).await.unwrap();
            assert!(read.is_err());
        }
        let moved = TcpListener::bind("127.0.0.1:0").await.unwrap();
        proxy.lead_to(moved.local_addr().unwrap());
        let mut client = TcpStream::connect(proxy.address()).await.unwrap();
        moved.accept().await.unwrap().0.write_u8(5).await.unwrap();
        assert_eq!(byte(&mut client).await, 5);
        proxy.set(Passage::Refused);
        let mut refused = TcpStream::connect(proxy.address()).await.unwrap();
        assert!(tokio::time::timeout(SOON, refused.read_u8()).await.unwrap().is_err());
    }

    #[tokio::test]
    async fn what_was_frozen_says_nothing_any_more_and_what_comes_after_passes() {
        let server = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let proxy = FaultProxy::start(server.local_addr().unwrap()).await.unwrap();
        let mut old = TcpStream::connect(proxy.address()).await.unwrap();
        let (mut accepted, _) = server.accept().await.unwrap();
        accepted.write_u8(1).await.unwrap();
        assert_eq!(byte(&mut old).await, 1);
        proxy.freeze();
        let mut new = TcpStream::connect(proxy.address()).await.unwrap();
        server.accept().await.unwrap().0.write_u8(2).await.unwrap();
        assert_eq!(byte(&mut new).await, 2);
        accepted.write_u8(3).await.unwrap();
        let silence = tokio::time::timeout(Duration::from_millis(200), old.read_u8()).await;
        assert!(silence.is_err(), "neither a byte nor an end: {silence:?}");
    }

    #[tokio::test]
    async fn who_stands_between_answers_or_swallows() {
        let server = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let proxy = FaultProxy::start(server.local_addr().unwrap()).await.unwrap();
        proxy.set(Passage::Answered("HTTP/1.1 404 Not Found\r\n\r\n"));
        let mut client = TcpStream::connect(proxy.address()).await.unwrap();
        client.write_all(b"GET / HTTP/1.1\r\n\r\n").await.unwrap();
        let mut answer = String::new();
        tokio::time::timeout(SOON, client.read_to_string(&mut answer)).await.unwrap().unwrap();
        assert!(answer.starts_with("HTTP/1.1 404 "), "{answer}");
        proxy.set(Passage::Swallowed);
        let connect = || TcpStream::connect(proxy.address());
        // It takes a moment until the queue is full.
        while tokio::time::timeout(Duration::from_millis(500), connect()).await.is_ok() {}
        proxy.set(Passage::Free);
        tokio::time::timeout(SOON, connect()).await.unwrap().unwrap();
    }
}
