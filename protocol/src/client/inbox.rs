//! Private messages: given to every tab that handles them, acknowledged when one tab has, in order.
//!
//! An acknowledgement covers all messages before it, so it goes as far as every one of them was handled, and no further.
//! Messages that are stored nowhere ([`UNSTORED_OFFSET`]) are acknowledged one by one.

use litemap::LiteMap;

use super::requests::{Asked, Requests};
use super::{Delivery, Effects, Now, Settings, TabId};
use crate::UNSTORED_OFFSET;
use crate::planted::planted;

/// The user's inbox as this session has it.
#[derive(Debug, Default)]
pub(super) struct Inbox {
    /// Tabs with a handler.
    handlers: LiteMap<TabId, ()>,
    /// Messages without a confirmed acknowledgement. Bounded by what the server lets wait for a user.
    waiting: LiteMap<u64, Waiting>,
    /// The acknowledgement on its way.
    acknowledging: Option<u64>,
    /// After a refusal: not before.
    not_before: Now,
    /// This connection was opened with the inbox on.
    on: bool,
    /// A message came when no tab had a handler. It comes again with the next connection, and what follows it, too.
    missed: bool,
}

#[derive(Debug)]
struct Waiting {
    /// For tabs that come later; `None` = none comes.
    text: Option<String>,
    handled: bool,
}

impl Inbox {
    /// A tab handles private messages from now on. What no tab has handled yet is for it, too. True when a new
    /// connection is needed to get what was missed.
    pub(super) fn add_handler(&mut self, tab: TabId, effects: &mut impl Effects) -> bool {
        self.handlers.insert(tab, ());
        for (offset, waiting) in self.waiting.iter().filter(|(_, waiting)| !waiting.handled) {
            let offset = *offset;
            if let Some(text) = waiting.text.as_deref() {
                effects.deliver(tab, Delivery::Message { offset, text });
            }
        }
        !self.on || self.missed
    }

    /// A tab no longer does.
    pub(super) fn remove_handler(&mut self, tab: TabId) {
        self.handlers.remove(&tab);
    }

    /// Whether the next connection asks for private messages.
    pub(super) fn is_wanted(&self) -> bool {
        !self.handlers.is_empty()
    }

    /// A connection is ready; `on` says whether it asked for private messages.
    pub(super) fn ready(&mut self, on: bool) {
        self.on = on;
        self.missed = false;
        self.not_before = Now(0);
    }

    /// The connection is gone.
    pub(super) fn lost(&mut self) {
        self.on = false;
        self.acknowledging = None;
    }

    /// A message came, perhaps again. `keeps` says whether other tabs may come that want it, too.
    pub(super) fn on_message(
        &mut self,
        offset: u64,
        text: &str,
        keeps: bool,
        effects: &mut impl Effects,
    ) {
        if self.missed || self.handlers.is_empty() {
            self.missed = true;
            return;
        }
        if self.waiting.contains_key(&offset) && !planted("client-repeats-messages") {
            return;
        }
        let waiting = Waiting {
            text: keeps.then(|| text.to_owned()),
            handled: planted("client-acknowledges-unhandled"),
        };
        self.waiting.insert(offset, waiting);
        for tab in self.handlers.keys() {
            effects.deliver(*tab, Delivery::Message { offset, text });
        }
    }

    /// A tab has handled a message.
    pub(super) fn handled(&mut self, offset: u64) {
        if let Some(waiting) = self.waiting.get_mut(&offset) {
            waiting.handled = true;
        }
    }

    /// Sends the acknowledgement that is due, one at a time. The connection is ready.
    pub(super) fn acknowledge(
        &mut self,
        now: Now,
        requests: &mut Requests,
        effects: &mut impl Effects,
    ) {
        if self.acknowledging.is_some() || now < self.not_before {
            return;
        }
        let Some(up_to) = self.next() else {
            return;
        };
        let body = format!(r#""ack":{{"offset":{up_to}}}"#);
        requests.ask(Asked::Acknowledge { up_to }, &body, effects);
        self.acknowledging = Some(up_to);
    }

    /// When an acknowledgement is to be tried again.
    pub(super) fn due(&self) -> Option<Now> {
        let waits = self.acknowledging.is_none() && self.next().is_some();
        waits.then_some(self.not_before)
    }

    /// No acknowledgement is due or on its way.
    pub(super) fn is_settled(&self) -> bool {
        self.acknowledging.is_none() && self.next().is_none()
    }

    /// The server has forgotten these messages, and so may we.
    pub(super) fn acknowledged(&mut self, up_to: u64) {
        self.acknowledging = None;
        if up_to >= UNSTORED_OFFSET {
            self.waiting.remove(&up_to);
        } else {
            self.waiting.retain(|offset, _| *offset > up_to);
        }
    }

    /// The server could not acknowledge.
    pub(super) fn refused(&mut self, now: Now, settings: &Settings) {
        self.acknowledging = None;
        self.not_before = now.after(settings.backoff_ms);
    }

    /// What is to be acknowledged next. A sender waits for those that are stored nowhere. As one of them may be in the log
    /// after all, and between the others, these wait until all of them are handled.
    fn next(&self) -> Option<u64> {
        let is_unstored = |offset: &u64| *offset >= UNSTORED_OFFSET;
        let mut unstored = self.waiting.iter().filter(|(at, _)| is_unstored(at));
        match unstored.find(|(_, waiting)| waiting.handled) {
            Some((offset, _)) => Some(*offset),
            None if self.waiting.keys().any(is_unstored) => None,
            None => self.handled_up_to(),
        }
    }

    /// The last message of those that were handled without one before them that was not.
    fn handled_up_to(&self) -> Option<u64> {
        let handled = self
            .waiting
            .iter()
            .take_while(|(_, waiting)| waiting.handled);
        handled.last().map(|(offset, _)| *offset)
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::Record;
    use super::*;

    const A: TabId = TabId(1);
    const B: TabId = TabId(2);

    #[derive(Default)]
    struct World {
        inbox: Inbox,
        requests: Requests,
        effects: Record,
    }

    impl World {
        fn ready(handlers: &[TabId]) -> Self {
            let mut world = Self::default();
            for tab in handlers {
                world.inbox.add_handler(*tab, &mut world.effects);
            }
            world.inbox.ready(true);
            world
        }

        fn message(&mut self, offset: u64) {
            let text = format!("m{offset}");
            self.inbox
                .on_message(offset, &text, true, &mut self.effects);
        }

        /// What is acknowledged now.
        fn sent(&mut self) -> Vec<String> {
            self.inbox
                .acknowledge(Now(9), &mut self.requests, &mut self.effects);
            self.requests.flush(&mut self.effects);
            self.effects.take_sent()
        }
    }

    #[test]
    fn acknowledged_in_order_when_handled() {
        let mut world = World::ready(&[A]);
        (1..=3).for_each(|offset| world.message(offset));
        assert_eq!(
            world.effects.take_told(),
            ["1: message 1 m1", "1: message 2 m2", "1: message 3 m3"]
        );
        world.inbox.handled(2);
        assert_eq!(world.sent(), [""; 0]);
        world.inbox.handled(1);
        assert_eq!(world.sent(), [r#"{"id":1,"ack":{"offset":2}}"#]);
        world.inbox.handled(3);
        assert_eq!(world.sent(), [""; 0], "one at a time");
        world.inbox.acknowledged(2);
        assert!(!world.inbox.is_settled(), "one is due");
        assert_eq!(world.sent(), [r#"{"id":2,"ack":{"offset":3}}"#]);
        assert!(!world.inbox.is_settled(), "one is on its way");
        world.inbox.acknowledged(3);
        assert!(world.inbox.is_settled());
    }

    #[test]
    fn what_comes_again_is_told_once() {
        let mut world = World::ready(&[A]);
        world.message(1);
        world.message(2);
        world.inbox.handled(1);
        assert_eq!(world.sent().len(), 1);
        world.effects.take_told();
        world.inbox.lost();
        world.inbox.ready(true);
        assert_eq!(world.sent(), [r#"{"id":2,"ack":{"offset":1}}"#]);
        (1..=2).for_each(|offset| world.message(offset));
        assert_eq!(world.effects.take_told(), [""; 0]);
        // Another tab comes: it gets what no tab has handled.
        assert!(!world.inbox.add_handler(B, &mut world.effects));
        assert_eq!(world.effects.take_told(), ["2: message 2 m2"]);
    }

    #[test]
    fn for_a_single_tab_no_text_is_kept() {
        let mut world = World::ready(&[A]);
        world.inbox.on_message(1, "long", false, &mut world.effects);
        world.inbox.on_message(1, "long", false, &mut world.effects);
        assert_eq!(world.effects.take_told(), ["1: message 1 long"]);
        let texts = world.inbox.waiting.values().map(|waiting| &waiting.text);
        assert_eq!(texts.collect::<Vec<_>>(), [&None]);
        world.inbox.handled(1);
        assert_eq!(world.sent(), [r#"{"id":1,"ack":{"offset":1}}"#]);
    }

    #[test]
    fn without_handler_nothing_is_acknowledged_or_lost() {
        let mut world = World::ready(&[A]);
        world.inbox.remove_handler(A);
        assert!(!world.inbox.is_wanted());
        world.message(1);
        assert!(world.inbox.add_handler(B, &mut world.effects));
        // Would acknowledge the first one, too.
        world.message(2);
        world.inbox.handled(2);
        assert_eq!(world.sent(), [""; 0]);
        world.inbox.lost();
        world.inbox.ready(true);
        (1..=2).for_each(|offset| world.message(offset));
        assert_eq!(
            world.effects.take_told(),
            ["2: message 1 m1", "2: message 2 m2"]
        );
    }

    #[test]
    fn a_refused_acknowledgement_is_tried_again() {
        let mut world = World::ready(&[A]);
        world.message(1);
        world.inbox.handled(1);
        assert_eq!(world.inbox.due(), Some(Now(0)));
        assert_eq!(world.sent().len(), 1);
        assert_eq!(world.inbox.due(), None);
        world.inbox.refused(Now(9), &Settings::DEFAULT);
        assert_eq!(world.sent(), [""; 0]);
        let due = Now(9 + Settings::DEFAULT.backoff_ms);
        assert_eq!(world.inbox.due(), Some(due));
    }

    #[test]
    fn what_is_stored_nowhere_is_acknowledged_by_itself() {
        const FIRST: u64 = UNSTORED_OFFSET + 9;
        const SECOND: u64 = UNSTORED_OFFSET + 3;
        #[track_caller]
        fn check(world: &mut World, expected: Option<u64>) {
            let sent = world.sent().concat();
            let expected = expected.map(|offset| format!(r#""ack":{{"offset":{offset}}}}}"#));
            match expected {
                Some(ack) => assert!(sent.ends_with(&ack), "{sent}"),
                None => assert_eq!(sent, ""),
            }
        }
        let mut world = World::ready(&[A]);
        for offset in [1, FIRST, SECOND] {
            world.message(offset);
        }
        assert_eq!(world.effects.take_told().len(), 3);
        world.inbox.handled(1);
        check(&mut world, None);
        world.inbox.handled(FIRST);
        check(&mut world, Some(FIRST));
        world.message(FIRST);
        assert_eq!(world.effects.take_told(), [""; 0], "it has that one");
        world.inbox.acknowledged(FIRST);
        // The stored one waits for the other that is not.
        check(&mut world, None);
        world.inbox.handled(SECOND);
        check(&mut world, Some(SECOND));
        world.inbox.acknowledged(SECOND);
        check(&mut world, Some(1));
    }
}
