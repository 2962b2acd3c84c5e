//! Whole packets in, whole packets out: framing, sequence numbers, size limits.
//!
//! Answers are collected and written when the input runs dry, so that a client that pipelines many statements costs one
//! write for many. It must not know what a packet means.

use std::io;
use std::time::Duration;

use bytes::{Buf, BytesMut};
use mysql_common::constants::MAX_PAYLOAD_LEN;
use mysql_common::proto::MySerialize;
use mysql_common::proto::codec::error::PacketCodecError;
use mysql_common::proto::codec::{ChunkDecoder, ChunkInfo, packet_to_chunks};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::timeout;

use super::Settings;
use crate::net::Stream;
use crate::quota::{Share, Spent};

/// What is read at once from a quiet connection, and what a buffer may keep while it is idle, in bytes.
const SMALL: usize = 4 << 10;
/// What is read at once when more than `SMALL` arrived, in bytes.
const LARGE: usize = 64 << 10;
/// A packet up to this length costs nothing of the memory for statements: what every connection may send at any time.
const FREE: usize = 64 << 10;
/// Answers that wait are written when there are this many bytes, whether or not the input ran dry.
const FLUSH: usize = 64 << 10;
/// Length (3 bytes) and sequence number.
const HEAD: usize = 4;
/// How long we wait for the peer to read our last words.
const LINGER: Duration = Duration::from_secs(1);

/// The packets of one connection.
pub(super) struct Gate {
    stream: Stream,
    input: BytesMut,
    decoder: ChunkDecoder,
    packet: Vec<u8>,
    sequence: u8,
    output: BytesMut,
    scratch: Vec<u8>,
    write_time: Duration,
    read_time: Duration,
    /// What large packets cost, the one that is being received included; `None` before the log-in.
    memory: Option<Share>,
    /// How much of that is for packets that were received and are being carried out.
    kept: usize,
}

/// Why there is no packet.
#[derive(Debug, thiserror::Error)]
pub(super) enum GateError {
    /// The client closed, or the network did.
    #[error(transparent)]
    Closed(#[from] io::Error),
    /// The client counts packets in another way: its stream can't be trusted any more.
    #[error("Got packets out of order")]
    OutOfOrder,
    /// The packet is larger than allowed. It is still in the stream: [`Gate::skip`] it or close.
    #[error("the packet is too large")]
    TooLarge,
    /// There is no memory for the packet now. It is still in the stream, too.
    #[error("there is no memory for the packet")]
    NoMemory(Spent),
    /// The client stopped within a packet.
    #[error("Got timeout reading communication packets")]
    Paused,
}

impl Gate {
    /// A gate before a stream on which nothing was said.
    pub(super) fn new(stream: Stream, settings: &Settings) -> Self {
        Self {
            stream,
            input: BytesMut::new(),
            decoder: ChunkDecoder::default(),
            packet: Vec::new(),
            sequence: 0,
            output: BytesMut::new(),
            scratch: Vec::new(),
            write_time: settings.write_time,
            read_time: settings.read_time,
            memory: None,
            kept: 0,
        }
    }

    /// The stream, to put TLS around it, and how far packets are counted. For use after [`Gate::read_alone`].
    pub(super) fn into_stream(self) -> (Stream, u8) {
        assert!(self.input.is_empty(), "nothing was read ahead");
        (self.stream, self.sequence)
    }

    /// Whether what is said can't be overheard.
    pub(super) fn is_tls(&self) -> bool {
        matches!(self.stream, Stream::Tls(_))
    }

    /// A gate that goes on counting where the one before TLS stopped.
    pub(super) fn resume(stream: Stream, sequence: u8, settings: &Settings) -> Self {
        Self {
            sequence,
            ..Self::new(stream, settings)
        }
    }

    /// Lets large packets come in, as far as this share can grow.
    pub(super) fn spend(&mut self, memory: Share) {
        self.memory = Some(memory);
        self.kept = 0;
    }

    /// Gives back the memory of all packets that were received: they are carried out.
    pub(super) fn release(&mut self) {
        self.kept = 0;
        self.give_back();
    }

    fn give_back(&mut self) {
        if let Some(memory) = &mut self.memory {
            // Giving back never fails.
            _ = memory.resize(self.kept);
        }
    }

    /// The next packet of a new conversation: a command. Its answers count on from it.
    pub(super) async fn read_command(&mut self, limit: usize) -> Result<Vec<u8>, GateError> {
        self.sequence = 0;
        self.read(limit).await
    }

    /// The next packet, of at most `limit` bytes. What waits to be written is written before we wait. Cancel-safe.
    pub(super) async fn read(&mut self, limit: usize) -> Result<Vec<u8>, GateError> {
        loop {
            if let Some(packet) = self.decode(limit)? {
                return Ok(packet);
            }
            let begun = !self.input.is_empty() || !self.packet.is_empty();
            self.fill(begun).await?;
        }
    }

    /// As [`Gate::read`], but takes no byte beyond the packet from the stream: what follows may be the client's first
    /// words of TLS. For small packets.
    pub(super) async fn read_alone(&mut self, limit: usize) -> Result<Vec<u8>, GateError> {
        self.flush().await?;
        let mut head = [0; HEAD];
        self.stream.read_exact(&mut head).await?;
        let [low, middle, high, sequence] = head;
        self.count(sequence)?;
        let length = usize::from(low) | usize::from(middle) << 8 | usize::from(high) << 16;
        if length > limit {
            return Err(GateError::TooLarge);
        }
        let mut packet = vec![0; length];
        self.stream.read_exact(&mut packet).await?;
        Ok(packet)
    }

    /// Whether the next packet, whole and in one piece, is here already: the client did not wait for its answer.
    pub(super) fn has_next(&self) -> bool {
        let Some((head, rest)) = self.input.split_first_chunk::<HEAD>() else {
            return false;
        };
        let [low, middle, high, _] = head.map(usize::from);
        let length = low | middle << 8 | high << 16;
        length < MAX_PAYLOAD_LEN && length <= rest.len()
    }

    /// Whether more may be read ahead: not while large packets are carried out or come in.
    pub(super) fn may_read_ahead(&self) -> bool {
        self.kept == 0 && self.packet.is_empty() && self.input.len() < FREE
    }

    /// Reads some of what comes next, without looking at it. Cancel-safe if nothing waits to be written.
    pub(super) async fn read_ahead(&mut self) -> Result<(), GateError> {
        self.fill(!self.input.is_empty()).await
    }

    /// The number of the next packet of the conversation in hand.
    pub(super) fn counted(&self) -> u8 {
        self.sequence
    }

    /// Goes on counting from here: to answer an earlier command, from 1, and then to come back to the one in hand.
    pub(super) fn count_from(&mut self, sequence: u8) {
        self.sequence = sequence;
    }

    /// Throws away the packet that was refused, up to its end, without keeping any of it.
    pub(super) async fn skip(&mut self) -> Result<(), GateError> {
        self.packet = Vec::new();
        self.decoder = ChunkDecoder::default();
        self.give_back();
        loop {
            while self.input.len() < HEAD {
                self.fill(true).await?;
            }
            let chunk = usize::try_from(self.input.get_uint_le(3)).unwrap_or(usize::MAX);
            let sequence = self.input.get_u8();
            self.count(sequence)?;
            let mut left = chunk;
            while left > 0 {
                if self.input.is_empty() {
                    self.fill(true).await?;
                }
                let part = left.min(self.input.len());
                self.input.advance(part);
                left -= part;
            }
            if chunk < MAX_PAYLOAD_LEN {
                return Ok(());
            }
        }
    }

    /// Queues a packet.
    pub(super) fn send(&mut self, packet: &impl MySerialize) {
        self.send_with(|payload| packet.serialize(payload));
    }

    /// Queues a packet whose payload `write` makes.
    pub(super) fn send_with(&mut self, write: impl FnOnce(&mut Vec<u8>)) {
        self.scratch.clear();
        write(&mut self.scratch);
        let mut payload = &self.scratch[..];
        self.sequence = packet_to_chunks(self.sequence, &mut payload, &mut self.output);
        if self.scratch.capacity() > LARGE {
            self.scratch = Vec::new();
        }
    }

    /// Writes what waits if it is much. To be called between the packets of a long answer.
    pub(super) async fn relieve(&mut self) -> io::Result<()> {
        if self.output.len() >= FLUSH {
            self.flush().await?;
        }
        Ok(())
    }

    /// Writes what waits.
    pub(super) async fn flush(&mut self) -> io::Result<()> {
        if self.output.is_empty() {
            return Ok(());
        }
        let write = async {
            self.stream.write_all(&self.output).await?;
            self.stream.flush().await
        };
        timeout(self.write_time, write).await??;
        self.output.clear();
        if self.output.capacity() > SMALL {
            self.output = BytesMut::new();
        }
        Ok(())
    }

    /// Writes what waits, then closes. What the client still sends is read and thrown away for a moment, since closing
    /// with unread input resets the connection and takes our last words with it.
    pub(super) async fn close(mut self) {
        let goodbye = async {
            self.flush().await?;
            self.stream.shutdown().await?;
            self.input.clear();
            while self.stream.read_buf(&mut self.input).await? > 0 {
                self.input.clear();
            }
            Ok::<(), io::Error>(())
        };
        // Whether the peer takes it or not, the connection is over.
        _ = timeout(LINGER, goodbye).await;
    }

    fn decode(&mut self, limit: usize) -> Result<Option<Vec<u8>>, GateError> {
        loop {
            self.admit(limit)?;
            let decoded = self
                .decoder
                .decode(&mut self.input, &mut self.packet, limit);
            match decoded {
                Ok(None) => return Ok(None),
                Ok(Some(ChunkInfo::Middle(sequence))) => self.count(sequence)?,
                Ok(Some(ChunkInfo::Last(sequence))) => {
                    self.count(sequence)?;
                    return Ok(Some(self.whole_packet()));
                }
                Err(PacketCodecError::PacketTooLarge) => return Err(GateError::TooLarge),
                Err(other) => return Err(GateError::Closed(io::Error::other(other))),
            }
        }
    }

    /// Takes memory for a packet of which another piece begins here, and makes place for that piece.
    fn admit(&mut self, limit: usize) -> Result<(), GateError> {
        let (ChunkDecoder::Idle, Some(memory)) = (self.decoder, &mut self.memory) else {
            return Ok(());
        };
        let Some((&[low, middle, high, _], _)) = self.input.split_first_chunk::<HEAD>() else {
            return Ok(());
        };
        let piece = usize::from(low) | usize::from(middle) << 8 | usize::from(high) << 16;
        let length = self.packet.len() + piece;
        // What is over the limit is refused for that reason.
        if length > FREE && length <= limit {
            let spent = memory.resize(self.kept + length);
            spent.map_err(GateError::NoMemory)?;
        }
        Ok(())
    }

    fn whole_packet(&mut self) -> Vec<u8> {
        let packet = std::mem::take(&mut self.packet);
        if packet.len() > FREE {
            self.kept += packet.len();
            if self.input.is_empty() {
                // It was as large as the packet.
                self.input = BytesMut::new();
            }
        }
        packet
    }

    fn count(&mut self, sequence: u8) -> Result<(), GateError> {
        if sequence != self.sequence {
            return Err(GateError::OutOfOrder);
        }
        self.sequence = sequence.wrapping_add(1);
        Ok(())
    }

    /// Reads more. Within a packet (`begun`) the client may pause only for so long.
    async fn fill(&mut self, begun: bool) -> Result<(), GateError> {
        self.flush().await?;
        if self.input.is_empty() && self.input.capacity() > SMALL {
            self.input = BytesMut::new();
        }
        let more = match self.decoder {
            ChunkDecoder::Chunk { needed, .. } if needed.get() > LARGE => {
                HEAD + needed.get() - self.input.len()
            }
            _ if self.input.len() < SMALL => SMALL,
            _ => LARGE,
        };
        self.input.reserve(more);
        let read = self.stream.read_buf(&mut self.input);
        let read = if begun {
            let read = timeout(self.read_time, read).await;
            read.map_err(|_| GateError::Paused)??
        } else {
            read.await?
        };
        if read == 0 {
            return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into());
        }
        Ok(())
    }
}
