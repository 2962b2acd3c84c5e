//! Certificates for a cluster on this machine: an authority of our own, and one certificate that it signed. Made by `openssl`.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::process::output;

/// PEM files.
pub(crate) struct Certificates {
    /// Whom to trust.
    pub(crate) ca: PathBuf,
    /// The certificate of `localhost` and the loopback address.
    pub(crate) leaf: PathBuf,
    /// Its key.
    pub(crate) key: PathBuf,
}

impl Certificates {
    /// Makes them in a folder.
    pub(crate) fn make(folder: &Path) -> anyhow::Result<Self> {
        let [ca, ca_key, leaf, key] =
            ["ca.pem", "ca-key.pem", "leaf.pem", "key.pem"].map(|name| folder.join(name));
        output(&mut request("/CN=CometQL test authority", &ca, &ca_key))?;
        let names = "subjectAltName=DNS:localhost,IP:127.0.0.1";
        let mut signed = request("/CN=localhost", &leaf, &key);
        signed.arg("-CA").arg(&ca).arg("-CAkey").arg(&ca_key);
        signed.args(["-addext", names, "-addext", "basicConstraints=CA:FALSE"]);
        output(&mut signed)?;
        Ok(Self { ca, leaf, key })
    }

    /// Certificate and key in one file, as HAProxy wants it.
    pub(crate) fn in_one_file(&self, folder: &Path) -> anyhow::Result<PathBuf> {
        let file = folder.join("site.pem");
        let both = [std::fs::read(&self.leaf)?, std::fs::read(&self.key)?].concat();
        std::fs::write(&file, both)?;
        Ok(file)
    }
}

fn request(subject: &str, certificate: &Path, key: &Path) -> Command {
    let mut command = Command::new("openssl");
    command
        .args(["req", "-x509", "-newkey", "ec", "-nodes", "-days", "7"])
        .args(["-pkeyopt", "ec_paramgen_curve:prime256v1"])
        .args(["-subj", subject])
        .arg("-out")
        .arg(certificate)
        .arg("-keyout")
        .arg(key);
    command
}
