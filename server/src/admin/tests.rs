use hyper::HeaderMap;
use hyper::header::{AUTHORIZATION, HOST, HeaderName, ORIGIN};

use super::guard::{basic, is_foreign};

fn headers(list: &[(&'static str, &str)]) -> HeaderMap {
    let pairs = list.iter().map(|(name, value)| {
        let name = HeaderName::from_static(name);
        (name, value.parse().unwrap())
    });
    pairs.collect()
}

#[track_caller]
fn check_foreign(list: &[(&'static str, &str)], foreign: bool) {
    let mut headers = headers(list);
    headers.insert(HOST, "127.0.0.1:8088".parse().unwrap());
    assert_eq!(is_foreign(&headers), foreign, "{list:?}");
}

#[test]
fn requests_of_other_sites_are_told_apart() {
    check_foreign(&[], false);
    check_foreign(&[("origin", "http://127.0.0.1:8088")], false);
    check_foreign(&[("sec-fetch-site", "same-origin")], false);
    check_foreign(&[("sec-fetch-site", "none")], false);
    check_foreign(&[("origin", "http://127.0.0.1:8087")], true);
    check_foreign(&[("origin", "https://evil.example")], true);
    check_foreign(&[("origin", "null")], true);
    check_foreign(&[("sec-fetch-site", "cross-site")], true);
    check_foreign(&[("sec-fetch-site", "same-site")], true);
    let mut no_host = HeaderMap::new();
    no_host.insert(ORIGIN, "http://a".parse().unwrap());
    assert!(is_foreign(&no_host));
}

#[test]
fn basic_authentication() {
    #[track_caller]
    fn check(value: &str, expected: Option<(&str, &str)>) {
        let mut headers = HeaderMap::new();
        headers.insert(AUTHORIZATION, value.parse().unwrap());
        let expected = expected.map(|(user, key)| (user.to_owned(), key.to_owned()));
        assert_eq!(basic(&headers), expected, "{value}");
    }
    // "root:a:b", "root", and bytes that are not UTF-8.
    check("Basic cm9vdDphOmI=", Some(("root", "a:b")));
    check("basic cm9vdDphOmI=", Some(("root", "a:b")));
    check("Basic cm9vdA==", None);
    check("Basic //8=", None);
    check("Bearer cm9vdDphOmI=", None);
    check("Basic", None);
    assert_eq!(basic(&HeaderMap::new()), None);
}
