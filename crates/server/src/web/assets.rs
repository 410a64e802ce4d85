//! The files of the pages, as `build.rs` found them in `web/dist`.

/// All of them; none where the pages were not built.
pub(super) const ALL: &[Asset] = include!(concat!(env!("OUT_DIR"), "/assets.rs"));

/// A file.
pub(super) struct Asset {
    /// Where it is, below `/dashboard/`.
    pub(super) path: &'static str,
    /// Says what is in it: an `ETag`.
    pub(super) tag: &'static str,
    /// As it is.
    pub(super) plain: &'static [u8],
    /// By Brotli, where that is smaller.
    pub(super) brotli: Option<&'static [u8]>,
    /// By gzip, where that is smaller.
    pub(super) gzip: Option<&'static [u8]>,
}

impl Asset {
    /// Its type, by its ending.
    pub(super) fn content_type(&self) -> &'static str {
        match self.path.rsplit_once('.').map(|(_, ending)| ending) {
            Some("html") => "text/html; charset=utf-8",
            Some("js") => "text/javascript; charset=utf-8",
            Some("css") => "text/css; charset=utf-8",
            Some("svg") => "image/svg+xml",
            _ => "application/octet-stream",
        }
    }
}

/// How a file travels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Encoding {
    Plain,
    Brotli,
    Gzip,
}

impl Encoding {
    /// The smallest that there is and that the browser takes, by its `Accept-Encoding`.
    pub(super) fn best(asset: &Asset, accepted: Option<&str>) -> Self {
        let takes =
            |name: &str| accepted.is_some_and(|accepted| accepted.split(',').any(|one| is_taken(one, name)));
        if asset.brotli.is_some() && takes("br") {
            Self::Brotli
        } else if asset.gzip.is_some() && takes("gzip") {
            Self::Gzip
        } else {
            Self::Plain
        }
    }

    /// Its name, but for what is plain.
    pub(super) fn name(self) -> Option<&'static str> {
        match self {
            Self::Plain => None,
            Self::Brotli => Some("br"),
            Self::Gzip => Some("gzip"),
        }
    }

    /// The file in this form.
    pub(super) fn bytes(self, asset: &Asset) -> &'static [u8] {
        match self {
            Self::Plain => asset.plain,
            Self::Brotli => asset.brotli.unwrap_or(asset.plain),
            Self::Gzip => asset.gzip.unwrap_or(asset.plain),
        }
    }
}

/// Whether `one` of a list, as in `gzip;q=0.5`, names this encoding and does not refuse it.
fn is_taken(one: &str, name: &str) -> bool {
    let mut parts = one.split(';').map(str::trim);
    let is_named = parts.next().is_some_and(|coding| coding.eq_ignore_ascii_case(name));
    let is_refused = parts.any(|part| {
        part.strip_prefix("q=")
            .and_then(|weight| weight.parse::<f32>().ok())
            .is_some_and(|weight| weight <= 0.0)
    });
    is_named && !is_refused
}
