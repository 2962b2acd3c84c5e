//! Channels that rules keep on disk, and then don't.

use std::sync::Arc;

use cometql_engine::Rules;
use cometql_engine::permission::{Pattern, Retention, Rule, UserDataRule};

use super::{KEEP_ALL, TENANT, append, on_both, open_channel, set_history, wait};

fn durable(prefix: &str) -> Arc<Rules> {
    let rule = Rule {
        retention: Some(Retention::Durable {
            publications: 9,
            age_ms: 9,
        }),
        ..Rule::new("test", Pattern::Prefix(prefix.into()))
    };
    Arc::new(Rules::new(vec![rule], UserDataRule::Anyone))
}

#[test]
fn channels_that_are_durable_no_more_give_their_epochs_up() {
    on_both(|store| {
        let review = |rules| wait(store.review(rules)).unwrap();
        let epoch = |name| open_channel(store, TENANT, name, 9).epoch.0;
        assert_eq!(review(durable("log_")), 0);
        for name in ["log_a", "log_b", "web_a"] {
            open_channel(store, TENANT, name, 5);
            append(store, name, 1, KEEP_ALL);
        }
        set_history(store, "web_a", Some(3));
        set_history(store, "log_b", Some(3));
        assert_eq!(review(durable("log_")), 0, "the same rules");
        assert_eq!([epoch("log_a"), epoch("log_b"), epoch("web_a")], [5; 3]);
        assert_eq!(review(durable("lo")), 0, "other rules, and nothing changes");
        assert_eq!(review(durable("news_")), 1);
        let renewed = epoch("log_a");
        assert_ne!(renewed, 5);
        assert_eq!(
            [epoch("log_b"), epoch("web_a")],
            [5; 2],
            "they have settings"
        );
        assert_eq!(open_channel(store, TENANT, "log_a", 9).offset, 1);
        assert_eq!(review(durable("log_")), 0, "it is back");
        assert_eq!(epoch("log_a"), renewed);
    });
}
