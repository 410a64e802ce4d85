//! The agents' dashboard, from files in the binary. It is a page like anybody's own: what it does goes over the documented
//! API, and nothing here knows who asks.

mod assets;

use axum::Router;
use axum::extract::Path;
use axum::response::{IntoResponse as _, Response};
use axum::routing::get;
use http::header::{
    ACCEPT_ENCODING, CACHE_CONTROL, CONTENT_ENCODING, CONTENT_SECURITY_POLICY, CONTENT_TYPE, ETAG, HOST,
    IF_NONE_MATCH, VARY,
};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};

use self::assets::{ALL, Asset, Encoding};

/// The page that all addresses of the dashboard lead to; it reads the address itself.
const PAGE: &str = "index.html";

/// What is under here has its content's hash in its name, so that it never changes.
const HASHED: &str = "assets/";

/// As long as a cache may keep what never changes.
const FOREVER: &str = "public, max-age=31536000, immutable";

/// Asks each time, and is told if nothing has changed.
const ASK: &str = "no-cache";

/// Nothing inline, nothing from elsewhere, and only Svelte's own templates become HTML.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob:; base-uri 'none'; \
    form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types svelte-trusted-html";

/// What is shown where the binary was built without the pages.
const NOT_BUILT: &str = "The dashboard is not in this binary: it was built without it.\n\n    cargo xtask web\n\n\
    builds the pages (it needs Node 20.19 or newer); then build the server again.\n";

/// The pages, at `/dashboard` and below it.
pub(crate) fn router() -> Router {
    Router::new()
        .route("/dashboard", get(|headers: HeaderMap| async move { answer(ALL, PAGE, &headers) }))
        .route("/dashboard/", get(|headers: HeaderMap| async move { answer(ALL, PAGE, &headers) }))
        .route(
            "/dashboard/{*path}",
            get(|Path(path): Path<String>, headers: HeaderMap| async move { answer(ALL, &path, &headers) }),
        )
}

/// The file, or the page where the address is one that the page reads itself.
fn answer(assets: &'static [Asset], path: &str, asked: &HeaderMap) -> Response {
    if assets.is_empty() {
        let kind = (CONTENT_TYPE, "text/plain; charset=utf-8");
        return (StatusCode::NOT_FOUND, [kind], NOT_BUILT).into_response();
    }
    let wanted = if is_file(path) { path } else { PAGE };
    match assets.iter().find(|asset| asset.path == wanted) {
        Some(asset) => file(asset, asked),
        None => StatusCode::NOT_FOUND.into_response(),
    }
}

/// Ids and views have no dot; a file that is not there must not be answered by a page.
fn is_file(path: &str) -> bool {
    path.starts_with(HASHED) || path.contains('.')
}

fn file(asset: &'static Asset, asked: &HeaderMap) -> Response {
    let is_hashed = asset.path.starts_with(HASHED);
    let encoding = Encoding::best(asset, asked.get(ACCEPT_ENCODING).and_then(|value| value.to_str().ok()));
    let mut headers = HeaderMap::new();
    let mut say = |name: HeaderName, value: &'static str| {
        headers.insert(name, HeaderValue::from_static(value));
    };
    say(CONTENT_TYPE, asset.content_type());
    say(CACHE_CONTROL, if is_hashed { FOREVER } else { ASK });
    say(ETAG, asset.tag);
    say(VARY, "accept-encoding");
    say(HeaderName::from_static("cross-origin-opener-policy"), "same-origin");
    say(HeaderName::from_static("cross-origin-resource-policy"), "same-origin");
    if let Some(name) = encoding.name() {
        say(CONTENT_ENCODING, name);
    }
    if asset.path == PAGE
        && let Ok(policy) = HeaderValue::from_str(&policy(asked.get(HOST)))
    {
        headers.insert(CONTENT_SECURITY_POLICY, policy);
    }
    if asked.get(IF_NONE_MATCH).is_some_and(|known| knows(known, asset.tag)) {
        return (StatusCode::NOT_MODIFIED, headers).into_response();
    }
    (headers, encoding.bytes(asset)).into_response()
}

/// Whether one of these tags is this one. What is only weakly the same is the same here: proxies that encode weaken tags.
fn knows(known: &HeaderValue, tag: &str) -> bool {
    let is_it = |known: &str| {
        let known = known.trim();
        known == "*" || known.strip_prefix("W/").unwrap_or(known) == tag
    };
    known.to_str().is_ok_and(|known| known.split(',').any(is_it))
}

/// The policy, with the sockets of the host that was asked: not every browser takes `'self'` for those.
fn policy(host: Option<&HeaderValue>) -> String {
    let is_host = |host: &&str| {
        !host.is_empty() && host.bytes().all(|byte| byte.is_ascii_alphanumeric() || b".-:[]".contains(&byte))
    };
    match host.and_then(|host| host.to_str().ok()).filter(is_host) {
        Some(host) => format!("{POLICY}; connect-src 'self' ws://{host} wss://{host}"),
        None => format!("{POLICY}; connect-src 'self'"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    static BUILT: [Asset; 2] = [
        Asset {
            path: "assets/main-1a2b.js",
            tag: "\"1\"",
            plain: b"code",
            brotli: Some(b"br"),
            gzip: Some(b"gz"),
        },
        Asset { path: PAGE, tag: "\"2\"", plain: b"<!doctype html>", brotli: None, gzip: None },
    ];

    fn asked(headers: &[(HeaderName, &str)]) -> HeaderMap {
        headers.iter().map(|(name, value)| (name.clone(), value.parse().unwrap())).collect()
    }

    fn header(response: &Response, name: HeaderName) -> &str {
        response.headers().get(name).map_or("", |value| value.to_str().unwrap())
    }

    #[test]
    fn every_address_is_the_page_and_a_missing_file_is_not() {
        for path in ["all", "all/conv_1", "resolved/conv_1/person"] {
            let response = answer(&BUILT, path, &asked(&[]));
            assert_eq!(response.status(), StatusCode::OK);
            assert_eq!(header(&response, CACHE_CONTROL), ASK);
            assert!(
                header(&response, CONTENT_SECURITY_POLICY).contains("require-trusted-types-for 'script'")
            );
        }
        for path in ["assets/gone-3c4d.js", "favicon.ico"] {
            assert_eq!(answer(&BUILT, path, &asked(&[])).status(), StatusCode::NOT_FOUND, "{path}");
        }
    }

    #[test]
    fn what_has_a_hash_in_its_name_is_kept_and_encoded_as_the_browser_likes() {
        for (accepted, encoding) in
            [("gzip, deflate, br", "br"), ("gzip", "gzip"), ("br;q=0, gzip;q=0.5", "gzip"), ("", "")]
        {
            let response = answer(&BUILT, "assets/main-1a2b.js", &asked(&[(ACCEPT_ENCODING, accepted)]));
            assert_eq!(header(&response, CONTENT_ENCODING), encoding, "{accepted}");
            assert_eq!(header(&response, CACHE_CONTROL), FOREVER);
            assert_eq!(header(&response, CONTENT_TYPE), "text/javascript; charset=utf-8");
        }
    }

    #[test]
    fn who_has_it_already_is_told_so() {
        for known in ["\"2\"", "W/\"2\"", "\"1\", \"2\"", "*"] {
            assert_eq!(
                answer(&BUILT, "all", &asked(&[(IF_NONE_MATCH, known)])).status(),
                StatusCode::NOT_MODIFIED
            );
        }
        assert_eq!(answer(&BUILT, "all", &asked(&[(IF_NONE_MATCH, "\"1\"")])).status(), StatusCode::OK);
    }

    #[test]
    fn the_policy_names_the_host_and_nothing_that_is_no_host() {
        assert!(
            policy(Some(&HeaderValue::from_static("chat.example:8443"))).ends_with("wss://chat.example:8443")
        );
        for bad in ["a b", "x;script-src *", ""] {
            assert!(
                policy(Some(&HeaderValue::from_str(bad).unwrap())).ends_with("connect-src 'self'"),
                "{bad}"
            );
        }
    }

    #[test]
    fn a_binary_without_the_pages_says_what_builds_them() {
        let response = answer(&[], "", &asked(&[]));
        assert_eq!(response.status(), StatusCode::NOT_FOUND);
        assert!(NOT_BUILT.contains("cargo xtask web"));
    }
}
