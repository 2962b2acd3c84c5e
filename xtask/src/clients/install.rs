//! What the clients need: Debian packages are named or, for root, installed; Python and Node packages go into the cache.

use std::path::{Path, PathBuf};
use std::process::Command;

use super::catalog::{Client, Runtime};
use crate::process::{
    cache_dir, copy_files, find_program, is_fresh, mark_fresh, output, python_with, root,
};

/// The Debian packages that bring what is missing, none if nothing is.
pub(super) fn missing_packages<'a>(
    needs: impl Iterator<Item = &'a (&'a str, &'a str)>,
) -> Vec<&'a str> {
    let mut packages: Vec<&str> = needs
        .filter(|(thing, _)| find_program(thing).is_none() && !Path::new(thing).is_file())
        .flat_map(|(_, packages)| packages.split(' '))
        .collect();
    packages.sort_unstable();
    packages.dedup();
    packages
}

/// Errors of npm that no other network mends: a lock file that does not fit, and a package that is not the pinned one.
const OUR_MISTAKES: &[&str] = &["EUSAGE", "EINTEGRITY"];

/// Why a client can't run here.
pub(super) fn why_not(client: &Client) -> anyhow::Result<Option<String>> {
    let packages = missing_packages(client.needs.iter());
    if !packages.is_empty() {
        return Ok(Some(format!("sudo apt-get install {}", packages.join(" "))));
    }
    if let Err(error) = download(client) {
        let why = format!("{error:#}");
        // What npm says of a lock file that does not fit is no trouble with the network.
        if OUR_MISTAKES.iter().any(|code| why.contains(code)) {
            return Err(error);
        }
        let first = why.lines().next().unwrap_or_default();
        return Ok(Some(format!("its packages can't be downloaded: {first}")));
    }
    if client.demos {
        return crate::demo::build_site();
    }
    if client.package.is_some()
        && let Some(missing) = crate::package::make()?
    {
        return Ok(Some(missing));
    }
    let Some(version) = client.original else {
        return Ok(None);
    };
    let file = original(version)?;
    Ok((!file.is_file()).then(|| {
        format!(
            "needs the original's CometServerApi.js {version} as {} (docs-site/reference/legacy-protocol.md)",
            file.display()
        )
    }))
}

/// Installs what registries have of what a client needs.
fn download(client: &Client) -> anyhow::Result<()> {
    match client.runtime {
        Runtime::Python => python().map(drop),
        Runtime::Node | Runtime::Browser => node().map(drop),
        Runtime::Php | Runtime::Java => Ok(()),
    }?;
    client.app.map_or(Ok(()), |name| app(name).map(drop))
}

/// Where the original's JavaScript client lies. Its licence is the AGPL: it is neither kept here nor fetched.
pub(super) fn original(version: &str) -> anyhow::Result<PathBuf> {
    let name = format!("CometServerApi-{version}.js");
    Ok(cache_dir()?.join("original-clients").join(name))
}

/// A Python with the pinned packages.
pub(super) fn python() -> anyhow::Result<PathBuf> {
    python_with(
        "clients-python",
        &root().join("clients/python/requirements.txt"),
    )
}

/// A folder with the Node tests beside their pinned packages.
pub(super) fn node() -> anyhow::Result<PathBuf> {
    let folder = cache_dir()?.join("clients-node");
    let source = root().join("clients/node");
    let pins = source.join("package-lock.json");
    for from in [source, root().join("clients/browser")] {
        copy_files(&from, &folder)?;
    }
    install_pins(&folder, &pins, &["ci"])?;
    Ok(folder)
}

/// A folder with an app beside its pinned bundler; those without pages of their own get `clients/bundlers/page`.
pub(super) fn app(name: &str) -> anyhow::Result<PathBuf> {
    let folder = cache_dir()?.join(format!("clients-bundler-{name}"));
    let apps = root().join("clients/bundlers");
    let source = apps.join(name);
    let pins = source.join("package-lock.json");
    copy_files(&source, &folder)?;
    let own = source.join("app");
    if own.is_dir() {
        copy_files(&own, &folder.join("app"))?;
    } else {
        copy_files(&apps.join("page"), &folder)?;
    }
    // Not `npm ci`, which refuses a lock file without the packages of other platforms: not every registry has them.
    install_pins(&folder, &pins, &["install", "--no-save"])?;
    Ok(folder)
}

fn install_pins(folder: &Path, pins: &Path, how: &[&str]) -> anyhow::Result<()> {
    if is_fresh(folder, pins)? {
        return Ok(());
    }
    output(
        Command::new("npm")
            .args(how)
            .args(["--loglevel=error", "--no-audit", "--no-fund"])
            .current_dir(folder),
    )?;
    mark_fresh(folder, pins)
}
