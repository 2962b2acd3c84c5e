//! Environment variables over the file: `COMETQL_HTTP_LISTEN` is `listen` in `[http]`.

use toml::{Table, Value};

use super::Config;
use super::file::{ConfigError, closest, with_suggestion};

const PREFIX: &str = "COMETQL_";

/// Variables that flags read themselves.
const FLAGS: &[&str] = &[
    "COMETQL_CONFIG",
    "COMETQL_PASSWORD",
    "COMETQL_PASSWORD_FILE",
];

/// Puts variables over a configuration. Lists are separated by commas; `[tenants]`, `[[jwt_keys]]` and `[[channels]]`
/// live in the file only. A variable that is nothing of ours is reported, not refused: container platforms invent some
/// (a service called `cometql` gives every container a `COMETQL_PORT`).
pub(super) fn apply(
    config: Config,
    variables: impl Iterator<Item = (String, String)>,
) -> Result<Config, ConfigError> {
    let mut table = Table::try_from(&config).expect("a configuration can be written");
    let mut names = Vec::new();
    for (name, text) in variables.filter(|(name, _)| name.starts_with(PREFIX)) {
        if FLAGS.contains(&name.as_str()) {
            continue;
        }
        let known = known(&table);
        let Some((_, section, key)) = known.iter().find(|(known, ..)| *known == name) else {
            let meant = closest(&name, known.iter().map(|(known, ..)| known.as_str()));
            tracing::warn!(name, meant, "an environment variable is not known");
            continue;
        };
        let old = &mut table[section.as_str()][key.as_str()];
        *old = value(&name, &text, old)?;
        names.push(name);
    }
    if names.is_empty() {
        return Ok(config);
    }
    table.try_into().map_err(|error: toml::de::Error| {
        let place = names.join(", ");
        let problem = with_suggestion(error.message());
        ConfigError::Wrong { place, problem }
    })
}

/// Every variable with its section and key.
fn known(table: &Table) -> Vec<(String, String, String)> {
    let sections = table
        .iter()
        .filter(|(name, _)| *name != "tenants")
        .filter_map(|(name, section)| Some((name, section.as_table()?)));
    sections
        .flat_map(|(section, keys)| {
            keys.keys().map(move |key| {
                let variable = format!("{PREFIX}{section}_{key}").to_uppercase();
                (variable, section.clone(), key.clone())
            })
        })
        .collect()
}

/// The text as a value of the same type as the one that it replaces.
fn value(name: &str, text: &str, old: &Value) -> Result<Value, ConfigError> {
    let wrong = |problem: &str| ConfigError::Wrong {
        place: name.to_owned(),
        problem: format!("{text:?} is not {problem}"),
    };
    Ok(match old {
        Value::Integer(_) => Value::Integer(text.parse().map_err(|_| wrong("a whole number"))?),
        Value::Boolean(_) => Value::Boolean(text.parse().map_err(|_| wrong("true or false"))?),
        Value::Array(_) => {
            let parts = text.split(',').map(str::trim);
            let parts = parts.filter(|part| !part.is_empty());
            Value::Array(parts.map(|part| Value::String(part.to_owned())).collect())
        }
        _ => Value::String(text.to_owned()),
    })
}
