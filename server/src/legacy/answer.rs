//! The original's messages to one connection: answers, errors, joins and leaves.

use cometql_engine::Now;
use cometql_protocol::ChannelName;
use cometql_protocol::wire::{Kept, Member, Reply};
use serde_json::json;

use super::asked::Asked;
use super::command::{ListProblem, Refusal};
use super::encode::{Data, Message, payload, system};

/// The marker of a request without a callback, as JavaScript writes it.
const NO_MARKER: &str = "undefined";

/// The frames that answer a command, now that the engine has replied.
pub(super) fn to(asked: &Asked, reply: &Reply, now: Now, old: bool) -> Vec<String> {
    let message = match (asked, reply) {
        (Asked::Publish { pipe, message }, Reply::Published { reached, .. }) => {
            return vec![report(pipe, message, *reached, now, old)];
        }
        (Asked::Log { pipe, marker }, Reply::History { publications, .. }) => {
            let entries = publications.iter();
            return entries
                .map(|entry| log_entry(pipe, marker, entry, old))
                .collect();
        }
        (Asked::Count { marker }, Reply::PresenceCount { count, .. }) => {
            user_in_pipe(*count, marker, now)
        }
        (Asked::Users { pipe, marker }, Reply::Presence { members, .. }) => {
            return users(pipe, marker, members, now, old);
        }
        (Asked::Data { marker }, Reply::UserData { user, data }) => {
            user_data(user.get(), data, marker, now)
        }
        (Asked::Status, Reply::UserStatus { user, last_seen }) => {
            return vec![user_status(user.get(), *last_seen, now, old)];
        }
        // A reply of another kind than was asked for does not exist; it would have no meaning to tell.
        _ => return Vec::new(),
    };
    vec![message.encode(old)]
}

/// The error when the engine refused what was asked.
pub(super) fn rejected(asked: &Asked, text: &str, now: Now) -> Message<'static> {
    match asked {
        Asked::Publish { .. } => error(&format!("[pipe_msg2] {text}"), now),
        Asked::Log { .. } => error(&format!("[pipe_log] {text}"), now),
        Asked::Count { .. } => error(&format!("[pipe_count] {text}"), now),
        Asked::Users { .. } => users_error(&format!("[track_pipe_users] {text}"), now),
        Asked::Data { .. } => data_error(&format!("[user_data] {text}"), now),
        Asked::Status => error(&format!("[user_status] {text}"), now),
    }
}

/// The first message: who the connection is, and the "real user key".
pub(super) fn server_info(authorised: bool, hash: &str, now: Now) -> Message<'_> {
    let mut message = system(Data::Text(hash), "serverInfo", now);
    message.authorized = Some(authorised);
    message
}

pub(super) fn refusal(refusal: Refusal, now: Now) -> Message<'static> {
    match refusal {
        Refusal::Channel(text) => error(text, now),
        Refusal::Users(text) => users_error(text, now),
        Refusal::Data(text) => data_error(text, now),
    }
}

pub(super) fn error(text: &str, now: Now) -> Message<'static> {
    sys_error(&json!({"error": text, "number_messages": -1}), now)
}

pub(super) fn list_problem(problem: ListProblem, now: Now) -> Message<'static> {
    sys_error(&json!({"code": "403", "error": problem.text()}), now)
}

fn users_error(text: &str, now: Now) -> Message<'static> {
    sys_error(&json!({"error": text, "user_id": -1}), now)
}

fn data_error(text: &str, now: Now) -> Message<'static> {
    sys_error(&json!({"error": text, "user_data": "", "user_id": -1}), now)
}

fn sys_error(data: &serde_json::Value, now: Now) -> Message<'static> {
    system(Data::Json(data.to_string()), "error", now)
}

/// Somebody else joined or left a `track_` pipe.
pub(super) fn presence<'a>(
    channel: &'a ChannelName,
    joined: bool,
    member: &Member,
    now: Now,
) -> Message<'a> {
    let event = if joined {
        "subscription"
    } else {
        "unsubscription"
    };
    let data = Data::Json(member_json(member).to_string());
    let mut message = Message::new(data, event, channel.as_str());
    message.time = Some(now.seconds());
    message
}

pub(super) fn user_data<'a>(user: u64, data: &str, marker: &'a str, now: Now) -> Message<'a> {
    let data = json!({"user_data": data, "user_id": user});
    answer(
        Data::Json(data.to_string()),
        "answer",
        "_answer",
        marker,
        now,
    )
}

/// Seconds since the user was last seen. Online and never seen count from 1970, as in the original.
pub(super) fn user_status(user: u64, last_seen: Option<u64>, now: Now, old: bool) -> String {
    let ago = now.seconds().saturating_sub(last_seen.unwrap_or(0));
    let data = json!({"data": ago, "last_online_time": ago});
    let event = format!("user_status_{user}");
    let mut message = Message::new(Data::Json(data.to_string()), &event, "_answer_user_status");
    message.time = Some(now.seconds());
    message.encode(old)
}

fn user_in_pipe(count: u64, marker: &str, now: Now) -> Message<'_> {
    let data = Data::Json(json!({"user_in_pipe": count}).to_string());
    answer(data, "user_in_pipe", "_answer_pipe_count", marker, now)
}

/// The list, and for old clients a second time on its pipe: 3.25 waits for it there, and there only.
fn users(pipe: &str, marker: &str, members: &[Member], now: Now, old: bool) -> Vec<String> {
    let list: serde_json::Value = members.iter().map(member_json).collect();
    let on = |pipe| {
        let data = Data::Json(list.to_string());
        let mut message = answer(data, "answer", pipe, marker, now);
        message.info = Some("answer for track_pipe_users");
        message.encode(old)
    };
    let mut frames = vec![on("_answer")];
    if old && marker != NO_MARKER {
        frames.push(on(pipe));
    }
    frames
}

fn answer<'a>(
    data: Data<'a>,
    event: &'a str,
    pipe: &'a str,
    marker: &'a str,
    now: Now,
) -> Message<'a> {
    let mut message = Message::new(data, event, pipe);
    message.marker = Some(marker);
    message.time = Some(now.seconds());
    message
}

fn member_json(member: &Member) -> serde_json::Value {
    json!({"user_id": member.user.map_or(0, |user| user.get()), "uuid": member.uuid})
}

/// The delivery report to the publisher; `others` are the connections reached beside its own.
fn report(pipe: &str, message: &str, others: u64, now: Now, old: bool) -> String {
    let data = json!({"message": message, "number_messages": others});
    let pipe = format!("_answer_to_{pipe}");
    let mut message = Message::new(Data::Json(data.to_string()), "answer", &pipe);
    message.time = Some(now.seconds());
    message.encode(old)
}

/// One entry of a `pipe_log` answer. Only old clients get the marker: they route the entry by it to the callback of their
/// request, while newer ones drop messages with a marker that is not their tab's.
fn log_entry(pipe: &str, marker: &str, entry: &Kept, old: bool) -> String {
    let data = payload(&entry.data, entry.data_is_json);
    let mut message = Message::new(Data::Text(&data), &entry.event, pipe);
    message.from_queue = true;
    message.history = true;
    message.marker = Some(marker).filter(|marker| old && *marker != NO_MARKER);
    message.time = Some(entry.time_ms / 1000);
    message.user_id = Some(entry.user.map_or(0, |user| user.get()));
    message.encode(old)
}
