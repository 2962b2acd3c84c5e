//! Whom a client trusts. There is no way to trust everybody.

use std::sync::Arc;

use mysql_async::SslOpts;
use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;

use crate::CometError;
use crate::options::Tls;

/// What the MySQL driver is told.
pub(crate) fn options(tls: &Tls) -> Result<SslOpts, CometError> {
    // The driver takes the one of the process, and panics if none was chosen and there are two. What the program has chosen stays.
    _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let (_, certificates) = trusted(tls)?;
    let certificates = certificates.into_iter();
    let certificates = certificates.map(|certificate| certificate.to_vec().into());
    Ok(SslOpts::default()
        .with_root_certs(certificates.collect())
        .with_disable_built_in_roots(true)
        .with_danger_tls_hostname_override(tls.server_name.clone()))
}

/// What a TLS stream is made with; without settings whom the system trusts is trusted.
pub(crate) fn client(tls: Option<&Tls>) -> Result<Arc<ClientConfig>, CometError> {
    let (roots, _) = trusted(tls.unwrap_or(&Tls::default()))?;
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| CometError::invalid(format!("TLS: {error}")))?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(Arc::new(config))
}

/// The certificates of those who may sign, without any that can't be read: systems have some.
fn trusted(tls: &Tls) -> Result<(RootCertStore, Vec<CertificateDer<'static>>), CometError> {
    let (place, found) = match &tls.ca_file {
        Some(file) => (format!("ca_file {file:?}"), of_file(file)?),
        None => {
            let loaded = rustls_native_certs::load_native_certs();
            ("the system".to_owned(), loaded.certs)
        }
    };
    let mut roots = RootCertStore::empty();
    let mut trusted = found;
    trusted.retain(|certificate| roots.add(certificate.clone()).is_ok());
    if trusted.is_empty() {
        let detail = format!("{place} has no certificate that could be trusted");
        return Err(CometError::invalid(detail));
    }
    Ok((roots, trusted))
}

fn of_file(file: &str) -> Result<Vec<CertificateDer<'static>>, CometError> {
    let bad = |error: &dyn std::fmt::Display| {
        CometError::invalid(format!("ca_file {file:?} can't be read: {error}"))
    };
    let text = std::fs::read(file).map_err(|error| bad(&error))?;
    let certificates = CertificateDer::pem_slice_iter(&text);
    certificates
        .collect::<Result<_, _>>()
        .map_err(|error| bad(&error))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_process_has_a_provider_before_the_driver_asks_for_one() {
        let ca_file = Some("nowhere".to_owned());
        let bad = Tls {
            ca_file,
            ..Tls::default()
        };
        assert!(options(&bad).is_err());
        assert!(rustls::crypto::CryptoProvider::get_default().is_some());
    }
}
