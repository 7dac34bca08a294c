//! Certificates and keys in PEM files.

use std::fs;
use std::path::{Path, PathBuf};

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, CertificateRevocationListDer, PrivateKeyDer};

use super::error::TlsError;

pub(super) fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
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

pub(super) fn private_key(path: &Path) -> Result<PrivateKeyDer<'static>, TlsError> {
    PrivateKeyDer::from_pem_file(path).map_err(|error| TlsError::File {
        path: path.to_owned(),
        what: "private key",
        why: error.to_string(),
    })
}

/// The lists of revoked certificates in a file and in the files of a directory.
pub(super) fn revocations(
    file: Option<&Path>,
    directory: Option<&Path>,
) -> Result<Vec<CertificateRevocationListDer<'static>>, TlsError> {
    let unusable = |path: &Path, why: String| TlsError::File {
        path: path.to_owned(),
        what: "certificate revocation list",
        why,
    };
    let mut files: Vec<PathBuf> = file.into_iter().map(Path::to_owned).collect();
    if let Some(directory) = directory {
        let entries = fs::read_dir(directory).and_then(Iterator::collect::<Result<Vec<_>, _>>);
        let entries = entries.map_err(|error| unusable(directory, error.to_string()))?;
        files.extend(entries.into_iter().map(|entry| entry.path()).filter(|path| path.is_file()));
    }
    let mut lists = Vec::new();
    for file in files {
        let read = CertificateRevocationListDer::pem_file_iter(&file)
            .and_then(Iterator::collect::<Result<Vec<_>, _>>);
        lists.extend(read.map_err(|error| unusable(&file, error.to_string()))?);
    }
    match (lists.is_empty(), file.or(directory)) {
        (true, Some(path)) => {
            Err(unusable(path, "it holds no PEM block of an X509 CRL".to_owned()))
        }
        _ => Ok(lists),
    }
}
