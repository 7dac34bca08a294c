//! The parameters about encryption: what they mean, and whether they can work.

use std::path::{Path, PathBuf};

use super::settings::Checker;
use crate::database::settings::{ChannelBinding, Host, RootCertificates, SslMode, Tls, TlsVersion};
use crate::value::{choice, read_file};

/// `sslmode` in the words of libpq and node-postgres.
const SSL_MODES: [(&str, SslMode); 7] = [
    ("disable", SslMode::Disable),
    ("allow", SslMode::Prefer),
    ("prefer", SslMode::Prefer),
    ("require", SslMode::Require),
    ("verify-ca", SslMode::VerifyCa),
    ("verify-full", SslMode::VerifyFull),
    ("no-verify", SslMode::NoVerify),
];

const CHANNEL_BINDINGS: [(&str, ChannelBinding); 3] = [
    ("disable", ChannelBinding::Disable),
    ("prefer", ChannelBinding::Prefer),
    ("require", ChannelBinding::Require),
];

/// `None` for those that premain does not know.
const TLS_VERSIONS: [(&str, Option<TlsVersion>); 4] = [
    ("TLSv1", None),
    ("TLSv1.1", None),
    ("TLSv1.2", Some(TlsVersion::V12)),
    ("TLSv1.3", Some(TlsVersion::V13)),
];

impl Checker<'_> {
    pub(super) fn ssl_mode(&mut self) -> SslMode {
        let given = self.given_ssl_mode();
        if self.text("sslrootcert") != Some("system") {
            return self.accepted_certificates(given);
        }
        match given {
            None => SslMode::VerifyFull,
            Some(SslMode::Prefer | SslMode::Require | SslMode::VerifyCa) => {
                self.add_problem(&format!(
                    "has a weak sslmode, but {} is 'system', which needs verify-full",
                    self.called("sslrootcert")
                ));
                SslMode::VerifyFull
            }
            Some(mode) => mode,
        }
    }

    /// `sslmode`, which other drivers call `ssl`.
    fn given_ssl_mode(&mut self) -> Option<SslMode> {
        if self.settings.has("sslmode") {
            return self.choice("sslmode", &SSL_MODES);
        }
        match self.text("ssl")? {
            "true" | "1" => Some(SslMode::Require),
            "false" | "0" => Some(SslMode::Disable),
            text => {
                let mode = choice(text, &SSL_MODES).ok();
                if mode.is_none() {
                    self.complain("ssl", "true, false, no-verify or another value of sslmode");
                }
                mode
            }
        }
    }

    /// Prisma's `sslaccept` decides what `sslmode=require` verifies. `prefer` verifies nothing, and
    /// the modes that verify are libpq's and keep their meaning.
    fn accepted_certificates(&mut self, given: Option<SslMode>) -> SslMode {
        let mode = given.unwrap_or_default();
        let choices =
            [("strict", SslMode::VerifyFull), ("accept_invalid_certs", SslMode::NoVerify)];
        match self.choice("sslaccept", &choices) {
            Some(accepted) if mode == SslMode::Require => accepted,
            _ => mode,
        }
    }

    pub(super) fn tls(&mut self, mode: SslMode, hosts: &[Host]) -> Tls {
        let channel_binding = self.choice("channel_binding", &CHANNEL_BINDINGS).unwrap_or_default();
        let direct = self
            .choice("sslnegotiation", &[("postgres", false), ("direct", true)])
            .unwrap_or_default();
        let plain =
            mode == SslMode::Disable || hosts.iter().all(|host| matches!(host, Host::Unix { .. }));
        if plain {
            if channel_binding == ChannelBinding::Require {
                self.add_problem("requires channel binding, which needs TLS, but has no TLS");
            }
            return Tls { mode, channel_binding, ..Tls::default() };
        }
        if direct && mode == SslMode::Prefer {
            self.add_problem("says sslnegotiation=direct, which needs sslmode=require or stronger");
        }
        if self.text("sslidentity").is_some() {
            self.add_problem(
                "has an sslidentity, a PKCS#12 file, which premain cannot read: give sslcert and \
                 sslkey, two PEM files (openssl pkcs12 -in FILE -nodes), in MIGRATION_DATABASE_URL",
            );
        }
        let (root, client) = self.certificates();
        let client = client.filter(|_| self.text("sslcertmode") != Some("disable"));
        let verified = match mode {
            SslMode::VerifyCa | SslMode::VerifyFull => true,
            SslMode::Require => root.is_some(),
            SslMode::Disable | SslMode::Prefer | SslMode::NoVerify => false,
        };
        let revoked = self.revoked("sslcrl", verified);
        let revoked_directory = self.revoked("sslcrldir", verified);
        let version = self.version();
        Tls { mode, root, client, channel_binding, direct, revoked, revoked_directory, version }
    }

    /// `sslcrl` or `sslcrldir`, which are about certificates that are `verified`.
    fn revoked(&mut self, key: &str, verified: bool) -> Option<PathBuf> {
        let path = self.text(key)?;
        if !verified {
            let what = "but nothing is verified without an sslrootcert, verify-ca or verify-full";
            self.reject(key, path, what);
        } else if key == "sslcrl" {
            self.check_pem(key, Path::new(path), "X509 CRL-----");
        } else if let Err(error) = std::fs::read_dir(path) {
            self.reject(key, path, &format!("which cannot be read: {error}"));
        }
        Some(path.into())
    }

    /// The only version of TLS that the parameters leave, if they leave only one.
    fn version(&mut self) -> Option<TlsVersion> {
        let minimum = self.choice("ssl_min_protocol_version", &TLS_VERSIONS).flatten();
        let maximum = self.choice("ssl_max_protocol_version", &TLS_VERSIONS);
        match (minimum, maximum) {
            (_, Some(None)) | (Some(TlsVersion::V13), Some(Some(TlsVersion::V12))) => {
                let found = self.text("ssl_max_protocol_version").unwrap_or_default();
                let what = "but premain knows TLSv1.2 and TLSv1.3, and not below the minimum";
                self.reject("ssl_max_protocol_version", found, what);
                None
            }
            (Some(TlsVersion::V13), _) => minimum,
            (_, Some(Some(TlsVersion::V12))) => Some(TlsVersion::V12),
            _ => None,
        }
    }

    fn certificates(&mut self) -> (Option<RootCertificates>, Option<(PathBuf, PathBuf)>) {
        let prismas = self.text("sslaccept").is_some() || self.text("sslidentity").is_some();
        let root = match self.text("sslrootcert") {
            Some("system") => Some(RootCertificates::System),
            Some(path) => {
                self.check_pem("sslrootcert", Path::new(path), "CERTIFICATE-----");
                Some(RootCertificates::File(path.into()))
            }
            None => None,
        };
        match (self.text("sslcert"), self.text("sslkey")) {
            (Some(certificate), Some(key)) => {
                self.check_pem("sslcert", Path::new(certificate), "CERTIFICATE-----");
                self.check_pem("sslkey", Path::new(key), "PRIVATE KEY-----");
                (root, Some((certificate.into(), key.into())))
            }
            (Some(certificate), None) if prismas && root.is_none() => {
                let path = beside_prisma_schema(certificate);
                self.check_pem("sslcert", &path, "CERTIFICATE-----");
                (Some(RootCertificates::File(path)), None)
            }
            (Some(_), None) => {
                self.add_problem(&format!(
                    "has no sslkey to {}; the server's authority, if that is meant, is sslrootcert",
                    self.called("sslcert")
                ));
                (root, None)
            }
            (None, Some(_)) => {
                self.add_problem(&format!("has no sslcert to {}", self.called("sslkey")));
                (root, None)
            }
            (None, None) => (root, None),
        }
    }

    /// Checks that a file can be read and contains such a PEM block.
    fn check_pem(&mut self, key: &str, path: &Path, content: &str) {
        let shown = path.display().to_string();
        let text = match read_file(path) {
            Ok(bytes) => String::from_utf8_lossy(&bytes).into_owned(),
            Err(why) => return self.reject(key, &shown, &why),
        };
        if !text.contains(content) {
            let wanted = content.trim_end_matches('-');
            self.reject(key, &shown, &format!("a file without a PEM block of a {wanted}"));
        } else if key == "sslkey" && text.contains("ENCRYPTED") {
            self.reject(key, &shown, "an encrypted key, and premain cannot ask for its password");
        }
    }
}

/// Prisma resolves a relative path in the directory of its schema.
fn beside_prisma_schema(path: &str) -> PathBuf {
    let beside = Path::new("prisma").join(path);
    if !Path::new(path).exists() && beside.exists() { beside } else { path.into() }
}
