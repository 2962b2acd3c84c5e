//! Just enough of Rust's lexical grammar to tell code from comments and literals.

/// The text with comments and the insides of literals blanked; line breaks stay where they were.
pub(super) fn code_only(text: &str) -> String {
    blank(text, true)
}

/// The text with comments blanked and literals kept.
pub(super) fn without_comments(text: &str) -> String {
    blank(text, false)
}

/// The part before the file's test module.
pub(super) fn without_tests(text: &str) -> &str {
    text.find("\n#[cfg(test)]\nmod ")
        .map_or(text, |end| &text[..end])
}

fn blank(text: &str, literals: bool) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let (length, keep) = match token(rest, out.chars().next_back()) {
            Token::Comment(length) => (length, false),
            Token::Literal(length) => (length, !literals),
            Token::Code => (first.len_utf8(), true),
        };
        let (piece, after) = rest.split_at(length);
        if keep {
            out.push_str(piece);
        } else {
            out.extend(piece.chars().map(|c| if c == '\n' { c } else { ' ' }));
        }
        rest = after;
    }
    out
}

enum Token {
    Comment(usize),
    Literal(usize),
    Code,
}

fn token(rest: &str, before: Option<char>) -> Token {
    let in_word = before.is_some_and(|c| c.is_alphanumeric() || c == '_');
    if rest.starts_with("//") {
        Token::Comment(rest.find('\n').unwrap_or(rest.len()))
    } else if rest.starts_with("/*") {
        Token::Comment(rest.find("*/").map_or(rest.len(), |end| end + 2))
    } else if !in_word && let Some(length) = raw_string(rest) {
        Token::Literal(length)
    } else if rest.starts_with('"') {
        Token::Literal(quoted(rest, '"'))
    } else if rest.starts_with('\'') && is_char_literal(rest) {
        Token::Literal(quoted(rest, '\''))
    } else {
        Token::Code
    }
}

/// The length of `r"…"`, `r#"…"#`, `br"…"`; none if it is not one.
fn raw_string(rest: &str) -> Option<usize> {
    let after_r = rest.strip_prefix("br").or_else(|| rest.strip_prefix('r'))?;
    let hashes = after_r.len() - after_r.trim_start_matches('#').len();
    let inside = after_r[hashes..].strip_prefix('"')?;
    let start = rest.len() - inside.len();
    let end = format!("\"{}", "#".repeat(hashes));
    Some(
        inside
            .find(&end)
            .map_or(rest.len(), |at| start + at + end.len()),
    )
}

fn quoted(rest: &str, quote: char) -> usize {
    let mut escaped = false;
    for (at, c) in rest.char_indices().skip(1) {
        if escaped {
            escaped = false;
        } else if c == '\\' {
            escaped = true;
        } else if c == quote {
            return at + 1;
        }
    }
    rest.len()
}

/// `'a'` and `'\n'`, but not the lifetime `'a`.
fn is_char_literal(rest: &str) -> bool {
    let mut chars = rest.chars().skip(1);
    match chars.next() {
        Some('\\') => true,
        Some(_) => chars.next() == Some('\''),
        None => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, expected: &str) {
        let squeezed: Vec<_> = code_only(text)
            .split_whitespace()
            .map(str::to_owned)
            .collect();
        assert_eq!(squeezed.join(" "), expected, "{text}");
    }

    #[test]
    fn comments_and_literals_are_blanked() {
        check("a // b\nc", "a c");
        check("a /* b\n */ c", "a c");
        check(r#"a("b \" c") d"#, "a( ) d");
        check(r##"a(r#"b " c"#) d"##, "a( ) d");
        check(r"x('\'', 'y') z", "x( , ) z");
        check("fn f<'a>(x: &'a str)", "fn f<'a>(x: &'a str)");
        check("bar\"b\"", "bar");
    }

    #[test]
    fn lines_stay() {
        assert_eq!(code_only("/* a\nb */\nc").lines().count(), 3);
        assert_eq!(without_comments("a // b\n\"c\""), "a     \n\"c\"");
    }

    #[test]
    fn tests_are_cut_off() {
        assert_eq!(without_tests("a\n#[cfg(test)]\nmod tests {}"), "a");
    }
}
