//! The Kotlin SDK: a jar by Maven, installed into the Maven repository of the cache, from where its examples take it.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, bail};

use super::{LIBRARY, Made, folder, generate, pages};
use crate::ci::Tally;
use crate::notices;
use crate::process::{cache_dir, find_program, output, root, run as run_command};

/// Projects that use the installed jar, each with tests that run it.
const EXAMPLES: &[&str] = &["publish", "ktor"];

pub(super) fn missing() -> anyhow::Result<Option<String>> {
    if find_program("mvn").is_none() {
        return Ok(Some(
            "Maven is not installed (apt-get install maven default-jdk-headless)".to_owned(),
        ));
    }
    let said = output(Command::new("mvn").arg("--version")).unwrap_or_default();
    if java(&said).is_none_or(|version| version < 17) {
        return Ok(Some(
            "Java 17 is not installed (apt-get install default-jdk-headless)".to_owned(),
        ));
    }
    Ok(None)
}

/// The jar goes to `build`, and with its pom to the Maven repository of the cache.
pub(super) fn build(made: &Made) -> anyhow::Result<()> {
    let folder = folder("kotlin")?;
    // Classes of sources that are no longer there.
    let old = folder.join("build");
    if old.exists() {
        std::fs::remove_dir_all(&old)?;
    }
    let generated = folder.join("generated");
    generate(made, "kotlin", &generated)?;
    hide_all(&generated)?;
    let natives = folder.join("natives");
    library(made, &natives)?;
    notices::put(LIBRARY, &natives.join("META-INF"))?;
    // An example must not find what another build left there.
    let installed = repository()?.join("com/cometql");
    if installed.exists() {
        std::fs::remove_dir_all(&installed)?;
    }
    run_command(maven(&source(), &folder)?.args(["--quiet", "-DskipTests", "install"]))
}

pub(super) fn test(made: &Made, tally: &mut Tally) -> anyhow::Result<()> {
    pages::check("kotlin")?;
    let folder = folder("kotlin")?;
    // The classes of the tests were compiled for the jar.
    run_tests(made, maven(&source(), &folder)?.arg("surefire:test"), tally)?;
    for example in EXAMPLES {
        let project = source().join("examples").join(example);
        let made_for = folder.join("examples").join(example);
        run_tests(made, maven(&project, &made_for)?.arg("test"), tally)?;
    }
    Ok(())
}

fn source() -> PathBuf {
    root().join("sdks/kotlin")
}

/// All that Maven fetches and installs.
fn repository() -> anyhow::Result<PathBuf> {
    Ok(cache_dir()?.join("maven"))
}

/// Maven on a project, which leaves everything that it makes in the folder.
fn maven(project: &Path, folder: &Path) -> anyhow::Result<Command> {
    let mut command = Command::new("mvn");
    command
        .args(["--batch-mode", "--no-transfer-progress"])
        .arg(format!("-Dmaven.repo.local={}", repository()?.display()))
        .arg(format!("-Drevision={}", env!("CARGO_PKG_VERSION")))
        .arg(format!("-Dcometql.made={}", folder.display()))
        // A compiler that stays behind as a daemon keeps gigabytes for hours.
        .arg("-Dkotlin.compiler.daemon=false")
        // Cargo has put its own library there, which JNA would prefer to the one in the jar.
        .env_remove("LD_LIBRARY_PATH")
        .current_dir(project);
    Ok(command)
}

/// How the names begin of what the generator makes for itself, and makes public.
const MACHINERY: &[&str] = &[
    "Disposable",
    "FfiConverter",
    "Native",
    "NoHandle",
    "RustBuffer",
    "Uniffi",
    "uniffi",
];

/// Hides the generator's machinery in all generated files.
fn hide_all(folder: &Path) -> anyhow::Result<()> {
    for entry in std::fs::read_dir(folder).with_context(|| folder.display().to_string())? {
        let path = entry?.path();
        if path.is_dir() {
            hide_all(&path)?;
        } else {
            let source = std::fs::read_to_string(&path)?;
            std::fs::write(&path, hidden(&source))?;
        }
    }
    Ok(())
}

/// The same source, in which the machinery is internal.
fn hidden(source: &str) -> String {
    let lines = source.lines().map(|line| {
        let bare = line.strip_prefix("public ").unwrap_or(line);
        // What handles errors is a part of the public exception; what frees things goes by its receiver.
        let inner = bare
            .trim_start()
            .starts_with("companion object ErrorHandler");
        let frees = bare.starts_with("inline fun <T : Disposable?");
        if inner || frees || declared(bare).is_some_and(is_machinery) {
            format!("internal {}\n", bare.trim_start())
        } else {
            format!("{line}\n")
        }
    });
    lines.collect()
}

/// The name that a line declares which is not indented.
fn declared(line: &str) -> Option<&str> {
    let line = line.strip_prefix("open ").unwrap_or(line);
    let mut words = line.splitn(2, ' ');
    let is_declaration = matches!(words.next()?, "object" | "interface" | "class" | "fun");
    words.next().filter(|_| is_declaration)
}

fn is_machinery(name: &str) -> bool {
    MACHINERY.iter().any(|begins| name.starts_with(begins))
}

/// The native library where JNA looks for it in a jar.
fn library(made: &Made, natives: &Path) -> anyhow::Result<()> {
    let folder = natives.join(platform());
    std::fs::create_dir_all(&folder)?;
    let name = made.library.file_name().context("a library has a name")?;
    let target = folder.join(name);
    std::fs::copy(&made.library, &target)?;
    // Symbols are for the generator only.
    if cfg!(target_os = "linux") && find_program("strip").is_some() {
        run_command(Command::new("strip").arg("--strip-unneeded").arg(&target))?;
    }
    Ok(())
}

/// As JNA calls the platform that this was built for.
fn platform() -> String {
    let system = match std::env::consts::OS {
        "macos" => "darwin",
        "windows" => "win32",
        other => other,
    };
    let processor = match std::env::consts::ARCH {
        "x86_64" => "x86-64",
        other => other,
    };
    format!("{system}-{processor}")
}

fn run_tests(made: &Made, maven: &mut Command, tally: &mut Tally) -> anyhow::Result<()> {
    made.give(maven)?;
    let ended = maven
        .stdout(Stdio::piped())
        .spawn()
        .and_then(std::process::Child::wait_with_output)
        .context("cannot start mvn")?;
    let report = String::from_utf8_lossy(&ended.stdout);
    let news = |line: &&str| !line.starts_with("[INFO]") || line.contains("Tests run:");
    for line in report.lines().filter(news) {
        println!("{line}");
    }
    count(&report, tally);
    if !ended.status.success() {
        bail!("mvn ended with {}", ended.status);
    }
    Ok(())
}

/// Adds the sum that surefire prints last: `[INFO] Tests run: 3, Failures: 0, Errors: 0, Skipped: 1`.
fn count(report: &str, tally: &mut Tally) {
    let sums = |line: &&str| line.contains("Tests run:") && !line.contains("Time elapsed");
    let Some(sum) = report.lines().rev().find(sums) else {
        return;
    };
    let number = |name: &str| -> usize {
        let rest = sum.split(name).nth(1).unwrap_or_default();
        let digits = rest.trim_start_matches([':', ' ']).split(',').next();
        digits
            .and_then(|word| word.trim().parse().ok())
            .unwrap_or(0)
    };
    let (failed, skipped) = (number("Failures") + number("Errors"), number("Skipped"));
    tally.failed += failed;
    tally.skipped += skipped;
    tally.passed += number("Tests run") - failed - skipped;
}

/// The version of Java that Maven runs on: `Java version: 17.0.15, vendor: …`.
fn java(said: &str) -> Option<u32> {
    let version = said.split("Java version: ").nth(1)?;
    version.split(['.', ',']).next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_surefire_says_is_counted() {
        let mut tally = Tally::default();
        count(
            "[INFO] Tests run: 2, Failures: 0, Errors: 0, Skipped: 0, Time elapsed: 1 s -- in A\n\
             [ERROR] Tests run: 9, Failures: 1, Errors: 2, Skipped: 1\n[INFO] BUILD\n",
            &mut tally,
        );
        assert_eq!((tally.passed, tally.failed, tally.skipped), (5, 3, 1));
        count("nothing", &mut tally);
        assert_eq!(tally.passed, 5);
    }

    #[test]
    fn only_the_generators_machinery_is_hidden() {
        let check = |line: &str, expected: &str| assert_eq!(hidden(line), format!("{expected}\n"));
        check(
            "open class NativeClient: Disposable",
            "internal open class NativeClient: Disposable",
        );
        check(
            "public object FfiConverterULong: X {",
            "internal object FfiConverterULong: X {",
        );
        check("object NoHandle", "internal object NoHandle");
        check(
            "    companion object ErrorHandler : X {",
            "internal companion object ErrorHandler : X {",
        );
        for same in [
            "data class Options (",
            "    fun uniffiCloneHandle(): Long {",
            "internal object UniffiLib {",
            "// object Uniffi",
        ] {
            check(same, same);
        }
    }

    #[test]
    fn javas_version_is_read() {
        let said = "Apache Maven 3.8.7\nJava version: 17.0.15, vendor: Debian, runtime: /usr\n";
        assert_eq!(java(said), Some(17));
        assert_eq!(java("Java version: 21, vendor: x"), Some(21));
        assert_eq!(java("The JAVA_HOME variable is wrong"), None);
    }
}
