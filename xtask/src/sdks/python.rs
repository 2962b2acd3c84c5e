//! The Python SDK: a wheel by maturin, installed into a fresh environment, its types checked by mypy and its tests run by pytest.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, bail, ensure};

use super::{LIBRARY, Made, folder};
use crate::ci::Tally;
use crate::notices;
use crate::process::{
    find_program, other_python_with, output, python_tool, root, run as run_command, target_dir,
};

/// What makes the wheel. It generates the sources itself, with the workspace's generator.
const MATURIN: &str = "maturin==1.16.0";

/// The versions in which the bridge is tried: `TESTED` of `_awaited.py`, and newer ones, where it uses what asyncio documents.
const VERSIONS: &[&str] = &["3.10", "3.11", "3.12", "3.13", "3.14"];

/// What is tried in other versions than that of `python3`: what depends on Python, and not on the server.
const IN_EACH: &[&str] = &[
    "tests/test_bridge.py",
    "tests/test_cancelled.py",
    "tests/test_clients.py",
    "tests/test_exit.py",
    "tests/test_fork.py",
    "tests/test_listening.py",
    "tests/test_loops.py",
    "tests/test_package.py",
    "tests/test_pickle.py",
    "tests/test_starting.py",
];

/// What mypy reads in its strictest mode.
const TYPED: &[&str] = &["tests", "examples", "benchmarks"];

pub(super) fn missing() -> anyhow::Result<Option<String>> {
    if find_program("python3").is_none() {
        return Ok(Some(
            "python3 is not installed (apt-get install python3 python3-venv)".to_owned(),
        ));
    }
    if output(Command::new("python3").args(["-c", "import ensurepip"])).is_err() {
        return Ok(Some(
            "Python's venv is not installed (apt-get install python3-venv)".to_owned(),
        ));
    }
    Ok(None)
}

/// The wheel of this system goes to `wheels`.
pub(super) fn build(_: &Made) -> anyhow::Result<()> {
    let wheels = wheels()?;
    if wheels.exists() {
        std::fs::remove_dir_all(&wheels)?;
    }
    // `license-files` of pyproject.toml names them.
    notices::put(LIBRARY, &source().join("licences"))?;
    let maturin = python_tool("maturin", MATURIN)?;
    run_command(
        Command::new(maturin)
            .args(["build", "--quiet", "--out"])
            .arg(&wheels)
            // What maturin builds is what cargo has built already.
            .env("CARGO_TARGET_DIR", target_dir())
            .current_dir(source()),
    )
}

pub(super) fn test(made: &Made, tally: &mut Tally) -> anyhow::Result<()> {
    let python = install(Path::new("python3"), "environment", &pins())?;
    check_types(&python, &["--package", "cometql"])?;
    check_types(&python, TYPED)?;
    run_tests(made, &python, &["tests"], tally)?;
    let version = version_of(&python)?;
    for other in VERSIONS.iter().filter(|other| **other != version) {
        let Some(program) = find_python(other) else {
            println!("sdk python   skipped in Python {other}: it is not installed");
            tally.skipped += 1;
            continue;
        };
        let python = install(&program, &format!("environment-{other}"), &few_pins()?)?;
        run_tests(made, &python, IN_EACH, tally).with_context(|| format!("Python {other}"))?;
    }
    Ok(())
}

fn run_tests(made: &Made, python: &Path, what: &[&str], tally: &mut Tally) -> anyhow::Result<()> {
    let mut tests = Command::new(python);
    tests
        .args(["-m", "pytest", "-p", "no:cacheprovider", "--quiet"])
        .args(what)
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .stdout(Stdio::piped())
        .current_dir(source());
    made.give(&mut tests)?;
    let ended = tests.output().context("cannot start pytest")?;
    let report = String::from_utf8_lossy(&ended.stdout);
    print!("{report}");
    count(&report, tally);
    if !ended.status.success() {
        bail!("pytest ended with {}", ended.status);
    }
    Ok(())
}

/// What a publication costs, against PyMySQL.
pub(super) fn measure(made: &Made) -> anyhow::Result<()> {
    let python = install(Path::new("python3"), "environment", &pins())?;
    let mut benchmark = Command::new(python);
    benchmark
        .args(["benchmarks/publish.py", "--check"])
        .current_dir(source());
    made.give(&mut benchmark)?;
    run_command(&mut benchmark)
}

fn check_types(python: &Path, what: &[&str]) -> anyhow::Result<()> {
    run_command(
        Command::new(python)
            .args(["-m", "mypy", "--strict", "--cache-dir"])
            .arg(folder("python")?.join("mypy"))
            .args(what)
            .current_dir(source()),
    )
}

fn source() -> PathBuf {
    root().join("sdks/python")
}

fn wheels() -> anyhow::Result<PathBuf> {
    Ok(folder("python")?.join("wheels"))
}

/// What the tests need.
fn pins() -> PathBuf {
    source().join("tests/requirements.txt")
}

/// The part of it that [`IN_EACH`] needs.
fn few_pins() -> anyhow::Result<PathBuf> {
    let all = std::fs::read_to_string(pins())?;
    let few: Vec<_> = all
        .lines()
        .filter(|pin| pin.starts_with("pytest"))
        .collect();
    let file = folder("python")?.join("few-requirements.txt");
    std::fs::write(&file, few.join("\n") + "\n")?;
    Ok(file)
}

/// A Python of that version that can make environments. pyenv's are there without being in the PATH.
fn find_python(version: &str) -> Option<PathBuf> {
    let mut found: Vec<_> = find_program(&format!("python{version}"))
        .into_iter()
        .collect();
    let home = std::env::var_os("HOME").map(PathBuf::from);
    if let Some(versions) = home.and_then(|home| home.join(".pyenv/versions").read_dir().ok()) {
        for folder in versions.flatten() {
            if folder
                .file_name()
                .to_string_lossy()
                .starts_with(&format!("{version}."))
            {
                found.push(folder.path().join("bin/python3"));
            }
        }
    }
    found.into_iter().find(|python| {
        output(Command::new(python).args(["-c", "import ensurepip"])).is_ok()
            && version_of(python).is_ok_and(|found| found == version)
    })
}

/// `3.11`.
fn version_of(python: &Path) -> anyhow::Result<String> {
    const SCRIPT: &str = "import sys; print('%d.%d' % sys.version_info[:2])";
    let told = output(Command::new(python).args(["-c", SCRIPT]))?;
    Ok(told.trim().to_owned())
}

/// The wheel in an environment that has nothing else; what tests need is beside it, from the cache.
fn install(program: &Path, name: &str, pins: &Path) -> anyhow::Result<PathBuf> {
    let cached = name.replace("environment", "sdks-python");
    let tools = other_python_with(program, &cached, pins)?;
    let environment = folder("python")?.join(name);
    run_command(
        Command::new(program)
            .args(["-m", "venv", "--clear"])
            .arg(&environment),
    )?;
    let python = environment.join("bin/python");
    run_command(
        Command::new(&python)
            .args(["-m", "pip", "install", "--quiet", "--no-index"])
            .arg("--disable-pip-version-check")
            .arg(wheel(&wheels()?)?),
    )?;
    let beside = packages_of(&tools)?;
    let link = packages_of(&python)?.join("tools.pth");
    std::fs::write(link, format!("{}\n", beside.display()))?;
    Ok(python)
}

fn wheel(folder: &Path) -> anyhow::Result<PathBuf> {
    let files = std::fs::read_dir(folder).with_context(|| folder.display().to_string())?;
    let mut found = Vec::new();
    for file in files {
        found.push(file?.path());
    }
    found.retain(|file| file.extension().is_some_and(|ending| ending == "whl"));
    ensure!(found.len() == 1, "expected one wheel, found {found:?}");
    Ok(found.remove(0))
}

/// Where a Python keeps its packages.
fn packages_of(python: &Path) -> anyhow::Result<PathBuf> {
    const SCRIPT: &str = "import sysconfig; print(sysconfig.get_path('purelib'))";
    Ok(output(Command::new(python).args(["-c", SCRIPT]))?
        .trim()
        .into())
}

/// Adds the last line of pytest's report: `2 failed, 31 passed, 1 skipped in 12.34s`.
fn count(report: &str, tally: &mut Tally) {
    let last = report.lines().rev().find(|line| line.contains(" in "));
    let words: Vec<&str> = last.unwrap_or_default().split([' ', ',']).collect();
    let words: Vec<&str> = words.into_iter().filter(|word| !word.is_empty()).collect();
    for pair in words.windows(2) {
        let Ok(number) = pair[0].parse::<usize>() else {
            continue;
        };
        match pair[1] {
            "passed" => tally.passed += number,
            "failed" | "error" | "errors" => tally.failed += number,
            "skipped" => tally.skipped += number,
            _ => {}
        }
    }
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
    fn what_pytest_says_is_counted() {
        check("..s.\n31 passed, 1 skipped in 12.34s\n", (31, 0, 1));
        check(
            "FAILED a - 3 passed\n2 failed, 1 passed, 1 error in 0.12s\n",
            (1, 3, 0),
        );
        check("no tests ran in 0.01s\n", (0, 0, 0));
    }
}
