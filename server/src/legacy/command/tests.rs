use super::*;

#[track_caller]
fn check(frame: &str, expected: Command<'_>) {
    assert_eq!(parse(frame, true), expected, "{frame:?}");
}

#[track_caller]
fn check_list(list: &str, names: &[&str], problem: Option<ListProblem>) {
    let frame = format!("subscription\n{list}");
    let expected = Command::Subscription {
        names: names.to_vec(),
        problem,
    };
    assert_eq!(parse(&frame, false), expected, "{frame:?}");
}

#[track_caller]
fn check_bad(frame: &str, texts: &[&str]) {
    let Command::Bad(refusals) = parse(frame, false) else {
        panic!("{frame:?} was taken");
    };
    let told: Vec<_> = refusals
        .iter()
        .map(|refusal| match refusal {
            Refusal::Channel(text) | Refusal::Users(text) | Refusal::Data(text) => *text,
        })
        .collect();
    assert_eq!(told, texts, "{frame:?}");
}

#[test]
fn prefixes_in_the_original_order() {
    check(
        "subscriptionXweb_t1\n",
        Command::Subscription {
            names: vec!["web_t1"],
            problem: None,
        },
    );
    check("user_status\n7", Command::Status { user: 7 });
    check("user_status\nx", Command::Status { user: 0 });
    check("statistics\n{}", Command::Nothing);
    check("cgi_call\nx", Command::Nothing);
    check("CometQL_call\nx", Command::Nothing);
    check("cometql_call\nx", Command::Unknown);
    check("web_pipe\nweb_t1", Command::Unknown);
    check("\nsubscription", Command::Unknown);
    check("", Command::Unknown);
}

#[test]
fn subscription_lists() {
    check_list("", &[], None);
    check_list(
        "web_t1\ntrack_t1\nmsg2",
        &["web_t1", "track_t1", "msg2"],
        None,
    );
    check_list("web_t1\n", &["web_t1"], None);
    check_list(
        "web_t1 web_t2,web_t3\r\nweb_t4",
        &["web_t1", "web_t2", "web_t3"],
        None,
    );
    check_list("web_t1\nab\nx\nweb_t2", &["web_t1", "ab"], None);
    check_list("web_t1\n\nweb_t2", &["web_t1"], None);
}

#[test]
fn subscription_limits() {
    let name = "n".repeat(NAME_MAX);
    check_list(&name, &[&name], None);
    check_list(
        &format!("web_t1\n{name}n\nweb_t2"),
        &["web_t1"],
        Some(ListProblem::NameTooLong),
    );
    let names: Vec<_> = (10..42).map(|number| format!("web_{number}")).collect();
    let names: Vec<_> = names.iter().map(String::as_str).collect();
    assert_eq!(names.len(), SUBSCRIPTIONS_MAX);
    check_list(&names.join("\n"), &names, None);
    let more = format!("{}\nweb_99", names.join("\n"));
    check_list(&more, &names, Some(ListProblem::TooMany));
    let long = format!("web_t1\n{}", " ".repeat(LIST_MAX));
    check_list(&long, &[], Some(ListProblem::ListTooLong));
}

#[test]
fn publications() {
    let publish = |pipe, event, message| Command::Publish {
        pipe,
        event,
        message,
    };
    check(
        "web_pipe2\nweb_t1\nev1\n*\n{\"a\":1}",
        publish("web_t1", "ev1", "{\"a\":1}"),
    );
    check(
        "web_pipe2\n@web_t1\nev1\n*\nx",
        publish("@web_t1", "ev1", "x"),
    );
    check(
        "web_pipe2\nwebauth_t1\n\n1\nx\ny",
        publish("webauth_t1", "", "x\ny"),
    );
    check("web_pipe2\nweb_t1\nev1\n*\n", publish("web_t1", "ev1", ""));
    let name = format!("web_{}", "n".repeat(NAME_MAX - 4));
    let frame = format!("web_pipe2\n{name}\n{name}\n*\nx");
    check(&frame, publish(&name, &name, "x"));
}

#[test]
fn publication_errors() {
    let no_prefix = "[pipe_msg2] Invalid channel name. The channel should begin with web_";
    check_bad("web_pipe2\ntrack_t1\nev\n*\nx", &[no_prefix]);
    check_bad("web_pipe2\n@webauth_t1\nev\n*\nx", &[no_prefix]);
    check_bad("web_pipe2", &[no_prefix]);
    check_bad(
        "web_pipe2\nwebauth_t1\nev\n*\nx",
        &[
            "[webauth_pipe_msg2] Invalid user auth. In to channel with name like webauth_* can not send messages anonim users",
        ],
    );
    let characters = "The channel name can only contain characters A-Za-z0-9_-";
    check_bad("web_pipe2\nweb_t.1\nev\n*\nx", &[characters]);
    check_bad("web_pipe2\n@web_@\nev\n*\nx", &[characters]);
    let characters = "The event name can only contain characters A-Za-z0-9_-";
    check_bad("web_pipe2\nweb_t1\ne v\n*\nx", &[characters]);
    let long = "n".repeat(NAME_MAX + 1);
    check_bad(
        &format!("web_pipe2\nweb_{long}\nev\n*\nx"),
        &["Invalid pipe name length"],
    );
    check_bad(
        &format!("web_pipe2\nweb_t1\n{long}\n*\nx"),
        &["Invalid event name length"],
    );
    for rest in ["ev\n**\nx", "ev\n\nx", "ev\n*", "ev", ""] {
        let frame = format!("web_pipe2\nweb_t1\n{rest}");
        check_bad(&frame, &["Invalid value auth_type"]);
    }
}

#[test]
fn questions() {
    let (pipe, marker) = ("web_t1", "MARK1");
    check("pipe_log\nweb_t1\nMARK1\n", Command::Log { pipe, marker });
    check("pipe_log\nweb_t1", Command::Log { pipe, marker: "" });
    check(
        "pipe_count\nweb_t1\nMARK1\n",
        Command::Count { pipe, marker },
    );
    let pipe = "track_t1";
    check(
        "pipe_count\ntrack_t1\nMARK1",
        Command::Count { pipe, marker },
    );
    check(
        "track_pipe_users\ntrack_t1\nMARK1",
        Command::Users { pipe, marker },
    );
    check(
        "track_pipe_users\ntrack_t1",
        Command::Users { pipe, marker: "" },
    );
    check("user_data\nMARK1\n55", Command::Data { marker, user: 55 });
    check(
        "user_data\nMARK1\n 55x\n",
        Command::Data { marker, user: 55 },
    );
}

#[test]
fn question_errors() {
    let characters = "The channel name can only contain characters A-Za-z0-9_-";
    check_bad(
        "pipe_log\nweb t1\nM",
        &[characters, "Invalid channel name."],
    );
    check_bad(
        "pipe_log\nweb_t1\nM.1",
        &[characters, "Invalid marker value."],
    );
    check_bad("pipe_count\nweb t1\nM", &[characters, "Invalid pipe name."]);
    check_bad(
        "pipe_count\nweb_t1\nM.1",
        &[characters, "Invalid pipe name."],
    );
    let prefix = "[pipe_count] Invalid channel name. The channel should start with web_";
    check_bad("pipe_count\nother\nM", &[prefix]);
    let long = "n".repeat(NAME_MAX + 1);
    let length = "Invalid pipe name length";
    check_bad(
        &format!("pipe_log\n{long}\nM"),
        &[length, "Invalid channel name."],
    );
    let prefix = "[track_pipe_users] Invalid channel name. The channel should start with track_";
    check_bad("track_pipe_users\nweb_t1\nM", &[prefix]);
    check_bad("track_pipe_users\ntrack_t.1\nM", &[characters]);
    check_bad("user_data\nM.1\n5", &[characters, "Invalid marker name."]);
    check_bad("user_data\nM\nx", &["Invalid user id"]);
    check_bad("user_data\nM", &["Invalid user id"]);
    check_bad(
        "user_data\nM\n99999999999999999999999",
        &["Invalid user id"],
    );
}
