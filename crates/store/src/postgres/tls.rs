//! TLS to Postgres, with the words and the meanings of its own programs: `sslmode`, `sslrootcert`, `sslcert`, `sslkey`.

use std::fmt;
use std::sync::Arc;

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::{CertificateError, ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};
use tokio_postgres::config::SslMode;
use tokio_postgres_rustls::MakeRustlsConnect;

/// What a URL says about TLS, without what is in the files.
#[derive(Default)]
pub(super) struct TlsOptions<'a> {
    pub(super) sslmode: Option<&'a str>,
    pub(super) sslrootcert: Option<String>,
    pub(super) sslcert: Option<String>,
    pub(super) sslkey: Option<String>,
}

/// Whether there is TLS, and what it asks for. The files are read once.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Tls {
    mode: SslMode,
    check: Check,
    authorities: Authorities,
    /// Our own certificate and its key, in PEM.
    own: Option<(Vec<u8>, Vec<u8>)>,
}

/// What a server's certificate has to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Check {
    /// Anything: it keeps listeners out, and nobody who stands in between.
    Nothing,
    /// By a trusted authority, for whatever host.
    Authority,
    /// By a trusted authority and for this host.
    AuthorityAndHost,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Authorities {
    None,
    System,
    /// Certificates in PEM.
    Pem(Vec<u8>),
}

impl fmt::Debug for Tls {
    /// Without the key.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tls").field("mode", &self.mode).field("check", &self.check).finish_non_exhaustive()
    }
}

impl Tls {
    /// # Errors
    /// What is wrong with the options or the files.
    pub(super) fn new(options: &TlsOptions<'_>) -> Result<Self, String> {
        let authorities = match options.sslrootcert.as_deref() {
            None => Authorities::None,
            Some("system") => Authorities::System,
            Some(path) => Authorities::Pem(file("sslrootcert", path)?),
        };
        let has_authorities = authorities != Authorities::None;
        // As in Postgres's own programs: who names authorities wants them to be asked.
        let unless_named = if has_authorities { Check::Authority } else { Check::Nothing };
        let (mode, check) = match options.sslmode {
            None if authorities == Authorities::System => (SslMode::Require, Check::AuthorityAndHost),
            None | Some("prefer" | "allow") => (SslMode::Prefer, unless_named),
            Some("disable") => (SslMode::Disable, Check::Nothing),
            Some("require") => (SslMode::Require, unless_named),
            Some("verify-ca") => (SslMode::Require, Check::Authority),
            Some("verify-full") => (SslMode::Require, Check::AuthorityAndHost),
            Some(_) => {
                return Err(
                    "sslmode is one of disable, allow, prefer, require, verify-ca and verify-full".into()
                );
            }
        };
        if check != Check::Nothing && !has_authorities {
            return Err("sslmode=verify-… needs sslrootcert=FILE, or sslrootcert=system".into());
        }
        if authorities == Authorities::System && check != Check::AuthorityAndHost && mode != SslMode::Disable
        {
            return Err(
                "sslrootcert=system needs sslmode=verify-full: anyone can get a certificate there".into()
            );
        }
        let own = match (&options.sslcert, &options.sslkey) {
            (None, None) => None,
            (Some(cert), Some(key)) => Some((file("sslcert", cert)?, file("sslkey", key)?)),
            _ => return Err("sslcert and sslkey belong together".into()),
        };
        let tls = Self { mode, check, authorities, own };
        tls.config()?;
        Ok(tls)
    }

    pub(super) fn mode(&self) -> SslMode {
        self.mode
    }

    /// # Errors
    /// If the system's authorities can't be read.
    pub(super) fn connector(&self) -> Result<MakeRustlsConnect, String> {
        self.config().map(MakeRustlsConnect::new)
    }

    fn config(&self) -> Result<ClientConfig, String> {
        let provider = Arc::new(ring::default_provider());
        let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()
            .map_err(|error| error.to_string())?;
        let verifier: Arc<dyn ServerCertVerifier> = match self.check {
            Check::Nothing => Arc::new(Anyone(provider)),
            Check::Authority | Check::AuthorityAndHost => {
                let verifier = WebPkiServerVerifier::builder_with_provider(Arc::new(self.roots()?), provider);
                let verifier = verifier.build().map_err(|error| format!("sslrootcert: {error}"))?;
                if self.check == Check::Authority { Arc::new(AnyHost(verifier)) } else { verifier }
            }
        };
        let builder = builder.dangerous().with_custom_certificate_verifier(verifier);
        let Some((certificate, key)) = &self.own else { return Ok(builder.with_no_client_auth()) };
        let chain = CertificateDer::pem_slice_iter(certificate).collect::<Result<Vec<_>, _>>();
        let chain = chain.map_err(|error| format!("sslcert: {error}"))?;
        let key = PrivateKeyDer::from_pem_slice(key).map_err(|error| format!("sslkey: {error}"))?;
        builder.with_client_auth_cert(chain, key).map_err(|error| format!("sslcert and sslkey: {error}"))
    }

    fn roots(&self) -> Result<RootCertStore, String> {
        let mut roots = RootCertStore::empty();
        match &self.authorities {
            Authorities::None => {}
            Authorities::System => {
                // Those of other programs need not all be of use.
                roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
            }
            Authorities::Pem(pem) => {
                for certificate in CertificateDer::pem_slice_iter(pem) {
                    let certificate = certificate.map_err(|error| format!("sslrootcert: {error}"))?;
                    roots.add(certificate).map_err(|error| format!("sslrootcert: {error}"))?;
                }
            }
        }
        if roots.is_empty() { Err("sslrootcert: no certificate is in it".into()) } else { Ok(roots) }
    }
}

fn file(name: &str, path: &str) -> Result<Vec<u8>, String> {
    std::fs::read(path).map_err(|error| format!("{name}: {path}: {error}"))
}

/// Takes any certificate, of which the server has the key.
#[derive(Debug)]
struct Anyone(Arc<CryptoProvider>);

impl ServerCertVerifier for Anyone {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, cert, dss, &self.0.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, cert, dss, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

/// Takes a certificate by a trusted authority, whatever host it is for.
#[derive(Debug)]
struct AnyHost(Arc<WebPkiServerVerifier>);

impl ServerCertVerifier for AnyHost {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        use CertificateError::{NotValidForName, NotValidForNameContext};
        let verified = self.0.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now);
        match verified {
            // The name is looked at last: all else is right.
            Err(rustls::Error::InvalidCertificate(NotValidForName | NotValidForNameContext { .. })) => {
                Ok(ServerCertVerified::assertion())
            }
            verified => verified,
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.0.verify_tls12_signature(message, cert, dss)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.0.verify_tls13_signature(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.supported_verify_schemes()
    }
}
