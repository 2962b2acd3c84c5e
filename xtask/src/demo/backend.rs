//! The demos' backend: the same in Python and in PHP, whichever this machine can run.

use std::path::Path;
use std::process::{Command, Stdio};

use crate::process::{cache_dir, find_program, root};

/// A shell command that runs it, if there is something that can. Nothing is installed for it.
pub(super) fn find() -> anyhow::Result<Option<String>> {
    let tests = cache_dir()?.join("clients-python/bin/python");
    let installed = find_program("python3");
    let can = |python: &Path| succeeds(Command::new(python).args(["-c", "import pymysql"]));
    for interpreter in [Some(tests), installed].into_iter().flatten() {
        if can(&interpreter) {
            return Ok(Some(python(&interpreter)));
        }
    }
    let able = "exit(PHP_VERSION_ID >= 80200 && extension_loaded('mysqli') && extension_loaded('pdo_sqlite') ? 0 : 1);";
    let can = succeeds(Command::new("php").args(["-r", able]));
    Ok(can.then(php))
}

/// The one in Python.
pub(crate) fn python(interpreter: &Path) -> String {
    let script = root().join("demo/backend/backend.py");
    format!("exec {} -B {}", quote(interpreter), quote(&script))
}

/// The one in PHP, in PHP's own web server.
pub(crate) fn php() -> String {
    let script = root().join("demo/backend/backend.php");
    format!("exec php -q -S \"$LISTEN\" {}", quote(&script))
}

fn succeeds(command: &mut Command) -> bool {
    let silent = command.stdout(Stdio::null()).stderr(Stdio::null());
    silent.status().is_ok_and(|status| status.success())
}

/// As one word for the shell.
fn quote(path: &Path) -> String {
    format!("'{}'", path.display().to_string().replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_path_is_one_word() {
        let word = quote(Path::new("/it's a/path"));
        let said =
            crate::process::output(Command::new("sh").args(["-c", &format!("printf %s {word}")]));
        assert_eq!(said.unwrap(), "/it's a/path");
    }
}
