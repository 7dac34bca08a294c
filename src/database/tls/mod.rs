//! What `sslmode` means, in rustls's terms.

mod error;
mod pem;
mod verify;

use std::sync::Arc;

use rustls::client::WantsClientCert;
use rustls::crypto::ring;
use rustls::pki_types::ServerName;
use rustls::version::{TLS12, TLS13};
use rustls::{ClientConfig, ConfigBuilder, DEFAULT_VERSIONS};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_postgres::tls::{MakeTlsConnect, TlsConnect};
use tokio_postgres_rustls::MakeRustlsConnect;
use tokio_rustls::{Connect, TlsConnector};

use super::settings::{Host, SslMode, Tls, TlsVersion};
pub(crate) use error::TlsError;
use pem::{certificates, private_key};
use verify::{Proof, Verifier};

/// TLS as one database's URL demands it; cheap to clone.
#[derive(Clone)]
pub(crate) struct Connector {
    make: MakeRustlsConnect,
    /// Whether the handshake comes first, without a request for it.
    pub(super) direct: bool,
    /// Whether a server without TLS will not do.
    pub(super) required: bool,
    verified: bool,
}

impl Connector {
    /// `None` where `sslmode` is `disable`.
    pub(crate) fn new(tls: &Tls) -> Result<Option<Connector>, TlsError> {
        let proof = match (tls.mode, &tls.root) {
            (SslMode::Disable, _) => return Ok(None),
            // libpq's rule: a root certificate turns `require` into `verify-ca`.
            (SslMode::Require, Some(_)) | (SslMode::VerifyCa, _) => Some(Proof::Authority),
            (SslMode::VerifyFull, _) => Some(Proof::AuthorityAndName),
            (SslMode::Prefer | SslMode::Require | SslMode::NoVerify, _) => None,
        };
        let config = demanding(proof, tls)?;
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
        // Where nothing is verified, a name that no certificate can have (`my_db-`) is no error.
        let usable = self.verified || ServerName::try_from(name).is_ok();
        let name = if usable { name } else { "localhost" };
        let Ok(connect) = MakeTlsConnect::<S>::make_tls_connect(&mut self.make.clone(), name);
        connect
    }
}

/// A configuration that demands `proof` of the server, by the authorities of `tls` or the system's.
fn demanding(
    proof: Option<Proof>,
    tls: &Tls,
) -> Result<ConfigBuilder<ClientConfig, WantsClientCert>, TlsError> {
    let provider = Arc::new(ring::default_provider());
    let verifier = Verifier::new(proof, tls, provider.clone())?;
    let versions = match tls.version {
        None => DEFAULT_VERSIONS,
        Some(TlsVersion::V12) => &[&TLS12],
        Some(TlsVersion::V13) => &[&TLS13],
    };
    Ok(ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(versions)
        .map_err(TlsError::Handshake)?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(verifier)))
}

/// The handshake for an `https://` target: always verified, with the system's authorities.
pub(crate) fn https(stream: TcpStream, host: &str) -> Result<Connect<TcpStream>, TlsError> {
    let config = demanding(Some(Proof::AuthorityAndName), &Tls::default())?.with_no_client_auth();
    let name = ServerName::try_from(host.to_owned())
        .map_err(|error| TlsError::Handshake(rustls::Error::General(error.to_string())))?;
    Ok(TlsConnector::from(Arc::new(config)).connect(name, stream))
}
