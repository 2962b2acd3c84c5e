//! Effects as lines of text, for tests.

use crate::wire::json_string;

use super::{Delivery, Effects, Now, SocketId, State, TabId};

/// All that a session caused, in order.
#[derive(Debug, Default)]
pub(super) struct Record {
    sent: Vec<String>,
    told: Vec<String>,
    pub(super) opened: Vec<(SocketId, usize)>,
    pub(super) closed: Vec<SocketId>,
    pub(super) timer: Option<Now>,
    pub(super) tokens: usize,
    pub(super) next_random: u64,
}

impl Record {
    /// Frames sent since the last call.
    pub(super) fn take_sent(&mut self) -> Vec<String> {
        std::mem::take(&mut self.sent)
    }

    /// What tabs were told since the last call, as `tab: what`.
    pub(super) fn take_told(&mut self) -> Vec<String> {
        std::mem::take(&mut self.told)
    }
}

impl Effects for Record {
    fn open_socket(&mut self, socket: SocketId, url: usize) {
        self.opened.push((socket, url));
    }

    fn close_socket(&mut self, socket: SocketId) {
        self.closed.push(socket);
    }

    fn send(&mut self, text: &str) {
        self.sent.push(text.to_owned());
    }

    fn set_timer(&mut self, at: Option<Now>) {
        self.timer = at;
    }

    fn deliver(&mut self, tab: TabId, delivery: Delivery<'_>) {
        self.told.push(format!("{}: {}", tab.0, line(delivery)));
    }

    fn ask_for_token(&mut self) {
        self.tokens += 1;
    }

    fn random(&mut self) -> u64 {
        self.next_random
    }

    fn json_string(&mut self, text: &str) -> String {
        json_string(text)
    }
}

fn line(delivery: Delivery<'_>) -> String {
    match delivery {
        Delivery::State(State::Connecting) => "connecting".into(),
        Delivery::State(State::Online) => "online".into(),
        Delivery::State(State::Offline(until)) => format!("offline until {}", until.0),
        Delivery::State(State::Stopped(why)) => format!("stopped {}", why.code),
        Delivery::Subscribed {
            channel,
            position,
            recovered,
        } => {
            let at = position.map_or_else(|| "-".into(), |at| at.offset.to_string());
            format!("subscribed {channel} at {at} {recovered}")
        }
        Delivery::Recovered { channel } => format!("recovered {channel}"),
        Delivery::Gap { channel, position } => {
            let at = position.map_or_else(|| "-".into(), |at| at.offset.to_string());
            format!("gap {channel} at {at}")
        }
        Delivery::Unsubscribed { channel, refusal } => {
            format!("unsubscribed {channel} {}", refusal.code)
        }
        Delivery::Publication {
            channel, position, ..
        } => {
            let at = position.map_or_else(|| "-".into(), |at| at.offset.to_string());
            format!("publication {channel} {at}")
        }
        Delivery::Presence { channel, .. } => format!("presence {channel}"),
        Delivery::Message { offset, text } => format!("message {offset} {text}"),
        Delivery::Answer {
            call,
            result: Ok(text),
        } => format!("answer {call} {text}"),
        Delivery::Answer {
            call,
            result: Err(refusal),
        } => format!("answer {call} {}", refusal.code),
        Delivery::Error(refusal) => format!("error {}", refusal.code),
    }
}
