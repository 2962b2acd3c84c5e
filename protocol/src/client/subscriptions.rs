//! Channels that tabs are interested in: one subscription for all tabs, a place in the channel for each of them.
//!
//! Positions belong to the tabs. A new connection asks with the lowest of them; what is no news to a tab is not told to
//! it. While an answer is outstanding nothing of the channel is told to anybody: the answer's replay has it all.

use litemap::LiteMap;

use super::incoming::{Refusal, Subscribed};
use super::recovery::{News, Place, Verdict, judge, lowest, news};
use super::requests::{Asked, Requests, subscribe, unsubscribe};
use super::{Delivery, Effects, Now, Settings, TabId};
use crate::ErrorCode;
use crate::planted::planted;
use crate::wire::Position;

/// All channels of the session.
#[derive(Debug, Default)]
pub(super) struct Subscriptions {
    channels: LiteMap<String, Subscription>,
    /// Some of them are to be asked for at the end of this input.
    wanted: bool,
}

/// One channel.
#[derive(Debug)]
struct Subscription {
    tabs: LiteMap<TabId, Interest>,
    state: State,
    /// The server let us in on this connection. Where it refuses to go on from a position, it may not have ended that.
    held: bool,
    /// Passing refusals in a row.
    refusals: u32,
}

/// What one tab wants and has.
#[derive(Debug, Clone, Copy)]
struct Interest {
    place: Place,
    /// It was told that its subscription began.
    told: bool,
    /// Something is lost, which it was not told yet.
    lost: bool,
}

#[derive(Debug)]
enum State {
    /// To be asked for, not before a moment.
    Wanted(Now),
    /// The server was asked for all since a position.
    Asked {
        request: u32,
        since: Option<Position>,
    },
    /// Publications flow.
    Live(Live),
}

/// Where an active subscription is.
#[derive(Debug, Clone, Copy)]
struct Live {
    /// Everything up to here has come; `None` without history.
    seen: Option<Position>,
    /// Publications of the replay that are still to come.
    replaying: u64,
    /// Where the channel was when it answered: seen, once the replay is over.
    until: u64,
}

impl Subscriptions {
    /// A tab becomes interested.
    pub(super) fn add(
        &mut self,
        tab: TabId,
        channel: &str,
        since: Option<Position>,
        effects: &mut impl Effects,
    ) {
        let place = since.map_or(Place::Fresh, Place::At);
        let interest = Interest {
            place,
            told: false,
            lost: false,
        };
        let subscription =
            self.channels
                .entry(channel.to_owned())
                .or_insert_with(|| Subscription {
                    tabs: LiteMap::new(),
                    state: State::Wanted(Now(0)),
                    held: false,
                    refusals: 0,
                });
        subscription.tabs.insert(tab, interest);
        if let State::Live(live) = subscription.state {
            subscription.settle(channel, live.as_answer(), live.seen, effects);
        }
        self.wanted = true;
    }

    /// A tab is no longer interested; with the last one the subscription ends.
    pub(super) fn remove(
        &mut self,
        tab: TabId,
        channel: &str,
        requests: &mut Requests,
        effects: &mut impl Effects,
    ) {
        let Some(subscription) = self.channels.get_mut(channel) else {
            return;
        };
        subscription.tabs.remove(&tab);
        if !subscription.tabs.is_empty() {
            return;
        }
        match subscription.state {
            State::Wanted(_) if !subscription.held => {}
            State::Asked { request, .. } => {
                requests.forget(request);
                leave(channel, requests, effects);
            }
            State::Wanted(_) | State::Live(_) => {
                leave(channel, requests, effects);
            }
        }
        self.channels.remove(channel);
    }

    /// A tab is gone.
    pub(super) fn remove_tab(
        &mut self,
        tab: TabId,
        requests: &mut Requests,
        effects: &mut impl Effects,
    ) {
        let channels: Vec<_> = self
            .channels
            .iter()
            .filter(|(_, subscription)| subscription.tabs.contains_key(&tab))
            .map(|(channel, _)| channel.clone())
            .collect();
        for channel in channels {
            self.remove(tab, &channel, requests, effects);
        }
    }

    /// The connection is gone: everything is asked for again when the next one is there.
    pub(super) fn lost(&mut self) {
        for (_, subscription) in self.channels.iter_mut() {
            subscription.state = State::Wanted(Now(0));
            subscription.held = false;
        }
        self.wanted = true;
    }

    /// Asks for what is wanted. The connection is ready.
    pub(super) fn ask(&mut self, now: Now, requests: &mut Requests, effects: &mut impl Effects) {
        if !std::mem::take(&mut self.wanted) {
            return;
        }
        for (channel, subscription) in self.channels.iter_mut() {
            match subscription.state {
                State::Wanted(at) if at <= now => {
                    let places = subscription.tabs.values().map(|interest| interest.place);
                    let since = lowest(places);
                    let asked = Asked::Subscribe {
                        channel: channel.clone(),
                    };
                    let body = subscribe(channel, since, effects);
                    let request = requests.ask(asked, &body, effects);
                    subscription.state = State::Asked { request, since };
                }
                State::Wanted(_) => self.wanted = true,
                State::Asked { .. } | State::Live(_) => {}
            }
        }
    }

    /// When something is to be asked for again that was refused for a while.
    pub(super) fn due(&self) -> Option<Now> {
        let waiting = self
            .channels
            .values()
            .filter_map(|subscription| match subscription.state {
                State::Wanted(at) => Some(at),
                State::Asked { .. } | State::Live(_) => None,
            });
        waiting.min()
    }

    /// The server let us in. An answer that nobody waits for any more is undone.
    pub(super) fn on_subscribed(
        &mut self,
        channel: &str,
        id: u32,
        answer: Subscribed,
        requests: &mut Requests,
        effects: &mut impl Effects,
    ) {
        let Some(subscription) = self.channels.get_mut(channel) else {
            leave(channel, requests, effects);
            return;
        };
        let State::Asked { request, since } = subscription.state else {
            return;
        };
        if request != id {
            return;
        }
        subscription.refusals = 0;
        subscription.held = true;
        subscription.settle(channel, answer, since, effects);
        self.wanted = true;
    }

    /// The server did not let us in, or not now.
    pub(super) fn on_refused(
        &mut self,
        now: Now,
        (channel, id): (&str, u32),
        refusal: &Refusal,
        settings: &Settings,
        requests: &mut Requests,
        effects: &mut impl Effects,
    ) {
        let Some(subscription) = self.channels.get_mut(channel) else {
            return;
        };
        if !matches!(subscription.state, State::Asked { request, .. } if request == id) {
            return;
        }
        if refusal.code == ErrorCode::AlreadySubscribed.as_str() {
            // An earlier request of ours was granted after all. Once more, in an order that leaves no doubt.
            leave(channel, requests, effects);
            subscription.state = State::Wanted(Now(0));
            subscription.held = false;
            self.wanted = true;
            return;
        }
        if !refusal.is_passing() {
            return self.end(channel, refusal, effects);
        }
        let most = settings.backoff_ms << subscription.refusals.min(6);
        subscription.refusals += 1;
        let told = refusal.retry_after_ms.unwrap_or(0);
        let wait = 1 + effects.random() % most.max(1);
        subscription.state = State::Wanted(now.after(told.saturating_add(wait)));
        self.wanted = true;
    }

    /// The server ended the subscription.
    pub(super) fn end(&mut self, channel: &str, refusal: &Refusal, effects: &mut impl Effects) {
        let Some(subscription) = self.channels.remove(channel) else {
            return;
        };
        for (tab, _) in subscription.tabs {
            effects.deliver(tab, Delivery::Unsubscribed { channel, refusal });
        }
    }

    /// A publication came.
    pub(super) fn on_publication(
        &mut self,
        channel: &str,
        offsets: Option<(u64, u64)>,
        text: &str,
        effects: &mut impl Effects,
    ) {
        let Some(subscription) = self.channels.get_mut(channel) else {
            return;
        };
        let State::Live(live) = &mut subscription.state else {
            return;
        };
        let Some((seen, (offset, previous))) = live.seen.zip(offsets) else {
            return subscription.tell_all(channel, text, effects);
        };
        match news(seen.offset, offset, previous) {
            News::Known => {}
            News::Gap => {
                subscription.state = State::Wanted(Now(0));
                self.wanted = true;
            }
            News::Next => {
                let at = Position { offset, ..seen };
                live.seen = Some(at);
                live.replaying = live.replaying.saturating_sub(1);
                let caught_up = live.replaying == 0;
                subscription.tell_new(channel, at, text, effects);
                if caught_up {
                    subscription.catch_up();
                }
            }
        }
    }

    /// The server says that something is missing: it is asked once more. An answer that is outstanding comes after that.
    pub(super) fn on_gap(&mut self, channel: &str) {
        let Some(subscription) = self.channels.get_mut(channel) else {
            return;
        };
        if let State::Live(_) = subscription.state {
            subscription.state = State::Wanted(Now(0));
            self.wanted = true;
        }
    }

    /// Something else about a channel: joins and leaves.
    pub(super) fn on_push(&self, channel: &str, text: &str, effects: &mut impl Effects) {
        if let Some(subscription) = self.channels.get(channel) {
            for tab in subscription.tabs.keys() {
                effects.deliver(*tab, Delivery::Presence { channel, text });
            }
        }
    }
}

impl Subscription {
    /// The channel answered: tells each tab what that means for it, or finds that the server must be asked once more.
    fn settle(
        &mut self,
        channel: &str,
        answer: Subscribed,
        since: Option<Position>,
        effects: &mut impl Effects,
    ) {
        let mut asks = false;
        // A tab that joins an active subscription changes nothing for the others.
        let joins = matches!(self.state, State::Live(_));
        let concerned = |interest: &Interest| !joins || !interest.told;
        for (_, interest) in self
            .tabs
            .iter_mut()
            .filter(|(_, interest)| concerned(interest))
        {
            match judge(interest.place, since, &answer) {
                Verdict::Ask(_) => asks = true,
                Verdict::Lost => {
                    interest.lost = true;
                    interest.place = Place::Fresh;
                }
                Verdict::Begins | Verdict::Recovered => {}
            }
        }
        if asks {
            self.state = State::Wanted(Now(0));
            return;
        }
        for (tab, interest) in self
            .tabs
            .iter_mut()
            .filter(|(_, interest)| concerned(interest))
        {
            interest.begin(*tab, channel, answer.position, effects);
        }
        if joins {
            return;
        }
        let until = answer.position.map_or(0, |position| position.offset);
        let seen = match since.filter(|_| answer.recovered) {
            Some(since) => Some(since),
            None => answer.position,
        };
        self.state = State::Live(Live {
            seen,
            replaying: answer.replayed,
            until,
        });
        if answer.replayed == 0 {
            self.catch_up();
        }
    }

    /// The replay is over: what was at its end and is no more, nobody will ever get.
    fn catch_up(&mut self) {
        let State::Live(Live {
            seen: Some(seen),
            until,
            ..
        }) = &mut self.state
        else {
            return;
        };
        seen.offset = seen.offset.max(*until);
        let seen = *seen;
        for (_, interest) in self.tabs.iter_mut() {
            match &mut interest.place {
                Place::At(at) if at.offset < seen.offset => *at = seen,
                Place::At(_) | Place::Fresh | Place::Unknown => {}
            }
        }
    }

    /// Tells a publication at this place to those who don't have it.
    fn tell_new(&mut self, channel: &str, at: Position, text: &str, effects: &mut impl Effects) {
        for (tab, interest) in self.tabs.iter_mut() {
            if let Place::At(seen) = interest.place
                && !planted("client-tells-all-tabs")
                && seen.offset >= at.offset
            {
                continue;
            }
            interest.place = Place::At(at);
            let position = Some(at);
            let publication = Delivery::Publication {
                channel,
                position,
                text,
            };
            effects.deliver(*tab, publication);
        }
    }

    /// Tells a publication that has no place.
    fn tell_all(&self, channel: &str, text: &str, effects: &mut impl Effects) {
        for tab in self.tabs.keys() {
            let position = None;
            let publication = Delivery::Publication {
                channel,
                position,
                text,
            };
            effects.deliver(*tab, publication);
        }
    }
}

impl Interest {
    /// The subscription goes on from here.
    fn begin(
        &mut self,
        tab: TabId,
        channel: &str,
        position: Option<Position>,
        effects: &mut impl Effects,
    ) {
        let lost = std::mem::take(&mut self.lost) && !planted("client-hides-gaps");
        let recovered = matches!(self.place, Place::At(_)) && !lost;
        if !recovered {
            self.place = position.map_or(Place::Unknown, Place::At);
        }
        let delivery = match std::mem::replace(&mut self.told, true) {
            false => Delivery::Subscribed {
                channel,
                position,
                recovered,
            },
            true if lost => Delivery::Gap { channel, position },
            true => Delivery::Recovered { channel },
        };
        effects.deliver(tab, delivery);
    }
}

impl Live {
    /// As if the server answered now, to a tab that comes later.
    fn as_answer(self) -> Subscribed {
        Subscribed {
            position: self.seen.map(|seen| Position {
                offset: seen.offset.max(self.until),
                ..seen
            }),
            recovered: true,
            replayed: 0,
        }
    }
}

/// Ends the subscription at the server.
fn leave(channel: &str, requests: &mut Requests, effects: &mut impl Effects) {
    let body = unsubscribe(channel, effects);
    requests.ask(Asked::Unsubscribe, &body, effects);
}
