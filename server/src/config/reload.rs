//! What a reload can't put in force.

use toml::{Table, Value};

use super::Config;

/// Sections that come into force as a whole.
const LIVE_SECTIONS: [&str; 3] = ["tenants", "jwt_keys", "channels"];
/// Keys of other sections that do.
const LIVE_KEYS: [&str; 6] = [
    "admin.keys",
    "auth.key",
    "auth.key_file",
    "auth.user_data",
    "legacy.derived_secret",
    "mysql.escaping",
];

impl Config {
    /// The keys, as `section.key`, that differ in the other configuration and need a restart to come into force.
    #[must_use]
    pub fn needs_restart(&self, other: &Self) -> Vec<String> {
        let (own, other) = (table(self), table(other));
        let sections = own.iter().filter_map(|(name, section)| {
            let live = LIVE_SECTIONS.contains(&name.as_str());
            let pair = (section.as_table()?, other.get(name)?.as_table()?);
            (!live).then_some((name, pair))
        });
        let changed = sections.flat_map(|(section, (own, other))| {
            let keys = own
                .iter()
                .filter(|(key, value)| other.get(*key) != Some(value));
            keys.map(move |(key, _): (&String, &Value)| format!("{section}.{key}"))
        });
        let kept = changed.filter(|key| !LIVE_KEYS.contains(&key.as_str()));
        kept.collect()
    }
}

fn table(config: &Config) -> Table {
    Table::try_from(config).expect("a configuration can be written")
}

#[cfg(test)]
mod tests {
    use super::super::parse;
    use super::*;

    #[track_caller]
    fn check(other: &str, expected: &[&str]) {
        let other = parse("", other).unwrap();
        assert_eq!(Config::default().needs_restart(&other), expected);
    }

    #[test]
    fn some_keys_come_into_force_and_the_others_are_named() {
        check("", &[]);
        check(
            "[auth]\nkey = 'a'\n[tenants.7]\nkeys = ['b']\n[[channels]]\nprefix = 'a'\n[mysql]\nescaping = 'raw'",
            &[],
        );
        check(
            "[mysql]\nlisten = ''\nescaping = 'raw'\n[limits]\ninsert = '1 MiB'\n[http]\ntls_key = 'x'",
            &["http.tls_key", "limits.insert", "mysql.listen"],
        );
    }

    #[test]
    fn what_comes_into_force_exists() {
        let table = table(&Config::default());
        for key in LIVE_KEYS {
            let (section, key) = key.split_once('.').unwrap();
            assert!(table[section].get(key).is_some(), "{section}.{key}");
        }
        assert!(
            LIVE_SECTIONS
                .iter()
                .all(|section| table.contains_key(*section))
        );
    }
}
