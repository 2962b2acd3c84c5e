//! Rows of tables as messages of the log: a border, with a version of its own. The last message of a subject is the row; one
//! without a value says that the row is gone. The key is in the body too, as not all of it may stand in a subject.

use cometql_protocol::{ChannelName, TenantId, UserId};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::storage::{Change, Row};

/// The version of the bodies, as a header: who reads ignores fields that it does not know.
pub(super) const VERSION: (&str, &str) = ("Cometql-V", "1");

const AUTH: &str = "users_auth";
const DATA: &str = "users_data";
const TIME: &str = "users_time";
const SETTINGS: &str = "pipes_settings";
const MEMBERS: &str = "pipes_members";
const TOKENS: &str = "revoked_tokens";

#[derive(Default, Serialize, Deserialize)]
#[serde(default)]
struct Body {
    #[serde(skip_serializing_if = "Option::is_none")]
    channel: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    user: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    token: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    hash: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    data: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    time: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    length: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    listed: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    revoked: Option<bool>,
}

/// What stands behind the stream's own tokens in the subject of a row: table, tenant, key.
pub(super) fn name(change: &Change) -> String {
    let tenant = change.tenant.0;
    match &change.row {
        Row::Hash { user, .. } => format!("{AUTH}.{tenant}.{user}"),
        Row::Data { user, .. } => format!("{DATA}.{tenant}.{user}"),
        Row::LastSeen { user, .. } => format!("{TIME}.{tenant}.{user}"),
        Row::Length { channel, .. } => format!("{SETTINGS}.{tenant}.{}", one_token(channel)),
        Row::Member { channel, user, .. } => {
            format!("{MEMBERS}.{tenant}.{}.{user}", one_token(channel))
        }
        // A token has dots, is long, and whoever may look at NATS sees subjects first.
        Row::Token { token, .. } => {
            let digest = Sha256::digest(token);
            let digits = digest[..16].iter().map(|byte| format!("{byte:02x}"));
            format!("{TOKENS}.{tenant}.{}", digits.collect::<String>())
        }
    }
}

fn one_token(channel: &ChannelName) -> String {
    channel.as_str().replace('.', "=")
}

/// Whether a row is gone after this change.
pub(super) fn is_gone(change: &Change) -> bool {
    match &change.row {
        Row::Hash { hash, .. } => hash.is_none(),
        Row::Data { data, .. } => data.is_none(),
        Row::LastSeen { .. } => false,
        Row::Length { length, .. } => length.is_none(),
        Row::Member { listed, .. } => !listed,
        Row::Token { revoked, .. } => !revoked,
    }
}

/// The body of a message.
pub(super) fn encode(change: &Change) -> Vec<u8> {
    let mut body = Body::default();
    match &change.row {
        Row::Hash { user, hash } => {
            body.user = Some(user.get());
            body.hash.clone_from(hash);
        }
        Row::Data { user, data } => {
            body.user = Some(user.get());
            body.data.clone_from(data);
        }
        Row::LastSeen { user, time } => {
            body.user = Some(user.get());
            body.time = Some(*time);
        }
        Row::Length { channel, length } => {
            body.channel = Some(channel.as_str().to_owned());
            body.length = *length;
        }
        Row::Member {
            channel,
            user,
            listed,
        } => {
            body.channel = Some(channel.as_str().to_owned());
            body.user = Some(user.get());
            body.listed = listed.then_some(true);
        }
        Row::Token { token, revoked } => {
            body.token = Some(token.clone());
            body.revoked = revoked.then_some(true);
        }
    }
    serde_json::to_vec(&body).expect("texts and numbers are JSON")
}

/// The change that a message stands for; `None` when it is none that this version knows.
pub(super) fn decode(name: &str, body: &[u8]) -> Option<Change> {
    let mut tokens = name.split('.');
    let (table, tenant) = (tokens.next()?, tokens.next()?);
    let body: Body = serde_json::from_slice(body).ok()?;
    let user = || UserId::new(body.user?);
    let channel = || ChannelName::parse(body.channel.as_deref()?).ok();
    let row = match table {
        AUTH => Row::Hash {
            user: user()?,
            hash: body.hash,
        },
        DATA => Row::Data {
            user: user()?,
            data: body.data,
        },
        TIME => Row::LastSeen {
            user: user()?,
            time: body.time?,
        },
        SETTINGS => Row::Length {
            channel: channel()?,
            length: body.length,
        },
        MEMBERS => Row::Member {
            channel: channel()?,
            user: user()?,
            listed: body.listed == Some(true),
        },
        TOKENS => Row::Token {
            token: body.token?,
            revoked: body.revoked == Some(true),
        },
        _ => return None,
    };
    Some(Change {
        tenant: TenantId(tenant.parse().ok()?),
        row,
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn user(number: u64) -> UserId {
        UserId::new(number).unwrap()
    }

    fn channel(name: &str) -> ChannelName {
        ChannelName::parse(name).unwrap()
    }

    /// The bytes of version 1 as they were recorded: later versions write what they like, and read these.
    #[track_caller]
    fn check(row: Row, subject: &str, recorded: &str) {
        let change = Change {
            tenant: TenantId(7),
            row,
        };
        assert_eq!(name(&change), subject);
        assert_eq!(String::from_utf8(encode(&change)).unwrap(), recorded);
        assert_eq!(decode(subject, recorded.as_bytes()), Some(change));
        // A later version may say more.
        let more = recorded.replacen('{', r#"{"later":[1],"#, 1);
        assert!(decode(subject, more.as_bytes()).is_some());
    }

    #[test]
    fn rows_of_version_1() {
        let hash = |hash: Option<&str>| Row::Hash {
            user: user(9),
            hash: hash.map(str::to_owned),
        };
        check(
            hash(Some("a=")),
            "users_auth.7.9",
            r#"{"user":9,"hash":"a="}"#,
        );
        check(hash(Some("")), "users_auth.7.9", r#"{"user":9,"hash":""}"#);
        check(hash(None), "users_auth.7.9", r#"{"user":9}"#);
        let data = |data: Option<&str>| Row::Data {
            user: user(9),
            data: data.map(str::to_owned),
        };
        check(
            data(Some("{\"a\":\"ü\"}")),
            "users_data.7.9",
            r#"{"user":9,"data":"{\"a\":\"ü\"}"}"#,
        );
        check(data(None), "users_data.7.9", r#"{"user":9}"#);
        let seen = Row::LastSeen {
            user: user(9),
            time: 50,
        };
        check(seen, "users_time.7.9", r#"{"user":9,"time":50}"#);
        let length = |length| Row::Length {
            channel: channel("news.a/b"),
            length,
        };
        check(
            length(Some(0)),
            "pipes_settings.7.news=a/b",
            r#"{"channel":"news.a/b","length":0}"#,
        );
        check(
            length(None),
            "pipes_settings.7.news=a/b",
            r#"{"channel":"news.a/b"}"#,
        );
        let member = |listed| Row::Member {
            channel: channel("news.a/b"),
            user: user(9),
            listed,
        };
        check(
            member(true),
            "pipes_members.7.news=a/b.9",
            r#"{"channel":"news.a/b","user":9,"listed":true}"#,
        );
        check(
            member(false),
            "pipes_members.7.news=a/b.9",
            r#"{"channel":"news.a/b","user":9}"#,
        );
        let token = |revoked| Row::Token {
            token: "a.b.c".to_owned(),
            revoked,
        };
        let subject = "revoked_tokens.7.845e30448809e2bc8958eb025bfc7952";
        check(token(true), subject, r#"{"token":"a.b.c","revoked":true}"#);
        check(token(false), subject, r#"{"token":"a.b.c"}"#);
    }

    #[test]
    fn what_is_no_row_is_none() {
        for (name, body) in [
            ("users_later.7.9", r#"{"user":9}"#),
            ("users_auth.x.9", r#"{"user":9}"#),
            ("users_auth.7.9", r#"{"user":0}"#),
            ("users_auth.7.9", r#"{}"#),
            ("users_auth.7.9", ""),
            ("users_time.7.9", r#"{"user":9}"#),
            ("pipes_settings.7.a", r#"{"channel":"a b","length":1}"#),
            ("import", "{}"),
        ] {
            assert_eq!(decode(name, body.as_bytes()), None, "{name} {body}");
        }
    }

    proptest! {
        #[test]
        fn every_row_comes_back(
            number in 1u64..1 << 53,
            tenant: u32,
            text in any::<Option<String>>(),
            name_of_channel in "[A-Za-z0-9_:/.-]{3,64}",
            flag: bool,
        ) {
            let (user, channel) = (user(number), channel(&name_of_channel));
            let rows = [
                Row::Hash { user, hash: text.clone() },
                Row::Data { user, data: text.clone() },
                Row::LastSeen { user, time: number },
                Row::Length { channel: channel.clone(), length: flag.then_some(number) },
                Row::Member { channel, user, listed: flag },
                Row::Token { token: text.unwrap_or_default(), revoked: flag },
            ];
            for row in rows {
                let change = Change { tenant: TenantId(tenant), row };
                let subject = name(&change);
                prop_assert!(!subject.contains(['*', '>', ' ']));
                prop_assert_eq!(decode(&subject, &encode(&change)), Some(change));
            }
        }

        #[test]
        fn no_bytes_are_too_bad(name in ".{0,40}", body: Vec<u8>) {
            decode(&name, &body);
        }
    }
}
