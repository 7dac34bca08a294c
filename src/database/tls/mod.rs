//! What `sslmode` means, in rustls's terms.

mod verify;

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{AlertDescription, CertificateError, ClientConfig};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_postgres::tls::{MakeTlsConnect, TlsConnect};
use tokio_postgres_rustls::MakeRustlsConnect;
use tokio_rustls::{Connect, TlsConnector};

use super::settings::{Host, SslMode, Tls};
use verify::{Proof, Refused, Verifier};

/// Why a connection cannot be encrypted as demanded. None of these goes away by waiting.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// `sslmode` demands TLS and the server has none.
    #[error(
        "the server offers no TLS, and sslmode demands it; switch it on there (ssl = on) or set sslmode=disable"
    )]
    NotOffered,
    /// A PEM file cannot be used.
    #[error("{} is no usable {what}: {why}", .path.display())]
    File {
        /// Which file.
        path: PathBuf,
        /// What it should hold.
        what: &'static str,
        /// What is wrong.
        why: String,
    },
    /// There is nothing to verify a certificate with.
    #[error(
        "sslmode demands a verified certificate, and this image has no certificate authorities; \
         mount a PEM file and name it in sslrootcert"
    )]
    NoAuthorities,
    /// The certificate or the handshake was refused.
    #[error("{}", explain(.0))]
    Handshake(rustls::Error),
}

impl TlsError {
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
        _ => return format!("the TLS handshake failed: {error}"),
    };
    let (certificate, why) = match refused(why) {
        Some(Refused { certificate, why }) => {
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

/// What our own verifier said of a certificate.
fn refused(error: &CertificateError) -> Option<&Refused> {
    match error {
        CertificateError::Other(error) => error.0.downcast_ref(),
        _ => None,
    }
}

/// What the verifier said where rustls has no word for it.
fn webpki_error(error: &CertificateError) -> Option<&webpki::Error> {
    match error {
        CertificateError::Other(error) => error.0.downcast_ref(),
        _ => None,
    }
}

/// TLS as one database's URL demands it; cheap to clone.
#[derive(Clone)]
pub(crate) struct Connector {
    make: MakeRustlsConnect,
    direct: bool,
    required: bool,
    verified: bool,
}

impl Connector {
    /// `None` where `sslmode` is `disable`.
    pub(crate) fn new(tls: &Tls) -> Result<Option<Connector>, TlsError> {
        let provider = Arc::new(ring::default_provider());
        let proof = match (tls.mode, &tls.root) {
            (SslMode::Disable, _) => return Ok(None),
            // libpq's rule: a root certificate turns `require` into `verify-ca`.
            (SslMode::Require, Some(_)) | (SslMode::VerifyCa, _) => Some(Proof::Authority),
            (SslMode::VerifyFull, _) => Some(Proof::AuthorityAndName),
            (SslMode::Prefer | SslMode::Require | SslMode::NoVerify, _) => None,
        };
        let verifier = Verifier::new(proof, tls.root.as_ref(), provider.clone())?;
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(TlsError::Handshake)?
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(verifier));
        let mut config = match &tls.client {
            None => config.with_no_client_auth(),
            Some((certificate, key)) => config
                .with_client_auth_cert(certificates(certificate)?, private_key(key)?)
                .map_err(TlsError::Handshake)?,
        };
        if tls.direct {
            config.alpn_protocols = vec![b"postgresql".to_vec()];
        }
        Ok(Some(Connector {
            make: MakeRustlsConnect::new(config),
            direct: tls.direct,
            required: tls.mode != SslMode::Prefer,
            verified: proof.is_some(),
        }))
    }

    /// Whether the handshake comes first, without a request for it.
    pub(crate) fn direct(&self) -> bool {
        self.direct
    }

    /// Whether a server without TLS will not do.
    pub(crate) fn required(&self) -> bool {
        self.required
    }

    /// The handshake with one host.
    pub(crate) fn for_host<S>(
        &self,
        host: &Host,
    ) -> impl TlsConnect<S, Stream: Send + 'static, Future: Send> + use<S>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let name = match host {
            Host::Tcp { host, .. } => host.as_str(),
            Host::Unix { .. } => "localhost",
        };
        // A name that no certificate can bear (`my_db-`) is no obstacle where none is verified.
        let usable = self.verified || ServerName::try_from(name).is_ok();
        let mut make = self.make.clone();
        match MakeTlsConnect::<S>::make_tls_connect(
            &mut make,
            if usable { name } else { "localhost" },
        ) {
            Ok(connect) => connect,
        }
    }
}

/// The handshake for an `https://` target: always verified, with the system's authorities.
pub(crate) fn https(stream: TcpStream, host: &str) -> Result<Connect<TcpStream>, TlsError> {
    let provider = Arc::new(ring::default_provider());
    let verifier = Verifier::new(Some(Proof::AuthorityAndName), None, provider.clone())?;
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(TlsError::Handshake)?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(verifier))
        .with_no_client_auth();
    let name = ServerName::try_from(host.to_owned())
        .map_err(|error| TlsError::Handshake(rustls::Error::General(error.to_string())))?;
    Ok(TlsConnector::from(Arc::new(config)).connect(name, stream))
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let unusable =
        |why: String| TlsError::File { path: path.to_owned(), what: "certificate file", why };
    let certificates = CertificateDer::pem_file_iter(path)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .map_err(|error| unusable(error.to_string()))?;
    if certificates.is_empty() {
        return Err(unusable("it holds no PEM certificate".to_owned()));
    }
    Ok(certificates)
}

fn private_key(path: &Path) -> Result<PrivateKeyDer<'static>, TlsError> {
    PrivateKeyDer::from_pem_file(path).map_err(|error| TlsError::File {
        path: path.to_owned(),
        what: "private key",
        why: error.to_string(),
    })
}
