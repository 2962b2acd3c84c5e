//! Keeps the keys of each `[[jwt_keys]]` entry, and fetches those that live at an address again and again.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;

use super::jwt_key::{BadKey, JwtKey, KeySource, Verifier};
use super::tokens::Tokens;

/// The soonest that a failed or outdated key set is fetched again: strangers' tokens can't make us hammer its server.
const SOONEST: Duration = Duration::from_secs(30);
/// How long one fetch may take.
const FETCH_TIMEOUT: Duration = Duration::from_secs(10);
/// Largest key set, in bytes.
const FETCH_BYTES: u64 = 1 << 20;

/// An entry with its keys.
pub(super) struct Source {
    pub(super) key: JwtKey,
    verifiers: ArcSwap<Vec<Verifier>>,
    fetch: Mutex<Fetch>,
}

#[derive(Default)]
struct Fetch {
    last: Option<Instant>,
    /// The last one failed, or a token named a key that is not in the set.
    wanted: bool,
}

impl Source {
    pub(super) fn new(key: JwtKey) -> Result<Self, BadKey> {
        let verifiers = ArcSwap::from_pointee(key.verifiers()?);
        if let KeySource::JwksUrl { url, .. } = &key.source
            && !is_safe(url)
        {
            let problem = "a key set is fetched only by https, or by http from this machine";
            return Err(BadKey {
                name: key.name,
                problem: problem.to_owned(),
            });
        }
        Ok(Self {
            key,
            verifiers,
            fetch: Mutex::default(),
        })
    }

    pub(super) fn verifiers(&self) -> arc_swap::Guard<Arc<Vec<Verifier>>> {
        self.verifiers.load()
    }

    /// Asks for a fetch as soon as is decent; false when the keys don't come from an address.
    pub(super) fn want(&self) -> bool {
        let fetched = matches!(self.key.source, KeySource::JwksUrl { .. });
        if fetched {
            self.lock().wanted = true;
        }
        fetched
    }

    /// How long until the next fetch; `None` when the keys don't come from an address.
    fn due_in(&self, now: Instant) -> Option<Duration> {
        let KeySource::JwksUrl { refresh_s, .. } = self.key.source else {
            return None;
        };
        let fetch = self.lock();
        let Some(last) = fetch.last else {
            return Some(Duration::ZERO);
        };
        let pause = Duration::from_secs(refresh_s).max(SOONEST);
        let pause = if fetch.wanted { SOONEST } else { pause };
        Some((last + pause).saturating_duration_since(now))
    }

    /// Fetches the set. A failure keeps the keys that we have: an unreachable provider must not log out everybody.
    async fn refresh(self: Arc<Self>, now: Instant) {
        let KeySource::JwksUrl { url, .. } = self.key.source.clone() else {
            return;
        };
        let fetched = tokio::task::spawn_blocking(move || fetch(&url))
            .await
            .unwrap_or_else(|panic| Err(panic.to_string()));
        let verifiers = fetched.and_then(|text| {
            let keys = self.key.key_set(&text, false);
            keys.map_err(|bad| bad.problem)
        });
        let failed = match verifiers {
            Ok(verifiers) => {
                tracing::debug!(
                    key = self.key.name,
                    keys = verifiers.len(),
                    "fetched key set"
                );
                self.verifiers.store(Arc::new(verifiers));
                false
            }
            Err(error) => {
                tracing::warn!(key = self.key.name, error, "can't fetch key set");
                true
            }
        };
        let mut fetch = self.lock();
        fetch.last = Some(now);
        fetch.wanted = failed;
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Fetch> {
        self.fetch.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Tokens {
    /// Fetches the key sets that live at an address, until it is dropped. The owner spawns it once.
    pub async fn keep_fresh(self) {
        loop {
            let next = self.refresh_due(Instant::now()).await;
            let woken = self.inner.wake.notified();
            match next {
                None => woken.await,
                Some(pause) => _ = tokio::time::timeout(pause, woken).await,
            }
        }
    }

    /// Fetches what is due; returns how long until something is due again.
    pub(super) async fn refresh_due(&self, now: Instant) -> Option<Duration> {
        for source in self.sources().iter() {
            if source.due_in(now) == Some(Duration::ZERO) {
                Arc::clone(source).refresh(now).await;
            }
        }
        let now = Instant::now();
        let sources = self.sources();
        sources.iter().filter_map(|source| source.due_in(now)).min()
    }
}

/// Whether what comes from this address can be trusted to be what its owner sent.
fn is_safe(url: &str) -> bool {
    let Ok(uri) = url.parse::<hyper::Uri>() else {
        return false;
    };
    let host = uri.host().unwrap_or_default();
    let loopback = matches!(host, "localhost" | "127.0.0.1" | "[::1]");
    match uri.scheme_str() {
        Some("https") => !host.is_empty(),
        Some("http") => loopback,
        _ => false,
    }
}

/// No redirects: they could lead to an address that [`is_safe`] refuses.
fn fetch(url: &str) -> Result<String, String> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let tls = ureq::tls::TlsConfig::builder()
        .unversioned_rustls_crypto_provider(provider)
        .root_certs(ureq::tls::RootCerts::PlatformVerifier)
        .build();
    let agent = ureq::Agent::config_builder()
        .tls_config(tls)
        .timeout_global(Some(FETCH_TIMEOUT))
        .max_redirects(0)
        .build()
        .new_agent();
    let mut response = agent.get(url).call().map_err(|error| error.to_string())?;
    let body = response.body_mut().with_config().limit(FETCH_BYTES);
    body.read_to_string().map_err(|error| error.to_string())
}
