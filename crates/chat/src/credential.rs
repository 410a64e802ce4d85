//! Secrets: made here, kept only as their SHA-256, compared in constant time.

use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;

use crate::Ambient;

/// Begins every app key.
pub(crate) const APP_KEY_PREFIX: &str = "rhq_key_";
/// Begins every admin token.
pub(crate) const ADMIN_TOKEN_PREFIX: &str = "rhq_adm_";

/// A new secret of 256 random bits.
pub(crate) fn generate(prefix: &str, ambient: &Ambient) -> String {
    format!("{prefix}{}", hexadecimal(&ambient.secret()))
}

/// What is kept of a secret.
pub(crate) fn hash(secret: &str) -> String {
    hexadecimal(&Sha256::digest(secret.as_bytes()))
}

/// Whether `secret` is the one that `stored_hash` was made of; takes the same time wherever they differ.
pub(crate) fn matches(secret: &str, stored_hash: &str) -> bool {
    hash(secret).as_bytes().ct_eq(stored_hash.as_bytes()).into()
}

fn hexadecimal(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let digits = |byte: &u8| [DIGITS[usize::from(byte >> 4)], DIGITS[usize::from(byte & 15)]].map(char::from);
    bytes.iter().flat_map(digits).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_secret_itself_matches_its_hash() {
        let ambient = Ambient::system();
        let key = generate(APP_KEY_PREFIX, &ambient);
        assert_eq!(key.len(), APP_KEY_PREFIX.len() + 64);
        let stored = hash(&key);
        assert!(matches(&key, &stored));
        assert!(!matches(&generate(APP_KEY_PREFIX, &ambient), &stored));
        assert!(!matches(&stored, &stored));
        assert!(!matches("", &stored));
    }

    #[test]
    fn the_hash_is_sha_256() {
        assert_eq!(hash("abc"), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    }
}
