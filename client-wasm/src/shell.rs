//! What a session causes, as calls of the TypeScript shell.

use cometql_protocol::client::{Delivery, Effects, Now, Refusal, SocketId, State, TabId};
use cometql_protocol::wire::Position;
use wasm_bindgen::prelude::wasm_bindgen;

use crate::frame::stringify;
use crate::number::number;

#[wasm_bindgen]
extern "C" {
    /// The interface `Shell` of `INTERFACE`, which says what its methods are for.
    #[wasm_bindgen(typescript_type = "Shell")]
    pub type Shell;

    #[wasm_bindgen(method, structural, js_name = openSocket)]
    fn open_socket(this: &Shell, socket: u32, url: u32);
    #[wasm_bindgen(method, structural, js_name = closeSocket)]
    fn close_socket(this: &Shell, socket: u32);
    #[wasm_bindgen(method, structural)]
    fn send(this: &Shell, text: &str);
    #[wasm_bindgen(method, structural, js_name = setTimer)]
    fn set_timer(this: &Shell, at: f64);
    #[wasm_bindgen(method, structural, js_name = askForToken)]
    fn ask_for_token(this: &Shell);
    #[wasm_bindgen(method, structural)]
    fn state(this: &Shell, tab: u32, state: &str, at: f64, code: &str, message: &str);
    #[wasm_bindgen(method, structural)]
    fn subscribed(this: &Shell, tab: u32, channel: &str, epoch: &str, offset: f64, recovered: bool);
    #[wasm_bindgen(method, structural)]
    fn recovered(this: &Shell, tab: u32, channel: &str);
    #[wasm_bindgen(method, structural)]
    fn gap(this: &Shell, tab: u32, channel: &str, epoch: &str, offset: f64);
    #[wasm_bindgen(method, structural)]
    fn unsubscribed(this: &Shell, tab: u32, channel: &str, code: &str, message: &str);
    #[wasm_bindgen(method, structural)]
    fn publication(this: &Shell, tab: u32, channel: &str, epoch: &str, offset: f64, text: &str);
    #[wasm_bindgen(method, structural)]
    fn presence(this: &Shell, tab: u32, channel: &str, text: &str);
    #[wasm_bindgen(method, structural)]
    fn message(this: &Shell, tab: u32, offset: f64, text: &str);
    #[wasm_bindgen(method, structural)]
    fn answer(this: &Shell, tab: u32, call: u32, text: &str);
    #[wasm_bindgen(method, structural)]
    fn refused(this: &Shell, tab: u32, call: u32, code: &str, message: &str, retry_after: f64);
    #[wasm_bindgen(method, structural)]
    fn error(this: &Shell, tab: u32, code: &str, message: &str);

    #[wasm_bindgen(js_namespace = crypto, js_name = getRandomValues)]
    fn fill_randomly(bytes: &mut [u8]);
}

/// A fresh random number of the browser's cryptographic generator: publications are told apart by it.
pub(crate) fn random() -> u64 {
    let mut bytes = [0; 8];
    fill_randomly(&mut bytes);
    u64::from_ne_bytes(bytes)
}

impl Effects for Shell {
    fn open_socket(&mut self, socket: SocketId, url: usize) {
        let url = u32::try_from(url).unwrap_or(u32::MAX);
        Self::open_socket(self, socket.0, url);
    }

    fn close_socket(&mut self, socket: SocketId) {
        Self::close_socket(self, socket.0);
    }

    fn send(&mut self, text: &str) {
        Self::send(self, text);
    }

    fn set_timer(&mut self, at: Option<Now>) {
        Self::set_timer(self, at.map_or(f64::INFINITY, |at| number(at.0)));
    }

    fn deliver(&mut self, TabId(tab): TabId, delivery: Delivery<'_>) {
        match delivery {
            Delivery::State(state) => self.tell_state(tab, state),
            Delivery::Subscribed {
                channel,
                position,
                recovered,
            } => {
                let (epoch, offset) = crossing(position);
                self.subscribed(tab, channel, &epoch, offset, recovered);
            }
            Delivery::Recovered { channel } => self.recovered(tab, channel),
            Delivery::Gap { channel, position } => {
                let (epoch, offset) = crossing(position);
                self.gap(tab, channel, &epoch, offset);
            }
            Delivery::Unsubscribed { channel, refusal } => {
                self.unsubscribed(tab, channel, &refusal.code, &refusal.message);
            }
            Delivery::Publication {
                channel,
                position,
                text,
            } => {
                let (epoch, offset) = crossing(position);
                self.publication(tab, channel, &epoch, offset, text);
            }
            Delivery::Presence { channel, text } => self.presence(tab, channel, text),
            Delivery::Message { offset, text } => self.message(tab, number(offset), text),
            Delivery::Answer { call, result } => self.tell_answer(tab, call, result),
            Delivery::Error(refusal) => self.error(tab, &refusal.code, &refusal.message),
        }
    }

    fn ask_for_token(&mut self) {
        Self::ask_for_token(self);
    }

    fn random(&mut self) -> u64 {
        random()
    }

    fn json_string(&mut self, text: &str) -> String {
        stringify(text)
    }
}

impl Shell {
    fn tell_state(&self, tab: u32, state: State<'_>) {
        match state {
            State::Connecting => self.state(tab, "connecting", 0.0, "", ""),
            State::Online => self.state(tab, "online", 0.0, "", ""),
            State::Offline(until) => self.state(tab, "offline", number(until.0), "", ""),
            State::Stopped(why) => self.state(tab, "stopped", 0.0, &why.code, &why.message),
        }
    }

    fn tell_answer(&self, tab: u32, call: u32, result: Result<&str, &Refusal>) {
        match result {
            Ok(text) => self.answer(tab, call, text),
            Err(refusal) => {
                let retry_after = number(refusal.retry_after_ms.unwrap_or(0));
                self.refused(tab, call, &refusal.code, &refusal.message, retry_after);
            }
        }
    }
}

/// A position as it crosses the border.
fn crossing(position: Option<Position>) -> (String, f64) {
    position.map_or((String::new(), 0.0), |position| {
        (position.epoch.to_string(), number(position.offset))
    })
}
