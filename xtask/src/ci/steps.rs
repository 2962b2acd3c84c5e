//! The steps of `cargo xtask ci`, in the order in which they find mistakes soonest.

use super::{Ending, Tally, tests_run};
use crate::clients;
use crate::cluster;
use crate::crash;
use crate::faults;
use crate::fuzz;
use crate::package;
use crate::process::{cargo, find_program, python_tool, root, run};
use crate::sdks;
use crate::simulate;
use crate::tidy;
use crate::wasm;

/// One step.
pub(super) struct Step {
    /// As `--only` names it.
    pub(super) name: &'static str,
    /// Does it; a step that runs tests adds them to the tally.
    pub(super) run: fn(&mut Tally) -> anyhow::Result<Ending>,
}

/// All steps.
pub(super) const STEPS: &[Step] = &[
    Step {
        name: "fmt",
        run: |_| passed(run(&mut cargo(&["fmt", "--all", "--check"]))),
    },
    Step {
        name: "tidy",
        run: |_| passed(tidy::run()),
    },
    Step {
        name: "typos",
        run: |_| typos(),
    },
    Step {
        name: "clippy",
        run: |_| {
            passed(run(
                cargo(&["clippy", "--workspace", "--all-targets"]).args(["--", "-D", "warnings"])
            ))
        },
    },
    Step {
        name: "wasm",
        run: wasm::step,
    },
    Step {
        name: "npm",
        run: package::step,
    },
    Step {
        name: "docs",
        run: |_| {
            passed(run(
                cargo(&["doc", "--workspace", "--no-deps"]).env("RUSTDOCFLAGS", "-D warnings")
            ))
        },
    },
    Step {
        name: "deny",
        run: |_| {
            with_tool(
                "cargo-deny",
                "cargo install cargo-deny",
                &["--offline", "check", "licenses", "bans", "sources"],
            )
        },
    },
    Step {
        name: "tests",
        run: tests_run::run_all,
    },
    Step {
        name: "simulate",
        run: |_| passed(simulate::step()),
    },
    Step {
        name: "planted",
        run: |_| passed(simulate::planted()),
    },
    Step {
        name: "fuzz",
        run: |_| passed(fuzz::step()),
    },
    Step {
        name: "crash",
        run: |_| passed(crash::step()),
    },
    Step {
        name: "cluster",
        run: cluster::step,
    },
    Step {
        name: "faults",
        run: |_| faults::step(),
    },
    Step {
        name: "sdks",
        run: sdks::step,
    },
    Step {
        name: "clients",
        run: clients::step,
    },
];

fn passed(result: anyhow::Result<()>) -> anyhow::Result<Ending> {
    result.map(|()| Ending::Passed)
}

fn with_tool(name: &str, how_to_get: &str, arguments: &[&str]) -> anyhow::Result<Ending> {
    let Some(program) = find_program(name) else {
        return Ok(Ending::Skipped(format!(
            "{name} is not installed ({how_to_get})"
        )));
    };
    passed(run(std::process::Command::new(program)
        .args(arguments)
        .current_dir(root())))
}

/// The installed one, else PyPI's build of it in the cache.
fn typos() -> anyhow::Result<Ending> {
    let program = match find_program("typos") {
        Some(program) => program,
        None => match python_tool("typos", "typos==1.52.0") {
            Ok(program) => program,
            Err(error) => {
                return Ok(Ending::Skipped(format!(
                    "typos can't be installed: {error:#}"
                )));
            }
        },
    };
    passed(run(std::process::Command::new(program).current_dir(root())))
}
