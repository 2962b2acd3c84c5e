//! Limits of speed: whoever is refused has itself gone too fast, or its user, channel or tenant has.

use std::collections::BTreeMap;

use cometql_engine::{ConnectionId, Limits};
use cometql_protocol::TenantId;
use cometql_protocol::wire::RequestBody;

/// How exactly a model in floating point agrees with one in whole milliseconds.
const SLACK: f64 = 0.02;

/// What is limited.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Limited {
    Connection(ConnectionId),
    User(u32, u64),
    Channel(u32, String),
    Tenant(u32),
    ConnectionAsks(ConnectionId),
    UserAsks(u32, u64),
    TenantAsks(u32),
}

/// Buckets as they must be.
#[derive(Default)]
pub(crate) struct Rates {
    buckets: BTreeMap<Limited, Bucket>,
    /// When backends asked for publications and private messages, by tenant and channel.
    backends: Vec<(u64, u32, Option<String>)>,
    /// By which limit the request in hand was refused that is no publication.
    refused_by: Option<usize>,
}

struct Bucket {
    left: f64,
    at: u64,
}

/// Who publishes where.
#[derive(Debug)]
pub(crate) struct Publishes<'a> {
    pub(crate) connection: ConnectionId,
    pub(crate) tenant: TenantId,
    /// 0 = anonymous.
    pub(crate) user: u64,
    pub(crate) channel: &'a str,
}

/// Who asks for something else.
#[derive(Debug)]
pub(crate) struct Asks<'a> {
    pub(crate) connection: ConnectionId,
    pub(crate) tenant: TenantId,
    /// 0 = not logged in.
    pub(crate) user: u64,
    pub(crate) body: &'a RequestBody,
}

impl Rates {
    /// A request was let through or, as was told before, refused.
    pub(crate) fn asked(&mut self, now: u64, limits: &Limits, who: &Asks<'_>) {
        let (refused_by, cost) = (self.refused_by.take(), cost(who.body));
        if cost == 0 {
            assert_eq!(refused_by, None, "{who:?} costs nothing");
            return;
        }
        for (at, limited, (rate, burst)) in asks(limits, who) {
            if rate == 0 {
                continue;
            }
            let tokens = f64::from(cost.min(burst));
            let left = self.take(now, limited.clone(), (rate, burst), tokens);
            if refused_by == Some(at) {
                let had = left + tokens;
                assert!(
                    left < SLACK,
                    "{limited:?} is refused what costs {cost}, but has {had} left"
                );
                return self.give_back(&limited, tokens);
            }
            assert!(
                left > -SLACK,
                "{limited:?} goes too fast and is not refused"
            );
        }
        assert_eq!(refused_by, None, "{who:?} is refused without a limit");
    }

    /// A publication of a browser was let through: every limit allows it.
    pub(crate) fn granted(&mut self, now: u64, limits: &Limits, who: &Publishes<'_>) {
        for (limited, rate) in chain(limits, who) {
            let left = self.take(now, limited.clone(), rate, 1.0);
            assert!(
                left > -SLACK,
                "{limited:?} goes too fast and is not refused"
            );
        }
    }

    /// One was refused. What it had passed until then stays taken.
    pub(crate) fn refused(&mut self, now: u64, limits: &Limits, who: &Publishes<'_>, why: &str) {
        let Some(at) = by(&PUBLISHES, why) else {
            self.refused_by = by(&ASKS, why);
            return;
        };
        for (limited, rate) in chain(limits, who) {
            let refuses = Some(at) == order(&limited);
            let left = self.take(now, limited.clone(), rate, 1.0);
            if refuses {
                assert!(
                    left < SLACK,
                    "{limited:?} is refused, but has {} left: {why}",
                    left + 1.0
                );
                self.give_back(&limited, 1.0);
                return;
            }
        }
    }

    fn take(&mut self, now: u64, limited: Limited, (rate, burst): (u32, u32), tokens: f64) -> f64 {
        let burst = f64::from(burst);
        let bucket = self.buckets.entry(limited).or_insert(Bucket {
            left: burst,
            at: now,
        });
        let passed = u32::try_from(now - bucket.at).unwrap_or(u32::MAX);
        let gained = f64::from(passed) / 1000.0 * f64::from(rate);
        bucket.left = (bucket.left + gained).min(burst) - tokens;
        bucket.at = now;
        bucket.left
    }

    fn give_back(&mut self, limited: &Limited, tokens: f64) {
        if let Some(bucket) = self.buckets.get_mut(limited) {
            bucket.left += tokens;
        }
    }

    /// A backend asks for a publication, or (without a channel) a private message.
    pub(crate) fn backend(&mut self, now: u64, tenant: TenantId, channel: Option<&str>) {
        let channel = channel.map(str::to_owned);
        self.backends.push((now, tenant.0, channel));
    }

    /// A backend was refused. When the engine looked at what it asked is not known so exactly.
    pub(crate) fn backend_refused(
        &self,
        now: u64,
        limits: &Limits,
        tenant: TenantId,
        channel: Option<&str>,
        why: &str,
    ) {
        let in_channel = why.starts_with("backends may publish in this channel");
        let rate = if in_channel {
            limits.backend_channel_rate
        } else {
            limits.backend_tenant_rate
        };
        let lately = self.backends.iter().filter(|(at, of, in_which)| {
            *at + 60_000 > now && *of == tenant.0 && (!in_channel || in_which.as_deref() == channel)
        });
        let lately = lately.count();
        assert!(
            lately > 2 * usize::try_from(rate).unwrap(),
            "{tenant} {channel:?} is refused after {lately}: {why}"
        );
    }

    /// The node is killed: it has forgotten everything.
    pub(crate) fn forget(&mut self) {
        self.buckets.clear();
    }
}

/// All limits that stand before a publication of a browser, in the order in which they are asked.
fn chain(limits: &Limits, who: &Publishes<'_>) -> Vec<(Limited, (u32, u32))> {
    let tenant = who.tenant.0;
    let twice = |rate: u32| (rate, 2 * rate);
    let own = (limits.publish_rate, limits.publish_burst);
    let mut all = vec![(Limited::Connection(who.connection), own)];
    if who.user > 0 {
        let user = Limited::User(tenant, who.user);
        all.push((user, twice(limits.user_publish_rate)));
    }
    let channel = Limited::Channel(tenant, who.channel.to_owned());
    all.push((channel, twice(limits.channel_publish_rate)));
    all.push((Limited::Tenant(tenant), twice(limits.tenant_publish_rate)));
    all
}

/// And before another request.
fn asks(limits: &Limits, who: &Asks<'_>) -> Vec<(usize, Limited, (u32, u32))> {
    let tenant = who.tenant.0;
    let tenfold = |rate: u32| (rate, 10 * rate);
    let own = (limits.request_rate, limits.request_burst);
    let mut all = vec![(0, Limited::ConnectionAsks(who.connection), own)];
    if who.user > 0 {
        let user = Limited::UserAsks(tenant, who.user);
        all.push((1, user, tenfold(limits.user_request_rate)));
    }
    let rate = tenfold(limits.tenant_request_rate);
    all.push((2, Limited::TenantAsks(tenant), rate));
    all
}

/// What a request takes of these, as the docs have it.
fn cost(body: &RequestBody) -> u32 {
    match body {
        RequestBody::Publish(_) | RequestBody::Ping => 0,
        RequestBody::Subscribe(_)
        | RequestBody::Unsubscribe { .. }
        | RequestBody::PresenceCount { .. }
        | RequestBody::Ack { .. }
        | RequestBody::UserData { .. }
        | RequestBody::UserStatus { .. } => 1,
        RequestBody::Connect(_) | RequestBody::Refresh { .. } | RequestBody::History(_) => 5,
        RequestBody::Presence { .. } => 10,
    }
}

/// How refusals begin.
const PUBLISHES: [&str; 4] = [
    "this session may publish",
    "this user may publish",
    "all browsers together may publish in this channel",
    "all browsers together may publish",
];
const ASKS: [&str; 3] = [
    "this session may ask",
    "this user may ask",
    "all browsers together may ask",
];

fn order(limited: &Limited) -> Option<usize> {
    match limited {
        Limited::Connection(_) => Some(0),
        Limited::User(..) => Some(1),
        Limited::Channel(..) => Some(2),
        Limited::Tenant(_) => Some(3),
        Limited::ConnectionAsks(_) | Limited::UserAsks(..) | Limited::TenantAsks(_) => None,
    }
}

/// Which limit refused; `None` = none of these.
fn by(starts: &[&str], why: &str) -> Option<usize> {
    starts.iter().position(|start| why.starts_with(start))
}
