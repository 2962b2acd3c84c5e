//! `cargo xtask sdks`: the SDKs for backends. The native library is built once; each language then gets its sources
//! generated, is packaged, installed as its users install it, and tested against the server.
//!
//! A language is one row of [`LANGUAGES`] and a module of its own. Its tests start servers themselves, from what
//! [`Made::give`] puts into their environment (`sdks/README.md`).

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use anyhow::{Context as _, bail, ensure};

mod kotlin;
mod pages;
mod python;
mod swift;
mod swift_toolchain;

use crate::ci::{Ending, Tally, nothing_may_be_skipped};
use crate::cluster::ports::quiet_ports;
use crate::process::{cargo, nats_server, root, run as run_command, target_dir};

/// The SDK of a language: how it is built and tested.
struct Language {
    /// As `--only` names it.
    name: &'static str,
    /// What this machine lacks for it, and how to get that.
    missing: fn() -> anyhow::Result<Option<String>>,
    /// Makes the package that users install, in [`folder`].
    build: fn(&Made) -> anyhow::Result<()>,
    /// Installs it afresh and runs its tests, which it adds to the tally.
    test: fn(&Made, &mut Tally) -> anyhow::Result<()>,
}

const LANGUAGES: &[Language] = &[
    Language {
        name: "python",
        missing: python::missing,
        build: python::build,
        test: python::test,
    },
    Language {
        name: "kotlin",
        missing: kotlin::missing,
        build: kotlin::build,
        test: kotlin::test,
    },
    Language {
        name: "swift",
        missing: swift::missing,
        build: swift::build,
        test: swift::test,
    },
];

/// The package of this workspace that is linked into the package of each language.
const LIBRARY: &str = "cometql-sdk";

/// How many ports a language's tests may listen on: three for each server that they start.
const PORTS: usize = 18;

/// Which languages, and how far.
#[derive(clap::Args)]
pub(crate) struct Options {
    /// Only these languages.
    #[arg(long, value_delimiter = ',')]
    only: Vec<String>,
    /// Builds the packages and runs no tests.
    #[arg(long)]
    build: bool,
    /// Instead of all tests: what a publication costs the client, in Python, against PyMySQL.
    #[arg(long)]
    measure: bool,
}

/// What all languages start from.
struct Made {
    /// The native library with the symbols from which sources are generated.
    library: PathBuf,
}

/// Builds and tests, and fails if one language failed.
pub(crate) fn run(options: &Options) -> anyhow::Result<()> {
    if options.measure {
        let made = make(true)?;
        python::build(&made)?;
        return python::measure(&made);
    }
    match run_chosen(options, &mut Tally::default())? {
        Ending::Failed(why) => bail!(why),
        Ending::Passed | Ending::Skipped(_) => Ok(()),
    }
}

/// As a step of `cargo xtask ci`.
pub(crate) fn step(tally: &mut Tally) -> anyhow::Result<Ending> {
    let everything = Options {
        only: Vec::new(),
        build: false,
        measure: false,
    };
    run_chosen(&everything, tally)
}

fn run_chosen(options: &Options, tally: &mut Tally) -> anyhow::Result<Ending> {
    let chosen = choose(&options.only)?;
    let made = make(!options.build)?;
    let mut failed = Vec::new();
    for language in chosen {
        let start = Instant::now();
        let before = *tally;
        let ending = run_language(language, &made, options.build, tally);
        let seconds = start.elapsed().as_secs_f64();
        let name = language.name;
        match ending {
            Ending::Passed => println!(
                "sdk {name:8} passed  {seconds:5.1} s, {} tests",
                tally.passed - before.passed
            ),
            Ending::Skipped(why) => {
                tally.skipped += 1;
                println!("sdk {name:8} skipped: {why}");
            }
            Ending::Failed(why) => {
                println!("sdk {name:8} FAILED  {seconds:5.1} s\n  {why}");
                failed.push(name);
            }
        }
    }
    Ok(if failed.is_empty() {
        Ending::Passed
    } else {
        Ending::Failed(failed.join(", "))
    })
}

fn choose(only: &[String]) -> anyhow::Result<Vec<&'static Language>> {
    let known = |name: &String| LANGUAGES.iter().any(|language| language.name == name);
    if let Some(unknown) = only.iter().find(|name| !known(name)) {
        let names: Vec<_> = LANGUAGES.iter().map(|language| language.name).collect();
        bail!("no SDK is called {unknown}; there are {}", names.join(", "));
    }
    let chosen =
        |language: &&Language| only.is_empty() || only.iter().any(|name| name == language.name);
    Ok(LANGUAGES.iter().filter(chosen).collect())
}

/// Builds the library, the generator, and the server if tests need it.
fn make(server: bool) -> anyhow::Result<Made> {
    run_command(&mut cargo(&[
        "build",
        "--package",
        LIBRARY,
        "--profile",
        "sdk",
    ]))?;
    // What generates sources, as maturin will ask for it: with `--package` its dependencies would get other features, and be
    // built twice.
    run_command(&mut cargo(&["build", "--bin", "uniffi-bindgen"]))?;
    if server {
        run_command(&mut cargo(&["build", "--package", "cometql-server"]))?;
    }
    let made = Made {
        library: target_dir().join("sdk").join(library_name()),
    };
    ensure!(
        made.library.is_file(),
        "cargo left no {}",
        made.library.display()
    );
    Ok(made)
}

/// As the linker of this system calls it.
fn library_name() -> &'static str {
    if cfg!(target_os = "macos") {
        "libcometql_sdk.dylib"
    } else if cfg!(windows) {
        "cometql_sdk.dll"
    } else {
        "libcometql_sdk.so"
    }
}

fn run_language(language: &Language, made: &Made, build_only: bool, tally: &mut Tally) -> Ending {
    let mut attempt = || -> anyhow::Result<Option<String>> {
        if let Some(missing) = (language.missing)()? {
            return Ok(Some(missing));
        }
        (language.build)(made)?;
        if !build_only {
            let before = tally.passed;
            (language.test)(made, tally)?;
            ensure!(tally.passed > before, "no test was run");
        }
        Ok(None)
    };
    match attempt() {
        Ok(None) => Ending::Passed,
        Ok(Some(missing)) if nothing_may_be_skipped() => Ending::Failed(missing),
        Ok(Some(missing)) => Ending::Skipped(missing),
        Err(error) => Ending::Failed(format!("{error:#}")),
    }
}

/// Where all that is built for a language goes.
fn folder(language: &str) -> anyhow::Result<PathBuf> {
    let folder = target_dir().join("sdks").join(language);
    std::fs::create_dir_all(&folder).with_context(|| folder.display().to_string())?;
    Ok(folder)
}

/// Generates the sources of a language into a folder of its own.
fn generate(made: &Made, language: &str, into: &Path) -> anyhow::Result<()> {
    if into.exists() {
        std::fs::remove_dir_all(into)?;
    }
    let generator = target_dir().join("debug/uniffi-bindgen");
    // It reads `sdk-gen/uniffi.toml`, which it finds from the workspace.
    let mut command = Command::new(generator);
    command
        .args(["generate", "--no-format", "--language", language])
        .arg("--out-dir")
        .arg(into)
        .arg(&made.library)
        .current_dir(root());
    run_command(&mut command)
}

impl Made {
    /// What tests need to know of this build: `sdks/README.md` has the list.
    fn give(&self, command: &mut Command) -> anyhow::Result<()> {
        let ports = quiet_ports(PORTS)?;
        let ports: Vec<_> = ports.iter().map(|port| port.port().to_string()).collect();
        command
            .env("COMETQL_BINARY", target_dir().join("debug/cometql"))
            .env("COMETQL_PORTS", ports.join(","))
            .env("COMETQL_SUITE", root().join("sdks/suite.json"))
            .env("COMETQL_VERSION", env!("CARGO_PKG_VERSION"));
        // Tests with a cluster are skipped by name without it, or fail where nothing may be skipped.
        if let Ok(program) = nats_server() {
            command.env("COMETQL_NATS_SERVER", program);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_known_languages_can_be_chosen() {
        let names = |only: &[&str]| {
            let only: Vec<_> = only.iter().map(ToString::to_string).collect();
            choose(&only).map(|chosen| chosen.iter().map(|one| one.name).collect::<Vec<_>>())
        };
        assert_eq!(names(&["python"]).unwrap(), ["python"]);
        assert_eq!(names(&[]).unwrap().len(), LANGUAGES.len());
        assert!(names(&["cobol"]).is_err());
    }
}
