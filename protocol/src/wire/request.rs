//! From a client's text frame to requests.

use serde::Deserialize;
use serde_json::value::RawValue;

use super::{Epoch, Position};

/// One request with the id that its reply repeats.
#[derive(Debug, Clone, PartialEq)]
pub struct Request {
    /// Chosen by the client; 0 when it gave none.
    pub id: u32,
    /// What is asked.
    pub body: RequestBody,
}

/// What a client may ask. Names are still raw text: the engine checks them, so that a bad one is answered by name.
#[derive(Debug, Clone, PartialEq)]
pub enum RequestBody {
    /// Says who one is. Optional: without it the session is anonymous.
    Connect(Connect),
    /// A newer token for the same user.
    Refresh {
        /// The token.
        token: String,
    },
    /// One channel; a frame's list of channels becomes several of these with one id.
    Subscribe(Subscribe),
    /// One channel.
    Unsubscribe {
        /// The channel.
        channel: String,
    },
    /// Publishes where the channel allows it.
    Publish(Publish),
    /// Who is in a channel.
    Presence {
        /// The channel.
        channel: String,
    },
    /// How many are in a channel.
    PresenceCount {
        /// The channel.
        channel: String,
    },
    /// Kept publications.
    History(History),
    /// Acknowledges private messages up to and including this offset.
    Ack {
        /// The offset of the last message that the application has handled.
        offset: u64,
    },
    /// The text that a backend stored for a user.
    UserData {
        /// Whose.
        user: u64,
    },
    /// Online or last seen.
    UserStatus {
        /// Whose.
        user: u64,
    },
    /// Keeps the connection busy; the reply is a pong.
    Ping,
}

/// Credentials: a token, or the original's user and hash, or nothing.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Connect {
    /// A JWT.
    #[serde(default)]
    pub token: Option<String>,
    /// User id, with `hash`.
    #[serde(default)]
    pub user: Option<u64>,
    /// The hash that a backend put into `users_auth`.
    #[serde(default)]
    pub hash: Option<String>,
    /// An id of this browser for presence lists, at most 64 bytes.
    #[serde(default)]
    pub uuid: Option<String>,
    /// True to receive private messages, which then must be acknowledged.
    #[serde(default)]
    pub inbox: bool,
}

/// Interest in a channel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Subscribe {
    /// The channel.
    pub channel: String,
    /// The last position seen, to get what was missed since.
    pub since: Option<Position>,
}

/// A publication from a browser.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Publish {
    /// The channel; a leading `@` hides the sender.
    pub channel: String,
    /// A UUID that the client chose for this message, as its 128 bits: a second one with it is a retry.
    #[serde(default, deserialize_with = "uuid")]
    pub id: Option<u128>,
    /// The label, may be empty.
    #[serde(default)]
    pub event: String,
    /// The payload: the content of a JSON string, any other JSON value as its bytes.
    #[serde(deserialize_with = "payload_text")]
    pub data: String,
}

/// Which kept publications.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct History {
    /// The channel.
    pub channel: String,
    /// Only those after this position.
    pub since: Option<Position>,
    /// At most so many, the newest ones; `None` = the server's limit.
    pub limit: Option<u32>,
}

/// Why a line was refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DecodeError {
    /// The id of the refused request, 0 when it could not be read.
    pub id: u32,
    /// What is wrong and where, for a developer.
    pub message: String,
}

/// Reads all requests of a frame, in order. A bad line is an `Err` of its own and costs the others nothing.
///
/// Empty lines are skipped. A `subscribe` or `unsubscribe` with several channels gives one request for each.
#[must_use]
pub fn decode_requests(frame: &str) -> Vec<Result<Request, DecodeError>> {
    let mut requests = Vec::with_capacity(1);
    for line in frame
        .split('\n')
        .map(str::trim)
        .filter(|line| !line.is_empty())
    {
        match decode_line(line) {
            Ok((id, bodies)) => {
                requests.extend(bodies.into_iter().map(|body| Ok(Request { id, body })));
            }
            Err(error) => requests.push(Err(error)),
        }
    }
    requests
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Line {
    #[serde(default)]
    id: u32,
    connect: Option<Connect>,
    refresh: Option<RefreshBody>,
    subscribe: Option<OneOrMany<SubscribeItem>>,
    unsubscribe: Option<OneOrMany<String>>,
    publish: Option<Publish>,
    presence: Option<ChannelBody>,
    presence_count: Option<ChannelBody>,
    history: Option<HistoryBody>,
    ack: Option<AckBody>,
    user_data: Option<UserBody>,
    user_status: Option<UserBody>,
    ping: Option<PingBody>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum OneOrMany<T> {
    One(T),
    Many(Vec<T>),
}

impl<T> OneOrMany<T> {
    fn into_vec(self) -> Vec<T> {
        match self {
            Self::One(item) => vec![item],
            Self::Many(items) => items,
        }
    }
}

#[derive(Deserialize)]
#[serde(untagged)]
enum SubscribeItem {
    Name(String),
    From {
        channel: String,
        epoch: Option<String>,
        offset: Option<u64>,
    },
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RefreshBody {
    token: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ChannelBody {
    channel: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct HistoryBody {
    channel: String,
    epoch: Option<String>,
    offset: Option<u64>,
    limit: Option<u32>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct AckBody {
    offset: u64,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct UserBody {
    user: u64,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct PingBody {}

fn decode_line(line: &str) -> Result<(u32, Vec<RequestBody>), DecodeError> {
    let parsed: Line = serde_json::from_str(line).map_err(|error| DecodeError {
        id: id_of(line),
        message: error.to_string(),
    })?;
    let id = parsed.id;
    match bodies(parsed) {
        Ok(bodies) => Ok((id, bodies)),
        Err(message) => Err(DecodeError { id, message }),
    }
}

fn bodies(line: Line) -> Result<Vec<RequestBody>, String> {
    let mut kinds: Vec<Vec<RequestBody>> = Vec::with_capacity(1);
    kinds.extend(line.connect.map(|body| vec![RequestBody::Connect(body)]));
    kinds.extend(
        line.refresh
            .map(|body| vec![RequestBody::Refresh { token: body.token }]),
    );
    if let Some(items) = line.subscribe {
        kinds.push(
            items
                .into_vec()
                .into_iter()
                .map(subscribe)
                .collect::<Result<_, _>>()?,
        );
    }
    if let Some(names) = line.unsubscribe {
        let names = names.into_vec().into_iter();
        kinds.push(
            names
                .map(|channel| RequestBody::Unsubscribe { channel })
                .collect(),
        );
    }
    kinds.extend(line.publish.map(|body| vec![RequestBody::Publish(body)]));
    kinds.extend(line.presence.map(|body| {
        vec![RequestBody::Presence {
            channel: body.channel,
        }]
    }));
    if let Some(body) = line.presence_count {
        kinds.push(vec![RequestBody::PresenceCount {
            channel: body.channel,
        }]);
    }
    if let Some(body) = line.history {
        let since = position(body.epoch.as_deref(), body.offset)?;
        let history = History {
            channel: body.channel,
            since,
            limit: body.limit,
        };
        kinds.push(vec![RequestBody::History(history)]);
    }
    kinds.extend(line.ack.map(|body| {
        vec![RequestBody::Ack {
            offset: body.offset,
        }]
    }));
    kinds.extend(
        line.user_data
            .map(|body| vec![RequestBody::UserData { user: body.user }]),
    );
    kinds.extend(
        line.user_status
            .map(|body| vec![RequestBody::UserStatus { user: body.user }]),
    );
    kinds.extend(line.ping.map(|PingBody {}| vec![RequestBody::Ping]));
    match kinds.len() {
        1 => Ok(kinds.remove(0)),
        0 => Err("name what you ask for, as in {\"id\":1,\"subscribe\":\"web_chat\"}".into()),
        _ => Err("a request asks for one thing; send one line for each".into()),
    }
}

fn subscribe(item: SubscribeItem) -> Result<RequestBody, String> {
    let (channel, since) = match item {
        SubscribeItem::Name(name) => (name, None),
        SubscribeItem::From {
            channel,
            epoch,
            offset,
        } => (channel, position(epoch.as_deref(), offset)?),
    };
    Ok(RequestBody::Subscribe(Subscribe { channel, since }))
}

fn position(epoch: Option<&str>, offset: Option<u64>) -> Result<Option<Position>, String> {
    match (epoch, offset) {
        (None, None) => Ok(None),
        (Some(text), Some(offset)) => match text.parse::<Epoch>() {
            Ok(epoch) => Ok(Some(Position { epoch, offset })),
            Err(_) => Err(format!("epoch {text:?} is not one that this server gave")),
        },
        _ => Err("epoch and offset go together".into()),
    }
}

/// The text of a payload: a JSON string's content, any other value's own bytes.
fn payload_text<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    let raw = <&RawValue>::deserialize(deserializer)?;
    if raw.get().starts_with('"') {
        serde_json::from_str(raw.get()).map_err(serde::de::Error::custom)
    } else {
        Ok(raw.get().to_owned())
    }
}

/// A UUID as text: 32 hexadecimal digits in groups of 8, 4, 4, 4 and 12.
fn uuid<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Option<u128>, D::Error> {
    let text = <std::borrow::Cow<'_, str>>::deserialize(deserializer)?;
    let groups = text.split('-').map(str::len);
    let right = groups.eq([8, 4, 4, 4, 12]) && !text.contains('+');
    let number = u128::from_str_radix(&text.replace('-', ""), 16);
    let number = number.ok().filter(|number| right && *number != 0);
    let wrong = || serde::de::Error::custom(format!("id {text:?} is not a UUID"));
    number.map(Some).ok_or_else(wrong)
}

/// The id of a line that is JSON but not a request of ours, so that the error reaches who waits for it.
fn id_of(line: &str) -> u32 {
    #[derive(Deserialize)]
    struct OnlyId {
        id: u32,
    }
    serde_json::from_str::<OnlyId>(line).map_or(0, |only| only.id)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(frame: &str, expected: &[RequestBody]) {
        let decoded: Vec<_> = decode_requests(frame)
            .into_iter()
            .map(|request| request.unwrap().body)
            .collect();
        assert_eq!(decoded, expected, "{frame}");
    }

    #[track_caller]
    fn check_error(frame: &str, id: u32, part: &str) {
        let error = decode_requests(frame).remove(0).unwrap_err();
        assert_eq!(error.id, id, "{frame}");
        assert!(error.message.contains(part), "{frame}: {}", error.message);
    }

    fn channel(name: &str) -> RequestBody {
        RequestBody::Subscribe(Subscribe {
            channel: name.into(),
            since: None,
        })
    }

    #[test]
    fn subscribe_forms() {
        check(r#"{"id":1,"subscribe":"web_a"}"#, &[channel("web_a")]);
        check(
            r#"{"id":1,"subscribe":["web_a",{"channel":"web_b"}]}"#,
            &[channel("web_a"), channel("web_b")],
        );
        let since = Some(Position {
            epoch: Epoch(255),
            offset: 4,
        });
        check(
            r#"{"id":1,"subscribe":{"channel":"web_a","epoch":"00000000000000ff","offset":4}}"#,
            &[RequestBody::Subscribe(Subscribe {
                channel: "web_a".into(),
                since,
            })],
        );
    }

    #[test]
    fn several_lines_and_one_bad() {
        let frame = "{\"id\":1,\"ping\":{}}\n\n{\"id\":2,\"fly\":{}}\n{\"id\":3,\"ping\":{}}";
        let decoded = decode_requests(frame);
        assert_eq!(decoded.len(), 3);
        assert_eq!(decoded[1].as_ref().unwrap_err().id, 2);
        assert_eq!(decoded[2].as_ref().unwrap().id, 3);
    }

    #[test]
    fn payloads_keep_their_bytes() {
        for (json, text) in [
            (r#"{"a" : 1}"#, r#"{"a" : 1}"#),
            (r#""it's\n""#, "it's\n"),
            ("5", "5"),
            ("[1, 2]", "[1, 2]"),
        ] {
            let publish = Publish {
                channel: "web_a".into(),
                id: None,
                event: String::new(),
                data: text.into(),
            };
            check(
                &format!(r#"{{"id":1,"publish":{{"channel":"web_a","data":{json}}}}}"#),
                &[RequestBody::Publish(publish)],
            );
        }
    }

    #[test]
    fn publications_may_have_an_id() {
        let line = |id: &str| {
            format!(r#"{{"id":7,"publish":{{"channel":"web_a","data":1,"id":"{id}"}}}}"#)
        };
        let publish = Publish {
            channel: "web_a".into(),
            id: Some(0x0190_a1b2_c3d4_7e5f_8a9b_0c1d_2e3f_4051),
            event: String::new(),
            data: "1".into(),
        };
        let publish = RequestBody::Publish(publish);
        check(&line("0190a1b2-C3D4-7e5f-8a9b-0c1d2e3f4051"), &[publish]);
        for wrong in [
            "",
            "7",
            "0190a1b2c3d47e5f8a9b0c1d2e3f4051",
            "0190a1b2-c3d4-7e5f-8a9b-0c1d2e3f405x",
            "+190a1b2-c3d4-7e5f-8a9b-0c1d2e3f4051",
            "00000000-0000-0000-0000-000000000000",
        ] {
            check_error(&line(wrong), 7, "is not a UUID");
        }
    }

    #[test]
    fn errors_name_the_request() {
        check_error("hello", 0, "expected");
        check_error(r#"{"id":7}"#, 7, "name what you ask");
        check_error(r#"{"id":7,"ping":{},"ack":{"offset":1}}"#, 7, "one thing");
        check_error(r#"{"id":7,"fly":1}"#, 7, "unknown field `fly`");
        check_error(
            r#"{"id":7,"subscribe":{"channel":"web_a","offset":1}}"#,
            7,
            "go together",
        );
    }
}
