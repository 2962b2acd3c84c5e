//! TLS from certificate files, which may be replaced while the server runs.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use arc_swap::ArcSwap;
use rustls::ServerConfig;
use rustls::crypto::aws_lc_rs;
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::TlsAcceptor;

/// What a port needs to speak TLS. Connections that are open keep what they began with.
pub struct Tls {
    certificates: PathBuf,
    key: PathBuf,
    protocols: Vec<Vec<u8>>,
    current: ArcSwap<ServerConfig>,
}

/// Why the certificate files can't be used.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file is missing, unreadable or not PEM.
    #[error("{}: {source}", path.display())]
    File {
        /// Which file.
        path: PathBuf,
        /// What is wrong with it.
        source: rustls_pki_types::pem::Error,
    },
    /// The file holds no certificate.
    #[error("{} holds no certificate", .0.display())]
    NoCertificate(PathBuf),
    /// Certificate and key don't fit together, or are of a kind that is not supported.
    #[error("certificate {} and key {}: {source}", certificates.display(), key.display())]
    Pair {
        /// The certificate file.
        certificates: PathBuf,
        /// The key file.
        key: PathBuf,
        /// What is wrong with them.
        source: rustls::Error,
    },
}

impl Tls {
    /// Reads a certificate chain and its private key from PEM files. `protocols` are the ALPN names that the port
    /// speaks: `http/1.1` for HTTP, none for MySQL.
    ///
    /// # Errors
    /// If the files can't be used.
    pub fn load(certificates: &Path, key: &Path, protocols: &[&str]) -> Result<Self, TlsError> {
        let protocols: Vec<Vec<u8>> = protocols
            .iter()
            .map(|name| name.as_bytes().into())
            .collect();
        let config = read(certificates, key, protocols.clone())?;
        Ok(Self {
            certificates: certificates.to_owned(),
            key: key.to_owned(),
            protocols,
            current: ArcSwap::from_pointee(config),
        })
    }

    /// Reads the files again, for [`Tls::put`].
    ///
    /// # Errors
    /// If the files can't be used.
    pub fn read_again(&self) -> Result<ServerConfig, TlsError> {
        read(&self.certificates, &self.key, self.protocols.clone())
    }

    /// Puts what was read in force, for connections to come.
    pub fn put(&self, config: ServerConfig) {
        self.current.store(Arc::new(config));
    }

    /// What makes a TLS stream of the next connection.
    #[must_use]
    pub fn acceptor(&self) -> TlsAcceptor {
        TlsAcceptor::from(self.current.load_full())
    }
}

fn read(
    certificates: &Path,
    key: &Path,
    protocols: Vec<Vec<u8>>,
) -> Result<ServerConfig, TlsError> {
    let file_error = |path: &Path| {
        let path = path.to_owned();
        move |source| TlsError::File { path, source }
    };
    let chain = CertificateDer::pem_file_iter(certificates)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .map_err(file_error(certificates))?;
    if chain.is_empty() {
        return Err(TlsError::NoCertificate(certificates.to_owned()));
    }
    let secret = PrivateKeyDer::from_pem_file(key).map_err(file_error(key))?;
    let pair_error = |source| TlsError::Pair {
        certificates: certificates.to_owned(),
        key: key.to_owned(),
        source,
    };
    let mut config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(pair_error)?
        .with_no_client_auth()
        .with_single_cert(chain, secret)
        .map_err(pair_error)?;
    config.alpn_protocols = protocols;
    Ok(config)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn write_pair(folder: &Path) -> (PathBuf, PathBuf) {
        let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        let (certificates, key) = (folder.join("certificate.pem"), folder.join("key.pem"));
        fs::write(&certificates, made.cert.pem()).unwrap();
        fs::write(&key, made.signing_key.serialize_pem()).unwrap();
        (certificates, key)
    }

    #[test]
    fn files_are_read_again_and_bad_ones_change_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let (certificates, key) = write_pair(folder.path());
        let tls = Tls::load(&certificates, &key, &["http/1.1"]).unwrap();
        let first = tls.current.load_full();
        assert_eq!(first.alpn_protocols, [b"http/1.1"]);
        fs::write(&key, "nonsense").unwrap();
        assert!(matches!(tls.read_again(), Err(TlsError::File { .. })));
        assert!(Arc::ptr_eq(&first, &tls.current.load_full()));
        write_pair(folder.path());
        tls.put(tls.read_again().unwrap());
        assert!(!Arc::ptr_eq(&first, &tls.current.load_full()));
    }

    #[test]
    fn each_kind_of_bad_file_has_its_error() {
        let folder = tempfile::tempdir().unwrap();
        let (certificates, key) = write_pair(folder.path());
        let empty = folder.path().join("empty.pem");
        fs::write(&empty, "").unwrap();
        assert!(matches!(
            Tls::load(&empty, &key, &[]),
            Err(TlsError::NoCertificate(_))
        ));
        assert!(matches!(
            Tls::load(&folder.path().join("missing"), &key, &[]),
            Err(TlsError::File { .. })
        ));
        let other = folder.path().join("other");
        fs::create_dir(&other).unwrap();
        let (_, other_key) = write_pair(&other);
        assert!(matches!(
            Tls::load(&certificates, &other_key, &[]),
            Err(TlsError::Pair { .. })
        ));
    }
}
