//! Whether the connection is alive: silence is answered with a ping, a ping without an answer is a dead link. Browsers
//! tell pages neither of WebSocket pings nor of a cable that was pulled.

use super::{Now, Settings};

/// The pulse of one open connection.
#[derive(Debug, Clone, Copy)]
pub(super) struct Keepalive {
    heard: Now,
    pinged: Option<Now>,
}

/// What the pulse asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    Alive,
    Ping,
    Dead,
}

impl Keepalive {
    /// A connection that was heard of just now.
    pub(super) fn new(now: Now) -> Self {
        Self {
            heard: now,
            pinged: None,
        }
    }

    /// Something came.
    pub(super) fn heard(&mut self, now: Now) {
        self.heard = now;
        self.pinged = None;
    }

    /// When to look again.
    pub(super) fn due(&self, settings: &Settings) -> Now {
        match self.pinged {
            Some(pinged) => pinged.after(settings.pong_ms),
            None => self.heard.after(settings.ping_ms),
        }
    }

    /// Looks; after `Ping` one must be sent.
    pub(super) fn look(&mut self, now: Now, settings: &Settings) -> Verdict {
        if now < self.due(settings) {
            return Verdict::Alive;
        }
        if self.pinged.is_some() {
            return Verdict::Dead;
        }
        self.pinged = Some(now);
        Verdict::Ping
    }

    /// The network changed or the machine woke up: true when a ping must be sent to see whether the link still lives.
    pub(super) fn doubt(&mut self, now: Now) -> bool {
        let asks = self.pinged.is_none();
        self.pinged = self.pinged.or(Some(now));
        asks
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SETTINGS: Settings = Settings {
        ping_ms: 6_000,
        pong_ms: 3_000,
        ..Settings::DEFAULT
    };

    #[test]
    fn silence_then_ping_then_dead() {
        let mut pulse = Keepalive::new(Now(0));
        assert_eq!(pulse.look(Now(5_999), &SETTINGS), Verdict::Alive);
        assert_eq!(pulse.look(Now(6_000), &SETTINGS), Verdict::Ping);
        assert_eq!(pulse.due(&SETTINGS), Now(9_000));
        assert_eq!(pulse.look(Now(8_999), &SETTINGS), Verdict::Alive);
        assert_eq!(pulse.look(Now(9_000), &SETTINGS), Verdict::Dead);
    }

    #[test]
    fn whatever_comes_is_a_sign_of_life() {
        let mut pulse = Keepalive::new(Now(0));
        assert!(pulse.doubt(Now(10)));
        assert!(!pulse.doubt(Now(20)));
        pulse.heard(Now(30));
        assert_eq!(pulse.due(&SETTINGS), Now(6_030));
        // A machine that slept for an hour pings before it despairs.
        assert_eq!(pulse.look(Now(3_600_000), &SETTINGS), Verdict::Ping);
    }
}
