//! SELECT through a whole node: browsers are subscribed over WebSocket, a backend asks over the MySQL protocol.

mod common;

use common::backend::{OTHER, World, connect, rows};
use common::within;
use mysql_async::prelude::Queryable;
use mysql_async::{Conn, Row};

#[tokio::test]
async fn live_and_stored_tables_are_joined() {
    let mut world = World::start(|_| {}).await;
    let fill = "INSERT INTO pipes_settings (name, length) VALUES ('web_x', 9);
        INSERT INTO pipes_messages (name, event, message) VALUES ('web_x', 'e', 'one'), ('web_x', 'e', 'two');
        INSERT INTO users_data (id, data) VALUES (5, 'Ann'), (6, 'Bob')";
    within(world.backend.query_drop(fill)).await.unwrap();
    let browsers = [
        world.browser(5, &["web_x", "web_y"]).await,
        world.browser(6, &["web_x"]).await,
        world.anonymous(&["web_x"]).await,
    ];
    world
        .check(
            "SELECT u.user_id, t.time, m.message FROM users_in_pipes u JOIN users_time t ON t.id = u.user_id
             JOIN pipes_messages m ON m.name = u.name WHERE u.name = 'web_x' ORDER BY u.user_id, m.`index`",
            "5,0,one | 5,0,two | 6,0,one | 6,0,two",
        )
        .await;
    // Who is in web_x and has not been seen in web_y?
    world
        .check(
            "SELECT DISTINCT user_id FROM users_in_pipes WHERE name = 'web_x' AND user_id > 0
             AND user_id NOT IN (SELECT user_id FROM users_in_pipes WHERE name = 'web_y')",
            "6",
        )
        .await;
    world
        .check(
            "SELECT x.user_id, d.data FROM users_in_pipes x JOIN users_data d ON d.id = x.user_id
             LEFT JOIN users_in_pipes y ON y.user_id = x.user_id AND y.name = 'web_y'
             WHERE x.name = 'web_x' AND y.user_id IS NULL",
            "6,Bob",
        )
        .await;
    drop(browsers);
    world.stop().await;
}

#[tokio::test]
async fn live_tables_are_grouped_ordered_and_limited() {
    let mut world = World::start(|_| {}).await;
    let browsers = [
        world.browser(5, &["web_x", "web_y"]).await,
        world.browser(5, &["web_x"]).await,
        world.anonymous(&["web_x", "web_y", "web_z"]).await,
    ];
    let table = [
        (
            "SELECT name, users FROM pipes ORDER BY users DESC, name LIMIT 2",
            "web_x,3 | web_y,2",
        ),
        ("SELECT name, users FROM pipes WHERE users = 1", "web_z,1"),
        (
            "SELECT name, COUNT(*) AS n, COUNT(DISTINCT user_id) FROM users_in_pipes GROUP BY name HAVING n > 1 ORDER BY n",
            "web_y,2,2 | web_x,3,2",
        ),
        (
            "SELECT name FROM pipes WHERE users = (SELECT MAX(users) FROM pipes)",
            "web_x",
        ),
        (
            "SELECT user_id, COUNT(*) FROM users_in_pipes GROUP BY user_id ORDER BY 2 DESC, 1 LIMIT 1, 1",
            "5,3",
        ),
        (
            "SELECT id, time FROM users_time WHERE id IN (5, 8) ORDER BY id",
            "5,0 | 8,-1",
        ),
        ("SELECT SUM(users) FROM pipes WHERE name LIKE 'web%'", "6"),
    ];
    for (sql, expected) in table {
        world.check(sql, expected).await;
    }
    drop(browsers);
    world.stop().await;
}

#[tokio::test]
async fn placeholders_stand_for_keys_of_live_tables() {
    let mut world = World::start(|_| {}).await;
    let browser = world.browser(5, &["web_x", "web_y"]).await;
    let sql = "SELECT name, user_uuid FROM users_in_pipes WHERE name = ? AND user_id = ? ORDER BY name LIMIT ?";
    let backend = &mut world.backend;
    assert_eq!(rows(backend, sql, ("web_x", 5, 9)).await, "web_x,u5");
    assert_eq!(rows(backend, sql, ("web_x", 6, 9)).await, "");
    assert_eq!(rows(backend, sql, ("web_x", 5, 0)).await, "");
    let sql = "SELECT CONCAT(?, name) FROM pipes WHERE name IN (?, ?) AND users > ? ORDER BY 1";
    let values = ("a ", "web_y", "web_x", 0);
    assert_eq!(rows(backend, sql, values).await, "a web_x | a web_y");
    drop(browser);
    world.stop().await;
}

#[tokio::test]
async fn selected_rows_are_inserted_and_sent() {
    let mut world = World::start(|_| {}).await;
    let mut ann = world.browser(5, &["web_x"]).await;
    let bob = world.browser(6, &["web_x"]).await;
    let insert = "INSERT INTO pipes_members (name, user_id) SELECT 'team_a', user_id FROM users_in_pipes WHERE name = 'web_x'";
    within(world.backend.query_drop(insert)).await.unwrap();
    world
        .check(
            "SELECT user_id FROM pipes_members WHERE name = 'team_a' ORDER BY user_id",
            "5 | 6",
        )
        .await;
    let publish = "INSERT INTO pipes_messages (name, event, message)
        SELECT name, 'count', COUNT(*) FROM users_in_pipes WHERE name = 'web_x' GROUP BY name";
    within(world.backend.query_drop(publish)).await.unwrap();
    assert_eq!(world.backend.info(), "Reached: 2");
    let push = ann.json().await;
    assert_eq!(
        (&push["event"], &push["data"]),
        (&"count".into(), &"2".into())
    );
    drop(bob);
    world.stop().await;
}

#[tokio::test]
async fn explain_shows_the_engines_plan() {
    let mut world = World::start(|_| {}).await;
    for (sql, table) in [
        ("EXPLAIN SELECT * FROM pipes ORDER BY users", "pipes"),
        (
            "EXPLAIN SELECT hash FROM users_auth WHERE id = 5",
            "users_auth",
        ),
    ] {
        let plan: Vec<Row> = within(world.backend.query(sql)).await.unwrap();
        let columns = plan[0].columns();
        assert_eq!(columns.last().unwrap().name_str(), "Extra");
        let tables: Vec<Option<String>> = plan.iter().map(|r| r.get("table").unwrap()).collect();
        assert!(tables.contains(&Some(table.to_owned())), "{sql}: {plan:?}");
    }
    world.stop().await;
}

#[tokio::test]
async fn tenants_do_not_see_each_other() {
    let mut world = World::start(|_| {}).await;
    let browser = world.browser(5, &["web_x"]).await;
    let mut other = connect(&world.app, "7", OTHER).await;
    for table in [
        "pipes",
        "users_in_pipes",
        "users_auth",
        "users_time WHERE time = 0",
    ] {
        let sql = format!("SELECT COUNT(*) FROM {table}");
        assert_eq!(rows(&mut other, &sql, ()).await, "0", "{table}");
        world.check(&sql, "1").await;
    }
    let sql = "SELECT users FROM pipes WHERE name = 'web_x'";
    assert_eq!(rows(&mut other, sql, ()).await, "0");
    within(other.disconnect()).await.unwrap();
    drop(browser);
    world.stop().await;
}

#[tokio::test]
async fn status_counts_what_happened() {
    let mut world = World::start(|_| {}).await;
    let mut browser = world.browser(5, &["web_x"]).await;
    world
        .run(
            "INSERT INTO pipes_messages (name, event, message) VALUES ('web_x', '', 'a'), ('web_y', '', 'b')",
        )
        .await;
    world
        .run("INSERT INTO users_messages (id, event, message) VALUES (5, '', 'c')")
        .await;
    assert_eq!(browser.json().await["data"], "a");
    let global = |name: &str| format!("SHOW GLOBAL STATUS LIKE '{name}'");
    let mine = |name: &str| format!("SHOW SESSION STATUS LIKE '{name}'");
    // The default key does not open tenant 7, so that it is not told what all tenants do together.
    for (sql, expected) in [
        (global("frontend_online"), "frontend_online,1"),
        (global("publications"), ""),
        (mine("messages"), ""),
        (mine("id"), "id,0"),
        (mine("user_online"), "user_online,1"),
        (mine("subscriptions"), "subscriptions,1"),
    ] {
        world.check(&sql, expected).await;
    }
    let mut boss = connect(&world.app, "admin", "boss").await;
    for (sql, expected) in [
        (global("publications"), "publications,2"),
        (global("inbox\\_messages"), "inbox_messages,1"),
        (global("frontend_messages"), "frontend_messages,1"),
        (global("messages"), "messages,3"),
        (global("frontend_add_client"), "frontend_add_client,1"),
        (global("frontend_delete_client"), "frontend_delete_client,0"),
        (global("backend_add_client"), "backend_add_client,2"),
        (global("backend_delete_client"), "backend_delete_client,0"),
        (mine("messages"), "messages,3"),
        // Nothing has left within the seconds that this test takes.
        (
            global("frontend_delete_client_ps"),
            "frontend_delete_client_ps,0",
        ),
    ] {
        assert_eq!(rows(&mut boss, &sql, ()).await, expected, "{sql}");
    }
    every_row_of_the_original(&mut boss).await;
    let names = "SHOW FILESYSTEM STATUS WHERE Variable_name IN ('size', 'used', 'available')";
    let sizes: Vec<(String, u64)> = within(boss.query(names)).await.unwrap();
    let of = |name: &str| sizes.iter().find(|(of, _)| of == name).unwrap().1;
    assert!(of("size") >= of("used") + of("available"), "{sizes:?}");
    assert!(of("size") > 0);
    within(boss.disconnect()).await.unwrap();
    drop(browser);
    world.stop().await;
}

/// Rates are of the last seconds, so that only what happened before can be told of them here.
async fn every_row_of_the_original(boss: &mut Conn) {
    let rows: Vec<(String, String)> = within(boss.query("SHOW GLOBAL STATUS"))
        .await
        .expect("SHOW answers");
    let of = |name: &str| -> f64 {
        let row = rows.iter().find(|(of, _)| of == name);
        let (_, value) = row.unwrap_or_else(|| panic!("{name} is missing"));
        value.parse().unwrap_or_else(|_| panic!("{name}: {value}"))
    };
    for side in ["frontend", "backend"] {
        for (count, rate) in [
            ("messages", "messages_ps"),
            ("add_client", "add_client_ps"),
            ("delete_client", "delete_client_ps"),
        ] {
            let seconds = of(&format!("{side}_stat_interval")).max(0.1);
            let (count, rate) = (
                of(&format!("{side}_{count}")),
                of(&format!("{side}_{rate}")),
            );
            // The interval is rounded to tenths, and the rate too.
            assert!(
                rate * (seconds - 0.1) <= count + seconds,
                "{count} {rate} {seconds}"
            );
        }
        assert!(of(&format!("{side}_online")) >= 1.0);
    }
    for name in ["uptime", "uptime_in_hours", "uptime_in_days"] {
        of(name);
    }
    // At least the log-ins, the browser's connection and requests, and this statement.
    assert!(of("network_events") >= 7.0, "{}", of("network_events"));
}
