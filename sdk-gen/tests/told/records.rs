//! The suite's JSON as what calls take. What it leaves out has its default.

use cometql_sdk::{
    Algorithm, ChannelSettings, ChannelSince, Claims, Credentials, HistoryPage, Listening,
    NewPrivateMessage, NewPublication, Options, Tls, TokenKey, Value as Bound,
};
use serde_json::Value;

use super::{Kept, answer, given, whole, words};

/// A text that may be left out.
pub(crate) fn word(value: &Value) -> Option<String> {
    value.as_str().map(str::to_owned)
}

pub(crate) fn publication(value: &Value) -> NewPublication {
    NewPublication {
        channel: words(&value["channel"]),
        message: words(&value["message"]),
        event: word(&value["event"]).unwrap_or_default(),
        id: word(&value["id"]),
    }
}

pub(crate) fn message(value: &Value) -> NewPrivateMessage {
    NewPrivateMessage {
        user: whole(&value["user"]),
        message: words(&value["message"]),
        event: word(&value["event"]).unwrap_or_default(),
        id: word(&value["id"]),
    }
}

pub(crate) fn page(value: &Value) -> HistoryPage {
    let default = HistoryPage::default();
    let limit = value["limit"].as_u64();
    HistoryPage {
        after: value["after"].as_u64().unwrap_or(default.after),
        limit: limit.map_or(default.limit, |limit| limit.try_into().unwrap()),
    }
}

pub(crate) fn settings(value: &Value) -> ChannelSettings {
    ChannelSettings {
        length: whole(&value["length"]),
    }
}

pub(crate) fn value(value: &Value) -> Bound {
    if let Some(value) = value.as_i64() {
        return Bound::Int { value };
    }
    if let Some(value) = value.as_f64() {
        return Bound::Float { value };
    }
    if let Some(hex) = value.get("$blob") {
        let hex = words(hex);
        let byte = |at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap();
        let value = (0..hex.len()).step_by(2).map(byte).collect();
        return Bound::Blob { value };
    }
    word(value).map_or(Bound::Null, |value| Bound::Text { value })
}

pub(crate) fn key(value: &Value) -> TokenKey {
    let algorithm = value["algorithm"].as_str().map(|name| match name {
        "HS256" => Algorithm::Hs256,
        "RS256" => Algorithm::Rs256,
        "ES256" => Algorithm::Es256,
        "EdDSA" => Algorithm::EdDsa,
        other => panic!("no such algorithm: {other}"),
    });
    TokenKey {
        key: words(&value["key"]),
        algorithm,
        id: word(&value["id"]),
    }
}

pub(crate) fn claims(value: &Value) -> Claims {
    Claims {
        user: whole(&value["user"]),
        life_s: value["life_s"].as_u64().unwrap_or(3_600),
        tenant: value["tenant"]
            .as_u64()
            .map(|tenant| tenant.try_into().unwrap()),
        issuer: word(&value["issuer"]),
        audience: word(&value["audience"]),
        further: word(&value["further"]).unwrap_or_default(),
    }
}

pub(crate) fn channel(value: &Value) -> ChannelSince {
    ChannelSince {
        channel: words(value),
        since: None,
    }
}

pub(crate) fn listening(value: &Value) -> Listening {
    let credentials = value.get("credentials").map(|who| Credentials::Hash {
        user: whole(&who["user"]),
        hash: words(&who["hash"]),
    });
    let is = |name: &str| value[name].as_bool().unwrap_or_default();
    Listening {
        urls: given(&value["urls"], words),
        credentials,
        inbox: is("inbox"),
        acknowledge_by_hand: is("acknowledge_by_hand"),
        name: word(&value["name"]).unwrap_or_default(),
        ..Listening::default()
    }
}

/// Hosts, user, password, database and options.
pub(crate) fn log_in(value: &Value, kept: &Kept) -> (Vec<String>, String, String, String, Options) {
    let hosts = match value.get("hosts") {
        Some(hosts) => given(&answer(hosts, kept), words),
        None => vec![words(&kept["host"])],
    };
    let or = |name: &str, default: &str| word(&value[name]).unwrap_or_else(|| default.to_owned());
    let password = or("password", kept["password"].as_str().unwrap());
    let options = options(&value["options"]);
    (
        hosts,
        or("user", "root"),
        password,
        or("database", ""),
        options,
    )
}

fn options(value: &Value) -> Options {
    let default = Options::default();
    let number = |name: &str, default| value[name].as_u64().unwrap_or(default);
    let connections = number("max_connections", default.max_connections.into());
    Options {
        tls: value.get("tls").map(|tls| Tls {
            ca_file: word(&tls["ca_file"]),
            server_name: word(&tls["server_name"]),
        }),
        call_timeout_ms: number("call_timeout_ms", default.call_timeout_ms),
        connect_timeout_ms: number("connect_timeout_ms", default.connect_timeout_ms),
        max_connections: connections.try_into().unwrap(),
        idle_check_ms: number("idle_check_ms", default.idle_check_ms),
        idle_close_ms: number("idle_close_ms", default.idle_close_ms),
        back_off_min_ms: number("back_off_min_ms", default.back_off_min_ms),
        back_off_max_ms: number("back_off_max_ms", default.back_off_max_ms),
        spread: value["spread"].as_bool().unwrap_or(default.spread),
    }
}
