//! A program that is started, stopped, killed and frozen, and that does not outlive us. Knows nothing of what it does.

use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, ensure};

use super::ports::until;
use crate::process::{find_program, run};

/// So long after SIGTERM a program is killed.
const STOP_TIME: Duration = Duration::from_secs(20);

/// A program, or the place where it was.
pub(crate) struct Program {
    log: PathBuf,
    child: Option<Child>,
}

impl Drop for Program {
    fn drop(&mut self) {
        self.kill();
    }
}

impl Program {
    /// One that is not started yet; what it says goes to this file.
    pub(crate) fn new(log: PathBuf) -> Self {
        Self { log, child: None }
    }

    /// Starts it.
    pub(crate) fn spawn(&mut self, command: &mut Command) -> anyhow::Result<()> {
        let mut options = std::fs::OpenOptions::new();
        let log = options.create(true).append(true).open(&self.log)?;
        let child = command
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            // Ctrl-C is for us: we stop them, one after the other.
            .process_group(0)
            .spawn()
            .with_context(|| format!("cannot start {:?}", command.get_program()))?;
        self.child = Some(child);
        Ok(())
    }

    /// Its process, while there is one.
    pub(crate) fn id(&self) -> Option<u32> {
        self.child.as_ref().map(Child::id)
    }

    /// An error if it has ended, with what it said last.
    pub(crate) fn check(&mut self) -> anyhow::Result<()> {
        let child = self.child.as_mut().context("it was not started")?;
        let ended = child.try_wait()?;
        ensure!(ended.is_none(), "it ended by itself: {}", self.said());
        Ok(())
    }

    /// The end of what it said.
    pub(crate) fn said(&self) -> String {
        let log = std::fs::read_to_string(&self.log).unwrap_or_default();
        let lines: Vec<&str> = log.lines().collect();
        lines[lines.len().saturating_sub(10)..].join("\n")
    }

    /// SIGKILL.
    pub(crate) fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            // It may have ended already, which is as good.
            _ = child.kill();
            _ = child.wait();
        }
    }

    /// SIGTERM, and waits until it has ended.
    pub(crate) fn stop(&mut self) -> anyhow::Result<()> {
        self.signal("TERM")?;
        let mut child = self.child.take().context("it was not started")?;
        let ended = until("it stops", STOP_TIME, || Ok(child.try_wait()?.is_some()));
        if ended.is_err() {
            child.kill()?;
            child.wait()?;
        }
        ended.with_context(|| self.said())
    }

    /// Any other signal.
    pub(crate) fn signal(&self, name: &str) -> anyhow::Result<()> {
        let id = self.id().context("it was not started")?;
        run(Command::new("kill").args([&format!("-{name}"), &id.to_string()]))
    }
}

/// A command for a program that the kernel ends when we end, however we do (where `setpriv` is installed).
pub(crate) fn tied(program: &Path) -> Command {
    let Some(setpriv) = find_program("setpriv") else {
        return Command::new(program);
    };
    let mut command = Command::new(setpriv);
    command.args(["--pdeathsig", "KILL"]).arg(program);
    command
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_runs_is_frozen_stopped_and_started_again() {
        let folder = tempfile::tempdir().unwrap();
        let mut program = Program::new(folder.path().join("log"));
        assert!(program.check().is_err());
        let sleep = ["-c", "echo here; exec sleep 1000"];
        program.spawn(tied(Path::new("sh")).args(sleep)).unwrap();
        program.signal("STOP").unwrap();
        program.signal("CONT").unwrap();
        program.check().unwrap();
        program.stop().unwrap();
        program.spawn(tied(Path::new("sh")).args(sleep)).unwrap();
        program.kill();
        assert!(program.check().is_err());
        let broken = ["-c", "echo broken >&2"];
        program.spawn(tied(Path::new("sh")).args(broken)).unwrap();
        until("it ends", STOP_TIME, || Ok(program.check().is_err())).unwrap();
        assert!(program.said().contains("broken"));
    }
}
