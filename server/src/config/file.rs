//! From text to [`Config`]: says what is wrong on which line, and what may have been meant.

use std::path::{Path, PathBuf};

use super::Config;
use super::environment;

/// Why a configuration is refused.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file can't be read.
    #[error("can't read {}: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The text is no TOML, or has a wrong key or value.
    #[error("{place}: {problem}")]
    Wrong {
        /// File and line, or the variable.
        place: String,
        /// What is wrong and what may help.
        problem: String,
    },
    /// Values that don't fit together; one line for each.
    #[error("{}", .0.join("\n"))]
    Check(Vec<String>),
}

/// The configuration of a file (`None` = all defaults) with these environment variables over it.
///
/// # Errors
/// See [`ConfigError`]; what only [`Config::check`] finds is not among them.
pub fn load(
    file: Option<&Path>,
    variables: impl Iterator<Item = (String, String)>,
) -> Result<Config, ConfigError> {
    let (name, text) = match file {
        None => (String::new(), String::new()),
        Some(path) => {
            let text = std::fs::read_to_string(path).map_err(|source| ConfigError::Read {
                path: path.to_owned(),
                source,
            })?;
            (path.display().to_string(), text)
        }
    };
    let config = parse(&name, &text)?;
    environment::apply(config, variables)
}

/// Reads a configuration's text; `name` is what errors call it.
///
/// # Errors
/// When the text is no TOML, or has an unknown key or a wrong value.
pub fn parse(name: &str, text: &str) -> Result<Config, ConfigError> {
    toml::from_str(text).map_err(|error| ConfigError::Wrong {
        place: match error.span() {
            Some(span) => format!("{name}:{}", line_of(text, span.start)),
            None => name.to_owned(),
        },
        problem: with_suggestion(error.message()),
    })
}

fn line_of(text: &str, offset: usize) -> usize {
    text.bytes().take(offset).filter(|b| *b == b'\n').count() + 1
}

/// serde says ``unknown field `a`, expected one of `b`, `c` ``; people want to know which of them they meant.
pub(super) fn with_suggestion(message: &str) -> String {
    let mut names = message.split('`').skip(1).step_by(2);
    let unknown = message.starts_with("unknown field") || message.starts_with("unknown variant");
    let Some(wrong) = names.next().filter(|_| unknown) else {
        return message.to_owned();
    };
    let what = if message.starts_with("unknown field") {
        "key"
    } else {
        "value"
    };
    let known: Vec<_> = names.collect();
    match closest(wrong, known.iter().copied()) {
        Some(meant) => format!("unknown {what} `{wrong}`: did you mean `{meant}`?"),
        None => format!("unknown {what} `{wrong}`: known are {}", known.join(", ")),
    }
}

pub(super) fn closest<'a>(wrong: &str, known: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let scored = known.map(|name| (strsim::jaro_winkler(wrong, name), name));
    let best = scored.max_by(|a, b| a.0.total_cmp(&b.0))?;
    (best.0 > 0.8).then_some(best.1)
}
