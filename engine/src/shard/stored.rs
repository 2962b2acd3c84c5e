//! What goes on when the store has answered.

use super::followed::Opening;
use super::missed::part;
use super::tickets::Then;
use super::{Shard, rejected, unavailable};
use crate::{
    Answer, Effects, InboxMessage, Message, Now, StoreAnswer, StoreFailure, StoredPublication,
};
use cometql_protocol::wire::Reply;

type Stored = Result<StoreAnswer, StoreFailure>;

impl<T> Shard<T> {
    pub(super) fn on_stored(
        &mut self,
        now: Now,
        ticket: u64,
        result: Stored,
        effects: &mut impl Effects<Token = T>,
    ) {
        match self.tickets.close(ticket) {
            Then::Opened(key) if self.cluster.is_some() => match result {
                Ok(answer) => self.on_followed(now, &key, opening(answer), effects),
                Err(failure) => self.on_not_followed(now, &key, &failure, effects),
            },
            Then::Opened(key) => {
                let position = result.map(|answer| match answer {
                    StoreAnswer::Channel { position } => position,
                    other => unreachable!("OpenChannel is answered by a position, not {other:?}"),
                });
                self.on_opened(now, &key, position, effects);
            }
            Then::Appended {
                key,
                offset,
                content,
                origin,
            } => {
                self.on_appended(now, &key, offset, content, origin, result, effects);
            }
            Then::History {
                connection,
                request,
                key,
                after,
                asked,
            } => {
                let to = (connection, request);
                self.on_history_rows(to, &key, after, asked, rows(result), effects);
            }
            Then::Replay(replay) if self.cluster.is_some() => {
                self.on_replay_part(replay, part(result), effects);
            }
            Then::Replay(replay) => self.on_replay(replay, rows(result), effects),
            Then::CaughtUp(replay) => self.on_caught_up(replay, part(result), effects),
            Then::GapMarked(key) => self.on_gap_marked(now, &key, changed(result)),
            Then::HistoryRemoved { key, token } => {
                self.on_history_removed(key, token, changed(result), effects);
            }
            Then::SettingStored { key, length, token } => {
                self.on_setting_stored(&key, length, token, changed(result), effects);
            }
            Then::HistoryDeleted { key, id, token } => {
                self.on_history_deleted(&key, id, token, changed(result), effects);
            }
            Then::Member {
                connection,
                request,
            } => {
                self.on_member(now, connection, request, result, effects);
            }
            Then::Nothing => {}
            then => self.on_stored_for_user(then, result, effects),
        }
    }

    fn on_stored_for_user(
        &mut self,
        then: Then<T>,
        result: Stored,
        effects: &mut impl Effects<Token = T>,
    ) {
        match then {
            Then::InboxAppended {
                key,
                content,
                token,
            } => {
                self.on_inbox_appended(key, content, token, result, effects);
            }
            Then::InboxRead {
                key,
                connection,
                after,
                arrived,
            } => {
                let asked = (after, arrived);
                self.on_inbox_read(key, connection, asked, inbox(result), effects);
            }
            Then::InboxAcked {
                key,
                connection,
                request,
                up_to,
            } => {
                self.on_inbox_acked(key, connection, request, up_to, changed(result), effects);
            }
            Then::UnstoredRemoved(key) => self.on_unstored_removed(key, changed(result)),
            Then::InboxCleared(token) => {
                let answer = match changed(result) {
                    Ok(rows) => Answer::Done { rows },
                    Err(failure) => rejected(&failure),
                };
                effects.answer(token, answer);
            }
            Then::LastSeen {
                connection,
                request,
                user,
            } => {
                let last_seen = match result {
                    Ok(StoreAnswer::LastSeen(time)) => Some(time.unwrap_or(0)),
                    Ok(_) | Err(_) => Some(0),
                };
                let told = Message::StatusTold {
                    connection,
                    request,
                    user,
                    last_seen,
                };
                effects.send(connection.shard(), told);
            }
            Then::UserData {
                connection,
                request,
                user,
            } => match result {
                Ok(StoreAnswer::UserData(data)) => {
                    self.reply(connection, request, Reply::UserData { user, data }, effects);
                }
                Ok(_) => {}
                Err(failure) => {
                    self.refuse(connection, request, &unavailable(&failure), None, effects);
                }
            },
            _ => unreachable!("the caller handles what is about channels"),
        }
    }
}

fn opening(answer: StoreAnswer) -> Opening {
    match answer {
        StoreAnswer::Opened {
            position,
            floor,
            recent,
        } => Opening {
            position,
            floor,
            recent,
        },
        other => unreachable!("a log answers OpenChannel by Opened, not by {other:?}"),
    }
}

fn rows(result: Stored) -> Result<Vec<StoredPublication>, StoreFailure> {
    result.map(|answer| match answer {
        StoreAnswer::History(rows) | StoreAnswer::HistoryPart { rows, .. } => rows,
        other => unreachable!("ReadHistory is answered by rows, not {other:?}"),
    })
}

fn inbox(result: Stored) -> Result<(Vec<InboxMessage>, u64), StoreFailure> {
    result.map(|answer| match answer {
        StoreAnswer::Inbox { messages, end } => (messages, end),
        other => unreachable!("InboxRead is answered by messages, not {other:?}"),
    })
}

fn changed(result: Stored) -> Result<u64, StoreFailure> {
    result.map(|answer| match answer {
        StoreAnswer::Changed(rows) => rows,
        other => unreachable!("a change is answered by a number of rows, not {other:?}"),
    })
}
