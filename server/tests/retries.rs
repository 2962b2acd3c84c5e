//! Statements that a backend sends twice, because it does not know whether the first one was carried out.

#![expect(clippy::unwrap_used, reason = "the tests' own helpers unwrap")]

mod common;

use common::backend::World;
use common::within;
use mysql_async::prelude::Queryable;

const ID: &str = "0190a1b2-c3d4-7e5f-8a9b-0c1d2e3f4051";
const OTHER: &str = "0190a1b2-c3d4-7e5f-8a9b-0c1d2e3f4052";

impl World {
    /// What came of a statement: affected rows, info and `@@last_message_id`, or the number of the error.
    async fn outcome(&mut self, sql: &str) -> String {
        if let Err(error) = within(self.backend.query_drop(sql)).await {
            let mysql_async::Error::Server(error) = error else {
                panic!("{sql}: {error}")
            };
            return format!("error {}: {}", error.code, error.message);
        }
        let affected = self.backend.affected_rows();
        let info = self.backend.info().into_owned();
        let id: Option<String> = within(self.backend.query_first("SELECT @@last_message_id"))
            .await
            .unwrap();
        format!("{affected} {info} {}", id.unwrap())
    }
}

fn publish(name: &str, id: &str, message: &str) -> String {
    format!(
        "INSERT INTO pipes_messages (name, event, message, id) VALUES ('{name}', 'e', '{message}', '{id}')"
    )
}

#[tokio::test]
async fn a_publication_with_an_id_is_sent_once() {
    let mut world = World::start(|_| {}).await;
    let mut browser = world.anonymous(&["web_a", "log_a"]).await;
    world
        .run("INSERT INTO pipes_settings (name, length) VALUES ('log_a', 1)")
        .await;
    for name in ["web_a", "log_a"] {
        let first = world.outcome(&publish(name, ID, "one")).await;
        assert_eq!(first, format!("0 Reached: 1 {ID}"));
        world.run(&publish(name, OTHER, "two")).await;
        assert_eq!(world.outcome(&publish(name, ID, "one")).await, first);
        let upper = ID.to_uppercase();
        assert_eq!(world.outcome(&publish(name, &upper, "one")).await, first);
        let conflict = world.outcome(&publish(name, ID, "other")).await;
        assert!(
            conflict.starts_with("error 12: the id 0190a1b2"),
            "{conflict}"
        );
        assert_eq!(browser.json().await["data"], "one");
        assert_eq!(browser.json().await["data"], "two");
    }
    // What is no UUID is ignored.
    for id in ["5", "none", "", "00000000-0000-0000-0000-000000000000"] {
        for _ in 0..2 {
            world.run(&publish("web_a", id, id)).await;
            assert_eq!(browser.json().await["data"], id);
        }
    }
    world
        .check("SELECT id FROM pipes_messages WHERE name = 'log_a'", OTHER)
        .await;
    world.stop().await;
}

#[tokio::test]
async fn rows_are_retried_one_by_one() {
    let mut world = World::start(|_| {}).await;
    let mut browser = world.anonymous(&["web_a"]).await;
    world.run(&publish("web_a", ID, "one")).await;
    let rows = |second: &str| {
        format!(
            "INSERT INTO pipes_messages (id, name, event, message) VALUES
             ('{ID}', 'web_a', 'e', 'one'), ('{OTHER}', 'web_a', 'e', '{second}'), ('{OTHER}', 'web_a', 'e', 'two')"
        )
    };
    let first = world.outcome(&rows("two")).await;
    assert_eq!(first, format!("0 Reached: 3 {OTHER}"));
    assert_eq!(world.outcome(&rows("two")).await, first);
    let conflict = world.outcome(&rows("three")).await;
    assert!(conflict.starts_with("error 12"), "{conflict}");
    assert!(conflict.ends_with("(2 of 3 rows were sent)"), "{conflict}");
    world.run(&publish("web_a", "", "end")).await;
    for data in ["one", "two", "end"] {
        assert_eq!(browser.json().await["data"], data);
    }
    world.stop().await;
}

#[tokio::test]
async fn a_private_message_with_an_index_is_sent_once() {
    let mut world = World::start(|_| {}).await;
    let send = |user: u64, message: &str| {
        format!(
            "INSERT INTO users_messages (id, event, message, `index`) VALUES ({user}, 'e', '{message}', '{ID}')"
        )
    };
    let first = world.outcome(&send(5, "one")).await;
    assert_eq!(first, format!("0 Reached: 0 {ID}"));
    assert_eq!(world.outcome(&send(5, "one")).await, first);
    let conflict = world.outcome(&send(5, "other")).await;
    assert!(conflict.starts_with("error 12"), "{conflict}");
    world.run(&send(6, "other")).await;
    let waiting = "SELECT id, `index`, message FROM users_messages WHERE id IN (5, 6)";
    let expected = format!("5,{ID},one | 6,{ID},other");
    world.check(waiting, &expected).await;
    world.run("DELETE FROM users_messages WHERE id = 5").await;
    assert_eq!(world.outcome(&send(5, "one")).await, first);
    world.check(waiting, &format!("6,{ID},other")).await;
    world.stop().await;
}
