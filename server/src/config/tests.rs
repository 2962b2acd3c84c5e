use std::os::unix::fs::PermissionsExt;

use cometql_engine::permission::{Conflate, Pattern, Retention, Who};
use toml::Table;

use super::*;

/// The default file with its examples switched on.
fn with_examples() -> String {
    let lines = DEFAULT_FILE
        .lines()
        .map(|line| match line.strip_prefix('#') {
            Some(example) if !example.is_empty() && !example.starts_with(' ') => example,
            _ => line,
        });
    lines.collect::<Vec<_>>().join("\n")
}

#[track_caller]
fn check_error(text: &str, expected: &str) {
    let error = parse("c.toml", text).unwrap_err();
    assert_eq!(error.to_string(), expected, "{text}");
}

#[track_caller]
fn check_wrong(text: &str, expected: &str) {
    let wrong = parse("c.toml", text).unwrap().check();
    assert_eq!(wrong.len(), 1, "{wrong:?}");
    assert!(wrong[0].contains(expected), "{wrong:?}");
}

#[test]
fn the_default_file_is_the_default_and_names_every_key() {
    let parsed = parse("default", DEFAULT_FILE).unwrap();
    assert_eq!(parsed, Config::default());
    assert_eq!(parsed.check(), Vec::<String>::new());
    let file: Table = toml::from_str(DEFAULT_FILE).unwrap();
    let mut code = Table::try_from(Config::default()).unwrap();
    // Only the examples have these.
    for list in ["tenants", "jwt_keys", "channels"] {
        code.remove(list);
    }
    assert_eq!(file, code);
}

#[test]
fn the_examples_are_valid_and_name_every_key() {
    let config = parse("examples", &with_examples()).unwrap();
    assert_eq!(config.tenants["7"].keys.len(), 1);
    assert_eq!(config.tenants["7"].escaping, Some(Escaping::Raw));
    let keys = |table: Table| table.keys().cloned().collect::<Vec<_>>();
    let jwt = Table::try_from(&config.jwt_keys[0]).unwrap();
    assert_eq!(keys(jwt).len(), 12);
    let channel = Table::try_from(&config.channels[0]).unwrap();
    assert_eq!(keys(channel).len(), 17);
}

#[test]
fn the_documentation_names_every_key() {
    let page = include_str!("../../../docs-site/operating/configuration.md");
    let all: Table = toml::from_str(&with_examples()).unwrap();
    for (section, value) in all {
        let keys = match value {
            toml::Value::Array(entries) => entries[0].as_table().unwrap().clone(),
            toml::Value::Table(tenants) if section == "tenants" => {
                tenants["7"].as_table().unwrap().clone()
            }
            toml::Value::Table(keys) => keys,
            other => panic!("{other}"),
        };
        assert!(page.contains(&section), "[{section}]");
        for key in keys.keys() {
            assert!(page.contains(&format!("`{key}`")), "{section}.{key}");
        }
    }
}

#[test]
fn the_examples_of_the_clusters_page_are_right() {
    let page = include_str!("../../../docs-site/operating/cluster.md");
    let blocks = page.split("```toml\n").skip(1);
    let blocks: Vec<_> = blocks
        .map(|rest| rest.split("```").next().unwrap())
        .collect();
    assert_eq!(blocks.len(), 2);
    for text in blocks {
        // A file that is only where the node is.
        let text = &text.replace("key_file = \"/etc", "key = \"/etc");
        let config = parse("cluster.md", text).unwrap();
        assert_eq!(config.check(), [] as [String; 0], "{text}");
        assert!(config.cluster_settings().is_some(), "{text}");
        assert_eq!(config.cluster.warnings(), None, "{text}");
    }
}

#[test]
fn unknown_keys_and_values_are_refused_with_a_suggestion() {
    check_error(
        "[http]\nlisen = \"\"",
        "c.toml:2: unknown key `lisen`: did you mean `listen`?",
    );
    check_error(
        "[htp]\n",
        "c.toml:1: unknown key `htp`: did you mean `http`?",
    );
    check_error(
        "[server]\nnode = \"a\"\ndurability = \"powr\"",
        "c.toml:3: unknown value `powr`: did you mean `power`?",
    );
    check_error(
        "[limits]\noutbox = \"1 MB/s\"",
        "c.toml:2: \"1 MB/s\" is not a size: write it like \"64 KiB\"",
    );
    check_error(
        "[http]\nlisten = \"8087\"",
        "c.toml:2: \"8087\": invalid socket address syntax",
    );
    let error = parse("c.toml", "[http]\nping = 25")
        .unwrap_err()
        .to_string();
    assert!(
        error.starts_with("c.toml:2: invalid type: integer"),
        "{error}"
    );
    let error = parse("c.toml", "[http\n").unwrap_err().to_string();
    assert!(error.starts_with("c.toml:1: "), "{error}");
}

#[test]
fn values_that_do_not_fit_together_are_named() {
    check_wrong(
        "[http]\ntls_key = \"k.pem\"",
        "http: tls_certificate and tls_key",
    );
    check_wrong(
        "[mysql]\nproxy_protocol = [\"proxy\"]",
        "mysql.proxy_protocol",
    );
    check_wrong(
        "[[channels]]\nsubscribe = \"nobody\"",
        "channels[1]: needs either",
    );
    check_wrong(
        "[[channels]]\nprefix = \"a\"\nhistory_length = 5",
        "channels[1]: history_length",
    );
    check_wrong("[[jwt_keys]]\nid = \"a\"", "jwt_keys[1]: needs exactly one");
    check_wrong(
        "[[jwt_keys]]\nsecret = \"s\"\nleeway = \"61 s\"",
        "jwt_keys[1]: leeway is at most",
    );
    check_wrong(
        "[[jwt_keys]]\nsecret_file = \"/nowhere\"",
        "jwt_keys[1]: can't read /nowhere",
    );
    check_wrong(
        "[tenants.007]\nkeys = [\"k\"]",
        "tenants.007: a tenant is a number",
    );
    check_wrong("[auth]\nkey = \"a\"\nkey_file = \"b\"", "not both");
    check_wrong("[tenants.7]\nkeys = [\"\"]", "a key is empty");
}

#[test]
fn a_public_address_needs_long_keys() {
    let public = "[mysql]\nlisten = \"0.0.0.0:3307\"\n";
    check_wrong(&format!("{public}[auth]\nkey = \"short\""), "mysql.listen");
    check_wrong(
        "[admin]\nlisten = \"[::]:8088\"\nkeys = [\"short\"]",
        "admin.listen",
    );
    for fine in [
        "[auth]\nkey = \"short\"".to_owned(),
        format!("{public}[auth]\nkey = \"0123456789abcdef\""),
        public.to_owned(),
    ] {
        assert_eq!(
            parse("", &fine).unwrap().check(),
            Vec::<String>::new(),
            "{fine}"
        );
    }
}

#[test]
fn short_secrets_are_warned_about() {
    #[track_caller]
    fn check(text: &str, warnings: usize) {
        assert_eq!(
            parse("", text).unwrap().warnings().len(),
            warnings,
            "{text}"
        );
    }
    check("", 0);
    check("[auth]\nkey = \"0123456789abcdef\"", 1);
    check(
        "[auth]\nkey = \"0123456789abcdef\"\n[legacy]\nderived_secret = false",
        0,
    );
    check("[[jwt_keys]]\nsecret = \"short\"", 1);
}

#[test]
fn variables_override_the_file() {
    let load = |variables: &[(&str, &str)]| {
        let variables = variables.iter().map(|(k, v)| ((*k).into(), (*v).into()));
        load(
            None,
            variables.collect::<Vec<(String, String)>>().into_iter(),
        )
    };
    let config = load(&[
        ("COMETQL_HTTP_LISTEN", "127.0.0.1:1"),
        ("COMETQL_ADMIN_ON_HTTP", "true"),
        ("COMETQL_SERVER_SHARDS", "3"),
        (
            "COMETQL_HTTP_ORIGINS",
            "https://a.example, https://b.example",
        ),
        ("COMETQL_LIMITS_OUTBOX", "2 MiB"),
        ("COMETQL_MYSQL_LISTEN", ""),
        ("COMETQL_PORT", "tcp://10.0.0.1:3307"),
        ("HOME", "/root"),
    ])
    .unwrap();
    assert_eq!(config.http.listen.map(|listen| listen.port()), Some(1));
    assert!(config.admin.on_http);
    assert_eq!(config.server.shards, 3);
    assert_eq!(
        config.http.origins,
        ["https://a.example", "https://b.example"]
    );
    assert_eq!(config.limits.outbox, Bytes(2 << 20));
    assert_eq!(config.mysql.listen, None);
    for (name, value, expected) in [
        (
            "COMETQL_SERVER_SHARDS",
            "many",
            "\"many\" is not a whole number",
        ),
        ("COMETQL_LIMITS_OUTBOX", "2", "\"2\" is not a size"),
        ("COMETQL_LOG_FORMAT", "jsn", "did you mean `json`?"),
    ] {
        let error = load(&[(name, value)]).unwrap_err().to_string();
        assert!(
            error.starts_with(name) && error.contains(expected),
            "{error}"
        );
    }
}

#[test]
fn a_key_is_made_once_and_only_for_its_owner() {
    let directory = tempfile::tempdir().unwrap();
    let data = directory.path().join("data");
    let config = Config::default();
    let first = config.keys(&data).unwrap();
    assert_eq!(first.default[0].len(), 32);
    assert_eq!(config.keys(&data).unwrap().default, first.default);
    let file = data.join(KEY_FILE);
    let mode = std::fs::metadata(&file).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    std::fs::write(&file, "\n").unwrap();
    assert!(matches!(config.keys(&data), Err(KeyError::File { .. })));

    let configured = parse("", "[tenants.7]\nkeys = [\"k\"]").unwrap();
    let other = directory.path().join("other");
    let keys = configured.keys(&other).unwrap();
    assert!(keys.default.is_empty());
    assert!(!other.exists());
}

#[test]
fn tenants_may_differ() {
    let config = parse(
        "",
        "[mysql]\nescaping = \"mysql\"\n[tenants.7]\nescaping = \"raw\"",
    )
    .unwrap();
    let language = config.language();
    let escaping = |tenant| language.of(cometql_protocol::TenantId(tenant)).escaping;
    assert_eq!(escaping(7), crate::cometql::Escaping::Raw);
    assert_eq!(escaping(8), crate::cometql::Escaping::Mysql);
    // The key of [auth] opens it still.
    assert!(config.configured_keys().unwrap().tenants.is_empty());
}

#[test]
fn the_defaults_are_those_of_the_parts() {
    let config = Config::default();
    let (http, mysql) = (
        crate::http::HttpSettings::default(),
        crate::mysql::Settings::default(),
    );
    assert_eq!(config.http.close_wait.duration(), http.close_wait);
    assert_eq!(config.http.write_time.duration(), http.write_timeout);
    assert_eq!(config.http.ping.duration(), http.ping_every);
    assert_eq!(config.mysql.connections, mysql.max_connections);
    assert_eq!(config.mysql.require_tls, mysql.require_tls);
    assert_eq!(config.mysql.strangers, mysql.strangers);
    assert_eq!(config.mysql.log_in_time.duration(), mysql.log_in_time);
    assert_eq!(config.mysql.idle_time.duration(), mysql.wait_time);
    assert_eq!(config.mysql.write_time.duration(), mysql.write_time);
    assert_eq!(config.mysql.read_time.duration(), mysql.read_time);
    assert_eq!(config.mysql.stop_time.duration(), mysql.stop_time);
    assert_eq!(config.mysql.prepared_statements, mysql.prepared_statements);
    assert_eq!(config.mysql.long_data.0, mysql.long_data_bytes);
}

#[test]
fn channel_entries_become_rules() {
    let config = parse("", &with_examples()).unwrap();
    let mut entry = config.channels[0].clone();
    assert_eq!(entry.rule(1).unwrap_err(), "needs either prefix or pattern");
    entry.pattern = None;
    let rule = entry.rule(1).unwrap();
    assert_eq!(rule.name, r#"channels[1] "news:*""#);
    assert_eq!(rule.pattern, Pattern::Prefix("news:".into()));
    assert_eq!(
        (rule.subscribe, rule.presence),
        (Some(Who::Anyone), Some(Who::Nobody))
    );
    let editor = Who::Claim {
        name: "role".into(),
        value: Some("editor".into()),
    };
    assert_eq!(rule.publish, Some(editor));
    let kept = Retention::Durable {
        publications: 1_000,
        age_ms: 30 * 86_400_000,
    };
    assert_eq!(rule.retention, Some(kept));
    assert_eq!(
        (rule.publish_rate, rule.publication_bytes),
        (Some(5), Some(4_096))
    );
    assert_eq!(
        (rule.channel_publish_rate, rule.backend_publish_rate),
        (Some(50), Some(1_000))
    );
    assert_eq!(rule.conflate, Some(Some(Conflate::Channel)));
    for right in ["anyone", "members", "claim:a", "claim:a=b=c"] {
        let parsed = channels::Right::try_from(right.to_owned()).unwrap();
        assert_eq!(String::from(parsed), right);
    }
    for wrong in ["everyone", "claim:", "claim:=x", ""] {
        assert!(
            channels::Right::try_from(wrong.to_owned()).is_err(),
            "{wrong}"
        );
    }
}
