//! Tokens as they should be, and as those make them who want to be somebody else.

use data_encoding::BASE64URL_NOPAD;
use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair as _};
use serde_json::json;

use super::*;

const NOW_S: i64 = 1_780_000_000;

fn now() -> Timestamp {
    Timestamp::from_epoch_ms(NOW_S * 1_000 + 999)
}

fn key(id: &str, algorithm: &str, key: &str) -> IdentityKey {
    IdentityKey {
        id: id.into(),
        app_id: "app_1".into(),
        algorithm: algorithm.into(),
        key: key.into(),
        created_at: now(),
        retired_at: None,
    }
}

fn pem(der: &[u8]) -> String {
    let base64 = data_encoding::BASE64.encode(der);
    format!("-----BEGIN PUBLIC KEY-----\n{base64}\n-----END PUBLIC KEY-----\n")
}

/// A SubjectPublicKeyInfo is a fixed beginning, and then the key.
fn spki(prefix: &[u8], key: &[u8]) -> String {
    pem(&[prefix, key].concat())
}

const P256: &[u8] = &[
    0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x08, 0x2a, 0x86,
    0x48, 0xce, 0x3d, 0x03, 0x01, 0x07, 0x03, 0x42, 0x00,
];
const ED25519_: &[u8] = &[0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00];

fn part(text: &str) -> String {
    BASE64URL_NOPAD.encode(text.as_bytes())
}

/// A token of that header and those claims, as text, signed by `sign`.
fn signed(header: &str, claims: &str, sign: impl Fn(&[u8]) -> Vec<u8>) -> String {
    let message = format!("{}.{}", part(header), part(claims));
    let signature = BASE64URL_NOPAD.encode(&sign(message.as_bytes()));
    format!("{message}.{signature}")
}

fn hs256(secret: &str) -> impl Fn(&[u8]) -> Vec<u8> + use<> {
    let key = ring::hmac::Key::new(ring::hmac::HMAC_SHA256, secret.as_bytes());
    move |message| ring::hmac::sign(&key, message).as_ref().to_vec()
}

const HS: &str = r#"{"alg":"HS256","typ":"JWT"}"#;

fn claims() -> Value {
    json!({ "sub": "ann", "exp": NOW_S + 600 })
}

fn why(token: &str, keys: &[IdentityKey]) -> String {
    Failure::from(verify(token, keys, now()).unwrap_err()).message
}

#[test]
fn what_an_apps_backend_has_signed_is_believed_by_each_algorithm() {
    let random = SystemRandom::new();
    let ec = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &random).unwrap();
    let ec = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, ec.as_ref(), &random).unwrap();
    let ed = Ed25519KeyPair::generate_pkcs8(&random).unwrap();
    let ed = Ed25519KeyPair::from_pkcs8(ed.as_ref()).unwrap();
    let ec_pem = spki(P256, ec.public_key().as_ref());
    let ed_pem = spki(ED25519_, ed.public_key().as_ref());
    assert_eq!((algorithm_of(&ec_pem), algorithm_of(&ed_pem)), (Ok("ES256"), Ok("EdDSA")));
    let keys =
        [key("idk_hs", "HS256", "secret"), key("idk_ec", "ES256", &ec_pem), key("idk_ed", "EdDSA", &ed_pem)];
    let claims = json!({ "sub": "ann", "exp": NOW_S + 600, "name": "Ann", "email": "ann@example.com",
        "attributes": { "plan": "gold" }, "iat": NOW_S, "aud": "whoever", "iss": "shop" });
    let claims = claims.to_string();
    let es = |message: &[u8]| ec.sign(&random, message).unwrap().as_ref().to_vec();
    for (token, by) in [
        (signed(HS, &claims, hs256("secret")), "idk_hs"),
        (signed(r#"{"alg":"ES256"}"#, &claims, es), "idk_ec"),
        (signed(r#"{"alg":"EdDSA"}"#, &claims, |message| ed.sign(message).as_ref().to_vec()), "idk_ed"),
        (
            signed(r#"{"alg":"EdDSA","kid":"idk_ed"}"#, &claims, |message| {
                ed.sign(message).as_ref().to_vec()
            }),
            "idk_ed",
        ),
        // What it may name that is none of ours says nothing.
        (signed(r#"{"alg":"HS256","kid":"their-own-name"}"#, &claims, hs256("secret")), "idk_hs"),
    ] {
        let proven = verify(&token, &keys, now()).unwrap();
        assert_eq!((proven.user.id.as_str(), proven.user.name.as_deref()), ("ann", Some("Ann")));
        assert_eq!(proven.user.email.as_deref(), Some("ann@example.com"));
        assert_eq!(proven.user.attributes.unwrap()["plan"], "gold");
        assert_eq!(proven.proof.key_id.as_str(), by);
        assert_eq!(proven.proof.until.epoch_ms(), (NOW_S + 600) * 1_000);
        // Two of a kind, and one of them retired.
        let retired = IdentityKey { retired_at: Some(now()), ..keys[0].clone() };
        assert!(verify(&token, &[retired], now()).is_err());
    }
}

#[test]
fn hostile_tokens_prove_nothing() {
    let random = SystemRandom::new();
    let pair = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &random).unwrap();
    let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, pair.as_ref(), &random).unwrap();
    let public = spki(P256, pair.public_key().as_ref());
    let keys = [key("idk_hs", "HS256", "secret"), key("idk_ec", "ES256", &public)];
    let good = claims().to_string();
    let by_secret = |claims: &str| signed(HS, claims, hs256("secret"));
    let with = |field: &str, value: Value| {
        let mut claims = claims();
        claims[field] = value;
        by_secret(&claims.to_string())
    };
    assert!(verify(&by_secret(&good), &keys, now()).is_ok(), "the table begins with one that is good");
    let good_token = by_secret(&good);
    let (message, _) = good_token.rsplit_once('.').unwrap();
    let nothing = |_: &[u8]| Vec::new();
    let table = [
        ("alg none", signed(r#"{"alg":"none"}"#, &good, nothing)),
        ("alg None", signed(r#"{"alg":"None"}"#, &good, nothing)),
        ("alg none, signed", signed(r#"{"alg":"none"}"#, &good, hs256("secret"))),
        ("no signature", format!("{message}.")),
        ("no third part", message.to_owned()),
        ("a fourth part", format!("{good_token}.x")),
        ("another's signature", signed(HS, &good, hs256("secret2"))),
        ("the empty secret", signed(HS, &good, hs256(""))),
        ("the public key as secret", signed(HS, &good, hs256(&public))),
        (
            "the public key as secret, without its armour",
            signed(HS, &good, hs256(public.lines().nth(1).unwrap())),
        ),
        (
            "the public key as secret, named",
            signed(r#"{"alg":"HS256","kid":"idk_ec"}"#, &good, hs256(&public)),
        ),
        ("another key named", signed(r#"{"alg":"HS256","kid":"idk_ec"}"#, &good, hs256("secret"))),
        ("ES256 with the secret", signed(r#"{"alg":"ES256"}"#, &good, hs256("secret"))),
        ("HS384", signed(r#"{"alg":"HS384"}"#, &good, hs256("secret"))),
        ("a kid that is a path", signed(r#"{"alg":"HS256","kid":"../../dev/null"}"#, &good, hs256(""))),
        ("a kid that is SQL", signed(r#"{"alg":"HS256","kid":"' OR 1=1 --"}"#, &good, hs256("x"))),
        ("a kid that is a number", signed(r#"{"alg":"HS256","kid":7}"#, &good, hs256("secret"))),
        (
            "a key of its own",
            signed(r#"{"alg":"HS256","jwk":{"kty":"oct","k":"c2VjcmV0Mg"}}"#, &good, hs256("secret2")),
        ),
        (
            "what must be understood",
            signed(r#"{"alg":"HS256","crit":["exp"],"exp":1}"#, &good, hs256("secret")),
        ),
        ("alg twice", signed(r#"{"alg":"none","alg":"HS256"}"#, &good, hs256("secret"))),
        ("no header", format!(".{}.", part(&good))),
        ("a header that is no object", signed("[]", &good, hs256("secret"))),
        ("no exp", by_secret(r#"{"sub":"ann"}"#)),
        ("exp in a year", with("exp", json!(NOW_S + 365 * 86_400))),
        ("exp just too far", with("exp", json!(NOW_S + 86_400 + 61))),
        ("exp long ago", with("exp", json!(NOW_S - 3_600))),
        ("exp as text", with("exp", json!((NOW_S + 600).to_string()))),
        ("exp null", with("exp", json!(null))),
        ("exp negative", with("exp", json!(-1))),
        ("exp beyond all numbers", by_secret(r#"{"sub":"ann","exp":1e300}"#)),
        ("exp no number", by_secret(r#"{"sub":"ann","exp":NaN}"#)),
        ("future nbf", with("nbf", json!(NOW_S + 61))),
        ("nbf as text", with("nbf", json!("soon"))),
        ("no sub", by_secret(&format!(r#"{{"exp":{}}}"#, NOW_S + 600))),
        ("sub empty", with("sub", json!(""))),
        ("sub a number", with("sub", json!(7))),
        ("sub a list", with("sub", json!(["ann"]))),
        ("sub null", with("sub", json!(null))),
        ("sub with NUL", with("sub", json!("ann\0"))),
        ("sub of 257 characters", with("sub", json!("x".repeat(257)))),
        ("sub twice", by_secret(&format!(r#"{{"sub":"bob","exp":{},"sub":"ann"}}"#, NOW_S + 600))),
        ("exp twice", by_secret(&format!(r#"{{"sub":"ann","exp":1,"exp":{}}}"#, NOW_S + 600))),
        ("name a number", with("name", json!(7))),
        ("attributes a text", with("attributes", json!("gold"))),
        ("attributes of 9 KiB", with("attributes", json!({ "a": "x".repeat(9 * 1024) }))),
        ("claims that are no object", by_secret("\"ann\"")),
        ("claims that are no JSON", by_secret("{")),
        ("64 KiB", with("padding", json!("x".repeat(48 * 1024)))),
        ("nothing but dots", "..".to_owned()),
        ("a million dots", ".".repeat(1_000_000)),
        ("nonsense", "nonsense".to_owned()),
        ("with a line break", format!("{good_token}\n")),
    ];
    for (what, token) in table {
        let refused = verify(&token, &keys, now());
        let refusal = refused.expect_err(what);
        let failure = Failure::from(refusal);
        assert_eq!(failure.code, Code::InvalidCredentials, "{what}: {}", failure.message);
        assert!(
            !failure.message.contains("secret2") && failure.message.len() < 200,
            "{what}: {}",
            failure.message
        );
    }
    assert_eq!(Failure::from(verify("", &keys, now()).unwrap_err()).code, Code::MissingParams);
    assert!(why(&good_token, &[]).contains("no key of this app"));
    assert!(
        why(&by_secret(r#"{"sub":"ann"}"#), &keys).contains("exp"),
        "what is wrong with one's own is told"
    );
}

#[test]
fn a_clock_may_be_a_minute_off_and_no_more() {
    let keys = [key("idk_hs", "HS256", "secret")];
    let at = |exp: i64, nbf: i64| {
        let claims = json!({ "sub": "ann", "exp": NOW_S + exp, "nbf": NOW_S + nbf });
        verify(&signed(HS, &claims.to_string(), hs256("secret")), &keys, now())
    };
    assert!(at(-59, 60).is_ok());
    assert!(at(86_400 + 60, 0).is_ok());
    assert_eq!(at(-60, 0), Err(Refusal::Expired("ann".into())));
    assert!(matches!(at(600, 61), Err(Refusal::Invalid(_))));
    let fraction = json!({ "sub": "ann", "exp": 1_780_000_599.5 });
    assert!(verify(&signed(HS, &fraction.to_string(), hs256("secret")), &keys, now()).is_ok());
}

#[test]
fn only_public_keys_of_a_kind_that_is_known_are_taken() {
    let random = SystemRandom::new();
    let private = Ed25519KeyPair::generate_pkcs8(&random).unwrap();
    let private = pem(private.as_ref()).replace("PUBLIC", "PRIVATE");
    for (text, told) in [
        (private.as_str(), "private key"),
        ("", "no public key"),
        ("secret", "no public key"),
        (pem(b"nonsense").as_str(), "no public key"),
        (pem(&[0; 300]).as_str(), "no public key"),
        ("x".repeat(20_000).as_str(), "more than"),
    ] {
        let refused = algorithm_of(text).unwrap_err();
        assert!(
            refused.code == Code::ValidationError && refused.message.contains(told),
            "{}",
            refused.message
        );
    }
}
