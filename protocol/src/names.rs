//! Names and ids that are checked once, at the border, and trusted afterwards.

use std::borrow::Borrow;
use std::fmt;
use std::num::NonZeroU64;
use std::sync::Arc;

/// Shortest channel name, in bytes.
pub const CHANNEL_NAME_MIN: usize = 3;
/// Longest channel name, in bytes.
pub const CHANNEL_NAME_MAX: usize = 64;
/// Longest event name, in bytes.
pub const EVENT_NAME_MAX: usize = 64;
/// Largest user id: the largest integer that JavaScript holds exactly, 2^53 − 1.
pub const USER_ID_MAX: u64 = (1 << 53) - 1;

/// Why a name or id was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// Fewer bytes than allowed.
    #[error("is too short")]
    TooShort,
    /// More bytes than allowed.
    #[error("is too long")]
    TooLong,
    /// A character outside the allowed set.
    #[error("has a character that is not allowed")]
    BadCharacter,
}

/// A named stream that one subscribes to: 3…64 bytes of `[A-Za-z0-9_-]`, plus `.`, `:` and `/`.
///
/// The three extra characters parse everywhere and are refused by the permission rules unless a channel rule matches
/// them (`CometQL` statements of the original never could name such a channel). Cloning copies a pointer.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ChannelName(Arc<str>);

impl ChannelName {
    /// Checks `text` and keeps a copy.
    ///
    /// # Errors
    /// When the length or a character is outside of the set above.
    pub fn parse(text: &str) -> Result<Self, NameError> {
        check_length(text, CHANNEL_NAME_MIN, CHANNEL_NAME_MAX)?;
        if !text
            .bytes()
            .all(|b| is_plain(b) || matches!(b, b'.' | b':' | b'/'))
        {
            return Err(NameError::BadCharacter);
        }
        Ok(Self(text.into()))
    }

    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// True when the name has none of `.`, `:`, `/`, which need a rule that allows them.
    #[must_use]
    pub fn is_plain(&self) -> bool {
        self.0.bytes().all(is_plain)
    }
}

impl Borrow<str> for ChannelName {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ChannelName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for ChannelName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", &*self.0)
    }
}

/// The optional label of a publication: 0…64 bytes of `[A-Za-z0-9_-]`.
#[derive(Clone, PartialEq, Eq, Hash, Default)]
pub struct EventName(Box<str>);

impl EventName {
    /// Checks `text` and keeps a copy.
    ///
    /// # Errors
    /// When it is longer than 64 bytes or has another character.
    pub fn parse(text: &str) -> Result<Self, NameError> {
        check_length(text, 0, EVENT_NAME_MAX)?;
        if !text.bytes().all(is_plain) {
            return Err(NameError::BadCharacter);
        }
        Ok(Self(text.into()))
    }

    /// The label as text, empty when there is none.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for EventName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for EventName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", &*self.0)
    }
}

/// A customer of the node (`dev_id` in the original): channels, users and keys of two tenants never meet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct TenantId(pub u32);

impl fmt::Display for TenantId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// An end user of a tenant: 1…2^53 − 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct UserId(NonZeroU64);

impl UserId {
    /// The user with this number; `None` for 0 and for numbers that JavaScript can't hold.
    #[must_use]
    pub fn new(number: u64) -> Option<Self> {
        let number = NonZeroU64::new(number)?;
        (number.get() <= USER_ID_MAX).then_some(Self(number))
    }

    /// The number.
    #[must_use]
    pub fn get(self) -> u64 {
        self.0.get()
    }
}

impl fmt::Display for UserId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

fn is_plain(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-')
}

fn check_length(text: &str, min: usize, max: usize) -> Result<(), NameError> {
    if text.len() < min {
        return Err(NameError::TooShort);
    }
    if text.len() > max {
        return Err(NameError::TooLong);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check_channel(text: &str, expected: Result<(), NameError>) {
        assert_eq!(ChannelName::parse(text).map(|_| ()), expected, "{text:?}");
    }

    #[test]
    fn channel_names() {
        check_channel("web_chat", Ok(()));
        check_channel("a-1", Ok(()));
        check_channel("news:sport/football.2", Ok(()));
        check_channel("ab", Err(NameError::TooShort));
        check_channel(&"a".repeat(64), Ok(()));
        check_channel(&"a".repeat(65), Err(NameError::TooLong));
        check_channel("web chat", Err(NameError::BadCharacter));
        check_channel("чат", Err(NameError::BadCharacter));
        assert!(!ChannelName::parse("a.b").unwrap().is_plain());
    }

    #[test]
    fn event_names() {
        assert!(EventName::parse("").is_ok());
        assert_eq!(EventName::parse("a.b"), Err(NameError::BadCharacter));
        assert_eq!(EventName::parse(&"e".repeat(65)), Err(NameError::TooLong));
    }

    #[test]
    fn user_ids() {
        assert_eq!(UserId::new(0), None);
        assert_eq!(UserId::new(USER_ID_MAX + 1), None);
        assert_eq!(UserId::new(7).map(UserId::get), Some(7));
    }
}
