//! A TCP connection whose peer has to read. One mechanism under HTTP and sockets alike: where nothing of what waits is
//! taken for too long, or a whole HTTP answer takes too long, the write fails, and with it the connection. And one that
//! has begun a request has to end it in time, however long it may be idle between two. What the system has taken already
//! is the system's to watch: it is told to give up a peer that does not take it.

use std::future::Future as _;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Buf as _, Bytes};
use socket2::SockRef;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::time::{Instant, Sleep, sleep_until};

/// How long a peer that takes nothing is waited for once the server leaves.
const LEAVING: Duration = Duration::from_secs(1);

/// How long a peer may keep the server waiting.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Patience {
    /// For a request's head, from its first byte on; for the first one, from the connection on.
    pub(crate) head: Duration,
    /// Without taking anything.
    pub(crate) progress: Duration,
    /// For a whole answer, from the moment at which it no longer goes out at once.
    pub(crate) answer: Option<Duration>,
}

/// A connection, and how long its peer has kept it waiting. Small, because each idle socket has one.
pub(crate) struct Stream {
    tcp: TcpStream,
    progress: Duration,
    /// While the peer takes less than is there for it.
    blocked: Option<Pin<Box<Blocked>>>,
    /// While HTTP is spoken.
    http: Option<Box<Http>>,
}

/// Counts what is asked and answered on one connection, so that what is read next is known to begin a request or to
/// belong to one.
#[derive(Default)]
pub(crate) struct Turns(AtomicUsize);

impl Turns {
    /// A request's head is there.
    pub(crate) fn asked(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    /// Its answer is on its way.
    pub(crate) fn answered(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

struct Http {
    /// How long a head may take.
    head: Duration,
    /// While a head has begun and is not whole.
    head_by: Option<Pin<Box<Sleep>>>,
    turns: Arc<Turns>,
    /// The turn in which was read last.
    turn: usize,
    /// What was read before it was known that it is HTTP.
    already_read: Bytes,
    /// How long a whole answer may take.
    answer: Option<Duration>,
    /// Whether the server leaves; nobody waits long for slow readers then.
    stopped: watch::Receiver<bool>,
}

struct Blocked {
    since: Instant,
    is_leaving: bool,
    timer: Pin<Box<Sleep>>,
}

impl Http {
    /// Looks at the time when something of a head was read, or nothing. An error once it has taken too long.
    fn poll_head(&mut self, read: Poll<io::Result<()>>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let turn = self.turns.0.load(Ordering::Relaxed);
        if turn != self.turn {
            self.turn = turn;
            self.head_by = None;
        }
        let is_between = turn.is_multiple_of(2);
        if read.is_ready() {
            if is_between && self.head_by.is_none() {
                self.head_by = Some(Box::pin(sleep_until(Instant::now() + self.head)));
            }
            return read;
        }
        if let Some(by) = &mut self.head_by {
            ready!(by.as_mut().poll(cx));
            return Poll::Ready(Err(io::Error::new(
                io::ErrorKind::TimedOut,
                "a request's head took too long",
            )));
        }
        Poll::Pending
    }
}

impl Stream {
    pub(crate) fn new(
        tcp: TcpStream,
        already_read: Bytes,
        patience: Patience,
        turns: Arc<Turns>,
        stopped: watch::Receiver<bool>,
    ) -> Self {
        let Patience { head, progress, answer } = patience;
        // Else an answer that fits into the system's buffers would stay there for as long as the connection may be idle.
        // Where it can't be set, it does.
        let _ = SockRef::from(&tcp).set_tcp_user_timeout(Some(progress));
        let head_by = Some(Box::pin(sleep_until(Instant::now() + head)));
        let http = Some(Box::new(Http { head, head_by, turns, turn: 0, already_read, answer, stopped }));
        Self { tcp, progress, blocked: None, http }
    }

    /// From here on a WebSocket is spoken: there are no answers any more, and leaving has a way of its own.
    pub(crate) fn into_socket(mut self, progress: Duration) -> Self {
        // A socket's peer may be out of reach for longer, with little under way: pings tell.
        let _ = SockRef::from(&self.tcp).set_tcp_user_timeout(None);
        self.progress = progress;
        self.http = None;
        self.blocked = None;
        self
    }

    /// Something was taken.
    fn progressed(&mut self) {
        let Some(blocked) = &mut self.blocked else { return };
        let Some(answer) = self.http.as_ref().and_then(|http| http.answer) else {
            self.blocked = None;
            return;
        };
        let by = deadline(self.progress, blocked.since, Some(answer));
        blocked.is_leaving = false;
        blocked.timer.as_mut().reset(by);
    }

    /// Nothing is taken just now. An error once that has lasted too long.
    fn poll_blocked(&mut self, cx: &mut Context<'_>) -> Poll<io::Error> {
        let (progress, http) = (self.progress, self.http.as_ref());
        let blocked = self.blocked.get_or_insert_with(|| {
            let since = Instant::now();
            let by = deadline(progress, since, http.and_then(|http| http.answer));
            Box::pin(Blocked { since, is_leaving: false, timer: Box::pin(sleep_until(by)) })
        });
        if !blocked.is_leaving && http.is_some_and(|http| *http.stopped.borrow()) {
            blocked.is_leaving = true;
            let by = blocked.timer.deadline().min(Instant::now() + LEAVING);
            blocked.timer.as_mut().reset(by);
        }
        ready!(blocked.timer.as_mut().poll(cx));
        Poll::Ready(io::Error::new(io::ErrorKind::TimedOut, "the peer does not read"))
    }

    fn poll_written(
        &mut self,
        written: Poll<io::Result<usize>>,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<usize>> {
        match written {
            Poll::Ready(outcome) => {
                self.progressed();
                Poll::Ready(outcome)
            }
            Poll::Pending => self.poll_blocked(cx).map(Err),
        }
    }
}

fn deadline(progress: Duration, since: Instant, answer: Option<Duration>) -> Instant {
    let progress = Instant::now() + progress;
    answer.map_or(progress, |answer| progress.min(since + answer))
}

impl AsyncRead for Stream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if let Some(read) =
            self.http.as_mut().map(|http| &mut http.already_read).filter(|read| !read.is_empty())
        {
            let count = read.len().min(buffer.remaining());
            buffer.put_slice(&read[..count]);
            read.advance(count);
            return Poll::Ready(Ok(()));
        }
        let before = buffer.filled().len();
        let read = Pin::new(&mut self.tcp).poll_read(cx, buffer);
        match &mut self.http {
            Some(http) if read.is_pending() || buffer.filled().len() > before => http.poll_head(read, cx),
            _ => read,
        }
    }
}

impl AsyncWrite for Stream {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.tcp).poll_write(cx, bytes);
        self.poll_written(written, cx)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.tcp).poll_write_vectored(cx, slices);
        self.poll_written(written, cx)
    }

    fn is_write_vectored(&self) -> bool {
        self.tcp.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        // Whoever flushes has written all there was.
        self.blocked = None;
        Pin::new(&mut self.tcp).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.tcp).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::{TcpListener, TcpSocket};

    use super::*;

    const PROGRESS: Duration = Duration::from_millis(400);

    /// A stream with small buffers, its peer, and what tells it that the server leaves.
    async fn pair(answer: Option<Duration>) -> (Stream, TcpStream, watch::Sender<bool>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let peer = TcpSocket::new_v4().unwrap();
        peer.set_recv_buffer_size(16 * 1024).unwrap();
        let (peer, accepted) = tokio::join!(peer.connect(listener.local_addr().unwrap()), listener.accept());
        let (stop, stopped) = watch::channel(false);
        let patience = Patience { head: PROGRESS, progress: PROGRESS, answer };
        let (tcp, early) = (accepted.unwrap().0, Bytes::from_static(b"early"));
        (Stream::new(tcp, early, patience, Arc::default(), stopped), peer.unwrap(), stop)
    }

    async fn write_all(stream: &mut Stream) -> io::Result<()> {
        let much = vec![7; 16 * 1024 * 1024];
        stream.write_all(&much).await?;
        stream.flush().await
    }

    #[tokio::test]
    async fn who_reads_nothing_is_given_up() {
        for answer in [None, Some(Duration::from_secs(600))] {
            let (mut stream, _peer, _stop) = pair(answer).await;
            let start = Instant::now();
            assert_eq!(write_all(&mut stream).await.unwrap_err().kind(), io::ErrorKind::TimedOut);
            assert!(start.elapsed() >= PROGRESS);
        }
    }

    #[tokio::test]
    async fn who_reads_slowly_is_waited_for_as_long_as_the_whole_may_take() {
        for (answer, is_done) in
            [(None, true), (Some(Duration::from_secs(600)), true), (Some(PROGRESS), false)]
        {
            let (mut stream, mut peer, _stop) = pair(answer).await;
            let reading = async {
                let mut left = 16 * 1024 * 1024;
                let mut chunk = vec![0; 2 * 1024 * 1024];
                while left > 0 {
                    // Less than the limit between two of them, more than the limit in all.
                    tokio::time::sleep(PROGRESS / 4).await;
                    let mut chunk_left = chunk.len().min(left);
                    while chunk_left > 0 {
                        match peer.read(&mut chunk[..chunk_left]).await {
                            Ok(0) | Err(_) => return,
                            Ok(count) => (chunk_left, left) = (chunk_left - count, left - count),
                        }
                    }
                }
            };
            let writing = async {
                let outcome = write_all(&mut stream).await;
                drop(stream);
                outcome
            };
            let (outcome, ()) = tokio::join!(writing, reading);
            assert_eq!(outcome.is_ok(), is_done, "{answer:?}: {outcome:?}");
        }
    }

    #[tokio::test]
    async fn a_server_that_leaves_does_not_wait_for_who_reads_nothing() {
        let (mut stream, _peer, stop) = pair(None).await;
        stream.progress = Duration::from_secs(600);
        let leaving = async {
            tokio::time::sleep(Duration::from_millis(100)).await;
            stop.send_replace(true);
            std::future::pending::<()>().await;
        };
        let mut stopped = stream.http.as_ref().unwrap().stopped.clone();
        let writing = async {
            // As the connection's owner does it: whoever polls for the end polls the stream.
            tokio::select! {
                outcome = write_all(&mut stream) => return outcome,
                _ = stopped.wait_for(|stopped| *stopped) => {}
            }
            write_all(&mut stream).await
        };
        let outcome = tokio::select! { outcome = writing => outcome, () = leaving => unreachable!() };
        assert_eq!(outcome.unwrap_err().kind(), io::ErrorKind::TimedOut);
    }

    #[tokio::test]
    async fn what_was_read_already_comes_first() {
        let (mut stream, mut peer, _stop) = pair(None).await;
        peer.write_all(b"late").await.unwrap();
        let mut read = [0; 9];
        stream.read_exact(&mut read).await.unwrap();
        assert_eq!(&read, b"earlylate");
    }

    async fn read(stream: &mut Stream) -> io::Result<usize> {
        stream.read(&mut [0; 64]).await
    }

    #[tokio::test]
    async fn a_head_that_does_not_end_is_given_up_and_idleness_between_two_is_not() {
        let (mut stream, mut peer, _stop) = pair(None).await;
        let turns = Arc::clone(&stream.http.as_ref().unwrap().turns);
        read(&mut stream).await.unwrap();
        turns.asked();
        turns.answered();
        // Idle for longer than a head may take.
        let idle = tokio::time::timeout(2 * PROGRESS, read(&mut stream)).await;
        assert!(idle.is_err(), "{idle:?}");
        // A body may take longer as well; it has a limit of its own.
        peer.write_all(b"P").await.unwrap();
        read(&mut stream).await.unwrap();
        turns.asked();
        peer.write_all(b"body").await.unwrap();
        read(&mut stream).await.unwrap();
        assert!(tokio::time::timeout(2 * PROGRESS, read(&mut stream)).await.is_err());
        turns.answered();
        // And one that is begun and not ended.
        peer.write_all(b"G").await.unwrap();
        read(&mut stream).await.unwrap();
        assert_eq!(read(&mut stream).await.unwrap_err().kind(), io::ErrorKind::TimedOut);
    }

    #[tokio::test]
    async fn the_first_head_is_not_waited_for_longer() {
        let (mut stream, _peer, _stop) = pair(None).await;
        read(&mut stream).await.unwrap();
        assert_eq!(read(&mut stream).await.unwrap_err().kind(), io::ErrorKind::TimedOut);
    }
}
