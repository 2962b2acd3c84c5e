//! One socket that publishes, in each server's own way, without waiting for answers.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::TcpStream as BlockingStream;

use anyhow::{bail, ensure};
use mio::net::TcpStream;

use super::mysql;
use super::subjects::{CHANNEL, KEY, Kind, Target};

pub(super) struct Publisher {
    kind: Kind,
    pub(super) stream: TcpStream,
    out: Vec<u8>,
    held: Vec<u8>,
}

impl Publisher {
    pub(super) fn connect(target: Target) -> anyhow::Result<Self> {
        let stream = match target.kind {
            Kind::Cometql => mysql::log_in(target.publish, KEY)?,
            Kind::Bare | Kind::Nchan => BlockingStream::connect(target.publish)?,
            Kind::Nats => {
                let mut stream = BlockingStream::connect(target.publish)?;
                stream.write_all(b"CONNECT {\"verbose\":false}\r\n")?;
                stream
            }
        };
        stream.set_nodelay(true)?;
        stream.set_nonblocking(true)?;
        Ok(Self {
            kind: target.kind,
            stream: TcpStream::from_std(stream),
            out: Vec::new(),
            held: Vec::new(),
        })
    }

    /// Sends as much as the socket takes; the rest goes with the next call.
    pub(super) fn publish(&mut self, payload: &str) -> anyhow::Result<()> {
        match self.kind {
            Kind::Cometql => self.out.extend(mysql::query(&insert(payload))),
            Kind::Bare => self.out.extend([payload.as_bytes(), b"\n"].concat()),
            Kind::Nchan => write!(
                self.out,
                "POST /publish HTTP/1.1\r\nHost: load\r\nContent-Length: {}\r\n\r\n{payload}",
                payload.len()
            )?,
            Kind::Nats => write!(self.out, "PUB {CHANNEL} {}\r\n{payload}\r\n", payload.len())?,
        }
        self.flush()
    }

    pub(super) fn flush(&mut self) -> anyhow::Result<()> {
        while !self.out.is_empty() {
            match self.stream.write(&self.out) {
                Ok(sent) => _ = self.out.drain(..sent),
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }

    /// Reads answers; a refusal is an error.
    pub(super) fn read(&mut self, scratch: &mut [u8]) -> anyhow::Result<()> {
        loop {
            match self.stream.read(scratch) {
                Ok(0) => bail!("the server closed the publishing connection"),
                Ok(length) => self.held.extend(&scratch[..length]),
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) => return Err(error.into()),
            }
        }
        match self.kind {
            Kind::Cometql => _ = mysql::take_answers(&mut self.held)?,
            Kind::Bare => self.held.clear(),
            Kind::Nchan => {
                let refused = memchr::memmem::find(&self.held, b"HTTP/1.1 4");
                ensure!(refused.is_none(), "nchan refused a publication");
                self.held.clear();
            }
            Kind::Nats => {
                if memchr::memmem::find(&self.held, b"PING\r\n").is_some() {
                    self.out.extend(b"PONG\r\n");
                    self.flush()?;
                }
                self.held.clear();
            }
        }
        Ok(())
    }
}

/// The statement that publishes `payload`.
pub(super) fn insert(payload: &str) -> String {
    format!(
        "INSERT INTO pipes_messages (name, event, message) VALUES ('{CHANNEL}', 'e', '{payload}')"
    )
}
