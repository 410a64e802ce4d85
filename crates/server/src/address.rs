//! Where a client is: the peer's address, or the one that a proxy tells of which the operator has named.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use chat::Address;
use http::{HeaderMap, HeaderName};
use ipnet::IpNet;
use ppp::v2::Command;
use ppp::{HeaderResult, PartialResult as _};
use tokio::io::AsyncReadExt as _;
use tokio::net::TcpStream;

/// The list that proxies add to, each what it sees before it.
const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");

/// Bytes of a PROXY header, at most, with all that a balancer may add to it.
const PROXY_HEADER_BYTES: usize = 4 * 1024;

/// Whose word is taken for where a client is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Proxies {
    /// Nobody has said: no word is taken, and nobody is refused for an address that may be a proxy's.
    #[default]
    Unknown,
    /// These networks, none of them possibly.
    Named(Vec<IpNet>),
}

impl Proxies {
    /// A list of networks with commas between them, or `none`.
    ///
    /// # Errors
    /// A line that says what is wrong.
    pub fn parse(text: &str) -> Result<Self, String> {
        if text.trim() == "none" {
            return Ok(Self::Named(Vec::new()));
        }
        let network = |text: &str| {
            let text = text.trim();
            let host = || text.parse::<IpAddr>().ok().map(IpNet::from);
            let parsed = text.parse().ok().or_else(host);
            parsed.ok_or_else(|| {
                format!("{text:?} is no network such as 10.0.0.0/8 or fd00::/8, nor an address")
            })
        };
        text.split(',').map(network).collect::<Result<_, _>>().map(Self::Named)
    }

    fn has(&self, ip: IpAddr) -> bool {
        match self {
            Self::Unknown => false,
            Self::Named(networks) => networks.iter().any(|network| network.contains(&ip)),
        }
    }

    /// Where the client of one request is. `peer` is who is connected, or whom a level-4 proxy has told of.
    pub(crate) fn client(&self, peer: IpAddr, headers: &HeaderMap) -> Address {
        let peer = peer.to_canonical();
        let may_be_shared =
            *self == Self::Unknown && (is_private(peer) || headers.contains_key(X_FORWARDED_FOR));
        let ip = if self.has(peer) { self.forwarded(peer, headers) } else { peer };
        Address { ip, may_be_shared }
    }

    /// From the right, each address was written by the one after it: the first that is no proxy of ours is the client.
    /// What stands left of it anybody may have written.
    fn forwarded(&self, peer: IpAddr, headers: &HeaderMap) -> IpAddr {
        let lines: Vec<_> = headers.get_all(X_FORWARDED_FOR).iter().collect();
        let mut nearest = peer;
        for line in lines.into_iter().rev() {
            // What is no text is no address.
            let Ok(line) = line.to_str() else { return nearest };
            for entry in line.rsplit(',') {
                let Some(ip) = parse_entry(entry.trim()) else { return nearest };
                nearest = ip;
                if !self.has(ip) {
                    return ip;
                }
            }
        }
        nearest
    }

    /// Reads the PROXY header with which a level-4 proxy of ours may begin a connection. Returns who is behind it, and
    /// what was read that belongs to the connection itself.
    ///
    /// # Errors
    /// If the header is broken, or does not come in time.
    pub(crate) async fn read_header(
        &self,
        stream: &mut TcpStream,
        peer: SocketAddr,
        limit: Duration,
    ) -> io::Result<(IpAddr, Bytes)> {
        if !self.has(peer.ip().to_canonical()) {
            return Ok((peer.ip(), Bytes::new()));
        }
        let read = read_header(stream, peer.ip());
        tokio::time::timeout(limit, read).await.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
    }
}

async fn read_header(stream: &mut TcpStream, peer: IpAddr) -> io::Result<(IpAddr, Bytes)> {
    let broken = || io::Error::new(io::ErrorKind::InvalidData, "a broken PROXY header");
    let mut read = BytesMut::new();
    loop {
        if !may_begin_header(&read) {
            return Ok((peer, read.freeze()));
        }
        if !read.is_empty() {
            let parsed = HeaderResult::parse(&read);
            if !parsed.is_incomplete() {
                let (source, length) = source(&parsed).ok_or_else(broken)?;
                return Ok((source.unwrap_or(peer), Bytes::copy_from_slice(&read[length..])));
            }
        }
        if read.len() >= PROXY_HEADER_BYTES {
            return Err(broken());
        }
        if stream.read_buf(&mut read).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    }
}

/// Whether what was read so far may be the beginning of a header. No HTTP request begins like either of them.
fn may_begin_header(read: &[u8]) -> bool {
    let beginnings: [&[u8]; 2] = [b"PROXY ", ppp::v2::PROTOCOL_PREFIX];
    beginnings.into_iter().any(|beginning| {
        let known = read.len().min(beginning.len());
        read[..known] == beginning[..known]
    })
}

/// Whom a whole header tells of, nobody where the proxy speaks for itself; and the header's length.
fn source(header: &HeaderResult<'_>) -> Option<(Option<IpAddr>, usize)> {
    match header {
        HeaderResult::V1(Ok(header)) => {
            let source = match header.addresses {
                ppp::v1::Addresses::Unknown => None,
                ppp::v1::Addresses::Tcp4(addresses) => Some(addresses.source_address.into()),
                ppp::v1::Addresses::Tcp6(addresses) => Some(addresses.source_address.into()),
            };
            Some((source, header.header.len()))
        }
        HeaderResult::V2(Ok(header)) => {
            let source = match (header.command, header.addresses) {
                (Command::Proxy, ppp::v2::Addresses::IPv4(addresses)) => {
                    Some(addresses.source_address.into())
                }
                (Command::Proxy, ppp::v2::Addresses::IPv6(addresses)) => {
                    Some(addresses.source_address.into())
                }
                _ => None,
            };
            Some((source, header.len()))
        }
        _ => None,
    }
}

/// An address as proxies write it: alone, with a port, in brackets.
fn parse_entry(text: &str) -> Option<IpAddr> {
    let ip = text.parse::<IpAddr>().ok().or_else(|| Some(text.parse::<SocketAddr>().ok()?.ip()));
    let in_brackets = || text.strip_prefix('[')?.strip_suffix(']')?.parse().ok();
    ip.or_else(in_brackets).map(|ip| ip.to_canonical())
}

/// Whether the address is one that proxies on the same machine or in the same network have.
fn is_private(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => {
            let is_carriers = ip.octets()[0] == 100 && ip.octets()[1] & 0b1100_0000 == 64;
            ip.is_private() || ip.is_loopback() || ip.is_link_local() || is_carriers
        }
        IpAddr::V6(ip) => ip.is_loopback() || ip.is_unique_local() || ip.is_unicast_link_local(),
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;
    use tokio::io::AsyncWriteExt as _;
    use tokio::net::TcpListener;

    use super::*;

    fn headers(lines: &[&str]) -> HeaderMap {
        lines.iter().map(|line| (X_FORWARDED_FOR, HeaderValue::from_str(line).unwrap())).collect()
    }

    fn client(proxies: &str, peer: &str, lines: &[&str]) -> String {
        let proxies = Proxies::parse(proxies).unwrap();
        proxies.client(peer.parse().unwrap(), &headers(lines)).ip.to_string()
    }

    #[test]
    fn the_rightmost_address_that_is_no_proxy_is_the_client() {
        let ours = "10.0.0.0/8, fd00::/8";
        for (peer, lines, expected) in [
            ("10.0.0.1", &["203.0.113.7"][..], "203.0.113.7"),
            ("10.0.0.1", &["1.1.1.1, 203.0.113.7, 10.0.0.2"], "203.0.113.7"),
            ("10.0.0.1", &["1.1.1.1", "203.0.113.7", "10.9.9.9"], "203.0.113.7"),
            ("10.0.0.1", &["10.0.0.3, 10.0.0.2"], "10.0.0.3"),
            ("10.0.0.1", &["203.0.113.7:1234"], "203.0.113.7"),
            ("10.0.0.1", &["[2001:db8::1]:443"], "2001:db8::1"),
            ("10.0.0.1", &["[2001:db8::1]"], "2001:db8::1"),
            ("fd00::1", &["2001:db8::1"], "2001:db8::1"),
            ("::ffff:10.0.0.1", &["203.0.113.7"], "203.0.113.7"),
            ("10.0.0.1", &["::ffff:203.0.113.7"], "203.0.113.7"),
            // Nothing that is no address is believed, nor what stands left of it.
            ("10.0.0.1", &["203.0.113.7, unknown"], "10.0.0.1"),
            ("10.0.0.1", &["203.0.113.7, , 10.0.0.2"], "10.0.0.2"),
            ("10.0.0.1", &[], "10.0.0.1"),
            // From anybody else it is ignored.
            ("198.51.100.9", &["203.0.113.7"], "198.51.100.9"),
        ] {
            assert_eq!(client(ours, peer, lines), expected, "{peer} {lines:?}");
        }
        assert_eq!(client("none", "10.0.0.1", &["203.0.113.7"]), "10.0.0.1");
    }

    #[test]
    fn where_nobody_has_named_proxies_an_address_may_be_one() {
        let may_be_shared = |proxies: &Proxies, peer: &str, lines: &[&str]| {
            proxies.client(peer.parse().unwrap(), &headers(lines)).may_be_shared
        };
        for peer in ["127.0.0.1", "10.1.2.3", "100.64.0.1", "::1", "fe80::1", "::ffff:192.168.0.1"] {
            assert!(may_be_shared(&Proxies::Unknown, peer, &[]), "{peer}");
            assert!(!may_be_shared(&Proxies::Named(Vec::new()), peer, &[]), "{peer}");
        }
        assert!(!may_be_shared(&Proxies::Unknown, "203.0.113.7", &[]));
        assert!(!may_be_shared(&Proxies::Unknown, "100.128.0.1", &[]));
        assert!(may_be_shared(&Proxies::Unknown, "203.0.113.7", &["198.51.100.9"]));
    }

    #[test]
    fn a_list_that_is_none_says_what_is_wrong() {
        assert!(Proxies::parse("10.0.0.0/8,::1,192.0.2.1").is_ok());
        for wrong in ["", "10.0.0.0/33", "nobody", "10.0.0.1,"] {
            assert!(Proxies::parse(wrong).unwrap_err().contains("is no network"), "{wrong}");
        }
    }

    /// What a connection that begins with `sent` in these pieces is taken for.
    async fn taken(proxies: &str, pieces: &[&[u8]]) -> io::Result<(String, Vec<u8>)> {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (peer, accepted) =
            tokio::join!(TcpStream::connect(listener.local_addr().unwrap()), listener.accept());
        let (mut peer, (mut stream, address)) = (peer.unwrap(), accepted.unwrap());
        peer.set_nodelay(true).unwrap();
        let writing = async {
            for piece in pieces {
                peer.write_all(piece).await.unwrap();
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        let proxies = Proxies::parse(proxies).unwrap();
        let read = proxies.read_header(&mut stream, address, Duration::from_secs(5));
        let (read, ()) = tokio::join!(read, writing);
        let (ip, read) = read?;
        let mut rest = read.to_vec();
        drop(peer);
        stream.read_to_end(&mut rest).await?;
        Ok((ip.to_string(), rest))
    }

    #[tokio::test]
    async fn a_level_4_proxy_tells_who_is_behind_it() {
        let request = b"GET / HTTP/1.1\r\n\r\n";
        let v1 = b"PROXY TCP4 203.0.113.7 192.0.2.1 1234 443\r\n";
        let mut v2 = ppp::v2::PROTOCOL_PREFIX.to_vec();
        v2.extend(b"\x21\x11\x00\x0f\xcb\x00\x71\x09\xc0\x00\x02\x01\x04\xd2\x01\xbb\x04\x00\x00");
        let local = [ppp::v2::PROTOCOL_PREFIX, b"\x20\x00\x00\x00"].concat();
        for (header, expected) in [
            (&v1[..], "203.0.113.7"),
            (&v2[..], "203.0.113.9"),
            (b"PROXY UNKNOWN\r\n", "127.0.0.1"),
            (&local[..], "127.0.0.1"),
            (b"", "127.0.0.1"),
        ] {
            let whole = [header, request].concat();
            let expected = (expected.to_owned(), request.to_vec());
            assert_eq!(taken("127.0.0.0/8", &[&whole]).await.unwrap(), expected, "{header:?}");
            let bytes: Vec<_> = whole.chunks(3).collect();
            assert_eq!(taken("127.0.0.0/8", &bytes).await.unwrap(), expected, "{header:?} in pieces");
        }
        for broken in [&b"PROXY TCP4 nonsense\r\n"[..], b"PROXY TCP4 203.0.113.7 192.0.2.1 1234"] {
            let mut pieces = vec![broken];
            let much = vec![b'x'; PROXY_HEADER_BYTES + 1];
            pieces.push(&much);
            assert!(taken("127.0.0.0/8", &pieces).await.is_err(), "{broken:?}");
        }
        // From anybody else it is what it is: bytes that are no HTTP.
        let (ip, rest) = taken("10.0.0.0/8", &[v1]).await.unwrap();
        assert_eq!((ip.as_str(), &rest[..]), ("127.0.0.1", &v1[..]));
    }
}
