//! Who changes the browser protocol's types reads its page again: the page carries a fingerprint of them.

use super::source::{without_comments, without_tests};
use super::{File, Violation};

/// The page that describes every message.
const PAGE: &str = "docs-site/reference/browser-protocol.md";

/// Where the messages are.
const TYPES: &[&str] = &["protocol/src/wire", "protocol/src/codes.rs"];

/// The page names the fingerprint of the types as they are now.
pub(super) fn documented(files: &[File]) -> Vec<Violation> {
    let Some(page) = files.iter().find(|file| file.path == PAGE) else {
        return Vec::new();
    };
    let fingerprint = fingerprint(files);
    let mark = format!("<!-- wire types: {fingerprint:016x} -->");
    if page.text.contains(&mark) {
        return Vec::new();
    }
    vec![page.violation(
        0,
        format!("the wire types changed: read the page again, then end it with {mark}"),
    )]
}

/// FNV-1a over the code without comments, tests and white space, so that only changes of meaning count.
fn fingerprint(files: &[File]) -> u64 {
    let mut types: Vec<_> = files
        .iter()
        .filter(|file| file.is_rust() && TYPES.iter().any(|start| file.path.starts_with(start)))
        .filter(|file| !file.path.ends_with("tests.rs"))
        .collect();
    types.sort_by_key(|file| &file.path);
    let mut hash: u64 = 0xcbf2_9ce4_8422_2325;
    for file in types {
        let code = without_comments(without_tests(&file.text));
        for byte in code.bytes().filter(|byte| !byte.is_ascii_whitespace()) {
            hash = (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        }
    }
    hash
}

#[cfg(test)]
mod tests {
    use super::*;

    fn files(types: &str, page: &str) -> Vec<File> {
        [("protocol/src/wire.rs", types), (PAGE, page)]
            .map(|(path, text)| File {
                path: path.to_owned(),
                text: text.to_owned(),
            })
            .into()
    }

    #[test]
    fn changed_types_ask_for_the_page() {
        let page = format!(
            "<!-- wire types: {:016x} -->",
            fingerprint(&files("struct A;", ""))
        );
        assert!(documented(&files("struct A;", &page)).is_empty());
        assert!(documented(&files("struct  A; // why\n", &page)).is_empty());
        assert_eq!(documented(&files("struct B;", &page)).len(), 1);
    }
}
