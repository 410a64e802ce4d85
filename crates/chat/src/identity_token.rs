//! Tokens by which an app's own backend proves who somebody is: JWTs, checked by the app's keys. Which algorithm a token is
//! signed by, its key says and never the token.

mod provider;

use std::collections::HashSet;

use jsonwebtoken::{Algorithm, DecodingKey, Validation};
use protocol::limits::{TOKEN_BYTES, TOKEN_CLOCK_TOLERANCE, TOKEN_LIFETIME_MAX};
use protocol::rest::User;
use protocol::{Code, Failure, Timestamp, UserId};
use serde::de::{Error as _, Unexpected};
use serde::{Deserialize, Deserializer};
use serde_json::{Map, Value};
use store::{IdentityKey, Proof};

use crate::input;

/// Bytes of an RSA key of 2,048 bits in its own encoding, about; smaller ones prove nothing.
const RSA_BYTES: usize = 256;

/// Bytes of a point on the curve P-256, uncompressed.
const P256_BYTES: usize = 65;

/// What a token has proved.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Proven {
    pub(crate) user: User,
    pub(crate) proof: Proof,
}

/// Why a token proves nothing.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Refusal {
    /// It did once: it is of this person, and has expired.
    Expired(UserId),
    /// It never did, as far as can be told.
    Invalid(Failure),
}

impl From<Failure> for Refusal {
    fn from(failure: Failure) -> Self {
        Self::Invalid(failure)
    }
}

impl From<Refusal> for Failure {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::Expired(_) => invalid("it has expired"),
            Refusal::Invalid(failure) => failure,
        }
    }
}

fn invalid(why: &str) -> Failure {
    Failure::new(Code::InvalidCredentials, format!("the token proves nothing: {why}"))
}

/// What is read of a token. A name that stands twice is an error: others might read the other one.
#[derive(Debug, Deserialize)]
struct Claims {
    sub: String,
    #[serde(deserialize_with = "seconds")]
    exp: i64,
    #[serde(default, deserialize_with = "optional_seconds")]
    nbf: Option<i64>,
    name: Option<String>,
    email: Option<String>,
    attributes: Option<Map<String, Value>>,
}

/// Seconds since the epoch, as a number; with a fraction, as some libraries write it.
fn seconds<'de, D: Deserializer<'de>>(value: D) -> Result<i64, D::Error> {
    /// Beyond what any clock shows, and far from where a number would overflow.
    const MOST: f64 = 1e15;
    let number = f64::deserialize(value)?;
    if number.is_finite() && number.abs() < MOST {
        Ok(number.floor() as i64)
    } else {
        Err(D::Error::invalid_value(Unexpected::Float(number), &"seconds since the epoch"))
    }
}

fn optional_seconds<'de, D: Deserializer<'de>>(value: D) -> Result<Option<i64>, D::Error> {
    seconds(value).map(Some)
}

/// Who a token proves somebody to be, by one of the app's keys.
///
/// # Errors
/// Why it proves nothing; its text is for people, and has nothing of the token in it.
pub(crate) fn verify(token: &str, keys: &[IdentityKey], now: Timestamp) -> Result<Proven, Refusal> {
    provider::install();
    if token.is_empty() {
        return Err(Failure::missing("token").into());
    }
    if token.len() > TOKEN_BYTES {
        return Err(invalid(&format!("it has more than {TOKEN_BYTES} bytes")).into());
    }
    let header = jsonwebtoken::decode_header(token).map_err(|_| invalid("it is no signed JWT"))?;
    let live = keys.iter().filter(|key| key.retired_at.is_none());
    // A `kid` that names one of the keys is a hint, and anything else in it is nothing.
    let named = live.clone().find(|key| Some(key.id.as_str()) == header.kid.as_deref());
    let candidates: Vec<&IdentityKey> = named.map_or_else(|| live.collect(), |key| vec![key]);
    let mut why = "no key of this app that is live has signed it";
    for key in candidates {
        match checked(token, key) {
            Ok(claims) => return proven(claims, key, now),
            Err(Some(reason)) => why = reason,
            Err(None) => {}
        }
    }
    Err(invalid(why).into())
}

/// The claims of a token that this key has signed; else, what is wrong with a token that it has signed.
fn checked(token: &str, key: &IdentityKey) -> Result<Claims, Option<&'static str>> {
    let algorithm = algorithm(&key.algorithm).ok_or(None)?;
    let decoding = match algorithm {
        Algorithm::HS256 => DecodingKey::from_secret(key.key.as_bytes()),
        Algorithm::RS256 => DecodingKey::from_rsa_pem(key.key.as_bytes()),
        Algorithm::ES256 => DecodingKey::from_ec_pem(key.key.as_bytes()),
        _ => DecodingKey::from_ed_pem(key.key.as_bytes()),
    };
    let mut validation = Validation::new(algorithm);
    // The times are compared below, by the clock of the database; a key is an app's own, so that nobody else is meant.
    validation.validate_exp = false;
    validation.validate_aud = false;
    validation.required_spec_claims = HashSet::new();
    let decoded = decoding.and_then(|key| jsonwebtoken::decode::<Claims>(token, &key, &validation));
    match decoded {
        Ok(decoded) => Ok(decoded.claims),
        Err(error) => Err(match error.kind() {
            jsonwebtoken::errors::ErrorKind::Json(_)
            | jsonwebtoken::errors::ErrorKind::InvalidClaimFormat(_) => {
                Some("a claim is missing, stands twice or is of the wrong type: sub and exp are needed")
            }
            _ => None,
        }),
    }
}

fn proven(claims: Claims, key: &IdentityKey, now: Timestamp) -> Result<Proven, Refusal> {
    let Claims { sub, exp, nbf, name, email, attributes } = claims;
    let user = User { id: sub.as_str().into(), name, email, attributes };
    input::user(&user).map_err(|failure| invalid(&failure.message))?;
    let now_s = now.epoch_ms().div_euclid(1_000);
    let seconds = |time: std::time::Duration| i64::try_from(time.as_secs()).unwrap_or(i64::MAX);
    let tolerance = seconds(TOKEN_CLOCK_TOLERANCE);
    if exp.saturating_sub(now_s) > seconds(TOKEN_LIFETIME_MAX).saturating_add(tolerance) {
        return Err(invalid("exp is more than 24 hours ahead").into());
    }
    if nbf.is_some_and(|nbf| nbf.saturating_sub(now_s) > tolerance) {
        return Err(invalid("it is not valid yet, by nbf").into());
    }
    if now_s.saturating_sub(exp) >= tolerance {
        return Err(Refusal::Expired(user.id));
    }
    let until = Timestamp::from_epoch_ms(exp.saturating_mul(1_000));
    Ok(Proven { user, proof: Proof { key_id: key.id.clone(), until } })
}

/// The algorithm that a key is kept for.
fn algorithm(name: &str) -> Option<Algorithm> {
    match name {
        "HS256" => Some(Algorithm::HS256),
        "RS256" => Some(Algorithm::RS256),
        "ES256" => Some(Algorithm::ES256),
        "EdDSA" => Some(Algorithm::EdDSA),
        _ => None,
    }
}

/// What a public key, as PEM, is good for: its algorithm's name.
///
/// # Errors
/// `VALIDATION_ERROR`: it is a private key, or none of the kinds that are taken.
pub(crate) fn algorithm_of(pem: &str) -> Result<&'static str, Failure> {
    if pem.len() > TOKEN_BYTES {
        return Err(Failure::invalid(format!("the key has more than {TOKEN_BYTES} bytes")));
    }
    if pem.contains("PRIVATE KEY") {
        return Err(Failure::invalid(
            "this is a private key: it stays with your backend; upload the public one",
        ));
    }
    let pem = pem.as_bytes();
    let bytes = |key: Result<DecodingKey, _>| {
        let key: Option<DecodingKey> = Result::<_, jsonwebtoken::errors::Error>::ok(key);
        key.and_then(|key| key.try_get_as_bytes().ok().map(<[u8]>::len))
    };
    if bytes(DecodingKey::from_ec_pem(pem)) == Some(P256_BYTES) {
        return Ok("ES256");
    }
    if bytes(DecodingKey::from_ed_pem(pem)).is_some() {
        return Ok("EdDSA");
    }
    match bytes(DecodingKey::from_rsa_pem(pem)) {
        Some(RSA_BYTES..) => Ok("RS256"),
        Some(_) => Err(Failure::invalid("an RSA key has at least 2,048 bits")),
        None => Err(Failure::invalid(
            "this is no public key as PEM of one of these kinds: EC on P-256, Ed25519, RSA",
        )),
    }
}

#[cfg(test)]
mod tests;
