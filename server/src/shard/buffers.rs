//! Memory that the links of a shard share, so that none of them owns any while nothing waits for it.

use bytes::Bytes;

use super::link::PIECES;

/// Spare outbox buffers that a shard keeps for the next deliveries.
const SPARES: usize = 1024;

/// Empty outbox buffers and a place to join small frames, shared by all links of a shard.
#[derive(Debug, Default)]
pub(super) struct Buffers {
    spare: Vec<Vec<Bytes>>,
    pub(super) joined: Vec<u8>,
}

impl Buffers {
    /// A buffer for an outbox that has none.
    pub(super) fn spare(&mut self) -> Vec<Bytes> {
        self.spare.pop().unwrap_or_default()
    }

    /// Takes the buffer of an outbox in which nothing waits any more.
    pub(super) fn give_back(&mut self, mut frames: Vec<Bytes>) {
        if frames.capacity() > 0 && self.spare.len() < SPARES && frames.capacity() <= PIECES {
            frames.clear();
            self.spare.push(frames);
        }
    }
}
