//! The conversation of one connection of the original's protocol.
//!
//! Owns what the original's answers need and the engine does not keep: which request was which command, its marker, the
//! text of a publication for its delivery report, and the current list of pipes. Nothing here grows without a bound.

use std::time::Duration;

use cometql_engine::{Now, Publication, Push, Reject};
use cometql_protocol::wire::{Connect, History, Publish, Reply, Request, RequestBody, Subscribe};
use cometql_protocol::{ErrorCode, UserId};

use super::answer;
use super::asked::{Asked, Waiting};
use super::command::{self, Command, ListProblem};
use super::encode;
use super::url::{Key, LegacyUrl};

/// Bytes of frames that may wait for the credentials to be checked: the original's `fragment_buf_max_size`.
const WAITING_BYTES: usize = 103_840;
/// Most entries of a `pipe_log` answer.
const LOG_ENTRIES: u32 = 99;

/// How long TCP outlives the close frame of a client before version 4. Its `restart()` waits one second before it allows
/// the client to come back, and never again looks at a connection that ended before; the second one is for slow timers.
const OLD_LINGER: Duration = Duration::from_secs(2);

/// The request ids of `connect`, and of requests whose success the original never tells. All below `asked::FIRST_ID`.
const CONNECT: u32 = 1;
const UNSUBSCRIBE: u32 = 2;
const SUBSCRIBE: u32 = 3;

/// What the edge has to do, in order.
#[derive(Debug, Clone, PartialEq)]
pub enum Output {
    /// Hand this to the engine, after the current `Shard::handle` has returned.
    Request(Request),
    /// Send this text frame.
    Send(String),
    /// Send what was to be sent before, then drop TCP without a close frame.
    Drop,
}

/// See the module.
#[derive(Debug)]
pub struct Adapter {
    login: Option<Login>,
    old: bool,
    state: State,
    /// Tells the page its "real user key".
    stored_hash: Option<Box<str>>,
    /// The pipes of the last `subscription`, but for those that the engine refused.
    pipes: Vec<Box<str>>,
    asked: Waiting,
}

/// What the URL said, until it was handed to the engine.
#[derive(Debug)]
struct Login {
    user: Option<UserId>,
    key: Key,
    uuid: Box<str>,
}

#[derive(Debug)]
enum State {
    /// Credentials are being checked; these frames came early.
    Waiting {
        frames: Vec<String>,
        bytes: usize,
    },
    Open {
        authorised: bool,
    },
    /// TCP is to be dropped.
    Over,
}

impl Adapter {
    /// An adapter for a connection with this URL.
    #[must_use]
    pub fn new(url: LegacyUrl) -> Self {
        Self {
            old: url.version.0 < 4,
            login: Some(Login {
                user: url.user,
                key: url.key,
                uuid: url.uuid,
            }),
            state: State::Waiting {
                frames: Vec::new(),
                bytes: 0,
            },
            stored_hash: None,
            pipes: Vec::new(),
            asked: Waiting::new(),
        }
    }

    /// True for clients before version 4, which get the older message format.
    #[must_use]
    pub fn is_old(&self) -> bool {
        self.old
    }

    /// How long TCP stays open after the client's close frame, which is never answered.
    #[must_use]
    pub fn linger(&self) -> Duration {
        if self.old { OLD_LINGER } else { Duration::ZERO }
    }

    /// The socket is open: asks the engine who this is. The key is a JWT if it looks like one, which no hash does, and
    /// else the hash that the user must have in `users_auth`.
    pub fn on_open(&mut self) -> Vec<Output> {
        let Some(login) = self.login.take() else {
            return Vec::new();
        };
        let mut connect = Connect {
            inbox: true,
            uuid: (!login.uuid.is_empty()).then(|| login.uuid.into()),
            ..Connect::default()
        };
        if let Some(user) = login.user.filter(|_| !login.key.expose().is_empty()) {
            connect.user = Some(user.get());
            let key = Some(login.key.expose().to_owned());
            if login.key.looks_like_token() {
                connect.token = key;
            } else {
                connect.hash = key;
            }
        }
        vec![request(CONNECT, RequestBody::Connect(connect))]
    }

    /// The credentials of this connection were good: its user's row of `users_auth`, from
    /// [`stored_hash`](super::stored_hash). To be called before the engine gets `Input::Authenticated`.
    pub fn authenticated(&mut self, stored_hash: &str) {
        self.stored_hash = Some(stored_hash.into());
    }

    /// A text frame came (or a binary one, which the original takes for text).
    pub fn feed(&mut self, now: Now, text: &str) -> Vec<Output> {
        let mut out = Vec::new();
        self.feed_into(now, text, &mut out);
        out
    }

    fn feed_into(&mut self, now: Now, text: &str, out: &mut Vec<Output>) {
        match &mut self.state {
            State::Waiting { frames, bytes } => {
                *bytes += text.len() + size_of::<String>();
                if *bytes <= WAITING_BYTES {
                    frames.push(text.to_owned());
                } else {
                    self.drop_into(out);
                }
            }
            State::Open { authorised } => {
                let authorised = *authorised;
                self.carry_out(now, command::parse(text, authorised), out);
            }
            State::Over => {}
        }
    }

    fn carry_out(&mut self, now: Now, command: Command<'_>, out: &mut Vec<Output>) {
        match command {
            Command::Subscription { names, problem } => {
                self.subscribe(now, &names, problem, out);
            }
            Command::Publish {
                pipe,
                event,
                message,
            } => self.publish(now, pipe, event, message, out),
            Command::Log { pipe, marker } => self.ask(
                now,
                Asked::Log {
                    pipe: pipe.into(),
                    marker: marker.into(),
                },
                RequestBody::History(History {
                    channel: pipe.into(),
                    since: None,
                    limit: Some(LOG_ENTRIES),
                }),
                out,
            ),
            Command::Count { pipe, marker } => {
                let marker = marker.into();
                let body = RequestBody::PresenceCount {
                    channel: pipe.into(),
                };
                self.ask(now, Asked::Count { marker }, body, out);
            }
            Command::Users { pipe, marker } => {
                let asked = Asked::Users {
                    pipe: pipe.into(),
                    marker: marker.into(),
                };
                let channel = pipe.into();
                self.ask(now, asked, RequestBody::Presence { channel }, out);
            }
            Command::Data { marker, user } => self.user_data(now, marker, user, out),
            Command::Status { user } => self.user_status(now, user, out),
            Command::Nothing => {}
            Command::Bad(refusals) => {
                let lines = refusals
                    .iter()
                    .map(|refusal| answer::refusal(*refusal, now));
                out.extend(lines.map(|message| Output::Send(message.encode(self.old))));
            }
            Command::Unknown => self.drop_into(out),
        }
    }

    /// The new list replaces the old one. A pipe that stays keeps its subscription, so that no message is lost between;
    /// but `track_` pipes are left and joined again, which others see, as in the original.
    fn subscribe(
        &mut self,
        now: Now,
        names: &[&str],
        problem: Option<ListProblem>,
        out: &mut Vec<Output>,
    ) {
        let old = std::mem::take(&mut self.pipes);
        let (kept, left): (Vec<_>, Vec<_>) = old
            .into_iter()
            .partition(|pipe| names.contains(&&**pipe) && !pipe.starts_with("track_"));
        out.extend(left.into_iter().map(|pipe| {
            let channel = pipe.into();
            request(UNSUBSCRIBE, RequestBody::Unsubscribe { channel })
        }));
        self.pipes = kept;
        for name in names {
            // Two characters could be subscribed in the original too, but nobody could ever name such a pipe.
            if name.len() < 3 || self.pipes.iter().any(|pipe| **pipe == **name) {
                continue;
            }
            self.pipes.push((*name).into());
            let channel = (*name).into();
            let subscribe = Subscribe {
                channel,
                since: None,
            };
            out.push(request(SUBSCRIBE, RequestBody::Subscribe(subscribe)));
        }
        if let Some(problem) = problem {
            let message = answer::list_problem(problem, now);
            out.push(Output::Send(message.encode(self.old)));
            if problem.closes() {
                self.drop_into(out);
            }
        }
    }

    fn publish(&mut self, now: Now, pipe: &str, event: &str, message: &str, out: &mut Vec<Output>) {
        let asked = Asked::Publish {
            pipe: pipe.strip_prefix('@').unwrap_or(pipe).into(),
            message: message.into(),
        };
        let body = RequestBody::Publish(Publish {
            channel: pipe.into(),
            id: None,
            event: event.into(),
            data: message.into(),
        });
        self.ask(now, asked, body, out);
    }

    fn user_data(&mut self, now: Now, marker: &str, user: u64, out: &mut Vec<Output>) {
        if UserId::new(user).is_none() {
            let message = answer::user_data(user, "", marker, now);
            out.push(Output::Send(message.encode(self.old)));
            return;
        }
        let marker = marker.into();
        self.ask(
            now,
            Asked::Data { marker },
            RequestBody::UserData { user },
            out,
        );
    }

    fn user_status(&mut self, now: Now, user: u64, out: &mut Vec<Output>) {
        if UserId::new(user).is_none() {
            out.push(Output::Send(answer::user_status(user, None, now, self.old)));
            return;
        }
        self.ask(now, Asked::Status, RequestBody::UserStatus { user }, out);
    }

    /// Asks the engine and remembers what for.
    fn ask(&mut self, now: Now, asked: Asked, body: RequestBody, out: &mut Vec<Output>) {
        let Some(id) = self.asked.add(asked) else {
            let message = answer::error("Too many requests wait for an answer", now);
            out.push(Output::Send(message.encode(self.old)));
            return;
        };
        out.push(request(id, body));
    }

    /// The engine granted a request.
    pub fn on_reply(&mut self, now: Now, id: u32, reply: &Reply) -> Vec<Output> {
        if let Reply::Connected { user, .. } = reply {
            return self.open(now, user.is_some());
        }
        let Some(asked) = self.asked.take(id) else {
            return Vec::new();
        };
        let lines = answer::to(&asked, reply, now, self.old);
        lines.into_iter().map(Output::Send).collect()
    }

    /// The engine refused a request. Not to be let into a pipe is silent, as in the original.
    pub fn on_refused(
        &mut self,
        now: Now,
        id: u32,
        reject: &Reject,
        channel: Option<&str>,
    ) -> Vec<Output> {
        match id {
            CONNECT => self.on_unknown_user(now, reject),
            UNSUBSCRIBE => Vec::new(),
            SUBSCRIBE => {
                if let Some(channel) = channel {
                    self.forget(channel);
                }
                self.on_not_subscribed(now, reject)
            }
            _ => {
                let Some(asked) = self.asked.take(id) else {
                    return Vec::new();
                };
                let line = answer::rejected(&asked, &reject.message, now).encode(self.old);
                vec![Output::Send(line)]
            }
        }
    }

    /// Wrong credentials leave the connection open as anonymous. A node that could not look must not say so: the page
    /// would log its user out; dropped, the client comes again.
    fn on_unknown_user(&mut self, now: Now, reject: &Reject) -> Vec<Output> {
        if matches!(reject.code, ErrorCode::Unavailable | ErrorCode::Internal) {
            let mut out = Vec::new();
            self.drop_into(&mut out);
            return out;
        }
        self.open(now, false)
    }

    fn on_not_subscribed(&self, now: Now, reject: &Reject) -> Vec<Output> {
        let silent = matches!(
            reject.code,
            ErrorCode::PermissionDenied | ErrorCode::LoginRequired | ErrorCode::AlreadySubscribed
        );
        if silent {
            return Vec::new();
        }
        let message = answer::error(&reject.message, now).encode(self.old);
        vec![Output::Send(message)]
    }

    /// The engine has something unasked; at most one frame. The connection's own publications are not sent to it.
    pub fn on_push(&mut self, now: Now, push: &Push<'_>) -> Option<String> {
        match push {
            Push::Publication(publication) => Some(self.publication(publication)),
            // The original knows no positions, so nothing could be done about a gap.
            Push::Own(..) | Push::Gap(_) => None,
            Push::Presence(channel, joined, member) => {
                Some(answer::presence(channel, *joined, member, now).encode(self.old))
            }
            Push::Inbox(message) => Some(encode::inbox_message(message, self.old)),
            Push::Unsubscribed(channel, _, text) => {
                self.forget(channel.as_str());
                Some(answer::error(text, now).encode(self.old))
            }
        }
    }

    fn publication(&self, publication: &Publication) -> String {
        encode::encode_publication(publication, self.old)
    }

    /// `serverInfo` first, then what the client asked for meanwhile.
    fn open(&mut self, now: Now, authorised: bool) -> Vec<Output> {
        let hash = self.stored_hash.take().filter(|_| authorised);
        let line = answer::server_info(authorised, hash.as_deref().unwrap_or_default(), now);
        let mut out = vec![Output::Send(line.encode(self.old))];
        let before = std::mem::replace(&mut self.state, State::Open { authorised });
        if let State::Waiting { frames, .. } = before {
            for frame in frames {
                self.feed_into(now, &frame, &mut out);
            }
        }
        out
    }

    fn forget(&mut self, channel: &str) {
        self.pipes.retain(|pipe| **pipe != *channel);
    }

    fn drop_into(&mut self, out: &mut Vec<Output>) {
        self.state = State::Over;
        out.push(Output::Drop);
    }
}

fn request(id: u32, body: RequestBody) -> Output {
    Output::Request(Request { id, body })
}

#[cfg(test)]
mod tests;
