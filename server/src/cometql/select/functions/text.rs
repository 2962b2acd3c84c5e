//! What the text functions compute, without SQLite.

/// The number that a text begins with, 0 if there is none: how MySQL reads text as a number.
pub(super) fn leading_number(text: &str) -> f64 {
    let text = text.trim_start();
    let end = text
        .find(|c: char| !(c.is_ascii_digit() || matches!(c, '+' | '-' | '.' | 'e' | 'E')))
        .unwrap_or(text.len());
    // The longest beginning that is a number is short: no number has more than 40 useful characters.
    let candidate = &text[..end.min(40)];
    let ends = (1..=candidate.len()).rev();
    ends.filter_map(|end| candidate[..end].parse().ok())
        .next()
        .unwrap_or(0.0)
}

/// `SUBSTRING`: `start` counts characters from 1, negative ones from the end; 0 gives nothing.
pub(super) fn substring(text: &str, start: i64, length: i64) -> String {
    let take = usize::try_from(length).unwrap_or(0);
    let skip = match start {
        0 => return String::new(),
        1.. => usize::try_from(start - 1).unwrap_or(usize::MAX),
        _ => {
            let back = usize::try_from(start.unsigned_abs()).unwrap_or(usize::MAX);
            match text.chars().count().checked_sub(back) {
                Some(skip) => skip,
                None => return String::new(),
            }
        }
    };
    text.chars().skip(skip).take(take).collect()
}

/// The character at which `what` begins in `text`, from 1 and not before `from`; 0 = nowhere. Case does not count.
pub(super) fn locate(what: &str, text: &str, from: i64) -> usize {
    let Some(skip) = usize::try_from(from).ok().and_then(|n| n.checked_sub(1)) else {
        return 0;
    };
    let (what, text) = (what.to_lowercase(), text.to_lowercase());
    let offset = if skip == 0 {
        Some(0)
    } else {
        let starts = text.char_indices().map(|(at, _)| at).chain([text.len()]);
        starts.skip(skip).take(1).next()
    };
    let Some(offset) = offset else { return 0 };
    let found = text[offset..].find(&what);
    found.map_or(0, |at| text[..offset + at].chars().count() + 1)
}

/// `LIKE`: `%` any text, `_` one character, the character after `escape` itself.
pub(super) fn like(text: &str, pattern: &str, escape: Option<char>, exact: bool) -> bool {
    let pattern = parts(pattern, escape, exact);
    let text: Vec<char> = if exact {
        text.chars().collect()
    } else {
        text.chars().map(fold).collect()
    };
    let (mut at, mut part) = (0, 0);
    // Where to go on after a mismatch: behind the last `%`, one character later than before.
    let mut retry: Option<(usize, usize)> = None;
    while at < text.len() {
        match pattern.get(part) {
            Some(Part::Any) => {
                retry = Some((at, part + 1));
                part += 1;
            }
            Some(Part::One) => (at, part) = (at + 1, part + 1),
            Some(Part::Char(c)) if *c == text[at] => (at, part) = (at + 1, part + 1),
            _ => match &mut retry {
                Some((from, behind)) => {
                    *from += 1;
                    (at, part) = (*from, *behind);
                }
                None => return false,
            },
        }
    }
    pattern[part..].iter().all(|rest| matches!(rest, Part::Any))
}

enum Part {
    Any,
    One,
    Char(char),
}

fn parts(pattern: &str, escape: Option<char>, exact: bool) -> Vec<Part> {
    let literal = |c| Part::Char(if exact { c } else { fold(c) });
    let mut parts = Vec::new();
    let mut chars = pattern.chars();
    while let Some(c) = chars.next() {
        parts.push(match c {
            c if Some(c) == escape => literal(chars.next().unwrap_or(c)),
            '%' => Part::Any,
            '_' => Part::One,
            c => literal(c),
        });
    }
    parts
}

/// A character without its case, where that is one character again.
fn fold(c: char) -> char {
    let mut lower = c.to_lowercase();
    match (lower.next(), lower.next()) {
        (Some(one), None) => one,
        _ => c,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check_like(text: &str, pattern: &str, expected: bool) {
        assert_eq!(like(text, pattern, Some('\\'), false), expected);
    }

    #[test]
    fn like_matches_as_mysql_does() {
        check_like("web_chat", "web_%", true);
        check_like("webXchat", "web\\_%", false);
        check_like("web_chat", "WEB\\_C%T", true);
        check_like("", "%", true);
        check_like("", "_", false);
        check_like("aXbXc", "a%b%c", true);
        check_like("abc", "a%b", false);
        check_like("ПРИВЕТ", "при%", true);
        check_like("100%", "100\\%", true);
        check_like("aaab", "%aab", true);
        assert!(!like("Web", "web", None, true));
    }

    #[test]
    fn substrings_count_characters() {
        assert_eq!(substring("привет", 2, 3), "рив");
        assert_eq!(substring("hello", -3, 2), "ll");
        assert_eq!(substring("hello", -9, 2), "");
        assert_eq!(substring("hello", 0, 2), "");
        assert_eq!(substring("hello", 2, -1), "");
    }

    #[test]
    fn locate_counts_characters_and_not_case() {
        assert_eq!(locate("ВЕ", "привет", 1), 4);
        assert_eq!(locate("l", "hello", 4), 4);
        assert_eq!(locate("x", "hello", 1), 0);
        assert_eq!(locate("h", "hello", 0), 0);
    }

    #[test]
    fn texts_count_as_the_number_they_begin_with() {
        for (text, number) in [
            ("12abc", 12.0),
            (" -3.5e2x", -350.0),
            ("abc", 0.0),
            ("1e", 1.0),
        ] {
            assert!((leading_number(text) - number).abs() < f64::EPSILON);
        }
    }
}
