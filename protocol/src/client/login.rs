//! Who the session says it is, and when a newer token is due. Asks for tokens, never makes one.

use super::{Effects, Now, Settings};

/// A token is not replaced sooner, in milliseconds: with a clock that is wrong by a token's life, tokens would follow one
/// another without a pause.
const LEAST_LIFE_MS: u64 = 1_000;

/// What proves who the user is.
#[derive(Clone, PartialEq, Eq)]
pub enum Credentials {
    /// A JWT.
    Token(String),
    /// A user id, and the hash that a backend put into `users_auth`.
    Hash {
        /// The user.
        user: u64,
        /// The hash.
        hash: String,
    },
}

impl std::fmt::Debug for Credentials {
    /// Without the secret.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Token(_) => "Token(…)",
            Self::Hash { .. } => "Hash { … }",
        })
    }
}

/// The session's log-in.
#[derive(Debug, Default)]
pub(super) struct Login {
    credentials: Option<Credentials>,
    /// This browser's name in presence lists; empty = none.
    uuid: String,
    /// They can't be used again: the server refused them, or their time is over.
    spent: bool,
    /// The application was asked for a token.
    asking: bool,
    logged_in: bool,
    /// When the token in force ends, and when to ask for the next one.
    ends: Option<(Now, Now)>,
}

impl Login {
    /// Begins with these credentials, if any.
    pub(super) fn new(credentials: Option<Credentials>, uuid: &str) -> Self {
        Self {
            credentials,
            uuid: uuid.to_owned(),
            ..Self::default()
        }
    }

    /// Whether a connection can begin; else the application is asked for a token.
    pub(super) fn is_ready(&mut self, settings: &Settings, effects: &mut impl Effects) -> bool {
        let misses = settings.asks_for_tokens && (self.credentials.is_none() || self.spent);
        if misses {
            self.ask(effects);
        }
        !misses
    }

    /// The application gives credentials.
    pub(super) fn give(&mut self, credentials: Credentials) {
        self.credentials = Some(credentials);
        self.spent = false;
        self.asking = false;
    }

    /// The application has none now.
    pub(super) fn failed(&mut self) {
        self.asking = false;
    }

    /// The server does not take the credentials (any more).
    pub(super) fn refused(&mut self) {
        self.spent = true;
    }

    /// Whether the session has proved who it is.
    pub(super) fn is_logged_in(&self) -> bool {
        self.logged_in
    }

    /// Whether it can.
    pub(super) fn is_somebody(&self) -> bool {
        self.credentials.is_some()
    }

    /// `"connect":…`, if there is anything to say.
    pub(super) fn connect(&self, inbox: bool, effects: &mut impl Effects) -> Option<String> {
        if self.credentials.is_none() && self.uuid.is_empty() {
            return None;
        }
        let mut body = String::from(r#""connect":{"#);
        match &self.credentials {
            Some(Credentials::Token(token)) => {
                body.push_str(r#""token":"#);
                body.push_str(&effects.json_string(token));
                body.push(',');
            }
            Some(Credentials::Hash { user, hash }) => {
                body.push_str(&format!(r#""user":{user},"hash":"#));
                body.push_str(&effects.json_string(hash));
                body.push(',');
            }
            None => {}
        }
        body.push_str(r#""inbox":"#);
        body.push_str(if inbox { "true" } else { "false" });
        if !self.uuid.is_empty() {
            body.push_str(r#","uuid":"#);
            body.push_str(&effects.json_string(&self.uuid));
        }
        body.push('}');
        Some(body)
    }

    /// `"refresh":…`, if a token is there.
    pub(super) fn refresh(&self, effects: &mut impl Effects) -> Option<String> {
        let Some(Credentials::Token(token)) = &self.credentials else {
            return None;
        };
        let mut body = String::from(r#""refresh":{"token":"#);
        body.push_str(&effects.json_string(token));
        body.push('}');
        Some(body)
    }

    /// The server has let us in until `expires` (unix seconds). The next token is due a while before, but not before half
    /// of the time is over. Is it over by our clock, then our clock is wrong, and each new token would be over as well: the
    /// server says when it is (4101).
    pub(super) fn let_in(&mut self, now: Now, expires: Option<u64>, settings: &Settings) {
        self.logged_in = self.credentials.is_some();
        let end = expires.map(|expires| Now(expires.saturating_mul(1000)));
        self.ends = end.filter(|end| *end > now).map(|end| {
            let left = end.0 - now.0;
            let lead = settings.refresh_ms.min(left / 2);
            (end, now.after((left - lead).max(LEAST_LIFE_MS)))
        });
    }

    /// The connection is gone.
    pub(super) fn lost(&mut self, now: Now) {
        self.logged_in = false;
        if self.ends.take().is_some_and(|(end, _)| end <= now) {
            self.spent = true;
        }
    }

    /// When to ask for the next token.
    pub(super) fn due(&self, settings: &Settings) -> Option<Now> {
        let waits = settings.asks_for_tokens && !self.asking;
        self.ends.filter(|_| waits).map(|(_, due)| due)
    }

    /// Asks the application for a token, once.
    pub(super) fn ask(&mut self, effects: &mut impl Effects) {
        if !std::mem::replace(&mut self.asking, true) {
            effects.ask_for_token();
        }
    }

    /// No token came: the next attempt.
    pub(super) fn put_off(&mut self, until: Now) {
        if let Some((_, due)) = &mut self.ends {
            *due = until;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::Record;
    use super::*;

    fn token() -> Credentials {
        Credentials::Token("a\"b".into())
    }

    #[test]
    fn what_is_said_first() {
        #[track_caller]
        fn check(credentials: Option<Credentials>, inbox: bool, uuid: &str, expected: &str) {
            let body = Login::new(credentials, uuid).connect(inbox, &mut Record::default());
            assert_eq!(body.as_deref().unwrap_or(""), expected);
        }
        let hash = Credentials::Hash {
            user: 7,
            hash: "h".into(),
        };
        check(None, true, "", "");
        check(None, false, "u", r#""connect":{"inbox":false,"uuid":"u"}"#);
        check(
            Some(token()),
            false,
            "",
            r#""connect":{"token":"a\"b","inbox":false}"#,
        );
        check(
            Some(hash),
            true,
            "u",
            r#""connect":{"user":7,"hash":"h","inbox":true,"uuid":"u"}"#,
        );
    }

    #[test]
    fn a_newer_token_is_due_before_the_end() {
        let settings = Settings {
            asks_for_tokens: true,
            refresh_ms: 30_000,
            ..Settings::DEFAULT
        };
        #[track_caller]
        fn check(settings: &Settings, expires: u64, due: Option<u64>) {
            let mut login = Login::new(Some(token()), "");
            login.let_in(Now(1_000_000), Some(expires), settings);
            assert_eq!(login.due(settings), due.map(Now), "{expires}");
        }
        check(&settings, 1_100, Some(1_070_000));
        check(&settings, 1_040, Some(1_020_000));
        check(&settings, 1_001, Some(1_001_000));
        // Our clock is wrong.
        check(&settings, 1_000, None);
        check(&settings, 900, None);
        let mut login = Login::new(Some(token()), "");
        login.let_in(Now(0), None, &settings);
        assert_eq!(login.due(&settings), None);
    }

    #[test]
    fn the_application_is_asked_once() {
        let settings = Settings {
            asks_for_tokens: true,
            ..Settings::DEFAULT
        };
        let (mut login, mut effects) = (Login::default(), Record::default());
        assert!(!login.is_ready(&settings, &mut effects));
        assert!(!login.is_ready(&settings, &mut effects));
        assert_eq!(effects.tokens, 1);
        login.give(token());
        assert!(login.is_ready(&settings, &mut effects));
        login.let_in(Now(0), Some(5), &settings);
        login.lost(Now(5_000));
        assert!(!login.is_ready(&settings, &mut effects));
        assert_eq!(effects.tokens, 2);
    }
}
