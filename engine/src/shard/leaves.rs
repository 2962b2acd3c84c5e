//! Who joins and leaves the channels that this shard sequences: told to the subscribers, a leave only once it is certain.
//!
//! Somebody whose socket vanished may return at once, as after a reload of its page: then others are told neither that
//! it left nor that it joined. Lists and counts don't wait: they show live connections.

use std::collections::{HashMap, VecDeque};

use cometql_protocol::planted::planted;
use cometql_protocol::wire::Member;
use foldhash::fast::FixedState;
use smallvec::SmallVec;

use super::{ChannelKey, Shard, UserKey};
use crate::{ConnectionId, Effects, Limits, Message, Now, ShardId};

/// Leaves that others were not told of yet.
#[derive(Default)]
pub(super) struct Leaves {
    /// When others will be told, soonest first. A member that returned is still listed, but not in `members`.
    due: VecDeque<Due>,
    /// When each member left, oldest first: several connections of a user look alike.
    members: HashMap<(ChannelKey, Member), SmallVec<[u64; 1]>, FixedState>,
}

struct Due {
    left_ms: u64,
    key: ChannelKey,
    member: Member,
    connection: Option<ConnectionId>,
}

/// The shards with subscribers of a channel.
type Interested = [(ShardId, u32)];

impl Leaves {
    /// Somebody joins. One that returns is told to those only who came after it had left: they don't know it.
    pub(super) fn join<T>(
        &mut self,
        interested: &Interested,
        key: &ChannelKey,
        member: Member,
        connection: Option<ConnectionId>,
        effects: &mut impl Effects<Token = T>,
    ) {
        if planted("engine-forgets-who-joined") {
            return;
        }
        let known = (key.clone(), member);
        let left_ms = self.forget(&known).unwrap_or(0);
        let event = Event {
            joined: true,
            member: known.1,
            except: connection,
            left_ms,
        };
        event.tell(interested, key, effects);
    }

    /// Somebody leaves. With a `grace` others are told later, unless it can't return or too many are awaited.
    #[expect(
        clippy::too_many_arguments,
        reason = "who left what when, and who is told"
    )]
    pub(super) fn leave<T>(
        &mut self,
        now: Now,
        interested: &Interested,
        key: &ChannelKey,
        member: Member,
        connection: Option<ConnectionId>,
        grace: Option<&Limits>,
        effects: &mut impl Effects<Token = T>,
    ) {
        let waits = grace.is_some_and(|limits| {
            // Nameless ones can't be told apart, so none of them can be recognised.
            let has_name = member.user.is_some() || !member.uuid.is_empty();
            let somebody_listens = !interested.is_empty();
            limits.grace_ms > 0 && has_name && somebody_listens && self.due.len() < limits.awaited
        });
        if !waits {
            let event = Event::left(now.0, member, connection);
            return event.tell(interested, key, effects);
        }
        let left_ms = now.0;
        let known = (key.clone(), member.clone());
        self.members.entry(known).or_default().push(left_ms);
        self.due.push_back(Due {
            left_ms,
            key: key.clone(),
            member,
            connection,
        });
    }

    /// Forgets one leave of the member, if one waits; returns when it was.
    fn forget(&mut self, known: &(ChannelKey, Member)) -> Option<u64> {
        let left = self.members.get_mut(known)?;
        let oldest = left.remove(0);
        if left.is_empty() {
            self.members.remove(known);
        }
        Some(oldest)
    }

    /// The next leave that waits no longer.
    fn pop(&mut self, left_until_ms: u64) -> Option<Due> {
        while self.due.front()?.left_ms <= left_until_ms {
            let due = self.due.pop_front()?;
            let known = (due.key, due.member);
            let waits = self.members.get(&known);
            let waits = waits.is_some_and(|left| left.first() == Some(&due.left_ms));
            if waits {
                self.forget(&known);
                let (key, member) = known;
                return Some(Due { key, member, ..due });
            }
        }
        None
    }
}

impl<T> Shard<T> {
    /// Members whose return was awaited long enough have left.
    pub(super) fn give_members_up(&mut self, now: Now, effects: &mut impl Effects<Token = T>) {
        let Some(until) = now.0.checked_sub(self.limits.grace_ms) else {
            return;
        };
        while let Some(due) = self.leaves.pop(until) {
            if planted("engine-forgets-who-left") {
                continue;
            }
            self.tell_leave(due, effects);
        }
    }

    /// The user's return is not awaited any more.
    pub(super) fn leave_at_once(
        &mut self,
        (tenant, user): UserKey,
        effects: &mut impl Effects<Token = T>,
    ) {
        let waiting = std::mem::take(&mut self.leaves.due);
        let is_meant = |due: &Due| due.key.0 == tenant && due.member.user == Some(user);
        let (gone, waiting) = waiting.into_iter().partition::<Vec<_>, _>(is_meant);
        self.leaves.due = waiting.into();
        for due in gone {
            let known = (due.key.clone(), due.member.clone());
            if self.leaves.forget(&known).is_some() {
                self.tell_leave(due, effects);
            }
        }
    }

    fn tell_leave(&self, due: Due, effects: &mut impl Effects<Token = T>) {
        // A channel that was forgotten has no subscribers.
        if let Some(sequence) = self.sequencer.get(&due.key) {
            let event = Event::left(due.left_ms, due.member, due.connection);
            event.tell(&sequence.interested, &due.key, effects);
        }
    }
}

/// What others are told.
struct Event {
    joined: bool,
    member: Member,
    except: Option<ConnectionId>,
    left_ms: u64,
}

impl Event {
    fn left(left_ms: u64, member: Member, connection: Option<ConnectionId>) -> Self {
        Self {
            joined: false,
            member,
            except: connection,
            left_ms,
        }
    }

    fn tell<T>(
        &self,
        interested: &Interested,
        key: &ChannelKey,
        effects: &mut impl Effects<Token = T>,
    ) {
        for (shard, _) in interested {
            let (tenant, channel) = key.clone();
            let message = Message::Presence {
                tenant,
                channel,
                joined: self.joined,
                member: self.member.clone(),
                except: self.except,
                left_ms: self.left_ms,
            };
            effects.send(*shard, message);
        }
    }
}
