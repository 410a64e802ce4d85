//! How many rows are asked for, and the form of all else that comes in.

pub(crate) use protocol::input::{body, context, device_id, local_id, name, text, user};
use protocol::limits::{DEVICE_SECRET_CHARS, PAGE, PAGE_MAX, SESSIONS_PAGE_MAX};
use protocol::{Failure, encoded};
use serde::Serialize;

/// Characters of an app's id that comes from another system, at most.
const FOREIGN_ID_CHARS: usize = 64;

/// Characters of a key that comes from another system: fewer could be guessed, more don't fit into every header.
const FOREIGN_KEY_CHARS: std::ops::RangeInclusive<usize> = 20..=256;

/// An app's id as another system has given it.
///
/// # Errors
/// `VALIDATION_ERROR`.
pub(crate) fn foreign_app_id(id: &str) -> Result<(), Failure> {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    if id.is_empty() || id.len() > FOREIGN_ID_CHARS || !id.bytes().all(is_plain) {
        return Err(Failure::invalid(format!(
            "an app's id is 1 to {FOREIGN_ID_CHARS} letters, digits, and any of - _ ."
        )));
    }
    Ok(())
}

/// An app's key as another system has given it.
///
/// # Errors
/// `VALIDATION_ERROR`, without the key in it.
pub(crate) fn foreign_key(key: &str) -> Result<(), Failure> {
    // What goes through a query and a header as it stands.
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.~+/=".contains(&byte);
    if !FOREIGN_KEY_CHARS.contains(&key.len()) || !key.bytes().all(is_plain) {
        let (least, most) = (FOREIGN_KEY_CHARS.start(), FOREIGN_KEY_CHARS.end());
        return Err(Failure::invalid(format!(
            "a key is {least} to {most} letters, digits, and any of - _ . ~ + / ="
        )));
    }
    Ok(())
}

/// An e-mail address, in lower case: that there is something before and behind one `@`. What is really one, only mail tells.
///
/// # Errors
/// `MISSING_PARAMS`, `VALIDATION_ERROR`.
pub(crate) fn email(text: &str) -> Result<String, Failure> {
    let email = text.trim().to_lowercase();
    name("email", &email)?;
    let is_one = email.split_once('@').is_some_and(|(local, domain)| {
        !local.is_empty()
            && !domain.is_empty()
            && !domain.contains('@')
            && !email.contains(char::is_whitespace)
    });
    if is_one { Ok(email) } else { Err(Failure::invalid("email is no e-mail address")) }
}

/// A device's own secret: enough of it to be no guess, and nothing that a header could not carry.
///
/// # Errors
/// `VALIDATION_ERROR`, without the secret in it.
pub(crate) fn device_secret(secret: &str) -> Result<(), Failure> {
    if !DEVICE_SECRET_CHARS.contains(&secret.len()) || !secret.bytes().all(|byte| byte.is_ascii_graphic()) {
        let (least, most) = (DEVICE_SECRET_CHARS.start(), DEVICE_SECRET_CHARS.end());
        return Err(Failure::invalid(format!(
            "device_secret is {least} to {most} characters of ASCII, without spaces"
        )));
    }
    Ok(())
}

/// Characters of an origin, at most.
const ORIGIN_CHARS: usize = 256;

/// A page's origin as browsers write it: scheme, host, and the port where it is not the scheme's own.
///
/// # Errors
/// `VALIDATION_ERROR`.
pub(crate) fn origin(text: &str) -> Result<String, Failure> {
    let wrong = || {
        Failure::invalid(format!(
            "{text:?} is no origin such as https://shop.example or http://localhost:8080"
        ))
    };
    let origin = text.trim().trim_end_matches('/').to_ascii_lowercase();
    let (scheme, rest) = origin.split_once("://").ok_or_else(wrong)?;
    let own_port = match scheme {
        "https" => ":443",
        "http" => ":80",
        _ => return Err(wrong()),
    };
    let host = rest.strip_suffix(own_port).unwrap_or(rest);
    let is_part = |c: char| c.is_ascii_alphanumeric() || ".-_:[]".contains(c);
    if host.is_empty() || origin.len() > ORIGIN_CHARS || !host.chars().all(is_part) {
        return Err(wrong());
    }
    Ok(format!("{scheme}://{host}"))
}

/// How many rows are wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Page(u32);

impl Page {
    /// As asked for; [`PAGE`] rows where nothing is said, at most [`PAGE_MAX`].
    ///
    /// # Errors
    /// `VALIDATION_ERROR` for 0.
    pub fn of(limit: Option<u32>) -> Result<Self, Failure> {
        match limit {
            None => Ok(Self(PAGE)),
            Some(0) => Err(Failure::invalid("limit must be at least 1")),
            Some(limit) => Ok(Self(limit.min(PAGE_MAX))),
        }
    }

    /// As [`of`](Self::of), for sessions: [`SESSIONS_PAGE_MAX`] rows at most, and where nothing is said.
    ///
    /// # Errors
    /// `VALIDATION_ERROR` for 0.
    pub fn of_sessions(limit: Option<u32>) -> Result<Self, Failure> {
        match limit {
            Some(0) => Err(Failure::invalid("limit must be at least 1")),
            limit => Ok(Self(limit.unwrap_or(SESSIONS_PAGE_MAX).min(SESSIONS_PAGE_MAX))),
        }
    }

    pub(crate) fn rows(self) -> u32 {
        self.0
    }

    /// Takes what was read with one row more than is wanted, and of it what fits into one page; tells whether there was
    /// more.
    pub(crate) fn cut<T: Serialize>(self, mut rows: Vec<T>) -> (Vec<T>, bool) {
        let fitting = encoded::fitting(&rows[..rows.len().min(self.0 as usize)]);
        let has_more = rows.len() > fitting;
        rows.truncate(fitting);
        (rows, has_more)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_origin_is_kept_as_browsers_write_it() {
        for (given, kept) in [
            ("https://shop.example", "https://shop.example"),
            ("HTTPS://Shop.Example:443/", "https://shop.example"),
            ("http://localhost:8080", "http://localhost:8080"),
            ("http://[::1]:80", "http://[::1]"),
        ] {
            assert_eq!(origin(given).unwrap(), kept);
        }
        for wrong in ["", "shop.example", "https://", "https://a b", "https://a/b", "ftp://a", "null", "*"] {
            assert!(origin(wrong).is_err(), "{wrong}");
        }
    }
}
