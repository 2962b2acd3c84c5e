//! The console: a page to look at a tenant, with log-ins of its own. The page's files hold no data; what it shows it asks
//! for with the cookie of its log-in.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use cometql_engine::shard::inspect::Channels;
use hyper::body::Incoming;
use hyper::header::{COOKIE, HeaderValue, SET_COOKIE};
use hyper::{HeaderMap, Method, Request, StatusCode};
use serde_json::{Value as Json, json};
use uuid::Uuid;

use super::{Peer, Reply, Shared, guard, refusal, reply, sql, statement, tail, text};
use crate::auth::Login;

const PAGE: &str = include_str!("console/index.html");
const STYLE: &str = include_str!("console/console.css");
const SCRIPT: &str = include_str!("console/console.js");
const COOKIE_NAME: &str = "cometql_console";
/// Longest body of a log-in.
const LOG_IN_BYTES: usize = 4 << 10;
/// Most log-ins at once. When there are more, the first one of the same user ends, or of all if it has none.
const MOST_SESSIONS: usize = 1_000;
/// Most channels that are listed.
const MOST_CHANNELS: usize = 500;

/// Log-ins of the console.
pub(super) struct Sessions {
    open: Mutex<HashMap<String, Session>>,
    lifetime: Duration,
}

/// User and key are proved again at each request, so that a key that was taken away opens nothing any more.
struct Session {
    user: String,
    key: String,
    ends: Instant,
}

impl Sessions {
    pub(super) fn new(lifetime: Duration) -> Self {
        Self {
            open: Mutex::default(),
            lifetime,
        }
    }

    pub(super) fn begin(&self, user: String, key: String) -> String {
        let now = Instant::now();
        let mut open = self.lock();
        open.retain(|_, session| session.ends > now);
        if open.len() >= MOST_SESSIONS {
            let oldest = open
                .iter()
                .min_by_key(|(_, session)| (session.user != user, session.ends));
            if let Some(id) = oldest.map(|(id, _)| id.clone()) {
                open.remove(&id);
            }
        }
        let id = format!("{}{}", Uuid::new_v4().simple(), Uuid::new_v4().simple());
        let ends = now + self.lifetime;
        open.insert(id.clone(), Session { user, key, ends });
        id
    }

    pub(super) fn find(&self, headers: &HeaderMap) -> Option<(String, String)> {
        let open = self.lock();
        let session = open.get(cookie(headers)?)?;
        (session.ends > Instant::now()).then(|| (session.user.clone(), session.key.clone()))
    }

    pub(super) fn end_unless(&self, proved: impl Fn(&str, &str) -> bool) -> usize {
        let mut open = self.lock();
        let before = open.len();
        open.retain(|_, session| proved(&session.user, &session.key));
        before - open.len()
    }

    fn end(&self, headers: &HeaderMap) {
        if let Some(id) = cookie(headers) {
            self.lock().remove(id);
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, Session>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

pub(super) async fn answer(shared: &Arc<Shared>, peer: Peer, request: Request<Incoming>) -> Reply {
    let path = request.uri().path().to_owned();
    match (request.method().clone(), path.as_str()) {
        (Method::GET, "/console" | "/console/") => page(),
        (Method::GET, "/console/console.css") => reply(StatusCode::OK, "text/css", STYLE),
        (Method::GET, "/console/console.js") => reply(StatusCode::OK, "text/javascript", SCRIPT),
        (Method::POST, "/console/login") => log_in(shared, peer, request.into_body()).await,
        (Method::POST, "/console/logout") => {
            shared.sessions.end(request.headers());
            with_cookie(super::json(StatusCode::OK, &json!({})), peer, "", 0)
        }
        (Method::GET, "/console/state") => match proved(shared, request.headers()) {
            Some((login, user, _)) => state(shared, &login, &user).await,
            None => logged_out(),
        },
        (Method::GET, "/console/tail") => match proved(shared, request.headers()) {
            Some((login, _, _)) => {
                let query = request.uri().query().map(str::to_owned);
                let (head, _) = request.into_parts();
                tail::answer(shared, &login, head.headers, query.as_deref())
            }
            None => logged_out(),
        },
        (Method::POST, "/console/sql") => match proved(shared, request.headers()) {
            Some((login, user, key)) => {
                match statement(shared, &login, request.into_body()).await {
                    Ok((sql, _memory)) => sql::run(shared, &login, user, key, &sql).await,
                    Err(reply) => reply,
                }
            }
            None => logged_out(),
        },
        _ => refusal(StatusCode::NOT_FOUND, 404, "no such page"),
    }
}

/// No script or style but ours, no frames, and connections only to this port.
fn page() -> Reply {
    let policy = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src data:; \
                  base-uri 'none'; form-action 'self'; frame-ancestors 'none'";
    let mut page = reply(StatusCode::OK, "text/html; charset=utf-8", PAGE);
    let policy = HeaderValue::from_static(policy);
    page.headers_mut().insert("content-security-policy", policy);
    let referrer = HeaderValue::from_static("no-referrer");
    page.headers_mut().insert("referrer-policy", referrer);
    page
}

async fn log_in(shared: &Shared, peer: Peer, body: Incoming) -> Reply {
    let body = match text(shared, body, LOG_IN_BYTES).await {
        Ok(body) => body,
        Err(reply) => return reply,
    };
    let body: Json = serde_json::from_str(&body).unwrap_or_default();
    let (user, key) = (body["user"].as_str(), body["key"].as_str());
    let (Some(user), Some(key)) = (user, key) else {
        return refusal(StatusCode::BAD_REQUEST, 3, "give user and key");
    };
    if guard::log_in(shared, peer.address, user, key)
        .await
        .is_none()
    {
        return refusal(
            StatusCode::UNAUTHORIZED,
            16,
            "The user or the key is wrong.",
        );
    }
    let id = shared.sessions.begin(user.to_owned(), key.to_owned());
    let seconds = shared.settings.session.as_secs();
    with_cookie(super::json(StatusCode::OK, &json!({})), peer, &id, seconds)
}

pub(super) fn proved(shared: &Shared, headers: &HeaderMap) -> Option<(Login, String, String)> {
    let (user, key) = shared.sessions.find(headers)?;
    let login = shared.context.keyring.prove(&user, &key)?;
    Some((login, user, key))
}

async fn state(shared: &Shared, login: &Login, user: &str) -> Reply {
    let hub = &shared.context.hub;
    let totals = hub.totals((!login.admin).then_some(login.tenant)).await;
    let mut channels = hub.channels(login.tenant, Channels::All).await;
    channels.sort_by(|a, b| (b.subscribers, &a.channel).cmp(&(a.subscribers, &b.channel)));
    channels.truncate(MOST_CHANNELS);
    let channels = channels
        .into_iter()
        .map(|row| json!({"name": row.channel.as_str(), "subscribers": row.subscribers}));
    let state = json!({
        "user": user,
        "tenant": login.tenant.0,
        "numbers": {
            "Connections": totals.connections,
            "Subscriptions": totals.subscriptions,
            "Channels": totals.channels,
            "Users online": totals.users_online,
        },
        "channels": channels.collect::<Vec<_>>(),
    });
    super::json(StatusCode::OK, &state)
}

fn cookie(headers: &HeaderMap) -> Option<&str> {
    let all = headers.get_all(COOKIE).iter();
    all.filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(';'))
        .filter_map(|pair| pair.trim().split_once('='))
        .find(|(name, _)| *name == COOKIE_NAME)
        .map(|(_, id)| id)
}

fn with_cookie(mut reply: Reply, peer: Peer, id: &str, seconds: u64) -> Reply {
    let secure = if peer.tls { "; Secure" } else { "" };
    let cookie = format!(
        "{COOKIE_NAME}={id}; Max-Age={seconds}; Path=/console; HttpOnly; SameSite=Strict{secure}"
    );
    if let Ok(cookie) = HeaderValue::from_str(&cookie) {
        reply.headers_mut().insert(SET_COOKIE, cookie);
    }
    reply
}

fn logged_out() -> Reply {
    refusal(StatusCode::UNAUTHORIZED, 16, "log in first")
}
