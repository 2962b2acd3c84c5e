//! What tabs ask and are answered once: publications and questions. They wait while there is no connection and are sent
//! again when one was lost before the answer came, which is safe: a question changes nothing, and a publication carries
//! an id by which the server knows it again.

use litemap::LiteMap;

use super::incoming::Refusal;
use super::requests::{Asked, Caller, Question, Requests, publish};
use super::{Delivery, Effects, Now, Publish, Settings, TabId};

/// All that is not answered yet, oldest first.
#[derive(Debug, Default)]
pub(super) struct Calls {
    last: u64,
    open: LiteMap<u64, Call>,
    bytes: usize,
}

#[derive(Debug)]
struct Call {
    caller: Caller,
    body: String,
    publishes: bool,
    sent: bool,
    expires: Now,
}

impl Calls {
    /// A tab publishes. The server is asked when the connection is ready.
    pub(super) fn publish(
        &mut self,
        now: Now,
        caller: Caller,
        content: &Publish<'_>,
        settings: &Settings,
        effects: &mut impl Effects,
    ) {
        let body = publish(content, effects);
        let call = Call {
            caller,
            body,
            publishes: true,
            sent: false,
            expires: now.after(settings.publish_ms),
        };
        self.add(call, settings, effects);
    }

    /// A tab asks. The server is asked when the connection is ready.
    pub(super) fn question(
        &mut self,
        now: Now,
        caller: Caller,
        question: &Question,
        settings: &Settings,
        effects: &mut impl Effects,
    ) {
        let call = Call {
            caller,
            body: question.body(effects),
            publishes: false,
            sent: false,
            expires: now.after(settings.question_ms),
        };
        self.add(call, settings, effects);
    }

    fn add(&mut self, call: Call, settings: &Settings, effects: &mut impl Effects) {
        let full = self.open.len() >= settings.queued_calls
            || self.bytes + call.body.len() > settings.queued_bytes;
        if full {
            return answer(call.caller, Err(&Refusal::queue_full()), effects);
        }
        self.last += 1;
        self.bytes += call.body.len();
        self.open.insert(self.last, call);
    }

    /// Sends what was not sent on this connection, which is ready.
    pub(super) fn ask(&mut self, requests: &mut Requests, effects: &mut impl Effects) {
        for (serial, call) in self.open.iter_mut().filter(|(_, call)| !call.sent) {
            let serial = *serial;
            let asked = if call.publishes {
                Asked::Publish { serial }
            } else {
                Asked::Question { serial }
            };
            requests.ask(asked, &call.body, effects);
            call.sent = true;
        }
    }

    /// The server has answered.
    pub(super) fn on_answer(
        &mut self,
        serial: u64,
        result: Result<&str, &Refusal>,
        effects: &mut impl Effects,
    ) {
        if let Some(call) = self.take(serial) {
            answer(call.caller, result, effects);
        }
    }

    /// The connection is gone: what was not answered is sent again on the next one.
    pub(super) fn lost(&mut self) {
        for (_, call) in self.open.iter_mut() {
            call.sent = false;
        }
    }

    /// When the next one has waited too long.
    pub(super) fn due(&self) -> Option<Now> {
        self.open.values().map(|call| call.expires).min()
    }

    /// Gives up what has waited too long.
    pub(super) fn expire(&mut self, now: Now, effects: &mut impl Effects) {
        self.give_up(|call| call.expires <= now, &Refusal::timeout(), effects);
    }

    /// The session ends: gives up everything.
    pub(super) fn close(&mut self, effects: &mut impl Effects) {
        self.give_up(|_| true, &Refusal::closed(), effects);
    }

    /// A tab is gone: its questions are asked by nobody. Its publications are sent all the same.
    pub(super) fn remove_tab(&mut self, tab: TabId, effects: &mut impl Effects) {
        let asks = |call: &Call| call.caller.tab == tab && !call.publishes;
        self.give_up(asks, &Refusal::closed(), effects);
    }

    fn give_up(
        &mut self,
        which: impl Fn(&Call) -> bool,
        why: &Refusal,
        effects: &mut impl Effects,
    ) {
        let ended = self.open.iter().filter(|(_, call)| which(call));
        let ended: Vec<_> = ended.map(|(serial, _)| *serial).collect();
        for serial in ended {
            self.on_answer(serial, Err(why), effects);
        }
    }

    fn take(&mut self, serial: u64) -> Option<Call> {
        let call = self.open.remove(&serial)?;
        self.bytes -= call.body.len();
        Some(call)
    }
}

fn answer(caller: Caller, result: Result<&str, &Refusal>, effects: &mut impl Effects) {
    let Caller { tab, call } = caller;
    effects.deliver(tab, Delivery::Answer { call, result });
}

#[cfg(test)]
mod tests {
    use super::super::testing::Record;
    use super::*;

    const SETTINGS: Settings = Settings {
        publish_ms: 1_000,
        question_ms: 500,
        queued_calls: 2,
        queued_bytes: 300,
        ..Settings::DEFAULT
    };

    fn caller(call: u32) -> Caller {
        let tab = TabId(1);
        Caller { tab, call }
    }

    fn content(data: &str) -> Publish<'_> {
        Publish {
            channel: "web_a",
            event: "",
            data,
            id: None,
        }
    }

    #[test]
    fn unanswered_calls_are_sent_again_with_the_same_id() {
        let (mut calls, mut requests) = (Calls::default(), Requests::default());
        let mut effects = Record::default();
        calls.publish(Now(0), caller(1), &content("1"), &SETTINGS, &mut effects);
        calls.ask(&mut requests, &mut effects);
        calls.ask(&mut requests, &mut effects);
        requests.flush(&mut effects);
        let first = effects.take_sent();
        calls.lost();
        requests.lost();
        calls.ask(&mut requests, &mut effects);
        requests.flush(&mut effects);
        let again = effects.take_sent();
        let body = |frames: &[String]| frames[0].split_once(',').unwrap().1.to_owned();
        assert_eq!(body(&first), body(&again));
        calls.on_answer(1, Ok("{}"), &mut effects);
        calls.on_answer(1, Ok("{}"), &mut effects);
        assert_eq!(effects.take_told(), ["1: answer 1 {}"]);
    }

    #[test]
    fn too_many_and_too_long_ago() {
        let (mut calls, mut effects) = (Calls::default(), Record::default());
        let long = format!("\"{}\"", "x".repeat(300));
        calls.publish(Now(0), caller(1), &content(&long), &SETTINGS, &mut effects);
        assert_eq!(effects.take_told(), ["1: answer 1 queue_full"]);
        calls.publish(Now(0), caller(2), &content("2"), &SETTINGS, &mut effects);
        let question = Question::UserStatus(3);
        calls.question(Now(0), caller(3), &question, &SETTINGS, &mut effects);
        calls.question(Now(0), caller(4), &question, &SETTINGS, &mut effects);
        assert_eq!(effects.take_told(), ["1: answer 4 queue_full"]);
        assert_eq!(calls.due(), Some(Now(500)));
        calls.expire(Now(500), &mut effects);
        assert_eq!(effects.take_told(), ["1: answer 3 timeout"]);
        calls.remove_tab(TabId(1), &mut effects);
        assert_eq!(effects.take_told(), [""; 0]);
        calls.close(&mut effects);
        assert_eq!(effects.take_told(), ["1: answer 2 closed"]);
        assert_eq!(calls.bytes, 0);
    }
}
