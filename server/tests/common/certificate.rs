//! Certificates for `localhost`, and clients that believe one of them and no other.

use std::path::Path;
use std::sync::Arc;

use cometql_server::net::Tls;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

/// What a port needs, from the pair of files that is written into the folder.
pub(crate) fn in_folder(folder: &Path, protocols: &[&str]) -> Arc<Tls> {
    super::binary::write_pair(folder);
    let (certificate, key) = (folder.join("certificate.pem"), folder.join("key.pem"));
    Arc::new(Tls::load(&certificate, &key, protocols).unwrap())
}

/// Begins TLS as a client that believes the certificate in this text only.
pub(crate) async fn believing(
    pem: &[u8],
    stream: TcpStream,
) -> std::io::Result<TlsStream<TcpStream>> {
    let mut roots = RootCertStore::empty();
    roots
        .add(CertificateDer::from_pem_slice(pem).unwrap())
        .unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let name = ServerName::try_from("localhost").unwrap();
    TlsConnector::from(Arc::new(config))
        .connect(name, stream)
        .await
}
