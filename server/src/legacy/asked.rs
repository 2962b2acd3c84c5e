//! Commands that wait for the engine: which request was which command, and what its answer repeats.

use std::collections::HashMap;

use foldhash::fast::FixedState;

/// Commands that may wait.
pub(super) const COMMANDS_MAX: usize = 256;
/// Bytes of publications that may wait for their delivery report, beside one of any size.
pub(super) const BYTES_MAX: usize = 256 << 10;
/// The first request id of these commands; those below are the adapter's own.
pub(super) const FIRST_ID: u32 = 16;

/// A command that waits for the engine.
#[derive(Debug)]
pub(super) enum Asked {
    Publish { pipe: Box<str>, message: Box<str> },
    Log { pipe: Box<str>, marker: Box<str> },
    Count { marker: Box<str> },
    Users { pipe: Box<str>, marker: Box<str> },
    Data { marker: Box<str> },
    Status,
}

impl Asked {
    fn bytes(&self) -> usize {
        match self {
            Self::Publish { message, .. } => message.len(),
            Self::Log { .. }
            | Self::Count { .. }
            | Self::Users { .. }
            | Self::Data { .. }
            | Self::Status => 0,
        }
    }
}

/// The waiting commands of one connection, by request id.
#[derive(Debug)]
pub(super) struct Waiting {
    commands: HashMap<u32, Asked, FixedState>,
    bytes: usize,
    last_id: u32,
}

impl Waiting {
    pub(super) fn new() -> Self {
        Self {
            commands: HashMap::default(),
            bytes: 0,
            last_id: FIRST_ID,
        }
    }

    /// Remembers a command under a fresh request id; `None` when too much waits already.
    pub(super) fn add(&mut self, asked: Asked) -> Option<u32> {
        let bytes = self.bytes + asked.bytes();
        let many = self.commands.len() >= COMMANDS_MAX;
        if many || (!self.commands.is_empty() && bytes > BYTES_MAX) {
            return None;
        }
        self.bytes = bytes;
        let id = self.fresh_id();
        self.commands.insert(id, asked);
        Some(id)
    }

    /// The command of a request that was answered now.
    pub(super) fn take(&mut self, id: u32) -> Option<Asked> {
        let asked = self.commands.remove(&id)?;
        self.bytes -= asked.bytes();
        Some(asked)
    }

    fn fresh_id(&mut self) -> u32 {
        loop {
            self.last_id = self.last_id.checked_add(1).unwrap_or(FIRST_ID);
            if !self.commands.contains_key(&self.last_id) {
                return self.last_id;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn publication(bytes: usize) -> Asked {
        Asked::Publish {
            pipe: "web_t1".into(),
            message: "x".repeat(bytes).into(),
        }
    }

    #[test]
    fn commands_are_bounded() {
        let mut waiting = Waiting::new();
        let ids: Vec<_> = (0..COMMANDS_MAX)
            .map(|_| waiting.add(Asked::Status).unwrap())
            .collect();
        assert_eq!(waiting.add(Asked::Status), None);
        assert!(waiting.take(ids[3]).is_some());
        assert!(waiting.take(ids[3]).is_none());
        assert!(waiting.add(Asked::Status).is_some());
    }

    #[test]
    fn bytes_are_bounded_beside_one_publication() {
        let mut waiting = Waiting::new();
        let large = waiting.add(publication(BYTES_MAX + 1)).unwrap();
        assert_eq!(waiting.add(publication(1)), None);
        waiting.take(large);
        assert!(waiting.add(publication(BYTES_MAX)).is_some());
        assert_eq!(waiting.add(publication(1)), None);
    }

    #[test]
    fn ids_wrap_and_skip_those_in_use() {
        let mut waiting = Waiting::new();
        let first = waiting.add(Asked::Status).unwrap();
        waiting.last_id = u32::MAX;
        assert_eq!(waiting.add(Asked::Status), Some(FIRST_ID));
        assert_eq!(waiting.add(Asked::Status), Some(first + 1));
    }
}
