//! The way to a host that has several addresses, of which some may be dead: not refused, but swallowed. As in RFC 8305 ("Happy
//! Eyeballs"), they are tried one after another without waiting for each to fail, and the first that answers is taken.

use std::fmt;
use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::Poll;
use std::time::Duration;

use tokio::net::{TcpStream, lookup_host};
use tokio::time::sleep;

/// From one try to the next while none has ended: what section 8 of the RFC recommends.
const DELAY: Duration = Duration::from_millis(250);

/// A name that leads to no address, and what the system says of it.
#[derive(Debug)]
pub(crate) struct NoAddress(String);

impl fmt::Display for NoAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for NoAddress {}

/// Connects to one of the host's addresses.
///
/// # Errors
/// If it has none, or none of them can be reached: what the first one said.
pub(crate) async fn connect(host: &str, port: u16) -> io::Result<TcpStream> {
    let no_address = |error: io::Error| io::Error::new(io::ErrorKind::NotFound, NoAddress(error.to_string()));
    let addresses = lookup_host((host, port)).await.map_err(no_address)?;
    let stream = first(alternating(addresses), TcpStream::connect).await?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

/// The addresses with the two families in turn, beginning with the one that the system prefers: often all of a family is
/// dead.
fn alternating(addresses: impl Iterator<Item = SocketAddr>) -> Vec<SocketAddr> {
    let addresses: Vec<_> = addresses.collect();
    let is_preferred =
        |address: &SocketAddr| addresses.first().is_some_and(|first| first.is_ipv4() == address.is_ipv4());
    let (preferred, others): (Vec<_>, Vec<_>) = addresses.iter().copied().partition(is_preferred);
    let mut others = others.into_iter();
    let mut order: Vec<_> =
        preferred.into_iter().flat_map(|address| [Some(address), others.next()]).flatten().collect();
    order.extend(others);
    order
}

/// The first that can be connected; the tries at the others end with that.
async fn first<S: Send + 'static, F: Future<Output = io::Result<S>> + Send + 'static>(
    addresses: Vec<SocketAddr>,
    connect: impl Fn(SocketAddr) -> F,
) -> io::Result<S> {
    let mut waiting = addresses.into_iter();
    let mut tries: Vec<Pin<Box<dyn Future<Output = io::Result<S>> + Send>>> = Vec::new();
    let mut failure = None;
    loop {
        if let Some(address) = waiting.next() {
            tries.push(Box::pin(connect(address)));
        }
        let ended = poll_fn(|cx| {
            for at in 0..tries.len() {
                if let Poll::Ready(ended) = tries[at].as_mut().poll(cx) {
                    drop(tries.swap_remove(at));
                    return Poll::Ready(Some(ended));
                }
            }
            if tries.is_empty() { Poll::Ready(None) } else { Poll::Pending }
        });
        tokio::select! {
            ended = ended => match ended {
                Some(Ok(stream)) => return Ok(stream),
                Some(Err(error)) => drop(failure.get_or_insert(error)),
                None => return Err(failure.unwrap_or_else(|| io::ErrorKind::NotFound.into())),
            },
            () = sleep(DELAY), if waiting.len() > 0 => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, Ipv6Addr};
    use std::sync::{Arc, Mutex};

    use tokio::time::Instant;

    use super::*;

    fn v4(last: u8) -> SocketAddr {
        (Ipv4Addr::new(192, 0, 2, last), 443).into()
    }

    fn v6(last: u16) -> SocketAddr {
        (Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, last), 443).into()
    }

    const MS: Duration = Duration::from_millis(1);

    /// What an address does.
    #[derive(Clone, Copy)]
    enum Does {
        Connect(u32),
        Refuse(u32),
        Swallow,
    }

    /// Who was connected, after how long, and which were tried.
    async fn tried(addresses: &[(SocketAddr, Does)]) -> (io::Result<SocketAddr>, u128, Vec<SocketAddr>) {
        let began = Instant::now();
        let seen = Arc::new(Mutex::new(Vec::new()));
        let does: Vec<_> = addresses.to_vec();
        let connected = first(addresses.iter().map(|(address, _)| *address).collect(), |address| {
            seen.lock().unwrap().push(address);
            let (_, does) = does.iter().copied().find(|(known, _)| *known == address).unwrap();
            async move {
                match does {
                    Does::Connect(ms) => sleep(MS * ms).await,
                    Does::Refuse(ms) => {
                        sleep(MS * ms).await;
                        return Err(io::Error::other(address.to_string()));
                    }
                    Does::Swallow => std::future::pending().await,
                }
                Ok(address)
            }
        })
        .await;
        let seen = seen.lock().unwrap().clone();
        (connected, began.elapsed().as_millis(), seen)
    }

    #[tokio::test(start_paused = true)]
    async fn an_address_that_swallows_what_is_sent_costs_a_moment() {
        let (connected, ms, _) = tried(&[(v6(1), Does::Swallow), (v4(1), Does::Connect(20))]).await;
        assert_eq!((connected.unwrap(), ms), (v4(1), 270));
        let all_but_one: Vec<_> =
            (1..5).map(|last| (v4(last), Does::Swallow)).chain([(v4(5), Does::Connect(20))]).collect();
        let (connected, ms, _) = tried(&all_but_one).await;
        assert_eq!((connected.unwrap(), ms), (v4(5), 1_020));
    }

    #[tokio::test(start_paused = true)]
    async fn a_refusal_leads_to_the_next_one_at_once() {
        let (connected, ms, _) =
            tried(&[(v6(1), Does::Refuse(1)), (v4(1), Does::Refuse(1)), (v4(2), Does::Connect(1))]).await;
        assert_eq!((connected.unwrap(), ms), (v4(2), 3));
    }

    #[tokio::test(start_paused = true)]
    async fn one_that_is_only_slow_may_still_be_the_first() {
        let (connected, ms, _) = tried(&[(v6(1), Does::Connect(300)), (v4(1), Does::Connect(100))]).await;
        assert_eq!((connected.unwrap(), ms), (v6(1), 300));
        let (connected, ms, seen) = tried(&[(v6(1), Does::Connect(249)), (v4(1), Does::Connect(0))]).await;
        assert_eq!((connected.unwrap(), ms, seen), (v6(1), 249, vec![v6(1)]), "the other is not bothered");
    }

    #[tokio::test(start_paused = true)]
    async fn where_none_can_be_reached_the_first_ones_reason_is_told() {
        let (failed, ms, _) = tried(&[(v6(1), Does::Refuse(400)), (v4(1), Does::Refuse(10))]).await;
        assert_eq!(
            (failed.unwrap_err().to_string(), ms),
            (v4(1).to_string(), 400),
            "the first that said anything"
        );
        let (failed, _, _) = tried(&[]).await;
        assert_eq!(failed.unwrap_err().kind(), io::ErrorKind::NotFound);
    }

    #[test]
    fn families_take_turns_beginning_with_the_one_that_the_system_prefers() {
        let order = |addresses: &[SocketAddr]| alternating(addresses.iter().copied());
        assert_eq!(order(&[v6(1), v6(2), v6(3), v4(1), v4(2)]), [v6(1), v4(1), v6(2), v4(2), v6(3)]);
        assert_eq!(order(&[v4(1), v6(1), v6(2), v6(3)]), [v4(1), v6(1), v6(2), v6(3)]);
        assert_eq!(order(&[v4(1), v4(2)]), [v4(1), v4(2)]);
        assert_eq!(order(&[]), []);
    }

    /// A listener whose backlog is full swallows what comes on Linux, as a dead address does.
    #[cfg(target_os = "linux")]
    #[tokio::test]
    async fn a_real_dead_address_does_not_keep_anybody_from_a_real_live_one() {
        let dead = tokio::net::TcpSocket::new_v4().unwrap();
        dead.bind((Ipv4Addr::new(127, 0, 0, 2), 0).into()).unwrap();
        let dead = dead.listen(1).unwrap();
        let dead_address = dead.local_addr().unwrap();
        let mut waiting = Vec::new();
        while let Ok(Ok(stream)) = tokio::time::timeout(MS * 200, TcpStream::connect(dead_address)).await {
            waiting.push(stream);
        }
        let live = tokio::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let live_address = live.local_addr().unwrap();
        let stream = first(vec![dead_address, live_address], TcpStream::connect).await.unwrap();
        assert_eq!(stream.peer_addr().unwrap(), live_address);
        assert!(!waiting.is_empty());
    }
}
