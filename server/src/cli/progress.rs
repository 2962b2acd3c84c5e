//! How far a long command has come: a bar at a terminal, else a line now and then. To standard error.

use std::io::{IsTerminal as _, Write as _};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};

use crate::cluster::moving::{Part, Step};

/// How often a line is printed where there is no terminal.
const LINE_EVERY: Duration = Duration::from_secs(5);

/// What is shown of a command that moves data.
pub(super) struct Progress(Mutex<Shown>);

struct Shown {
    at_terminal: bool,
    bar: ProgressBar,
    part: Option<Part>,
    line: Option<Instant>,
}

impl Default for Progress {
    fn default() -> Self {
        Self(Mutex::new(Shown {
            at_terminal: std::io::stderr().is_terminal(),
            bar: ProgressBar::hidden(),
            part: None,
            line: None,
        }))
    }
}

impl Progress {
    /// Shows a step.
    pub(super) fn tell(&self, step: Step) {
        let mut shown = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if shown.at_terminal {
            shown.draw(step);
        } else {
            shown.print(step);
        }
    }

    /// The last step was told.
    pub(super) fn end(&self) {
        let shown = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        shown.bar.finish_and_clear();
    }
}

impl Shown {
    fn draw(&mut self, Step { part, done, of }: Step) {
        if self.part != Some(part) {
            self.bar.finish_and_clear();
            self.bar = ProgressBar::new(of)
                .with_style(style())
                .with_prefix(part.name());
            self.part = Some(part);
        }
        self.bar.set_position(done);
    }

    fn print(&mut self, Step { part, done, of }: Step) {
        let is_due = self.line.is_none_or(|last| last.elapsed() >= LINE_EVERY);
        let is_news = self.part != Some(part) && of > 0;
        if !is_due && !is_news {
            return;
        }
        (self.part, self.line) = (Some(part), Some(Instant::now()));
        // Who closed it does not want to read.
        _ = writeln!(std::io::stderr(), "{}: {done} of {of}", part.name());
    }
}

fn style() -> ProgressStyle {
    let line = "{prefix:15} {bar:30} {human_pos} of {human_len}, {per_sec}, {eta} left";
    ProgressStyle::with_template(line).expect("a valid template")
}
