//! Streams to the server, through a proxy where there is one, and TLS on them: the authorities that browsers trust, those of the
//! system, and those that the app adds; or, of all that these trust, only what has a key that the app knows.

use std::sync::Arc;

use data_encoding::BASE64;
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, KeyProvider};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::sign::SigningKey;
use rustls::{CertificateError, ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};
use sha2::{Digest as _, Sha256};
use tokio_rustls::TlsConnector;

use super::proxy::{self, HttpProxy};
use super::trouble::Trouble;
use crate::config::{Config, Endpoint};
use crate::{ClientError, Platform, Stream, WaitReason};

/// Opens streams to one server.
#[derive(Clone)]
pub(crate) struct Dialer {
    endpoint: Arc<Endpoint>,
    proxy: Option<Arc<HttpProxy>>,
    tls: Option<Arc<ClientConfig>>,
    platform: Arc<dyn Platform>,
}

impl Dialer {
    /// A dialer for the configured server.
    pub(crate) fn new(config: &Config, platform: Arc<dyn Platform>) -> Result<Self, ClientError> {
        let endpoint = Endpoint::parse(&config.server_url)?;
        let proxy = proxy::on_the_way(&config.proxy, &endpoint)?.map(Arc::new);
        if !endpoint.is_tls && !config.pinned_public_keys.is_empty() {
            return Err(ClientError::InvalidConfig(
                "pinned_public_keys need a server_url with https://".into(),
            ));
        }
        let tls = endpoint.is_tls.then(|| client_config(config)).transpose()?;
        Ok(Self { endpoint: Arc::new(endpoint), proxy, tls, platform })
    }

    pub(crate) fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }

    /// Opens a stream, with TLS where the server's URL asks for it.
    pub(crate) async fn dial(&self) -> Result<Box<dyn Stream>, Trouble> {
        let stream = match &self.proxy {
            Some(proxy) => {
                let stream = self.platform.dial(&proxy.host, proxy.port).await.map_err(|error| {
                    Trouble::new(WaitReason::Proxy, format!("the proxy can't be reached: {error}"))
                })?;
                proxy.tunnel(stream, &self.endpoint).await?
            }
            None => self.platform.dial(&self.endpoint.host, self.endpoint.port).await?,
        };
        let Some(tls) = &self.tls else { return Ok(stream) };
        let no_name =
            |_| Trouble::new(WaitReason::Tls, "the server's name is none that a certificate can have");
        let name = ServerName::try_from(self.endpoint.host.clone()).map_err(no_name)?;
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
    // Systems have certificates that are no authorities', or that nobody can read.
    roots.add_parsable_certificates(
        config.system_root_certificates.iter().map(|certificate| certificate.as_slice().into()),
    );
    #[cfg(not(any(target_os = "android", target_os = "ios")))]
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    let provider = CryptoProvider { key_provider: &NoKeys, ..rustls::crypto::ring::default_provider() };
    let provider = Arc::new(provider);
    let wrong = |error: &dyn std::error::Error| ClientError::InvalidConfig(error.to_string());
    let usual = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider))
        .build()
        .map_err(|error| wrong(&error))?;
    let keys = config.pinned_public_keys.iter().map(|pin| pinned(pin)).collect::<Result<Vec<_>, _>>()?;
    let verifier: Arc<dyn ServerCertVerifier> =
        if keys.is_empty() { usual } else { Arc::new(Pinned { usual, keys }) };
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| wrong(&error))?;
    // Dangerous is what a verifier may leave out; these leave out nothing.
    Ok(Arc::new(builder.dangerous().with_custom_certificate_verifier(verifier).with_no_client_auth()))
}

/// The hash of a public key, from the form in which browsers, curl and others have it.
fn pinned(pin: &str) -> Result<[u8; 32], ClientError> {
    let hash = pin.strip_prefix("sha256/").map(|hash| hash.trim_start_matches('/'));
    let bytes = hash.and_then(|hash| BASE64.decode(hash.as_bytes()).ok());
    bytes.and_then(|bytes| bytes.try_into().ok()).ok_or_else(|| {
        ClientError::InvalidConfig(format!("{pin:?} is not sha256/ and the base64 of 32 bytes"))
    })
}

/// Trusts what would be trusted anyway, if one of the keys that are known is in it.
#[derive(Debug)]
struct Pinned {
    usual: Arc<WebPkiServerVerifier>,
    /// SHA-256 of each `SubjectPublicKeyInfo`.
    keys: Vec<[u8; 32]>,
}

impl Pinned {
    fn knows(&self, certificate: &CertificateDer<'_>) -> bool {
        let Ok(certificate) = ParsedCertificate::try_from(certificate) else { return false };
        let hash: [u8; 32] = Sha256::digest(certificate.subject_public_key_info()).into();
        self.keys.contains(&hash)
    }
}

impl ServerCertVerifier for Pinned {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let verified =
            self.usual.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now)?;
        if std::iter::once(end_entity).chain(intermediates).any(|certificate| self.knows(certificate)) {
            Ok(verified)
        } else {
            Err(CertificateError::ApplicationVerificationFailure.into())
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.usual.verify_tls12_signature(message, certificate, signed)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.usual.verify_tls13_signature(message, certificate, signed)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.usual.supported_verify_schemes()
    }
}
