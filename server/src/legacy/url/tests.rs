use super::*;

/// `tenant user version uuid js key`.
#[track_caller]
fn check(target: &str, expected: &str) {
    let text = match parse(target, LARGEST_TENANT) {
        Ok(url) => format!(
            "{} {} {}.{} {:?} {} {:?}",
            url.tenant,
            url.user.map_or(0, UserId::get),
            url.version.0,
            url.version.1,
            url.uuid,
            url.is_js,
            url.key.expose(),
        ),
        Err(error) => format!("{error:?}"),
    };
    assert_eq!(text, expected, "{target}");
}

const UUID: &str = "0123456789abcdef0123456789abcdef";

#[test]
fn whole_urls() {
    let rest = format!("sesion=hash7&myid=7&devid=3&v=4.08&uuid={UUID}&api=js");
    for prefix in PREFIXES {
        let expected = format!("3 7 4.8 {UUID:?} true \"hash7\"");
        check(&format!("{prefix}{rest}"), &expected);
        assert!(is_legacy(&format!("{prefix}{rest}")));
    }
    assert!(!is_legacy("/connect?v=1"));
    assert!(!is_legacy("/WS/sesion=a"));
}

#[test]
fn missing_values() {
    let anonymous = format!("0 0 4.8 {UUID:?} true \"\"");
    check(
        &format!("/ws/sesion=undefined&myid=undefined&devid=undefined&v=4.08&uuid={UUID}&api=js"),
        &anonymous,
    );
    check(
        &format!("/ws/sesion=null&myid=null&devid=null&v=3.25&uuid={UUID}&api=js"),
        &anonymous.replace("4.8", "3.25"),
    );
    check(
        &format!("/ws/sesion=&myid=&devid=&v=4.08&uuid={UUID}&api=js"),
        &anonymous,
    );
    check("/ws/sesion=&myid=&devid=&v=4.08", "0 0 4.8 \"\" false \"\"");
}

#[test]
fn odd_values() {
    // A short browser id ends at the next field; the original copied 32 bytes whatever came.
    check(
        "/ws/sesion=k&myid=1&devid=0&v=4.08&uuid=abc&api=js",
        "0 1 4.8 \"abc\" true \"k\"",
    );
    let long = format!("/ws/sesion=k&myid=1&devid=0&v=4.08&uuid={UUID}xyz");
    check(&long, &format!("0 1 4.8 {UUID:?} false \"k\""));
    // The place counts, not the label.
    check("/ws/a=k&b=1&c=2&d=4.9", "2 1 4.9 \"\" false \"k\"");
    check(
        "/ws/sesion=k&myid=-5&devid=100001&v=4.0",
        "0 0 4.0 \"\" false \"k\"",
    );
    check(
        "/ws/sesion=k&myid=9007199254740992&devid=100000&v=4.0",
        "100000 0 4.0 \"\" false \"k\"",
    );
    check(
        "/ws/sesion=a=b&myid=1&devid=0&v=4.0",
        "0 1 4.0 \"\" false \"a=b\"",
    );
}

#[test]
fn errors() {
    check("/ws/", "NoSession");
    check("/ws/sesion", "NoSession");
    check("/ws/sesion=k", "NoUser");
    check("/ws/sesion=k&myid=1", "NoTenant");
    check("/ws/sesion=k&myid=1&devid=0", "NoVersion");
    check("/ws/sesion=k&myid=1&devid=0&v=4", "NoVersion");
    check("/ws/sesion=k&myid=1&devid=0&v=x.y", "NoVersion");
    check("/ws/sesion=k&myid=1&devid=0&v=+4.0", "NoVersion");
    check("/ws/sesion=k&myid=1&devid=0&v=4.", "NoVersion");
    let key = "k".repeat(KEY_MAX);
    check(
        &format!("/ws/sesion={key}&myid=1&devid=0&v=4.0"),
        &format!("0 1 4.0 \"\" false {key:?}"),
    );
    check(
        &format!("/ws/sesion={key}k&myid=1&devid=0&v=4.0"),
        "NoSession",
    );
}

#[test]
fn error_frames() {
    let frames = [
        UrlError::NoSession,
        UrlError::NoUser,
        UrlError::NoTenant,
        UrlError::NoVersion,
    ]
    .map(|error| error.frame(Now(5_000)));
    insta::assert_snapshot!(frames.join("\n"), @r#"
    {"data":{"error":"Error code 401(Invalid request, session ID not found)","error_code":401,"info":"Closed due to error. See last message."},"event":"error","message_send_time":5,"pipe":"sys"}
    {"data":{"error":"Error code 401(Invalid request, the user ID can not be found)","error_code":401,"info":"Closed due to error. See last message."},"event":"error","message_send_time":5,"pipe":"sys"}
    {"data":{"error":"Error code 406(Invalid request, no public key found [1])","error_code":406,"info":"Closed due to error. See last message."},"event":"error","message_send_time":5,"pipe":"sys"}
    {"data":{"error":"Error code 418(Invalid request Not assigned client api version)\n","error_code":418,"info":"Closed due to error. See last message."},"event":"error","message_send_time":5,"pipe":"sys"}
    "#);
}

#[test]
fn keys_are_secret() {
    let url = parse("/ws/sesion=topsecret&myid=1&devid=0&v=4.0", LARGEST_TENANT).unwrap();
    assert!(!format!("{url:?}").contains("topsecret"));
}

#[test]
fn keys_that_look_like_tokens() {
    for (key, expected) in [
        ("eyJhbGciOiJIUzI1NiJ9.eyJ1c2VyX2lkIjo3fQ.c2ln", true),
        ("eyJhbGciOiJIUzI1NiJ9", false),
        ("hash7", false),
        ("a.b.c", false),
    ] {
        assert_eq!(Key(key.into()).looks_like_token(), expected, "{key}");
    }
}

proptest::proptest! {
    #[test]
    fn any_target_is_read_or_refused(target in "(/ws/)?\\PC{0,200}|/ws/sesion=\\PC{0,40}(&\\PC{0,20}){0,8}") {
        if let Ok(url) = parse(&target, LARGEST_TENANT) {
            assert!(url.key.expose().len() <= KEY_MAX);
            assert!(url.uuid.len() <= UUID_MAX);
            assert!(url.tenant.0 <= LARGEST_TENANT);
        }
    }
}
