//! What an app's own backend signs, to prove who somebody is. The documents show this as the example in Rust.

use std::time::UNIX_EPOCH;

use data_encoding::BASE64URL_NOPAD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use serde_json::{Value, json};
use sha2::Sha256;

/// A JWT with these claims, signed with the secret by HS256.
pub fn identity_token(secret: &str, claims: &Value) -> String {
    let encode = |bytes: &[u8]| BASE64URL_NOPAD.encode(bytes);
    let header = encode(br#"{"alg":"HS256","typ":"JWT"}"#);
    let message = format!("{header}.{}", encode(claims.to_string().as_bytes()));
    let mut mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).expect("any key is one");
    mac.update(message.as_bytes());
    format!("{message}.{}", encode(&mac.finalize().into_bytes()))
}

/// As [`identity_token`], for this person, good for ten minutes.
pub fn token_of(secret: &str, user_id: &str) -> String {
    let now = UNIX_EPOCH.elapsed().expect("a time after 1970").as_secs();
    identity_token(secret, &json!({ "sub": user_id, "exp": now + 600, "name": user_id.to_uppercase() }))
}
