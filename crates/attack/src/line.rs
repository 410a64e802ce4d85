//! One TCP connection of which nothing is hidden: what is written and what is read are two matters.

use std::io::{self, ErrorKind};
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4, TcpStream as StdStream};
use std::time::Duration;

use socket2::{Domain, Protocol, Type};
use tokio::net::{TcpSocket, TcpStream};

const OPEN_LIMIT: Duration = Duration::from_secs(20);
/// A real network's segment size: loopback's is so large that the kernel holds megabytes for who does not read.
const NETWORK_SEGMENT: u32 = 1_460;
const SKIMMED: usize = 64 * 1024;

/// How much the kernel takes for one who does not read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Window {
    /// As the kernel likes.
    Usual,
    /// About this many bytes.
    Bytes(usize),
}

/// A TCP connection.
#[derive(Debug)]
pub(crate) struct Line {
    stream: TcpStream,
}

impl Line {
    /// Connects from this loopback address.
    pub(crate) async fn open(server: SocketAddr, source: Ipv4Addr, window: Window) -> io::Result<Self> {
        let socket = socket2::Socket::new(Domain::IPV4, Type::STREAM, Some(Protocol::TCP))?;
        socket.set_nonblocking(true)?;
        socket.bind(&SocketAddr::V4(SocketAddrV4::new(source, 0)).into())?;
        if let Window::Bytes(bytes) = window {
            socket.set_recv_buffer_size(bytes)?;
            socket.set_tcp_mss(NETWORK_SEGMENT)?;
        }
        let connecting = TcpSocket::from_std_stream(StdStream::from(socket)).connect(server);
        let stream =
            tokio::time::timeout(OPEN_LIMIT, connecting).await.map_err(|_| ErrorKind::TimedOut)??;
        stream.set_nodelay(true)?;
        Ok(Self { stream })
    }

    /// Writes all of it, however long the other side takes.
    pub(crate) async fn write(&self, mut bytes: &[u8]) -> io::Result<()> {
        while !bytes.is_empty() {
            match self.stream.try_write(bytes) {
                Ok(count) => bytes = &bytes[count..],
                Err(error) if error.kind() == ErrorKind::WouldBlock => self.stream.writable().await?,
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Reads what is there, at least a byte; the end is an error.
    pub(crate) async fn read(&self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            match self.stream.try_read(buffer) {
                Ok(0) => return Err(ErrorKind::UnexpectedEof.into()),
                Ok(count) => return Ok(count),
                Err(error) if error.kind() == ErrorKind::WouldBlock => self.stream.readable().await?,
                Err(error) => return Err(error),
            }
        }
    }

    /// Writes the same again and again, as fast as it is taken, until the connection ends. `sent` is told of each time.
    pub(crate) async fn flood(&self, bytes: &[u8], sent: impl Fn(u64)) -> io::Error {
        loop {
            if let Err(error) = self.write(bytes).await {
                return error;
            }
            sent(bytes.len() as u64);
            // A server that keeps up would let nobody else on this thread have a turn.
            tokio::task::yield_now().await;
        }
    }

    /// Reads and forgets, until the connection ends.
    pub(crate) async fn skim(&self) -> io::Error {
        let mut buffer = vec![0; SKIMMED];
        loop {
            if let Err(error) = self.read(&mut buffer).await {
                return error;
            }
            tokio::task::yield_now().await;
        }
    }
}
