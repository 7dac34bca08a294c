//! Why a connection cannot be encrypted as demanded.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use rustls::pki_types::CertificateDer;
use rustls::{AlertDescription, CertificateError, OtherError};
use x509_cert::der::Decode;

/// Why a connection cannot be encrypted as demanded. Only an alert of the server's may go away by
/// waiting.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TlsError {
    /// `sslmode` demands TLS and the server has none.
    #[error(
        "the server offers no TLS, and sslmode demands it; switch it on there (ssl = on) or set sslmode=disable"
    )]
    NotOffered,
    /// A PEM file cannot be used.
    #[error("{} is no usable {what}: {why}", .path.display())]
    File { path: PathBuf, what: &'static str, why: String },
    /// There is nothing to verify a certificate with.
    #[error(
        "sslmode demands a verified certificate, and this image has no certificate authorities; \
         mount a PEM file and name it in sslrootcert"
    )]
    NoAuthorities,
    /// The certificate was rejected, or the handshake failed.
    #[error("{}", explain(.0))]
    Handshake(rustls::Error),
}

impl TlsError {
    /// Whether the server ended the handshake: a proxy does while the server behind it is not there.
    pub(crate) fn is_alert(&self) -> bool {
        matches!(self, TlsError::Handshake(rustls::Error::AlertReceived(_)))
    }

    /// Whether the server and premain have no algorithm in common.
    pub(crate) fn is_incompatible(&self) -> bool {
        matches!(
            self,
            TlsError::Handshake(
                rustls::Error::AlertReceived(AlertDescription::HandshakeFailure)
                    | rustls::Error::PeerIncompatible(_)
            )
        )
    }

    /// The TLS error inside an I/O error, if that is what it is.
    pub(crate) fn from_io(error: &io::Error) -> Option<TlsError> {
        error.get_ref()?.downcast_ref::<rustls::Error>().cloned().map(TlsError::Handshake)
    }
}

fn explain(error: &rustls::Error) -> String {
    let why = match error {
        rustls::Error::InvalidCertificate(why) => why,
        rustls::Error::AlertReceived(
            AlertDescription::CertificateRequired
            | AlertDescription::UnknownCA
            | AlertDescription::BadCertificate
            | AlertDescription::CertificateExpired
            | AlertDescription::CertificateUnknown,
        ) => {
            return format!(
                "the server does not accept our client certificate ({error}); \
                 give it one that it trusts in sslcert and sslkey"
            );
        }
        rustls::Error::AlertReceived(AlertDescription::HandshakeFailure) => {
            return format!(
                "the TLS handshake failed: {error}; premain knows no keys of the curve P-521, no \
                 keys for RSA-PSS alone, and no ciphers without forward secrecy: give the server a \
                 key of RSA, P-256 or P-384"
            );
        }
        _ => return format!("the TLS handshake failed: {error}"),
    };
    let (certificate, why) = match rejected(why) {
        Some(Rejected { certificate, why }) => {
            (format!("the server's certificate ({certificate})"), why)
        }
        None => ("the server's certificate".to_owned(), why),
    };
    let what = match why {
        CertificateError::UnknownIssuer => {
            "was not issued by a known authority; name the right one in sslrootcert".to_owned()
        }
        CertificateError::BadSignature => {
            "was not issued by a known authority, but by another one of the same name; \
             name the right one in sslrootcert"
                .to_owned()
        }
        CertificateError::NotValidForNameContext { presented, .. } if presented.is_empty() => {
            "has no subjectAltName, and its common name does not count; \
             issue it with one, or use sslmode=verify-ca"
                .to_owned()
        }
        CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
            format!(
                "is for another host ({why}); use the name it was issued for, or sslmode=verify-ca"
            )
        }
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
            format!("has expired ({why}); renew it")
        }
        CertificateError::Revoked => "was revoked, says sslcrl".to_owned(),
        CertificateError::UnknownRevocationStatus => {
            "has an issuer of whom sslcrl has no list; add it there".to_owned()
        }
        CertificateError::ExpiredRevocationList
        | CertificateError::ExpiredRevocationListContext { .. } => {
            format!("has an issuer whose list in sslcrl is too old ({why}); renew that list")
        }
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
            format!("is not valid yet ({why}); is this clock right?")
        }
        _ => match webpki_error(why) {
            Some(webpki::Error::CaUsedAsEndEntity) => {
                "is an authority's own; name that very certificate in sslrootcert to trust it"
                    .to_owned()
            }
            Some(webpki::Error::UnsupportedCertVersion) => {
                "is of X.509 version 1, without any extension; issue it again with a \
                 subjectAltName (openssl x509 -req -extfile)"
                    .to_owned()
            }
            _ => format!("is not acceptable: {why}"),
        },
    };
    format!("{certificate} {what}")
}

/// Why our own verifier rejected a certificate.
fn rejected(error: &CertificateError) -> Option<&Rejected> {
    match error {
        CertificateError::Other(error) => error.0.downcast_ref(),
        _ => None,
    }
}

/// The error of `webpki`, where rustls has none of its own for it.
pub(super) fn webpki_error(error: &CertificateError) -> Option<&webpki::Error> {
    match error {
        CertificateError::Other(error) => error.0.downcast_ref(),
        _ => None,
    }
}

/// A certificate that proves too little, and which one that is.
#[derive(Debug, thiserror::Error)]
#[error("{certificate}: {why}")]
pub(super) struct Rejected {
    /// `'CN=db', issued by 'CN=our authority'`
    pub(super) certificate: String,
    pub(super) why: CertificateError,
}

impl Rejected {
    pub(super) fn of(certificate: &CertificateDer<'_>, why: CertificateError) -> Rejected {
        let certificate = match x509_cert::Certificate::from_der(certificate) {
            Ok(x509_cert::Certificate { tbs_certificate: names, .. }) => {
                format!("'{}', issued by '{}'", names.subject, names.issuer)
            }
            Err(error) => format!("unreadable: {error}"),
        };
        Rejected { certificate, why }
    }
}

impl From<Rejected> for rustls::Error {
    fn from(rejected: Rejected) -> rustls::Error {
        rustls::Error::InvalidCertificate(CertificateError::Other(OtherError(Arc::new(rejected))))
    }
}
