//! Which channel names a rule is for.

/// The names that a rule is for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Pattern {
    /// Names that begin so.
    Prefix(String),
    /// The whole name, `*` standing for any run of characters, also none.
    Glob(String),
}

impl Pattern {
    /// Whether the name is meant.
    #[must_use]
    pub fn matches(&self, name: &str) -> bool {
        match self {
            Self::Prefix(prefix) => name.starts_with(prefix.as_str()),
            Self::Glob(glob) => glob_matches(glob, name),
        }
    }
}

/// The pieces between stars must come in this order; the first is anchored at the start, the last at the end.
fn glob_matches(glob: &str, name: &str) -> bool {
    let Some((first, rest)) = glob.split_once('*') else {
        return glob == name;
    };
    let Some(mut name) = name.strip_prefix(first) else {
        return false;
    };
    let (middle, last) = rest.rsplit_once('*').unwrap_or(("", rest));
    for piece in middle.split('*') {
        let Some(at) = name.find(piece) else {
            return false;
        };
        name = &name[at + piece.len()..];
    }
    name.ends_with(last)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn globs() {
        for (glob, name, expected) in [
            ("news", "news", true),
            ("news", "news1", false),
            ("news:*", "news:a/b", true),
            ("news:*", "new:a", false),
            ("*_private", "a_private", true),
            ("*_private", "a_private2", false),
            ("a*b*c", "aXbYc", true),
            ("a*b*c", "acb", false),
            ("a*a", "a", false),
            ("*", "anything", true),
        ] {
            assert_eq!(
                Pattern::Glob(glob.into()).matches(name),
                expected,
                "{glob} {name}"
            );
        }
    }
}
