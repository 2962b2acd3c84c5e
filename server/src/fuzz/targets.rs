//! What is reached without private names: requests of browsers, SQL, the original's commands and URLs.

use cometql_engine::{Now, Reject};
use cometql_protocol::wire::{Reply, decode_requests};
use cometql_protocol::{ErrorCode, UserId};

use super::check;
use crate::cometql;
use crate::legacy::{Adapter, Output, url};

fn text(bytes: &[u8]) -> std::borrow::Cow<'_, str> {
    String::from_utf8_lossy(bytes)
}

#[test]
fn fuzz_wire() {
    let tokens = &[
        "{",
        "}",
        "[",
        "]",
        "\"",
        ",",
        ":",
        "\n",
        "\\u0000",
        "\\ud800",
        "null",
        "-1",
        "1e999",
        "18446744073709551616",
        "\"id\":",
        "\"offset\":",
        "\"subscribe\":",
        "\"publish\":",
    ];
    check(include_str!("../../fuzz/wire.txt"), tokens, |bytes| {
        let text = text(bytes);
        let requests = decode_requests(&text);
        assert!(requests.len() <= text.len() + 1);
        _ = cometql_protocol::wire::is_json_container(&text);
    });
}

#[test]
fn fuzz_sql() {
    let tokens = &[
        "SELECT ",
        " FROM ",
        " WHERE ",
        " AND ",
        " OR ",
        " UNION ",
        " JOIN ",
        " GROUP BY ",
        "(",
        ")",
        ",",
        "'",
        "\"",
        "`",
        "\\",
        "--",
        "/*",
        "*/",
        "/*!50000",
        ";",
        "?",
        "@@",
        " IN ",
        " LIKE ",
        " BETWEEN ",
        " CASE ",
        " NOT ",
        "NULL",
        "0x",
        "_utf8mb4'",
        "INSERT INTO pipes_messages (name,event,message) VALUES ",
        "DELETE FROM ",
        " LIMIT ",
        "18446744073709551616",
        "1e999",
        "NOW()",
        "information_schema.",
        " OVER (",
        "WITH RECURSIVE a AS (",
    ];
    let corpus = [
        include_str!("../../fuzz/sql.txt"),
        include_str!("../../tests/fixtures/dbeaver.sql"),
        include_str!("../../tests/fixtures/drivers.sql"),
        include_str!("../../tests/fixtures/grafana.sql"),
    ];
    let settings = cometql::Settings::default();
    check(&corpus.join("\n"), tokens, |bytes| {
        let Ok(statements) = cometql::parse(&text(bytes), &settings) else {
            return;
        };
        for statement in statements {
            // Translates a SELECT for SQLite.
            _ = (statement.columns(), statement.parameters());
            // Trees are freed by recursion too.
            drop(statement.clone());
        }
    });
}

#[test]
fn fuzz_original_url() {
    let tokens = &[
        "sesion=", "&myid=", "&devid=", "&v=", "&uuid=", "&api=js", "=", "&", ".", "%00", "/ws/",
    ];
    check(
        include_str!("../../fuzz/original_url.txt"),
        tokens,
        |bytes| {
            let text = text(bytes);
            _ = url::is_legacy(&text);
            match url::parse(&text, 100_000) {
                Ok(url) => _ = Adapter::new(url).on_open(),
                Err(error) => _ = error.frame(Now(1)),
            }
        },
    );
}

/// Frames are separated by `|`. Every other request that they lead to is refused.
#[test]
fn fuzz_original_commands() {
    let tokens = &[
        "|",
        "\n",
        "web_",
        "webauth_",
        "track_",
        "@",
        "*",
        "subscription\n",
        "web_pipe2\n",
        "pipe_log\n",
    ];
    let now = Now(1_790_000_000_000);
    check(
        include_str!("../../fuzz/original_commands.txt"),
        tokens,
        |bytes| {
            let url = "/ws/sesion=key&myid=7&devid=0&v=4.08&uuid=u&api=js";
            let mut adapter = Adapter::new(url::parse(url, 100_000).unwrap());
            let mut out = adapter.on_open();
            let text = text(bytes);
            let connected = Reply::Connected {
                session: 1,
                user: UserId::new(7),
                expires: None,
            };
            for (at, frame) in text.split('|').enumerate() {
                if at == 1 {
                    out.extend(adapter.on_reply(now, 1, &connected));
                }
                out.extend(adapter.feed(now, frame));
            }
            let mut sent = 0;
            for (at, output) in out.into_iter().enumerate() {
                match output {
                    Output::Request(request) if at % 2 == 0 => {
                        let reject = Reject::new(ErrorCode::PermissionDenied, "no");
                        _ = adapter.on_refused(now, request.id, &reject, None);
                    }
                    Output::Send(text) => sent += text.len(),
                    Output::Request(_) | Output::Drop => {}
                }
            }
            assert!(sent <= 10_000 + 500 * text.len(), "answers of {sent} bytes");
        },
    );
}
