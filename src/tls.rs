//! What `sslmode` means, in rustls's terms.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{WebPkiServerVerifier, verify_server_name};
use rustls::crypto::{CryptoProvider, ring, verify_tls13_signature_with_raw_key};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{
    CertificateDer, PrivateKeyDer, ServerName, SubjectPublicKeyInfoDer, UnixTime,
};
use rustls::server::ParsedCertificate;
use rustls::{
    AlertDescription, CertificateError, ClientConfig, DigitallySignedStruct, RootCertStore,
    SignatureScheme,
};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_postgres::tls::{MakeTlsConnect, TlsConnect};
use tokio_postgres_rustls::MakeRustlsConnect;
use tokio_rustls::{Connect, TlsConnector};
use x509_cert::der::{Decode, Encode};

use crate::config::{Host, RootCertificates, SslMode, Tls};

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
    match why {
        CertificateError::UnknownIssuer => {
            "the server's certificate was not issued by a known authority; \
             name the right one in sslrootcert"
                .to_owned()
        }
        CertificateError::BadSignature => {
            "the server's certificate was not issued by a known authority, but by another one of \
             the same name; name the right one in sslrootcert"
                .to_owned()
        }
        CertificateError::NotValidForNameContext { presented, .. } if presented.is_empty() => {
            "the server's certificate has no subjectAltName, and its common name does not count; \
             issue it with one, or use sslmode=verify-ca"
                .to_owned()
        }
        CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
            format!(
                "the server's certificate is for another host ({error}); use the name it was issued for, or sslmode=verify-ca"
            )
        }
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
            format!("the server's certificate has expired ({error}); renew it")
        }
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
            format!("the server's certificate is not valid yet ({error}); is this clock right?")
        }
        _ => match webpki_error(why) {
            Some(webpki::Error::CaUsedAsEndEntity) => {
                "the server's certificate is an authority's own; \
                 name that very certificate in sslrootcert to trust it"
                    .to_owned()
            }
            Some(webpki::Error::UnsupportedCertVersion) => {
                "the server's certificate is of X.509 version 1, without any extension; issue it \
                 again with a subjectAltName (openssl x509 -req -extfile)"
                    .to_owned()
            }
            _ => format!("the server's certificate is not acceptable: {error}"),
        },
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
        let verify = match (tls.mode, &tls.root) {
            (SslMode::Disable, _) => return Ok(None),
            // libpq's rule: a root certificate turns `require` into `verify-ca`.
            (SslMode::Require, Some(_)) | (SslMode::VerifyCa, _) => Verify::Authority,
            (SslMode::VerifyFull, _) => Verify::AuthorityAndName,
            (SslMode::Prefer | SslMode::Require | SslMode::NoVerify, _) => Verify::Nothing,
        };
        let verifier: Arc<dyn ServerCertVerifier> = match verify {
            Verify::Nothing => Arc::new(Unverified(provider.clone())),
            Verify::Authority | Verify::AuthorityAndName => {
                let (roots, webpki) = authorities(tls.root.as_ref(), &provider)?;
                Arc::new(Verified { roots, webpki, verify })
            }
        };
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(TlsError::Handshake)?
            .dangerous()
            .with_custom_certificate_verifier(verifier);
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
            verified: verify != Verify::Nothing,
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
    let (_, verifier) = authorities(None, &provider)?;
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(TlsError::Handshake)?
        .with_webpki_verifier(verifier)
        .with_no_client_auth();
    let name = ServerName::try_from(host.to_owned())
        .map_err(|error| TlsError::Handshake(rustls::Error::General(error.to_string())))?;
    Ok(TlsConnector::from(Arc::new(config)).connect(name, stream))
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Verify {
    Nothing,
    Authority,
    AuthorityAndName,
}

/// Whom to trust: a file's certificates, or the operating system's.
fn authorities(
    named: Option<&RootCertificates>,
    provider: &Arc<CryptoProvider>,
) -> Result<(Vec<CertificateDer<'static>>, Arc<WebPkiServerVerifier>), TlsError> {
    let mut store = RootCertStore::empty();
    let roots = match named {
        Some(RootCertificates::File(path)) => {
            let roots = certificates(path)?;
            for root in roots.clone() {
                store.add(root).map_err(|error| TlsError::File {
                    path: path.clone(),
                    what: "root certificate",
                    why: error.to_string(),
                })?;
            }
            roots
        }
        Some(RootCertificates::System) | None => {
            let roots = rustls_native_certs::load_native_certs().certs;
            store.add_parsable_certificates(roots.iter().cloned());
            roots
        }
    };
    if store.is_empty() {
        return Err(TlsError::NoAuthorities);
    }
    let webpki = WebPkiServerVerifier::builder_with_provider(Arc::new(store), provider.clone())
        .build()
        .map_err(|error| TlsError::Handshake(rustls::Error::General(error.to_string())))?;
    Ok((roots, webpki))
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

/// Encrypts and believes: what libpq does below `verify-ca`. It still checks that the peer holds
/// the key of the certificate it shows, which SCRAM's channel binding relies on.
#[derive(Debug)]
struct Unverified(Arc<CryptoProvider>);

impl ServerCertVerifier for Unverified {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        rustls::crypto::verify_tls12_signature(
            message,
            cert,
            dss,
            &self.0.signature_verification_algorithms,
        )
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        match rustls::crypto::verify_tls13_signature(message, cert, dss, algorithms) {
            // `openssl x509 -req` makes those unless it is told otherwise; their key is as good.
            Err(rustls::Error::InvalidCertificate(why))
                if matches!(webpki_error(&why), Some(webpki::Error::UnsupportedCertVersion)) =>
            {
                let key = public_key(cert).ok_or(CertificateError::BadEncoding)?;
                verify_tls13_signature_with_raw_key(message, &key, dss, algorithms)
            }
            verified => verified,
        }
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

fn public_key(certificate: &CertificateDer<'_>) -> Option<SubjectPublicKeyInfoDer<'static>> {
    let certificate = x509_cert::Certificate::from_der(certificate).ok()?;
    certificate.tbs_certificate.subject_public_key_info.to_der().ok().map(Into::into)
}

/// `verify-ca` and `verify-full`: a known authority, and in the latter case the right name.
#[derive(Debug)]
struct Verified {
    roots: Vec<CertificateDer<'static>>,
    webpki: Arc<WebPkiServerVerifier>,
    verify: Verify,
}

impl ServerCertVerifier for Verified {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let any_name = self.verify != Verify::AuthorityAndName;
        let verified = self.webpki.verify_server_cert(
            end_entity,
            intermediates,
            server_name,
            ocsp_response,
            now,
        );
        match verified {
            // The name is checked last: with this error everything else was in order.
            Err(rustls::Error::InvalidCertificate(
                CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
            )) if any_name => Ok(ServerCertVerified::assertion()),
            // As libpq has it, a certificate that vouches for itself is trusted where it is named.
            Err(rustls::Error::InvalidCertificate(ref why))
                if matches!(webpki_error(why), Some(webpki::Error::CaUsedAsEndEntity))
                    && self.roots.contains(end_entity) =>
            {
                if !any_name {
                    verify_server_name(&ParsedCertificate::try_from(end_entity)?, server_name)?;
                }
                Ok(ServerCertVerified::assertion())
            }
            verified => verified,
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.webpki.verify_tls12_signature(message, cert, dss)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.webpki.verify_tls13_signature(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.webpki.supported_verify_schemes()
    }
}
