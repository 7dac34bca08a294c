//! Whether a server's certificate proves what `sslmode` demands, by libpq's rules.

use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{WebPkiServerVerifier, verify_server_name};
use rustls::crypto::{CryptoProvider, verify_tls13_signature_with_raw_key};
use rustls::pki_types::{CertificateDer, ServerName, SubjectPublicKeyInfoDer, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{CertificateError, DigitallySignedStruct, Error, RootCertStore, SignatureScheme};
use x509_cert::der::{Decode, Encode};

use super::error::{Rejected, TlsError, webpki_error};
use super::pem::{certificates, revocations};
use crate::database::settings::{RootCertificates, Tls};

/// What a certificate has to prove.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Proof {
    /// `verify-ca`: a known authority issued it.
    Authority,
    /// `verify-full`: and for this very host.
    AuthorityAndName,
}

/// Checks certificates. Below `verify-ca` it accepts every one, as libpq does, and still checks
/// that the peer holds the key of the certificate it shows: SCRAM's channel binding relies on that.
#[derive(Debug)]
pub(super) struct Verifier {
    provider: Arc<CryptoProvider>,
    trust: Option<Trust>,
}

/// Which authorities to trust, and what a certificate has to prove.
#[derive(Debug)]
struct Trust {
    proof: Proof,
    roots: Vec<CertificateDer<'static>>,
    /// Whether revoked certificates are looked up.
    revocable: bool,
    webpki: Arc<WebPkiServerVerifier>,
}

impl Verifier {
    /// Demands `proof` by the certificates of a file, or the operating system's.
    pub(super) fn new(
        proof: Option<Proof>,
        tls: &Tls,
        provider: Arc<CryptoProvider>,
    ) -> Result<Verifier, TlsError> {
        let trust = proof.map(|proof| Trust::new(proof, tls, &provider)).transpose()?;
        Ok(Verifier { provider, trust })
    }
}

impl Trust {
    fn new(proof: Proof, tls: &Tls, provider: &Arc<CryptoProvider>) -> Result<Trust, TlsError> {
        let mut store = RootCertStore::empty();
        let roots = match &tls.root {
            Some(RootCertificates::File(path)) => {
                let roots = certificates(path)?;
                for (index, root) in roots.iter().enumerate() {
                    store.add(root.clone()).map_err(|error| TlsError::File {
                        path: path.clone(),
                        what: "root certificate",
                        why: format!("{error} (number {} of {} in it)", index + 1, roots.len()),
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
        let revoked = revocations(tls.revoked.as_deref(), tls.revoked_directory.as_deref())?;
        let revocable = tls.revoked.is_some() || tls.revoked_directory.is_some();
        // As in libpq, every certificate but the root needs a list of its issuer that is up to date.
        let webpki = WebPkiServerVerifier::builder_with_provider(Arc::new(store), provider.clone())
            .with_crls(revoked)
            .enforce_revocation_expiration()
            .build()
            .map_err(|error| TlsError::Handshake(Error::General(error.to_string())))?;
        Ok(Trust { proof, roots, revocable, webpki })
    }
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let Some(Trust { proof, roots, revocable, webpki }) = &self.trust else {
            return Ok(ServerCertVerified::assertion());
        };
        let any_name = *proof == Proof::Authority;
        match webpki.verify_server_cert(end_entity, intermediates, name, ocsp_response, now) {
            // The name is checked last: with this error everything else was in order.
            Err(Error::InvalidCertificate(
                CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
            )) if any_name => Ok(ServerCertVerified::assertion()),
            // As libpq has it, a certificate that vouches for itself is trusted where it is named.
            Err(Error::InvalidCertificate(ref why))
                if matches!(webpki_error(why), Some(webpki::Error::CaUsedAsEndEntity))
                    && roots.contains(end_entity)
                    && !revocable =>
            {
                if any_name {
                    return Ok(ServerCertVerified::assertion());
                }
                match verify_server_name(&ParsedCertificate::try_from(end_entity)?, name) {
                    Err(Error::InvalidCertificate(why)) => {
                        Err(Rejected::of(end_entity, why).into())
                    }
                    verified => verified.map(|()| ServerCertVerified::assertion()),
                }
            }
            Err(Error::InvalidCertificate(why)) => Err(Rejected::of(end_entity, why).into()),
            verified => verified,
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        rustls::crypto::verify_tls12_signature(message, certificate, signature, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        match rustls::crypto::verify_tls13_signature(message, certificate, signature, algorithms) {
            // `openssl x509 -req` makes those by default; their key is as good.
            Err(Error::InvalidCertificate(why))
                if matches!(webpki_error(&why), Some(webpki::Error::UnsupportedCertVersion)) =>
            {
                let key = public_key(certificate).ok_or(CertificateError::BadEncoding)?;
                verify_tls13_signature_with_raw_key(message, &key, signature, algorithms)
            }
            verified => verified,
        }
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

fn public_key(certificate: &CertificateDer<'_>) -> Option<SubjectPublicKeyInfoDer<'static>> {
    let certificate = x509_cert::Certificate::from_der(certificate).ok()?;
    certificate.tbs_certificate.subject_public_key_info.to_der().ok().map(Into::into)
}
