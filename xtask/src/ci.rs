//! `cargo xtask ci`: the steps, how they are timed, and what is said at the end. What a step does is in `ci/steps.rs`.

use std::time::{Duration, Instant};

use anyhow::bail;

mod steps;
mod tests_run;

use steps::{STEPS, Step};

/// Which steps, and how strict.
#[derive(clap::Args)]
pub(crate) struct Options {
    /// Runs only these steps, for example `--only fmt,tidy`.
    #[arg(long, value_delimiter = ',')]
    only: Vec<String>,
    /// A step that is skipped because something is missing counts as failed. `COMETQL_CI_REQUIRE=all` does the same, also
    /// for parts of a step.
    #[arg(long)]
    require_all: bool,
}

/// How a step or a test ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Ending {
    /// As it should.
    Passed,
    /// Says what is wrong.
    Failed(String),
    /// Says what is missing and how to get it.
    Skipped(String),
}

/// Numbers of single tests.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Tally {
    /// Tests that passed.
    pub(crate) passed: usize,
    /// Tests that failed.
    pub(crate) failed: usize,
    /// Tests that were not run.
    pub(crate) skipped: usize,
}

impl Tally {
    /// Counts one ending.
    pub(crate) fn count(&mut self, ending: &Ending) {
        match ending {
            Ending::Passed => self.passed += 1,
            Ending::Failed(_) => self.failed += 1,
            Ending::Skipped(_) => self.skipped += 1,
        }
    }

    /// Adds what the last lines of Node's report (TAP) say.
    pub(crate) fn count_in_node(&mut self, report: &str) {
        let number = |name: &str| -> usize {
            let mut lines = report.lines();
            let line = lines.find_map(|line| line.strip_prefix("# ")?.strip_prefix(name));
            line.and_then(|number| number.trim().parse().ok())
                .unwrap_or(0)
        };
        self.passed += number("pass ");
        self.failed += number("fail ");
        self.skipped += number("skipped ");
    }

    fn add(&mut self, other: Self) {
        self.passed += other.passed;
        self.failed += other.failed;
        self.skipped += other.skipped;
    }
}

impl std::fmt::Display for Tally {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "{} passed, {} failed, {} skipped",
            self.passed, self.failed, self.skipped
        )
    }
}

/// Whether what is missing here is a failure.
pub(crate) fn nothing_may_be_skipped() -> bool {
    std::env::var("COMETQL_CI_REQUIRE").is_ok_and(|value| value == "all")
}

struct Finished {
    name: &'static str,
    ending: Ending,
    time: Duration,
}

/// Runs the steps one after the other, all of them even when one fails, and fails if any did.
pub(crate) fn run(options: &Options) -> anyhow::Result<()> {
    let strict = options.require_all || nothing_may_be_skipped();
    let chosen = choose(&options.only)?;
    let mut tests = Tally::default();
    let finished: Vec<Finished> = chosen
        .into_iter()
        .map(|step| run_step(step, strict, &mut tests))
        .collect();
    let mut total = Tally::default();
    println!("\n== summary");
    for step in &finished {
        total.count(&step.ending);
        println!("{}", line(step));
    }
    println!("tests: {tests}");
    println!("steps: {total}");
    if total.failed > 0 {
        bail!("{} of {} steps failed", total.failed, finished.len());
    }
    Ok(())
}

fn choose(only: &[String]) -> anyhow::Result<Vec<&'static Step>> {
    if let Some(unknown) = only
        .iter()
        .find(|name| STEPS.iter().all(|step| step.name != name.as_str()))
    {
        let names: Vec<_> = STEPS.iter().map(|step| step.name).collect();
        bail!(
            "no step is called {unknown}; there are {}",
            names.join(", ")
        );
    }
    Ok(STEPS
        .iter()
        .filter(|step| only.is_empty() || only.iter().any(|name| name == step.name))
        .collect())
}

fn run_step(step: &Step, strict: bool, tests: &mut Tally) -> Finished {
    println!("\n== {}", step.name);
    let start = Instant::now();
    let mut tally = Tally::default();
    let ending = match (step.run)(&mut tally) {
        Ok(Ending::Skipped(why)) if strict => {
            Ending::Failed(format!("{why} (and nothing may be skipped here)"))
        }
        Ok(ending) => ending,
        Err(error) => Ending::Failed(format!("{error:#}")),
    };
    tests.add(tally);
    let finished = Finished {
        name: step.name,
        ending,
        time: start.elapsed(),
    };
    println!("{}", line(&finished));
    finished
}

fn line(step: &Finished) -> String {
    let (word, why) = match &step.ending {
        Ending::Passed => ("passed", String::new()),
        Ending::Failed(why) => ("FAILED", format!(": {why}")),
        Ending::Skipped(why) => ("skipped", format!(": {why}")),
    };
    format!(
        "{:8} {:8} {:6.1} s{why}",
        step.name,
        word,
        step.time.as_secs_f64()
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn node_tells_how_many_passed() {
        let mut tally = Tally::default();
        tally.count_in_node("# Subtest: pass\n# pass 2\n# fail 1\n# skipped 3\n");
        assert_eq!(tally.to_string(), "2 passed, 1 failed, 3 skipped");
    }

    #[test]
    fn only_known_steps_can_be_chosen() {
        let names = |only: &[&str]| {
            let only: Vec<_> = only.iter().map(ToString::to_string).collect();
            choose(&only).map(|steps| steps.iter().map(|step| step.name).collect::<Vec<_>>())
        };
        assert_eq!(names(&["tidy", "fmt"]).unwrap(), ["fmt", "tidy"]);
        assert_eq!(names(&[]).unwrap().len(), STEPS.len());
        assert!(names(&["fnt"]).is_err());
    }

    #[test]
    fn what_is_missing_fails_only_where_nothing_may_be_skipped() {
        let step = Step {
            name: "x",
            run: |_| Ok(Ending::Skipped("no x".into())),
        };
        let mut tests = Tally::default();
        assert_eq!(
            run_step(&step, false, &mut tests).ending,
            Ending::Skipped("no x".into())
        );
        assert!(matches!(
            run_step(&step, true, &mut tests).ending,
            Ending::Failed(_)
        ));
    }
}
