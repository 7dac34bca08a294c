//! Certificates of all kinds, made by the openssl command.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

use super::{output, program};

/// A certificate authority, and the directory of what it issues.
pub struct Authority(TempDir);

/// From when to when something is valid.
pub const NOW: [&str; 2] = ["20200101000000Z", "20491231235959Z"];
pub const LONG_AGO: [&str; 2] = ["20200101000000Z", "20200102000000Z"];
pub const NOT_YET: [&str; 2] = ["20481231000000Z", "20491231235959Z"];

/// What a server's certificate says about its names, if it is the right one.
pub const LOCAL: &str = "subjectAltName=DNS:localhost,IP:127.0.0.1";

const AS_AUTHORITY: [&str; 7] =
    ["ca", "-config", "ca.conf", "-cert", "ca.crt", "-keyfile", "ca.key"];

impl Authority {
    pub fn new() -> Authority {
        let authority = Authority(tempfile::tempdir().unwrap());
        let directory = authority.0.path();
        fs::write(
            directory.join("ca.conf"),
            "[ca]\ndefault_ca=this\n[this]\ndatabase=index\nrand_serial=yes\nnew_certs_dir=.\n\
             default_md=sha256\npolicy=any\nunique_subject=no\ncrl_extensions=crl\n\
             [any]\ncommonName=supplied\n[crl]\nauthorityKeyIdentifier=keyid\n",
        )
        .unwrap();
        fs::write(directory.join("index"), "").unwrap();
        authority.self_signed("ca", "the authority", "basicConstraints=critical,CA:TRUE");
        authority
    }

    /// The authority's own certificate.
    pub fn root(&self) -> PathBuf {
        self.path("ca.crt")
    }

    /// `NAME.crt` or `NAME.key`.
    pub fn path(&self, file: &str) -> PathBuf {
        self.0.path().join(file)
    }

    /// Issues `NAME.crt` and `NAME.key`.
    pub fn issue(&self, name: &str, common_name: &str, extensions: &str, [from, to]: [&str; 2]) {
        self.request(name, common_name, &[]);
        fs::write(self.path("extensions"), extensions).unwrap();
        let (request, certificate) = (format!("{name}.csr"), format!("{name}.crt"));
        self.openssl(&[
            "ca",
            "-batch",
            "-notext",
            "-config",
            "ca.conf",
            "-cert",
            "ca.crt",
            "-keyfile",
            "ca.key",
            "-extfile",
            "extensions",
            "-startdate",
            from,
            "-enddate",
            to,
            "-in",
            &request,
            "-out",
            &certificate,
        ]);
    }

    pub fn revoke(&self, name: &str) {
        self.openssl(&[&AS_AUTHORITY[..], &["-revoke", &format!("{name}.crt")]].concat());
    }

    /// The list of what it revoked so far, in this file.
    pub fn revoked(&self, file: &str) -> PathBuf {
        let list = ["-gencrl", "-crldays", "2", "-out", file];
        self.openssl(&[&AS_AUTHORITY[..], &list].concat());
        self.path(file)
    }

    /// Makes `NAME.crt` and `NAME.key` that vouch for themselves.
    pub fn self_signed(&self, name: &str, common_name: &str, extension: &str) {
        self.request(name, common_name, &["-x509", "-days", "2", "-addext", extension]);
        fs::rename(self.path(&format!("{name}.csr")), self.path(&format!("{name}.crt"))).unwrap();
    }

    /// As [`Authority::self_signed`], with a key of this curve.
    pub fn self_signed_on(&self, name: &str, curve: &str) {
        let key = format!("ec_paramgen_curve:{curve}");
        self.request(name, "a server", &["-x509", "-days", "2", "-pkeyopt", &key]);
        fs::rename(self.path(&format!("{name}.csr")), self.path(&format!("{name}.crt"))).unwrap();
    }

    /// Issues a certificate the way that leaves it in version 1, without any extension.
    pub fn version_1(&self, name: &str, common_name: &str) {
        self.request(name, common_name, &[]);
        let (request, certificate) = (format!("{name}.csr"), format!("{name}.crt"));
        self.openssl(&[
            "x509",
            "-req",
            "-CA",
            "ca.crt",
            "-CAkey",
            "ca.key",
            "-CAcreateserial",
            "-days",
            "2",
            "-in",
            &request,
            "-out",
            &certificate,
        ]);
    }

    fn request(&self, name: &str, common_name: &str, more: &[&str]) {
        let (key, request) = (format!("{name}.key"), format!("{name}.csr"));
        let subject = format!("/CN={common_name}");
        let new = ["req", "-new", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1"];
        let to = ["-nodes", "-keyout", &key, "-out", &request, "-subj", &subject];
        self.openssl(&[&new[..], &to, more].concat());
    }

    fn openssl(&self, arguments: &[&str]) {
        let mut command = Command::new(program("openssl", "openssl"));
        let output = output(command.args(arguments).current_dir::<&Path>(self.0.path()));
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "openssl {arguments:?}: {said}");
    }
}
