//! Who uses the app, by the app's word or by tokens of its backend.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;

use data_encoding::BASE64URL_NOPAD;
use protocol::rest::User;
use protocol::{UserId, input};
use serde_json::{Map, Value};

/// A token that is being fetched, or why there is none, for a developer.
pub type FetchingToken = Pin<Box<dyn Future<Output = Result<String, String>> + Send>>;

/// Where tokens come from: JWTs by which the app's own backend proves who uses the app. A function that gives a future of a
/// token, or of an error, is one.
pub trait TokenSource: Send + Sync {
    /// Fetches a fresh token. Called when the server has to be told who is there, and never while the app is in the background;
    /// given up after 30 s.
    fn fetch(&self) -> FetchingToken;
}

impl<F, T, E> TokenSource for F
where
    F: Fn() -> T + Send + Sync,
    T: Future<Output = Result<String, E>> + Send + 'static,
    E: fmt::Display,
{
    fn fetch(&self) -> FetchingToken {
        let fetching = self();
        Box::pin(async move { fetching.await.map_err(|error| error.to_string()) })
    }
}

/// Who uses the app.
#[derive(Clone)]
pub enum Identity {
    /// Somebody, by the app's word. An app that asks for proof is refused it by the server, and goes on as nobody.
    Claimed(User),
    /// Somebody, by tokens.
    Proven {
        /// Who that is. Where it is known, what is on the device of them is there at once and without a network; else the first
        /// token says it.
        user_id: Option<UserId>,
        /// Where tokens come from.
        tokens: Arc<dyn TokenSource>,
    },
}

impl Identity {
    /// Whoever the tokens name.
    pub fn by_token(tokens: impl TokenSource + 'static) -> Self {
        Self::Proven { user_id: None, tokens: Arc::new(tokens) }
    }

    /// This person, whom the tokens name.
    pub fn proven(user_id: impl Into<UserId>, tokens: impl TokenSource + 'static) -> Self {
        Self::Proven { user_id: Some(user_id.into()), tokens: Arc::new(tokens) }
    }
}

impl From<User> for Identity {
    fn from(user: User) -> Self {
        Self::Claimed(user)
    }
}

/// By hand: a log must not show who it is.
impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Claimed(_) => "Claimed",
            Self::Proven { .. } => "Proven",
        })
    }
}

/// Whom a token names. Nothing is proved by that here: it is the server that checks it.
///
/// # Errors
/// What is wrong with it, in words that have nothing of it in them.
pub(crate) fn named_by(token: &str) -> Result<User, String> {
    const WRONG: &str = "a claim of the token is missing or of the wrong type: sub and exp are needed";

    let parts: Vec<&str> = token.split('.').collect();
    let [_, claims, _] = parts[..] else { return Err("the token is no signed JWT".into()) };
    let claims =
        BASE64URL_NOPAD.decode(claims.as_bytes()).ok().and_then(|claims| String::from_utf8(claims).ok());
    let claims = claims.ok_or("the token is no signed JWT")?;
    // By hand: the code that would be derived for this is a few kilobytes of every app.
    let mut claims: Map<String, Value> = serde_json::from_str(&claims).map_err(|_| WRONG)?;
    let mut text = |name: &str| match claims.remove(name) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) => Ok(Some(text)),
        Some(_) => Err(WRONG),
    };
    let (id, name, email) = (text("sub")?.ok_or(WRONG)?, text("name")?, text("email")?);
    let attributes = match claims.remove("attributes") {
        None | Some(Value::Null) => None,
        Some(Value::Object(attributes)) => Some(attributes),
        Some(_) => return Err(WRONG.into()),
    };
    let user = User { id: id.into(), name, email, attributes };
    match input::user(&user) {
        Ok(()) => Ok(user),
        Err(failure) => Err(format!("the token names nobody: {}", failure.message)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn token(claims: &str) -> String {
        format!("e30.{}.x", BASE64URL_NOPAD.encode(claims.as_bytes()))
    }

    #[test]
    fn a_token_names_somebody() {
        let named =
            named_by(&token(r#"{"sub":"ada","exp":1,"name":"Ada","attributes":{"plan":"pro"}}"#)).unwrap();
        assert_eq!((named.id.as_str(), named.name.as_deref(), named.email), ("ada", Some("Ada"), None));
        assert_eq!(named.attributes.unwrap()["plan"], "pro");
    }

    #[test]
    fn what_names_nobody_is_said_without_what_is_in_it() {
        for wrong in [
            String::new(),
            "secret".into(),
            "a.b".into(),
            "a.secret!.c".into(),
            token("secret"),
            token(r#"{"exp":1,"name":"secret"}"#),
            token(r#"{"sub":7}"#),
            token(r#"{"sub":""}"#),
            token(r#"{"sub":"secret","attributes":[]}"#),
            format!("{}.more", token(r#"{"sub":"ada"}"#)),
        ] {
            let why = named_by(&wrong).unwrap_err();
            assert!(!why.contains("secret") && !why.is_empty(), "{wrong}: {why}");
        }
    }
}
