//! Certificates for servers of one's own, by an authority of one's own.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, KeyUsagePurpose,
    date_time_ymd,
};
use tempfile::TempDir;

/// An authority that nobody knows, and a certificate by it. The files are in PEM; the key
/// can be read by everyone, as all of it is for one test.
#[derive(Debug)]
pub struct Certificates {
    dir: TempDir,
}

impl Certificates {
    /// Makes them for a server with these names, each time others.
    ///
    /// # Errors
    /// If the files can't be written.
    pub fn make(names: &[&str]) -> Result<Self> {
        // The library's own, which no test comes to the end of.
        Self::valid(names, 1975, 4096)
    }

    /// As [`make`](Self::make), valid from the first day of one year to the first of another.
    ///
    /// # Errors
    /// If the files can't be written.
    pub fn valid(names: &[&str], from: i32, to: i32) -> Result<Self> {
        let dir = tempfile::Builder::new().prefix("certificates-").tempdir()?;
        fs::set_permissions(dir.path(), Permissions::from_mode(0o755))?;
        let mut authority = CertificateParams::default();
        authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        authority.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        authority.distinguished_name.push(DnType::CommonName, "An authority for tests");
        let authority = CertifiedIssuer::self_signed(authority, KeyPair::generate()?)?;
        let key = KeyPair::generate()?;
        let mut server =
            CertificateParams::new(names.iter().map(|&name| name.to_owned()).collect::<Vec<_>>())?;
        server.not_before = date_time_ymd(from, 1, 1);
        server.not_after = date_time_ymd(to, 1, 1);
        server.distinguished_name.push(DnType::CommonName, "A server for tests");
        let server = server.signed_by(&key, &authority)?;
        let made = Self { dir };
        fs::write(made.authority(), authority.pem())?;
        fs::write(made.certificate(), server.pem())?;
        fs::write(made.key(), key.serialize_pem())?;
        Ok(made)
    }

    /// The file with the authority's certificate.
    pub fn authority(&self) -> PathBuf {
        self.dir.path().join("authority.pem")
    }

    /// The file with the server's certificate.
    pub fn certificate(&self) -> PathBuf {
        self.dir.path().join("server.pem")
    }

    /// The file with the server's key.
    pub fn key(&self) -> PathBuf {
        self.dir.path().join("server.key")
    }

    /// Copies certificate and key where only one user may read them, as Postgres wants it.
    pub(crate) fn copy_to(&self, folder: &Path, user: Option<(u32, u32)>) -> Result<(PathBuf, PathBuf)> {
        let (certificate, key) = (folder.join("server.pem"), folder.join("server.key"));
        for (from, to) in [(self.certificate(), &certificate), (self.key(), &key)] {
            fs::copy(&from, to).with_context(|| format!("copying {}", from.display()))?;
            fs::set_permissions(to, Permissions::from_mode(0o600))?;
            if let Some((uid, gid)) = user {
                std::os::unix::fs::chown(to, Some(uid), Some(gid))?;
            }
        }
        Ok((certificate, key))
    }
}
