//! When and where to connect next: exponential back-off with full jitter, the server's advice, several urls. Opens nothing.

use super::{Now, Settings};
use crate::{Advice, CloseCode};

/// How the last connection ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ended {
    /// Come back as soon as that is fair.
    Lost,
    /// The server wants us back at once.
    ComeNow,
    /// The server wants us back after so many milliseconds.
    ComeAfter(u64),
    /// The token has ended.
    TokenExpired,
    /// It would end the same way again.
    Stop(CloseCode),
}

/// Reads a close code and its reason.
pub(super) fn ended(code: u16, reason: &str) -> Ended {
    let Some(close) = CloseCode::ALL
        .into_iter()
        .find(|known| known.code() == code)
    else {
        return Ended::Lost;
    };
    match close.advice() {
        Advice::ReconnectNow => Ended::ComeNow,
        Advice::ReconnectLater => retry_after(reason).map_or(Ended::Lost, Ended::ComeAfter),
        Advice::Stop if close == CloseCode::TokenExpired => Ended::TokenExpired,
        Advice::Stop => Ended::Stop(close),
    }
}

fn retry_after(reason: &str) -> Option<u64> {
    let mut words = reason.split_ascii_whitespace();
    words.find_map(|word| word.strip_prefix("retry_after_ms=")?.parse().ok())
}

/// Which url is next, and when.
#[derive(Debug)]
pub(super) struct Reconnect {
    urls: usize,
    url: usize,
    /// Urls that failed since the last wait.
    tried: usize,
    /// Rounds over all urls that failed.
    failures: u32,
    /// Since when the connection is open.
    open_since: Option<Now>,
}

impl Reconnect {
    /// Begins at a random one of the urls, so that clients spread over nodes.
    pub(super) fn new(urls: usize, random: u64) -> Self {
        let urls = urls.max(1);
        Self {
            urls,
            url: usize::try_from(random % urls as u64).unwrap_or(0),
            tried: 0,
            failures: 0,
            open_since: None,
        }
    }

    /// Where to connect.
    pub(super) fn url(&self) -> usize {
        self.url
    }

    /// The connection serves.
    pub(super) fn opened(&mut self, now: Now) {
        self.open_since = Some(now);
        self.tried = 0;
    }

    /// The connection ended, or there was none: when to try again.
    pub(super) fn closed(
        &mut self,
        now: Now,
        ended: Ended,
        settings: &Settings,
        random: u64,
    ) -> Now {
        let stable = |since: Now| now.0.saturating_sub(since.0) >= settings.stable_ms;
        if self.open_since.take().is_some_and(stable) {
            self.failures = 0;
        } else if ended == Ended::ComeNow {
            // At once, but not again and again.
            return self.wait(now, settings, random);
        }
        match ended {
            Ended::ComeNow => now,
            Ended::ComeAfter(milliseconds) => {
                self.next_url();
                now.after(milliseconds)
            }
            Ended::Lost | Ended::TokenExpired | Ended::Stop(_) => {
                self.tried += 1;
                self.next_url();
                if self.tried < self.urls {
                    return now;
                }
                self.tried = 0;
                self.wait(now, settings, random)
            }
        }
    }

    /// The network is back: earlier failures were its fault.
    pub(super) fn network_is_back(&mut self) {
        self.failures = 0;
        self.tried = 0;
    }

    fn next_url(&mut self) {
        self.url = (self.url + 1) % self.urls;
    }

    /// Full jitter: anything between nothing and the doubled bound, so that clients that lost the same node come back
    /// spread out.
    fn wait(&mut self, now: Now, settings: &Settings, random: u64) -> Now {
        let doubled = settings.backoff_ms << self.failures.min(16);
        self.failures = self.failures.saturating_add(1);
        now.after(random % doubled.clamp(1, settings.backoff_most_ms))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SETTINGS: Settings = Settings {
        backoff_ms: 1_000,
        backoff_most_ms: 8_000,
        ..Settings::DEFAULT
    };

    #[test]
    fn advice_of_close_codes() {
        #[track_caller]
        fn check(code: u16, reason: &str, expected: Ended) {
            assert_eq!(ended(code, reason), expected, "{code} {reason}");
        }
        check(1006, "", Ended::Lost);
        check(1001, "going_away", Ended::Lost);
        check(4000, "restart retry_after_ms=70", Ended::ComeAfter(70));
        check(4000, "restart", Ended::Lost);
        check(4001, "slow_consumer", Ended::ComeNow);
        check(4101, "token_expired", Ended::TokenExpired);
        check(4102, "revoked", Ended::Stop(CloseCode::Revoked));
        check(4999, "", Ended::Lost);
    }

    /// Most random = the bound itself, less one.
    #[track_caller]
    fn waits(reconnect: &mut Reconnect, ended: Ended) -> u64 {
        reconnect
            .closed(Now(0), ended, &SETTINGS, 1_000_000_007 * 8_000 - 1)
            .0
    }

    #[test]
    fn one_url_backs_off_with_jitter_up_to_a_bound() {
        let mut reconnect = Reconnect::new(1, 5);
        let bounds: Vec<_> = (0..5).map(|_| waits(&mut reconnect, Ended::Lost)).collect();
        assert_eq!(bounds, [999, 1_999, 3_999, 7_999, 7_999]);
        assert_eq!(reconnect.closed(Now(7), Ended::Lost, &SETTINGS, 0), Now(7));
        reconnect.network_is_back();
        assert_eq!(waits(&mut reconnect, Ended::Lost), 999);
    }

    #[test]
    fn other_urls_are_tried_at_once() {
        let mut reconnect = Reconnect::new(3, 4);
        let mut tried = Vec::new();
        for _ in 0..4 {
            let url = reconnect.url();
            tried.push((url, waits(&mut reconnect, Ended::Lost)));
        }
        assert_eq!(tried, [(1, 0), (2, 0), (0, 999), (1, 0)]);
    }

    #[test]
    fn advice_is_obeyed_but_no_storm() {
        let mut reconnect = Reconnect::new(1, 0);
        assert_eq!(waits(&mut reconnect, Ended::ComeAfter(1234)), 1234);
        reconnect.opened(Now(0));
        let later = Now(SETTINGS.stable_ms);
        assert_eq!(
            reconnect.closed(later, Ended::ComeNow, &SETTINGS, 999),
            later
        );
        reconnect.opened(Now(0));
        assert_eq!(waits(&mut reconnect, Ended::ComeNow), 999);
    }
}
