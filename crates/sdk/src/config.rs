//! What an app says when it opens the client.

use std::path::PathBuf;

use http::Uri;
use http::uri::Scheme;

use crate::ClientError;

/// Where the server is, which app this is, and where its data goes.
#[derive(Clone)]
pub struct Config {
    /// `https://chat.example.com`, with a path where a proxy puts the server under one. `http://` is taken, too, and
    /// sends everything in the clear.
    pub server_url: String,
    /// The app's id, `app_…`.
    pub app_id: String,
    /// The app's key, `rhq_key_…`. It ships inside the app and is no secret of the person's.
    pub api_key: String,
    /// A folder that is this app's alone. It is made if it is missing.
    pub data_dir: PathBuf,
    /// Certificates of further authorities that the server's certificate may be from, as PEM, beside those that
    /// browsers trust.
    pub extra_root_certificates_pem: Option<String>,
    /// The certificates of the system's authorities, each as DER, which are trusted beside those that browsers trust. What can't
    /// be read as one is passed over: systems have such. On Linux, macOS and Windows they are found without this, also those
    /// that `SSL_CERT_FILE` names.
    pub system_root_certificates: Vec<Vec<u8>>,
    /// Public keys of which one has to be in the server's chain of certificates, as `sha256/` and the base64 of the SHA-256 of
    /// the key's `SubjectPublicKeyInfo`; what certificate is shown for it does not matter. Empty: any that is trusted.
    pub pinned_public_keys: Vec<String>,
    /// The way to the server.
    pub proxy: Proxy,
    /// Names what is stored, in the place of the server's host and port: with it queue and history stay when the address moves.
    /// What was stored under the address before there was a key is found and goes on.
    pub storage_key: Option<String>,
    /// The device's name where this is the first start with this SDK: an app that comes from another one goes on as the device
    /// that it was, with its conversations. 1 to 128 characters; it does not count once there is anything in the folder.
    pub first_device_id: Option<String>,
    /// What agents are to know of the device and the app, beside what the SDK knows itself: its version, and the kind of
    /// system. `None` tells nothing at all. At most 8 KiB as JSON.
    pub device_context: Option<serde_json::Map<String, serde_json::Value>>,
}

/// The way to the server.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Proxy {
    /// What the environment says, as for most programs: `HTTPS_PROXY` or `HTTP_PROXY`, by the server's scheme, `ALL_PROXY`, and
    /// `NO_PROXY` with hosts, domains or `*`. Also in lower case.
    #[default]
    System,
    /// None, whatever the environment says.
    Direct,
    /// An HTTP proxy, by its URL: `http://proxy.example.com:3128`, with a name and a password where it wants them.
    Url(String),
}

impl Config {
    /// A configuration with nothing beyond what is needed.
    pub fn new(
        server_url: impl Into<String>,
        app_id: impl Into<String>,
        api_key: impl Into<String>,
        data_dir: impl Into<PathBuf>,
    ) -> Self {
        Self {
            server_url: server_url.into(),
            app_id: app_id.into(),
            api_key: api_key.into(),
            data_dir: data_dir.into(),
            extra_root_certificates_pem: None,
            system_root_certificates: Vec::new(),
            pinned_public_keys: Vec::new(),
            proxy: Proxy::System,
            storage_key: None,
            first_device_id: None,
            device_context: Some(serde_json::Map::new()),
        }
    }
}

/// By hand: a log that shows the configuration must not show the key.
impl std::fmt::Debug for Config {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Config")
            .field("server_url", &self.server_url)
            .field("app_id", &self.app_id)
            .field("data_dir", &self.data_dir)
            .finish_non_exhaustive()
    }
}

/// The parts of a server's address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Endpoint {
    pub(crate) is_tls: bool,
    /// Without the brackets of an IPv6 address.
    pub(crate) host: String,
    pub(crate) port: u16,
    /// Host and port as the `Host` header has them: in lower case, and without a port that goes without saying.
    pub(crate) authority: String,
    /// As it was written.
    pub(crate) written: String,
    /// What stands before `/v1`: empty, or a path without a slash at its end.
    pub(crate) base_path: String,
}

impl Endpoint {
    /// Reads a server's URL.
    pub(crate) fn parse(url: &str) -> Result<Self, ClientError> {
        let wrong = |what: &str| ClientError::InvalidConfig(format!("server_url {what}"));
        let uri: Uri = url.trim().parse().map_err(|_| wrong("is not a URL"))?;
        let is_tls = match uri.scheme() {
            Some(scheme) if *scheme == Scheme::HTTPS => true,
            Some(scheme) if *scheme == Scheme::HTTP => false,
            _ => return Err(wrong("must begin with https:// or http://")),
        };
        let authority = uri.authority().ok_or_else(|| wrong("names no host"))?;
        if authority.as_str().contains('@') {
            return Err(wrong("can't hold a user name or a password"));
        }
        if uri.query().is_some() {
            return Err(wrong("can't hold a query"));
        }
        let host = authority.host().trim_start_matches('[').trim_end_matches(']').to_ascii_lowercase();
        if host.is_empty() {
            return Err(wrong("names no host"));
        }
        let port = match authority.port_u16() {
            Some(port) => port,
            None if authority.as_str().ends_with(authority.host()) => {
                if is_tls {
                    443
                } else {
                    80
                }
            }
            None => return Err(wrong("has a port that is none")),
        };
        let usual = if is_tls { 443 } else { 80 };
        let name = authority.host().to_ascii_lowercase();
        Ok(Self {
            is_tls,
            host,
            port,
            authority: if port == usual { name } else { format!("{name}:{port}") },
            written: authority.as_str().to_owned(),
            base_path: uri.path().trim_end_matches('/').to_owned(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_servers_address_has_many_forms() {
        let endpoint = Endpoint::parse("https://chat.example.com/").unwrap();
        assert_eq!((endpoint.is_tls, endpoint.host.as_str(), endpoint.port), (true, "chat.example.com", 443));
        assert_eq!((endpoint.authority.as_str(), endpoint.base_path.as_str()), ("chat.example.com", ""));
        let endpoint = Endpoint::parse("http://[::1]:3000/support/").unwrap();
        assert_eq!((endpoint.is_tls, endpoint.host.as_str(), endpoint.port), (false, "::1", 3000));
        assert_eq!((endpoint.authority.as_str(), endpoint.base_path.as_str()), ("[::1]:3000", "/support"));
        for spelling in
            ["https://Chat.Example.COM", "https://chat.example.com:443", "HTTPS://chat.example.com/"]
        {
            let endpoint = Endpoint::parse(spelling).unwrap();
            assert_eq!(endpoint.authority, "chat.example.com", "{spelling}");
        }
        assert_eq!(Endpoint::parse("http://a:443").unwrap().authority, "a:443");
    }

    #[test]
    fn what_is_no_servers_address_is_refused() {
        for url in [
            "",
            "chat.example.com",
            "ftp://x",
            "https://",
            "https://a:b@c",
            "https://a?b",
            "https://a:99999",
            "https://a:",
        ] {
            assert!(matches!(Endpoint::parse(url), Err(ClientError::InvalidConfig(_))), "{url}");
        }
    }

    #[test]
    fn a_key_is_not_shown() {
        let shown = format!("{:?}", Config::new("https://a", "app_1", "rhq_key_secret", "/tmp"));
        assert!(!shown.contains("secret"), "{shown}");
    }
}
