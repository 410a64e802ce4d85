//! The way through an HTTP proxy: which one, if any, and how it is asked for a tunnel. As curl and most programs read the
//! environment.

use std::env;

use data_encoding::BASE64;
use http::Uri;
use http::uri::Scheme;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::trouble::Trouble;
use crate::config::Endpoint;
use crate::{ClientError, Proxy, Stream, WaitReason};

/// Bytes of a proxy's answer to the request for a tunnel, at most.
const ANSWER: usize = 16 * 1024;

/// An HTTP proxy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct HttpProxy {
    /// Without the brackets of an IPv6 address.
    pub(crate) host: String,
    pub(crate) port: u16,
    /// Name and password, as the header has them.
    credentials: Option<String>,
}

/// The proxy on the way to the server, if there is one.
///
/// # Errors
/// If the app has given one that is none. What the environment says that is none is passed over, as elsewhere.
pub(crate) fn on_the_way(proxy: &Proxy, endpoint: &Endpoint) -> Result<Option<HttpProxy>, ClientError> {
    match proxy {
        Proxy::Direct => Ok(None),
        Proxy::Url(url) => match parse(url) {
            Some(proxy) => Ok(Some(proxy)),
            None => Err(ClientError::InvalidConfig(
                "proxy is not the URL of an HTTP proxy: http://host:port".into(),
            )),
        },
        Proxy::System => Ok(from_environment(endpoint, |name| env::var(name).ok())),
    }
}

fn from_environment(endpoint: &Endpoint, variable: impl Fn(&str) -> Option<String>) -> Option<HttpProxy> {
    let set = |name: &str| {
        let lower = variable(&name.to_ascii_lowercase());
        lower
            .or_else(|| variable(name))
            .map(|value| value.trim().to_owned())
            .filter(|value| !value.is_empty())
    };
    if set("NO_PROXY").is_some_and(|list| is_excepted(&list, &endpoint.host)) {
        return None;
    }
    // In upper case, `HTTP_PROXY` may be a header of a request to a CGI program: it does not count there.
    let by_scheme = if endpoint.is_tls { set("HTTPS_PROXY") } else { variable("http_proxy") };
    parse(&by_scheme.filter(|url| !url.is_empty()).or_else(|| set("ALL_PROXY"))?)
}

/// Whether a list of hosts, domains and `*` names this host.
fn is_excepted(list: &str, host: &str) -> bool {
    list.split([',', ' ']).map(str::trim).filter(|entry| !entry.is_empty()).any(|entry| {
        let entry = entry.trim_start_matches("*.").trim_start_matches('.').to_ascii_lowercase();
        let name = entry.trim_start_matches('[').trim_end_matches(']');
        name == "*" || host == name || host.strip_suffix(name).is_some_and(|rest| rest.ends_with('.'))
    })
}

fn parse(url: &str) -> Option<HttpProxy> {
    let url = url.trim();
    let url = if url.contains("://") { url.to_owned() } else { format!("http://{url}") };
    let uri: Uri = url.parse().ok()?;
    if uri.scheme() != Some(&Scheme::HTTP) {
        return None;
    }
    let authority = uri.authority()?;
    let credentials = authority.as_str().rsplit_once('@').map(|(user, _)| decoded(user));
    let host = authority.host().trim_start_matches('[').trim_end_matches(']');
    if host.is_empty() {
        return None;
    }
    Some(HttpProxy {
        host: host.to_owned(),
        port: authority.port_u16().unwrap_or(80),
        credentials: credentials.map(|user| format!("Basic {}", BASE64.encode(&user))),
    })
}

/// Undoes the percent encoding that names and passwords have in a URL.
fn decoded(text: &str) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, behind)) = rest.split_first() {
        let hex = |digits: &[u8]| u8::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok();
        match behind.get(..2).filter(|_| *first == b'%').and_then(hex) {
            Some(byte) => {
                bytes.push(byte);
                rest = &behind[2..];
            }
            None => {
                bytes.push(*first);
                rest = behind;
            }
        }
    }
    bytes
}

impl HttpProxy {
    /// Asks the proxy, to which this stream leads, for a tunnel to the server.
    pub(crate) async fn tunnel(
        &self,
        mut stream: Box<dyn Stream>,
        endpoint: &Endpoint,
    ) -> Result<Box<dyn Stream>, Trouble> {
        let host = &endpoint.host;
        let target = if host.contains(':') {
            format!("[{host}]:{}", endpoint.port)
        } else {
            format!("{host}:{}", endpoint.port)
        };
        let credentials = match &self.credentials {
            Some(credentials) => format!("Proxy-Authorization: {credentials}\r\n"),
            None => String::new(),
        };
        let request = format!("CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n{credentials}\r\n");
        stream.write_all(request.as_bytes()).await?;
        // To the end of the head and not a byte further: what follows is the server's.
        let mut answer = Vec::new();
        while !answer.ends_with(b"\r\n\r\n") {
            if answer.len() >= ANSWER {
                return Err(Trouble::new(WaitReason::Proxy, "the proxy's answer has no end"));
            }
            answer.push(stream.read_u8().await?);
        }
        let line = String::from_utf8_lossy(&answer);
        let line = line.lines().next().unwrap_or_default();
        match line.strip_prefix("HTTP/1.").and_then(|line| line.split(' ').nth(1)) {
            Some(status) if status.len() == 3 && status.starts_with('2') => Ok(stream),
            _ => Err(Trouble::new(WaitReason::Proxy, format!("the proxy has answered {line:?}"))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn way(url: &str, variables: &[(&str, &str)]) -> Option<String> {
        let known = |name: &str| {
            let found = variables.iter().find(|(known, _)| *known == name);
            found.map(|(_, value)| (*value).to_owned())
        };
        from_environment(&Endpoint::parse(url).unwrap(), known)
            .map(|proxy| format!("{}:{}", proxy.host, proxy.port))
    }

    #[test]
    fn the_environment_is_read_as_by_other_programs() {
        let here = |proxy: &str| Some(proxy.to_owned());
        for (url, variables, wanted) in [
            ("https://a.example", &[][..], None),
            ("https://a.example", &[("HTTPS_PROXY", "http://p:3128")], here("p:3128")),
            ("https://a.example", &[("https_proxy", "q:1"), ("HTTPS_PROXY", "http://p:2")], here("q:1")),
            ("http://a.example", &[("HTTPS_PROXY", "http://p:3128")], None),
            ("http://a.example", &[("HTTP_PROXY", "http://p:3128")], None),
            ("http://a.example", &[("http_proxy", "http://p:3128")], here("p:3128")),
            ("https://a.example", &[("ALL_PROXY", "http://[::1]:8080/")], here("::1:8080")),
            ("https://a.example", &[("ALL_PROXY", "socks5://p:1080")], None),
            ("https://a.example", &[("HTTPS_PROXY", "p"), ("NO_PROXY", "b.example, .a.example")], None),
            ("https://x.a.example", &[("HTTPS_PROXY", "p:1"), ("no_proxy", "a.example")], None),
            ("https://xa.example", &[("HTTPS_PROXY", "p:1"), ("no_proxy", "a.example")], here("p:1")),
            ("https://a.example", &[("HTTPS_PROXY", "p:1"), ("NO_PROXY", "*")], None),
            ("https://[::1]", &[("HTTPS_PROXY", "p:1"), ("NO_PROXY", "[::1]")], None),
            ("https://a.example", &[("HTTPS_PROXY", "")], None),
        ] {
            assert_eq!(way(url, variables), wanted, "{url} {variables:?}");
        }
    }

    #[test]
    fn a_proxy_may_want_a_name_and_a_password() {
        let proxy = parse("http://ann:pass%3Aw%40rd@p.example:3128").unwrap();
        assert_eq!((proxy.host.as_str(), proxy.port), ("p.example", 3128));
        assert_eq!(proxy.credentials.unwrap(), format!("Basic {}", BASE64.encode(b"ann:pass:w@rd")));
    }

    #[test]
    fn what_is_no_proxy_is_an_error() {
        let endpoint = Endpoint::parse("https://a.example").unwrap();
        for url in ["", "socks5://p:1080", "https://p", "http://", "p p"] {
            let refused = on_the_way(&Proxy::Url(url.into()), &endpoint);
            assert!(matches!(refused, Err(ClientError::InvalidConfig(_))), "{url}");
        }
        assert_eq!(on_the_way(&Proxy::Direct, &endpoint), Ok(None));
    }
}
