//! What backends, browsers and fate do, chosen by the seed.

use cometql_engine::permission::{Conflate, Pattern, Retention, Rule, UserDataRule, Who};
use cometql_engine::{Limits, Rules};

use crate::promises::{CHANGING, GUARDED, KEPT, MEMBERS, TRACKED};
use crate::world::World;

mod backends;
mod browsers;
mod fate;

/// By what is kept of them: all, a window, a window or what settings say, nothing, a window of which slow consumers get
/// the newest, or the newest of each event. Then what only some may subscribe to, and one with joins and leaves.
pub(crate) const CHANNELS: [&str; 9] = [
    KEPT, "web_a", CHANGING, "live_a", "news_a", "feed_a", GUARDED, MEMBERS, TRACKED,
];
/// Those that browsers publish in.
const OPEN: usize = 6;
pub(crate) const TENANTS: u64 = 2;
const USERS: u64 = 3;
const BROWSERS: usize = 6;

pub(crate) fn limits() -> Limits {
    Limits {
        outbox_bytes: 64 << 10,
        publish_rate: 5,
        publish_burst: 10,
        user_publish_rate: 6,
        channel_publish_rate: 8,
        tenant_publish_rate: 12,
        backend_channel_rate: 40,
        backend_tenant_rate: 60,
        request_rate: 1_000,
        request_burst: 2_000,
        window_publications: 8,
        window_ms: 20_000,
        inbox_messages: 8,
        ..Limits::default()
    }
}

/// What administrators change about the rules.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Changes {
    /// Nobody may subscribe to the guarded channel.
    pub(crate) denies: bool,
    /// Slow consumers get everything.
    pub(crate) all: bool,
    /// The channel whose settings change is durable without any.
    pub(crate) durable: bool,
}

pub(crate) fn rules(changes: Changes) -> Rules {
    let rule = |prefix: &str, retention| Rule {
        retention: Some(retention),
        subscribe: Some(Who::Anyone),
        publish: Some(Who::Anyone),
        presence: Some(Who::Anyone),
        ..Rule::new(prefix, Pattern::Prefix(prefix.into()))
    };
    let newest = |prefix: &str, conflate| Rule {
        conflate: (!changes.all).then_some(Some(conflate)),
        ..rule(prefix, Retention::Window)
    };
    let kept = Retention::Durable {
        publications: u64::MAX,
        age_ms: u64::MAX,
    };
    let guard = Rule {
        subscribe: Some(if changes.denies {
            Who::Nobody
        } else {
            Who::Authorised
        }),
        ..rule("private_", Retention::Window)
    };
    let members = Rule {
        subscribe: Some(Who::Members),
        ..rule("team_", Retention::Window)
    };
    let some = Retention::Durable {
        publications: 12,
        age_ms: u64::MAX,
    };
    let changing = match changes.durable {
        true => some,
        false => Retention::Window,
    };
    let rules = vec![
        rule("log_", kept),
        rule(CHANGING, changing),
        rule("web_", Retention::Window),
        rule("live_", Retention::Ephemeral),
        newest("news_", Conflate::Channel),
        newest("feed_", Conflate::Event),
        guard,
        members,
    ];
    Rules::new(rules, UserDataRule::Anyone)
}

/// A whole run; panics when a promise is broken. Returns how many publications were checked.
pub(crate) fn run(operations: usize, world: &mut World) -> u64 {
    for _ in 0..BROWSERS {
        world.add_browser();
    }
    for operation in 0..operations {
        let pause = match world.rng.below(8) {
            0 => world.rng.below(4_000),
            1..4 => 0,
            _ => world.rng.below(120),
        };
        world.run(pause);
        world.check_rest();
        world.operate(operation);
    }
    world.end();
    world.promises.checked
}

impl World {
    fn operate(&mut self, number: usize) {
        match self.rng.below(61) {
            0..11 => self.publish_some(number),
            11..15 => self.send_private(),
            15..19 => self.send_again(),
            19..28 => self.subscribe_any(),
            28..30 => self.unsubscribe_any(),
            30..35 => self.publish_from_browser(),
            35..38 => self.change_inbox(),
            38 => self.ask_any(),
            39 => self.change_tabs(),
            40..46 => self.break_network(),
            46..48 => self.change_disk(),
            48 => self.change_settings(),
            49..51 => self.change_rules(),
            51..53 => self.change_members(),
            53 => self.revoke(),
            54 => self.kill_or_start(),
            55 => self.clear_history(),
            56 => self.delete_publication(),
            57 => self.clear_inbox(),
            58 => self.flood(),
            59 => self.absence(),
            _ => self.hint(),
        }
    }
}
