//! Whom a client trusts. There is no way to trust everybody.

use std::sync::Arc;

use mysql_async::SslOpts;
use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;

use crate::CometError;
use crate::options::Tls;

/// The certificates of those who may sign, as PEM.
pub(crate) fn load(tls: &Tls) -> Result<(Tls, Vec<u8>), CometError> {
    let roots = match &tls.ca_file {
        Some(file) => std::fs::read(file)
            .map_err(|error| CometError::invalid(format!("ca_file {file:?}: {error}")))?,
        None => Vec::new(),
    };
    Ok((tls.clone(), roots))
}

/// What the driver is told.
pub(crate) fn options(tls: &Tls, roots: &[u8]) -> SslOpts {
    SslOpts::default()
        .with_root_certs(vec![roots.to_owned().into()])
        .with_disable_built_in_roots(tls.ca_file.is_some())
        .with_danger_tls_hostname_override(tls.server_name.clone())
}

/// What a client of TLS other than the driver is told; `None` = whom the system trusts.
pub(crate) fn client(tls: Option<&Tls>) -> Result<Arc<ClientConfig>, CometError> {
    let mut trusted = RootCertStore::empty();
    match tls.and_then(|tls| tls.ca_file.as_ref()) {
        Some(file) => {
            let wrong = |why: String| CometError::invalid(format!("ca_file {file:?}: {why}"));
            let certificates = CertificateDer::pem_file_iter(file);
            for certificate in certificates.map_err(|error| wrong(error.to_string()))? {
                let certificate = certificate.map_err(|error| wrong(error.to_string()))?;
                let added = trusted.add(certificate);
                added.map_err(|error| wrong(error.to_string()))?;
            }
            if trusted.is_empty() {
                return Err(wrong("has no certificate".to_owned()));
            }
        }
        None => {
            // One that is broken is no reason not to use the others.
            let (_, _) =
                trusted.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        }
    }
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("the provider has TLS 1.2 and 1.3");
    let config = config.with_root_certificates(trusted).with_no_client_auth();
    Ok(Arc::new(config))
}
