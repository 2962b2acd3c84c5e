//! The Swift SDK: a SwiftPM package with the generated sources and the native library, built and tested by a toolchain that is
//! fetched where there is none.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, bail, ensure};

use super::swift_toolchain::Toolchain;
use super::{LIBRARY, Made, folder, generate, pages};
use crate::ci::Tally;
use crate::notices;
use crate::process::{root, run as run_command};

/// A package that uses the built one, and the program in it.
const EXAMPLE: &str = "publish";

pub(super) fn missing() -> anyhow::Result<Option<String>> {
    if !cfg!(target_os = "linux") {
        return Ok(Some(
            "the package for Apple's systems is made by hand: docs-site/sdks/swift.md".to_owned(),
        ));
    }
    Ok(Toolchain::get()?.err())
}

/// The whole package goes to `package`.
pub(super) fn build(made: &Made) -> anyhow::Result<()> {
    let package = package()?;
    // SwiftPM does not see that the library is another one, and would not link again.
    for old in [package.clone(), scratch("".as_ref())?] {
        if old.exists() {
            std::fs::remove_dir_all(&old)?;
        }
    }
    copy_all(&root().join("sdks/swift"), &package)?;
    let generated = folder("swift")?.join("generated");
    generate(made, "swift", &generated)?;
    let sources = package.join("Sources/CometQL/Generated");
    std::fs::create_dir_all(&sources)?;
    let header = package.join("Sources/CometQLFFI/CometQLFFI.h");
    std::fs::copy(
        generated.join("CometQL.swift"),
        sources.join("CometQL.swift"),
    )?;
    std::fs::copy(generated.join("CometQLFFI.h"), header)?;
    library(made, &package.join("lib"))?;
    notices::put(LIBRARY, &package)?;
    run_command(swift(&package, "build")?.arg("--quiet"))
}

pub(super) fn test(made: &Made, tally: &mut Tally) -> anyhow::Result<()> {
    pages::check("swift")?;
    let package = package()?;
    let example = package.join("Examples").join(EXAMPLE);
    run_command(swift(&example, "build")?.arg("--quiet"))?;
    let mut tests = swift(&package, "test")?;
    tests.env(
        "COMETQL_EXAMPLE",
        scratch(EXAMPLE.as_ref())?.join("debug").join(EXAMPLE),
    );
    made.give(&mut tests)?;
    let ended = tests
        .stdout(Stdio::piped())
        .spawn()
        .and_then(std::process::Child::wait_with_output)
        .context("cannot start swift")?;
    let report = String::from_utf8_lossy(&ended.stdout);
    let dull = |line: &&str| line.contains("' started") || line.starts_with('[');
    for line in report.lines().filter(|line| !dull(line)) {
        println!("{line}");
    }
    count(&report, tally);
    if !ended.status.success() {
        bail!("swift test ended with {}", ended.status);
    }
    Ok(())
}

fn package() -> anyhow::Result<PathBuf> {
    Ok(folder("swift")?.join("package"))
}

/// What SwiftPM has built of a package.
fn scratch(package: &Path) -> anyhow::Result<PathBuf> {
    Ok(folder("swift")?.join("build").join(package))
}

/// `swift build` or `swift test` of a package, which finds the native library by pkg-config's file.
fn swift(package: &Path, what: &str) -> anyhow::Result<Command> {
    let toolchain = match Toolchain::get()? {
        Ok(toolchain) => toolchain,
        Err(why) => bail!(why),
    };
    let mut command = toolchain.swift(package);
    let name = package.file_name().context("a package has a name")?;
    command
        .arg(what)
        // What is built stays out of the package, which is what users get.
        .arg("--scratch-path")
        .arg(scratch(name.as_ref())?)
        // It would need rights that a container has not, and everything that runs is ours.
        .arg("--disable-sandbox")
        .env("PKG_CONFIG_PATH", self::package()?.join("lib"));
    Ok(command)
}

/// The static library, so that programs need no other file, and what tells SwiftPM where it lies.
fn library(made: &Made, lib: &Path) -> anyhow::Result<()> {
    std::fs::create_dir_all(lib)?;
    let name = "libcometql_sdk.a";
    let archive = made.library.with_file_name(name);
    ensure!(archive.is_file(), "cargo left no {}", archive.display());
    let target = lib.join(name);
    std::fs::copy(archive, &target)?;
    run_command(Command::new("strip").arg("--strip-debug").arg(&target))?;
    std::fs::write(lib.join("cometql-sdk.pc"), pkg_config())?;
    Ok(())
}

/// The libraries of the system are those that the Rust library needs.
fn pkg_config() -> String {
    format!(
        "Name: cometql-sdk\nDescription: the native library of CometQL's Swift package\nVersion: {}\n\
         Libs: -L${{pcfiledir}} -lcometql_sdk -lgcc_s -lm -lpthread -ldl\n",
        env!("CARGO_PKG_VERSION")
    )
}

/// Files and folders, but not what SwiftPM has built in them.
fn copy_all(from: &Path, to: &Path) -> anyhow::Result<()> {
    std::fs::create_dir_all(to)?;
    for entry in std::fs::read_dir(from).with_context(|| from.display().to_string())? {
        let entry = entry?;
        let (path, target) = (entry.path(), to.join(entry.file_name()));
        if !path.is_dir() {
            std::fs::copy(&path, &target)?;
        } else if entry.file_name() != ".build" {
            copy_all(&path, &target)?;
        }
    }
    Ok(())
}

/// Adds what XCTest says of all suites: `Executed 5 tests, with 1 test skipped and 2 failures (0 unexpected) in …`.
fn count(report: &str, tally: &mut Tally) {
    let Some(line) = report.lines().rev().find(|line| line.contains("Executed ")) else {
        return;
    };
    let words: Vec<&str> = line.split_whitespace().collect();
    let (mut all, mut failed, mut skipped) = (0, 0, 0);
    for (at, word) in words.iter().enumerate() {
        let Ok(number) = word.parse::<usize>() else {
            continue;
        };
        match words.get(at + 1..).unwrap_or_default() {
            ["test", "skipped", ..] | ["tests", "skipped", ..] => skipped = number,
            ["test," | "tests,", ..] => all = number,
            ["failure" | "failures", ..] => failed = number,
            _ => {}
        }
    }
    tally.failed += failed;
    tally.skipped += skipped;
    // One test can fail several times.
    tally.passed += all.saturating_sub(failed + skipped);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(report: &str, expected: (usize, usize, usize)) {
        let mut tally = Tally::default();
        count(report, &mut tally);
        assert_eq!((tally.passed, tally.failed, tally.skipped), expected);
    }

    #[test]
    fn what_xctest_says_is_counted() {
        check(
            "\t Executed 1 test, with 1 failure (0 unexpected) in 0.1 (0.1) seconds\n\
             \t Executed 7 tests, with 0 failures (0 unexpected) in 0.4 (0.4) seconds\n◇ Test run started.\n",
            (7, 0, 0),
        );
        check(
            "Executed 5 tests, with 1 test skipped and 2 failures (0 unexpected) in 1.0 (1.0) seconds",
            (2, 2, 1),
        );
        check("", (0, 0, 0));
    }
}
