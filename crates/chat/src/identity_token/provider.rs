//! The cryptography below JWT: ring's, which TLS needs anyway. Nothing is signed here.

use std::sync::Once;

use jsonwebtoken::crypto::{CryptoProvider, JwtSigner, JwtVerifier, KeyUtils};
use jsonwebtoken::errors::{Error, ErrorKind};
use jsonwebtoken::{Algorithm, AlgorithmFamily, DecodingKey, EncodingKey};
use ring::hmac;
use ring::signature::{
    ECDSA_P256_SHA256_FIXED, ED25519, RSA_PKCS1_2048_8192_SHA256, UnparsedPublicKey, VerificationAlgorithm,
};
use signature::Verifier;

static PROVIDER: CryptoProvider = CryptoProvider {
    signer_factory: no_signer,
    verifier_factory: verifier,
    key_utils: KeyUtils::new_unimplemented(),
};

/// Makes it the one that the process uses. A second time changes nothing.
pub(super) fn install() {
    static INSTALLED: Once = Once::new();
    INSTALLED.call_once(|| {
        // It fails where it is there already.
        let _ = PROVIDER.install_default();
    });
}

fn no_signer(_: &Algorithm, _: &EncodingKey) -> Result<Box<dyn JwtSigner>, Error> {
    Err(ErrorKind::InvalidAlgorithm.into())
}

fn verifier(algorithm: &Algorithm, key: &DecodingKey) -> Result<Box<dyn JwtVerifier>, Error> {
    let public = |scheme: &'static dyn VerificationAlgorithm, family| {
        if key.family() != family {
            return Err(Error::from(ErrorKind::InvalidAlgorithm));
        }
        let key = UnparsedPublicKey::new(scheme, key.try_get_as_bytes()?.to_vec());
        Ok(Box::new(Checker { algorithm: *algorithm, key: Key::Public(key) }) as Box<dyn JwtVerifier>)
    };
    match algorithm {
        Algorithm::HS256 if key.family() == AlgorithmFamily::Hmac => {
            let key = hmac::Key::new(hmac::HMAC_SHA256, key.try_get_as_bytes()?);
            Ok(Box::new(Checker { algorithm: *algorithm, key: Key::Secret(key) }))
        }
        Algorithm::ES256 => public(&ECDSA_P256_SHA256_FIXED, AlgorithmFamily::Ec),
        Algorithm::EdDSA => public(&ED25519, AlgorithmFamily::Ed),
        Algorithm::RS256 => public(&RSA_PKCS1_2048_8192_SHA256, AlgorithmFamily::Rsa),
        _ => Err(ErrorKind::InvalidAlgorithm.into()),
    }
}

enum Key {
    Secret(hmac::Key),
    Public(UnparsedPublicKey<Vec<u8>>),
}

struct Checker {
    algorithm: Algorithm,
    key: Key,
}

impl Verifier<Vec<u8>> for Checker {
    fn verify(&self, message: &[u8], signature: &Vec<u8>) -> Result<(), signature::Error> {
        let outcome = match &self.key {
            Key::Secret(key) => hmac::verify(key, message, signature),
            Key::Public(key) => key.verify(message, signature),
        };
        outcome.map_err(|_| signature::Error::new())
    }
}

impl JwtVerifier for Checker {
    fn algorithm(&self) -> Algorithm {
        self.algorithm
    }
}
