//! Whether a proof was made with one of the keys. Takes as long for an unknown user as for a wrong key.

use mysql_common::scramble::{scramble_native, scramble_sha256};
use subtle::{Choice, ConstantTimeEq};

use super::handshake::{Plugin, Scramble};

/// The one of the keys that made the proof.
pub(super) fn proven<'a>(
    plugin: Plugin,
    scramble: &Scramble,
    proof: &[u8],
    keys: &'a [String],
) -> Option<&'a String> {
    if keys.is_empty() {
        // The work of one comparison, whose outcome does not matter.
        _ = proves(plugin, scramble, proof, "nobody");
        return None;
    }
    let mut found = None;
    for key in keys {
        if bool::from(proves(plugin, scramble, proof, key)) {
            found = Some(key);
        }
    }
    found
}

fn proves(plugin: Plugin, scramble: &Scramble, proof: &[u8], key: &str) -> Choice {
    let expected = match plugin {
        Plugin::Native => scramble_native(scramble, key.as_bytes()).map(|bytes| bytes.to_vec()),
        Plugin::Sha2 => scramble_sha256(scramble, key.as_bytes()).map(|bytes| bytes.to_vec()),
    };
    // An empty key has no scramble, and opens nothing.
    expected.map_or(Choice::from(0), |expected| expected.ct_eq(proof))
}

#[cfg(test)]
mod tests {
    use super::*;

    const SCRAMBLE: &Scramble = b"abcdefghijklmnopqrst";

    #[track_caller]
    fn check(plugin: Plugin, proof: &[u8], keys: &[&str], expected: Option<&str>) {
        let keys: Vec<String> = keys.iter().map(|&key| key.to_owned()).collect();
        let found = proven(plugin, SCRAMBLE, proof, &keys);
        assert_eq!(found.map(String::as_str), expected);
    }

    #[test]
    fn any_of_the_keys_and_nothing_else_proves_a_log_in() {
        let native = scramble_native(SCRAMBLE, b"right").unwrap();
        let sha2 = scramble_sha256(SCRAMBLE, b"right").unwrap();
        check(Plugin::Native, &native, &["old", "right"], Some("right"));
        check(Plugin::Sha2, &sha2, &["right", "old"], Some("right"));
        check(Plugin::Native, &native, &["wrong"], None);
        check(Plugin::Native, &sha2, &["right"], None);
        check(Plugin::Sha2, &native, &["right"], None);
        check(Plugin::Native, &native, &[], None);
        check(Plugin::Native, &native[..19], &["right"], None);
        check(Plugin::Native, &[], &[""], None);
        check(Plugin::Sha2, &[], &["right", ""], None);
    }
}
