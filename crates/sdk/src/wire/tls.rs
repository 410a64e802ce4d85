//! TLS to the server: the authorities that browsers trust, and those that the app adds.

use std::io;
use std::sync::Arc;

use rustls::crypto::{CryptoProvider, KeyProvider};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::sign::SigningKey;
use rustls::{ClientConfig, RootCertStore};
use tokio_rustls::TlsConnector;

use crate::config::{Config, Endpoint};
use crate::{ClientError, Platform, Stream};

/// Opens streams to one server.
#[derive(Clone)]
pub(crate) struct Dialer {
    endpoint: Arc<Endpoint>,
    tls: Option<Arc<ClientConfig>>,
    platform: Arc<dyn Platform>,
}

impl Dialer {
    /// A dialer for the configured server.
    pub(crate) fn new(config: &Config, platform: Arc<dyn Platform>) -> Result<Self, ClientError> {
        let endpoint = Endpoint::parse(&config.server_url)?;
        let tls = endpoint.is_tls.then(|| client_config(config)).transpose()?;
        Ok(Self { endpoint: Arc::new(endpoint), tls, platform })
    }

    pub(crate) fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }

    /// Opens a stream, with TLS where the server's URL asks for it.
    pub(crate) async fn dial(&self) -> io::Result<Box<dyn Stream>> {
        let stream = self.platform.dial(&self.endpoint.host, self.endpoint.port).await?;
        let Some(tls) = &self.tls else { return Ok(stream) };
        let name = ServerName::try_from(self.endpoint.host.clone()).map_err(io::Error::other)?;
        Ok(Box::new(TlsConnector::from(Arc::clone(tls)).connect(name, stream).await?))
    }
}

/// Clients show no certificate, and have no key to sign with: without the code for that the library is smaller by a fiftieth.
#[derive(Debug)]
struct NoKeys;

impl KeyProvider for NoKeys {
    fn load_private_key(&self, _: PrivateKeyDer<'static>) -> Result<Arc<dyn SigningKey>, rustls::Error> {
        Err(rustls::Error::General("clients have no keys".into()))
    }
}

fn client_config(config: &Config) -> Result<Arc<ClientConfig>, ClientError> {
    let mut roots = RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() };
    if let Some(pem) = &config.extra_root_certificates_pem {
        let wrong = || ClientError::InvalidConfig("extra_root_certificates_pem holds no certificates".into());
        let mut added = 0;
        for certificate in CertificateDer::pem_slice_iter(pem.as_bytes()) {
            roots.add(certificate.map_err(|_| wrong())?).map_err(|_| wrong())?;
            added += 1;
        }
        if added == 0 {
            return Err(wrong());
        }
    }
    let provider = CryptoProvider { key_provider: &NoKeys, ..rustls::crypto::ring::default_provider() };
    let builder = ClientConfig::builder_with_provider(Arc::new(provider))
        .with_safe_default_protocol_versions()
        .map_err(|error| ClientError::InvalidConfig(error.to_string()))?;
    Ok(Arc::new(builder.with_root_certificates(roots).with_no_client_auth()))
}
