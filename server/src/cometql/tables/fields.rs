//! Values to the engine's checked types, with the original's error codes.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::sync::Arc;

use cometql_engine::{Draft, MessageId};
use cometql_protocol::names::NameError;
use cometql_protocol::{ChannelName, EventName, UserId};

use super::{KeyRow, Row};
use crate::cometql::{Context, SqlError, SqlSession, Value, errors, escaping};

/// A value as text; NULL is empty.
pub(in crate::cometql) fn text<'a>(
    value: &'a Value,
    field: &str,
) -> Result<Cow<'a, str>, SqlError> {
    Ok(match value {
        Value::Null => Cow::Borrowed(""),
        Value::Integer(n) => Cow::Owned(n.to_string()),
        Value::Double(n) => Cow::Owned(n.to_string()),
        Value::Text(text) => Cow::Borrowed(text),
        Value::Bytes(bytes) => match std::str::from_utf8(bytes) {
            Ok(text) => Cow::Borrowed(text),
            Err(_) => return Err(errors::invalid(format!("field `{field}` is not UTF-8"))),
        },
    })
}

/// A value as a whole number, if it is one. Where a language has no other numbers, they come as doubles (prepared statements of
/// Node's mysql2).
pub(in crate::cometql) fn whole(value: &Value) -> Option<i64> {
    match value {
        Value::Integer(n) => Some(*n),
        Value::Text(text) => text.trim().parse().ok(),
        Value::Bytes(bytes) => std::str::from_utf8(bytes).ok()?.trim().parse().ok(),
        // Written without a point if it has no fraction.
        Value::Double(n) => n.to_string().parse().ok(),
        Value::Null => None,
    }
}

/// A user that a condition names, if there can be such a user.
pub(in crate::cometql) fn known_user(value: &Value) -> Option<UserId> {
    UserId::new(u64::try_from(whole(value)?).ok()?)
}

/// A channel that a condition names, if there can be such a channel.
pub(in crate::cometql) fn known_channel(value: &Value) -> Option<ChannelName> {
    ChannelName::parse(&text(value, "name").ok()?).ok()
}

/// What conditions name, each once: users by [`known_user`], channels by [`known_channel`].
pub(super) fn named<K: Ord>(keys: &[KeyRow], known: fn(&Value) -> Option<K>) -> Vec<K> {
    let named = keys.iter().filter_map(|row| row.first()?.as_ref());
    let keys: BTreeSet<K> = named.filter_map(known).collect();
    keys.into_iter().collect()
}

/// A row of a user as expressions see it.
pub(super) fn user_cells(user: UserId, text: &str) -> [Value; 2] {
    let id = i64::try_from(user.get()).unwrap_or(i64::MAX);
    [Value::Integer(id), Value::Text(text.to_owned())]
}

/// A user id that a row gives; 0 is `None`.
pub(super) fn user_or_zero(row: &Row<'_>, field: &str) -> Result<Option<UserId>, SqlError> {
    let number = whole(row.required(field)?);
    let number = number
        .ok_or_else(|| errors::invalid(format!("The {field} field must be a whole number")))?;
    let number = u64::try_from(number)
        .map_err(|_| errors::invalid(format!("The {field} field must be non-negative")))?;
    match UserId::new(number) {
        None if number != 0 => Err(errors::invalid(format!(
            "The {field} field is larger than 2^53 - 1"
        ))),
        user => Ok(user),
    }
}

/// A user id that a row gives.
pub(super) fn user(row: &Row<'_>, field: &str) -> Result<UserId, SqlError> {
    user_or_zero(row, field)?
        .ok_or_else(|| errors::invalid(format!("The {field} field must be above 0")))
}

/// A channel name that a row gives, if there may be such a channel.
pub(super) fn channel(
    context: &Context,
    session: &SqlSession,
    row: &Row<'_>,
) -> Result<ChannelName, SqlError> {
    let bad_character = || {
        errors::invalid(
            "The channel name can contain only the characters A-Za-z0-9_- (and . : / where a rule allows them)",
        )
    };
    let name = text(row.required("name")?, "name")?;
    let name = ChannelName::parse(&name).map_err(|error| match error {
        NameError::TooShort => errors::too_short("Channel name"),
        NameError::TooLong => errors::too_long("Channel name"),
        NameError::BadCharacter => bad_character(),
    })?;
    if name.is_plain() || context.hub.rules().allows_name(session.tenant, &name) {
        Ok(name)
    } else {
        Err(bad_character())
    }
}

/// The content of a publication or private message that a row gives; its id is that in a column, if it is one.
pub(super) fn draft(context: &Context, row: &Row<'_>, id: &str) -> Result<Draft, SqlError> {
    let event = text(row.required("event")?, "event")?;
    let event = EventName::parse(&event).map_err(|error| match error {
        NameError::TooLong => errors::too_long("Channel event_name"),
        NameError::TooShort | NameError::BadCharacter => {
            errors::invalid("The event name can contain only the characters A-Za-z0-9_-")
        }
    })?;
    let data = text(row.required("message")?, "message")?;
    if data.len() > context.settings.load().publication_bytes {
        return Err(errors::too_long(format_args!(
            "The message ({} bytes, the limit is {})",
            data.len(),
            context.settings.load().publication_bytes
        )));
    }
    let chosen = row.get(id).and_then(chosen_id);
    Ok(Draft {
        id: chosen.unwrap_or_else(|| MessageId(uuid::Uuid::now_v7().as_u128())),
        once: chosen.is_some(),
        event,
        data_is_json: escaping::is_json_container(&data),
        data: Arc::from(data),
    })
}

/// The id that a sender chose for a message. Anything that is no UUID is ignored, as the original ignored it, and the nil
/// UUID too, which stands for none.
fn chosen_id(value: &Value) -> Option<MessageId> {
    let text = text(value, "id").ok()?;
    let id = uuid::Uuid::try_parse(text.trim()).ok()?;
    (!id.is_nil()).then(|| MessageId(id.as_u128()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(value: &Value, expected: Option<u128>) {
        assert_eq!(chosen_id(value), expected.map(MessageId), "{value:?}");
    }

    #[test]
    fn numbers_that_are_whole() {
        let whole_of = |values: &[Value]| values.iter().map(whole).collect::<Vec<_>>();
        let whole_ones = [
            Value::Integer(7),
            Value::Double(7.0),
            Value::Text(" 7".into()),
            Value::Bytes(b"7".into()),
        ];
        assert_eq!(whole_of(&whole_ones), [Some(7); 4]);
        let largest = Value::Double(9_007_199_254_740_991.0);
        assert_eq!(whole(&largest), Some((1 << 53) - 1));
        let others = [
            Value::Double(7.5),
            Value::Double(1e300),
            Value::Double(f64::NAN),
            Value::Double(f64::INFINITY),
            Value::Text("seven".into()),
            Value::Null,
        ];
        assert_eq!(whole_of(&others), [None; 6]);
    }

    #[test]
    fn ids_that_senders_choose() {
        let id = 0x0190_a1b2_c3d4_7e5f_8a9b_0c1d_2e3f_4051;
        for text in [
            "0190a1b2-c3d4-7e5f-8a9b-0c1d2e3f4051",
            "0190A1B2-C3D4-7E5F-8A9B-0C1D2E3F4051",
            "0190a1b2c3d47e5f8a9b0c1d2e3f4051",
        ] {
            check(&Value::Text(text.into()), Some(id));
            check(&Value::Bytes(text.into()), Some(id));
        }
        for text in ["", "7", "none", "0190a1b2-c3d4-7e5f-8a9b-0c1d2e3f405"] {
            check(&Value::Text(text.into()), None);
        }
        check(&Value::Text(uuid::Uuid::nil().to_string()), None);
        check(&Value::Bytes(vec![0xff; 36]), None);
        check(&Value::Integer(7), None);
        check(&Value::Null, None);
    }
}
