//! Where Redis is, as its URL says.

use std::sync::Arc;

use percent_encoding::percent_decode_str;
use redis::{
    Client, ClientTlsConfig, ConnectionAddr, ConnectionInfo, IntoConnectionInfo as _, RedisResult,
    TlsCertificates,
};

use super::sentinel::Sentinels;
use super::slots::Address;

const REDIS_PORT: u16 = 6379;
const SENTINEL_PORT: u16 = 26_379;

/// What is expected, in one line.
const FORMS: &str = "expected redis://HOST:PORT, redis://HOST:PORT,HOST:PORT for a cluster, or \
                     redis+sentinel://HOST:PORT/MASTER; with TLS rediss:// or rediss+sentinel://";

/// Where Redis is.
#[derive(Clone)]
pub struct RedisUrl(Arc<Place>);

/// What kind of Redis, and where.
#[derive(Debug)]
pub(super) enum Place {
    /// One server.
    Server(Client),
    /// The master that these name.
    Sentinels(Sentinels),
    /// The masters of a cluster.
    Cluster(Seeds),
}

/// Some servers of a cluster, which know the others.
#[derive(Debug, Clone)]
pub(super) struct Seeds {
    pub(super) addresses: Vec<Address>,
    pub(super) access: Access,
}

/// How to reach any server of the installation: user, password, database, and TLS with its certificates.
#[derive(Debug, Clone)]
pub(super) struct Access(ConnectionInfo);

impl Access {
    /// The way to the server at this place.
    pub(super) fn client(&self, host: &str, port: u16) -> RedisResult<Client> {
        let addr = match self.0.addr() {
            ConnectionAddr::TcpTls { insecure, tls_params, .. } => ConnectionAddr::TcpTls {
                host: host.to_owned(),
                port,
                insecure: *insecure,
                tls_params: tls_params.clone(),
            },
            _ => ConnectionAddr::Tcp(host.to_owned(), port),
        };
        Client::open(self.0.clone().set_addr(addr))
    }
}

impl RedisUrl {
    /// Reads one of
    ///
    /// - `redis://[user:password@]host[:port][/db]`: one server;
    /// - `redis://[user:password@]host[:port],host[:port]…`, or one host with `?cluster=true`: a Redis Cluster, of which
    ///   some servers are named;
    /// - `redis+sentinel://[user:password@]host[:port][,host[:port]…]/master[/db]`: the master that these sentinels
    ///   name, who may have a password of their own: `?sentinel_password=…` and `sentinel_username`.
    ///
    /// `rediss://` and `rediss+sentinel://` are the same with TLS. The servers' certificates are checked against the
    /// system's authorities, or those in `?ssl_ca_certs=FILE`; `ssl_certfile` and `ssl_keyfile` are the client's own.
    /// The files are in PEM and are read at once. Passwords and all values are percent-decoded.
    ///
    /// # Errors
    /// What is wrong with it, without the URL itself.
    pub fn parse(url: &str) -> Result<Self, String> {
        let (scheme, rest) = url.split_once("://").ok_or(FORMS)?;
        let (has_tls, has_sentinels) = match scheme {
            "redis" => (false, false),
            "rediss" => (true, false),
            "redis+sentinel" => (false, true),
            "rediss+sentinel" => (true, true),
            _ => return Err(FORMS.into()),
        };
        if rest.contains('#') {
            return Err(
                "a Redis URL has no part behind #; what belongs to a password is written as %23".into()
            );
        }
        let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
        let options = Options::read(query)?;
        let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
        let (user, hosts) = authority.rsplit_once('@').unwrap_or(("", authority));
        let port = if has_sentinels { SENTINEL_PORT } else { REDIS_PORT };
        let addresses: Vec<Address> =
            hosts.split(',').map(|host| address(host, port)).collect::<Result<_, _>>()?;
        let (name, db) = if has_sentinels { path.split_once('/').unwrap_or((path, "")) } else { ("", path) };
        let first = &addresses[0];
        let access = options.access(has_tls, user, first, db.trim_end_matches('/'))?;
        let is_cluster = !has_sentinels && (addresses.len() > 1 || options.is_cluster);
        if options.is_cluster && has_sentinels {
            return Err("sentinels watch no cluster: cluster=true belongs to redis://".into());
        }
        if options.has_sentinel_login() && !has_sentinels {
            return Err("sentinel_password belongs to redis+sentinel://".into());
        }
        let place = if has_sentinels {
            if name.is_empty() {
                return Err("the master's name is missing: redis+sentinel://HOST:PORT/MASTER".into());
            }
            let ask = options.sentinel_access(&access);
            let sentinels = addresses.iter().map(|(host, port)| ask.client(host, *port));
            let sentinels =
                sentinels.collect::<RedisResult<Vec<Client>>>().map_err(|error| invalid(&error))?;
            Place::Sentinels(Sentinels::new(sentinels, decoded(name)?, access))
        } else if is_cluster {
            if access.0.redis_settings().db() != 0 {
                return Err("a Redis Cluster has database 0 only".into());
            }
            Place::Cluster(Seeds { addresses, access })
        } else {
            Place::Server(access.client(&first.0, first.1).map_err(|error| invalid(&error))?)
        };
        Ok(Self(Arc::new(place)))
    }

    pub(super) fn place(&self) -> &Place {
        &self.0
    }
}

impl std::fmt::Debug for RedisUrl {
    /// Without the passwords.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut told = f.debug_tuple("RedisUrl");
        match self.place() {
            Place::Server(client) => told.field(client.get_connection_info().addr()),
            Place::Sentinels(sentinels) => told.field(&sentinels.describe()),
            Place::Cluster(seeds) => told.field(&seeds.addresses),
        };
        told.finish()
    }
}

/// What stands behind the question mark.
#[derive(Default)]
struct Options {
    is_cluster: bool,
    sentinel_username: Option<String>,
    sentinel_password: Option<String>,
    authorities: Option<Vec<u8>>,
    certificate: Option<Vec<u8>>,
    key: Option<Vec<u8>>,
}

impl Options {
    fn read(query: &str) -> Result<Self, String> {
        let mut options = Self::default();
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            let value = decoded(value)?;
            match name {
                "cluster" => {
                    options.is_cluster = match value.as_str() {
                        "true" | "1" => true,
                        "false" | "0" => false,
                        _ => return Err("cluster is true or false".into()),
                    }
                }
                "sentinel_username" => options.sentinel_username = Some(value),
                "sentinel_password" => options.sentinel_password = Some(value),
                "ssl_ca_certs" => options.authorities = Some(file(name, &value)?),
                "ssl_certfile" => options.certificate = Some(file(name, &value)?),
                "ssl_keyfile" => options.key = Some(file(name, &value)?),
                _ => {
                    return Err(format!(
                        "{name} is no parameter of a Redis URL; there are cluster, sentinel_username, \
                         sentinel_password, ssl_ca_certs, ssl_certfile and ssl_keyfile"
                    ));
                }
            }
        }
        Ok(options)
    }

    fn has_sentinel_login(&self) -> bool {
        self.sentinel_username.is_some() || self.sentinel_password.is_some()
    }

    fn access(&self, has_tls: bool, user: &str, first: &Address, db: &str) -> Result<Access, String> {
        let scheme = if has_tls { "rediss" } else { "redis" };
        let host = if first.0.contains(':') { format!("[{}]", first.0) } else { first.0.clone() };
        let at = if user.is_empty() { "" } else { "@" };
        let url = format!("{scheme}://{user}{at}{host}:{}/{db}", first.1);
        let info = url.as_str().into_connection_info().map_err(|error| invalid(&error))?;
        let client_tls = match (&self.certificate, &self.key) {
            (None, None) => None,
            (Some(cert), Some(key)) => {
                Some(ClientTlsConfig { client_cert: cert.clone(), client_key: key.clone() })
            }
            _ => return Err("ssl_certfile and ssl_keyfile belong together".into()),
        };
        if self.authorities.is_none() && client_tls.is_none() {
            return Ok(Access(info));
        }
        if !has_tls {
            return Err("certificates belong to rediss:// or rediss+sentinel://".into());
        }
        let certificates = TlsCertificates { client_tls, root_cert: self.authorities.clone() };
        let client = Client::build_with_tls(info, certificates).map_err(|error| invalid(&error))?;
        Ok(Access(client.get_connection_info().clone()))
    }

    /// Sentinels have users of their own, and no databases.
    fn sentinel_access(&self, servers: &Access) -> Access {
        let mut login = redis::RedisConnectionInfo::default();
        if let Some(username) = &self.sentinel_username {
            login = login.set_username(username);
        }
        if let Some(password) = &self.sentinel_password {
            login = login.set_password(password);
        }
        Access(servers.0.clone().set_redis_settings(login))
    }
}

/// `host`, `host:port` or `[address]:port`.
fn address(text: &str, port: u16) -> Result<Address, String> {
    let (host, given) = match text.rsplit_once(':') {
        Some((host, given)) if !given.ends_with(']') => (host, Some(given)),
        _ => (text, None),
    };
    let port = match given {
        Some(given) => given.parse().map_err(|_| "the port of a Redis URL is not a number")?,
        None => port,
    };
    let host = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    if host.is_empty() {
        return Err("a host is missing in the Redis URL".into());
    }
    Ok((host.to_owned(), port))
}

fn decoded(text: &str) -> Result<String, String> {
    let decoded = percent_decode_str(text).decode_utf8();
    Ok(decoded.map_err(|_| "a value in the Redis URL is not UTF-8")?.into_owned())
}

fn file(name: &str, path: &str) -> Result<Vec<u8>, String> {
    std::fs::read(path).map_err(|error| format!("{name}: {path}: {error}"))
}

fn invalid(error: &redis::RedisError) -> String {
    format!("not a Redis URL: {error}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(url: &str) -> String {
        format!("{:?}", RedisUrl::parse(url).unwrap())
    }

    fn refused(url: &str) -> String {
        RedisUrl::parse(url).unwrap_err()
    }

    #[test]
    fn each_form_is_read() {
        let url = RedisUrl::parse("redis://ann:p%40ss@one:7000/3").unwrap();
        let Place::Server(client) = url.place() else { panic!("{url:?}") };
        let settings = client.get_connection_info().redis_settings();
        assert_eq!(client.get_connection_info().addr().to_string(), "one:7000");
        assert_eq!((settings.username(), settings.password(), settings.db()), (Some("ann"), Some("p@ss"), 3));

        let url =
            RedisUrl::parse("redis+sentinel://:secret@one,two:7000/main/2?sentinel_password=a%26b").unwrap();
        let Place::Sentinels(sentinels) = url.place() else { panic!("{url:?}") };
        assert_eq!(sentinels.describe(), (vec!["one:26379".into(), "two:7000".into()], "main"));

        for url in ["redis://one,two:7000,[::1]:7001", "redis://one?cluster=true"] {
            let url = RedisUrl::parse(url).unwrap();
            let Place::Cluster(seeds) = url.place() else { panic!("{url:?}") };
            assert_eq!(seeds.addresses[0], ("one".into(), 6379));
        }
    }

    #[test]
    fn no_password_is_shown() {
        for url in [
            "redis://:hidden@one",
            "redis://ann:hidden@one,two",
            "redis+sentinel://ann:hidden@one/main?sentinel_password=hidden",
        ] {
            assert!(!shown(url).contains("hidden"), "{}", shown(url));
        }
        for url in
            ["redis://:hidden@one:port", "redis://:hidden@one/x", "http://:hidden@one", "redis://:hidden@"]
        {
            assert!(!refused(url).contains("hidden"), "{}", refused(url));
        }
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        assert!(refused("redis+sentinel://one").contains("master"));
        assert!(refused("redis://one,two/1").contains("database 0"));
        assert!(refused("redis://one?sentinel_password=x").contains("redis+sentinel"));
        assert!(refused("redis://one?ssl_cert_reqs=none").contains("ssl_cert_reqs"));
        assert!(refused("redis://one?ssl_ca_certs=/etc/hosts").contains("rediss"));
        assert!(refused("rediss://one?ssl_ca_certs=/there/is/none").contains("/there/is/none"));
        assert!(refused("rediss://one#insecure").contains('#'));
    }
}
