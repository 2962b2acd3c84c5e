//! Whom a client trusts. There is no way to trust everybody.

use mysql_async::SslOpts;

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
