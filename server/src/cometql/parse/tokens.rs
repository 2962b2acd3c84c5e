//! Text to tokens: limits before anything recursive sees them, literals read, placeholders numbered, statements split.

use sqlparser::dialect::MySqlDialect;
use sqlparser::keywords::Keyword;
use sqlparser::tokenizer::{Token, TokenWithSpan, Tokenizer, Word};

use crate::cometql::catalog::TABLES;
use crate::cometql::{Settings, SqlError, errors, escaping};

/// Most operators and keywords of one expression or query. sqlparser and all who walk its tree recurse along chains
/// like `1+1+…`: 400 levels fit a 2 MiB stack many times over, 20,000 don't.
const CHAIN: usize = 400;

/// Most set operations of one query: each level of them is a whole SELECT deeper.
const UNIONS: usize = 50;

/// Most statements of one text.
const STATEMENTS: usize = 1_000;

/// One statement's tokens.
pub(super) struct Tokens {
    /// Without white space, comments and the closing `;`. Literals of `raw` stand as `Placeholder("L<n>")`.
    pub(super) list: Vec<TokenWithSpan>,
    /// Literals whose column decides how they are read.
    pub(super) raw: Vec<RawLiteral>,
    /// How many `?` there are; each stands as `Placeholder("?<n>")`, from 0.
    pub(super) parameters: usize,
}

/// A literal as it was written: its parts stand side by side (`'a' 'b'`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct RawLiteral {
    pub(super) parts: Vec<(String, char)>,
}

impl RawLiteral {
    /// As MySQL reads it.
    pub(super) fn mysql(&self) -> String {
        let parts = self.parts.iter();
        parts
            .map(|(raw, quote)| escaping::mysql(raw, *quote))
            .collect()
    }

    /// As a column `message` or `data` reads it.
    pub(super) fn payload(&self, mode: crate::cometql::Escaping) -> String {
        let parts = self.parts.iter();
        parts
            .map(|(raw, quote)| escaping::payload(raw, *quote, mode))
            .collect()
    }
}

/// Splits text into statements.
pub(super) fn tokenize(sql: &str, settings: &Settings) -> Result<Vec<Tokens>, SqlError> {
    let mut all = Vec::new();
    Tokenizer::new(&MySqlDialect {}, sql)
        .with_unescape(false)
        .tokenize_with_location_into_buf(&mut all)
        .map_err(errors::syntax)?;
    let mut statements = Vec::new();
    let mut list = Vec::new();
    for token in all {
        match token.token {
            Token::Whitespace(_) => {}
            Token::SemiColon => statements.push(std::mem::take(&mut list)),
            Token::EOF => break,
            _ => list.push(token),
        }
    }
    statements.push(list);
    statements.retain(|list| !list.is_empty());
    if statements.len() > STATEMENTS {
        return Err(errors::too_long("The list of statements"));
    }
    statements
        .into_iter()
        .map(|list| {
            check_terms(&list, settings)?;
            Ok(read_literals(list))
        })
        .collect()
}

/// The keyword that a token is, quoted words excluded.
pub(super) fn keyword(token: &Token) -> Keyword {
    match token {
        Token::Word(Word {
            keyword,
            quote_style: None,
            ..
        }) => *keyword,
        _ => Keyword::NoKeyword,
    }
}

/// Refuses chains and lists that are too long, before a parser recurses along them.
fn check_terms(list: &[TokenWithSpan], settings: &Settings) -> Result<(), SqlError> {
    let (mut depth, mut chain, mut unions, mut entries, mut rows) = (0_usize, 0, 0, 0, 0);
    let mut in_values = false;
    for token in list {
        match &token.token {
            Token::LParen => {
                rows += usize::from(in_values && depth == 0);
                depth += 1;
            }
            Token::RParen => depth = depth.saturating_sub(1),
            Token::Comma if in_values && depth <= 1 => chain = 0,
            Token::Comma => entries += 1,
            Token::SingleQuotedString(_)
            | Token::DoubleQuotedString(_)
            | Token::Number(..)
            | Token::Placeholder(_)
            | Token::Period => {}
            other => match keyword(other) {
                Keyword::VALUES | Keyword::VALUE if depth == 0 && !in_values => in_values = true,
                Keyword::ON if depth == 0 => in_values = false,
                _ if is_name(other) => {}
                Keyword::UNION | Keyword::EXCEPT | Keyword::INTERSECT => unions += 1,
                _ => chain += 1,
            },
        }
        if chain > CHAIN || unions > UNIONS {
            return Err(SqlError::new(
                18,
                "Error in expression list, too many conditions.",
            ));
        }
        if entries > settings.terms || rows > settings.insert_rows {
            return Err(SqlError::new(
                19,
                "Error in expression list, too many values.",
            ));
        }
    }
    Ok(())
}

/// Reads literals and numbers placeholders. In INSERT, REPLACE and UPDATE without a subquery the column decides how a
/// literal is read, so those stay raw.
fn read_literals(list: Vec<TokenWithSpan>) -> Tokens {
    let first = list
        .first()
        .map_or(Keyword::NoKeyword, |t| keyword(&t.token));
    let writes = matches!(first, Keyword::INSERT | Keyword::REPLACE | Keyword::UPDATE);
    let mut keep_raw = writes && !list.iter().any(|t| keyword(&t.token) == Keyword::SELECT);
    // `INSERT INTO t ("a", 'b')`: the original took quoted column names.
    let mut names = matches!(first, Keyword::INSERT | Keyword::REPLACE);
    let mut tokens = Tokens {
        list: Vec::with_capacity(list.len()),
        raw: Vec::new(),
        parameters: 0,
    };
    let alone = standing_alone(&list);
    let mut after_literal = false;
    let mut list = list.into_iter().zip(alone).peekable();
    while let Some((TokenWithSpan { token, span }, alone)) = list.next() {
        if is_introducer(&token) && list.peek().is_some_and(|(next, _)| is_literal(&next.token)) {
            continue;
        }
        match keyword(&token) {
            Keyword::VALUES | Keyword::VALUE | Keyword::SET | Keyword::SELECT => names = false,
            Keyword::WHERE => keep_raw = false,
            _ => {}
        }
        let mut literal = false;
        let token = match token {
            Token::SingleQuotedString(s) | Token::NationalStringLiteral(s) if names => {
                name(s, '\'')
            }
            Token::DoubleQuotedString(s) if names => name(s, '"'),
            Token::SingleQuotedString(s) | Token::NationalStringLiteral(s) if keep_raw && alone => {
                literal = true;
                match keep(&mut tokens.raw, s, '\'', after_literal) {
                    Some(token) => token,
                    None => continue,
                }
            }
            Token::DoubleQuotedString(s) if keep_raw && alone => {
                literal = true;
                match keep(&mut tokens.raw, s, '"', after_literal) {
                    Some(token) => token,
                    None => continue,
                }
            }
            Token::SingleQuotedString(s) | Token::NationalStringLiteral(s) => {
                Token::SingleQuotedString(escaping::mysql(&s, '\'').into_owned())
            }
            Token::DoubleQuotedString(s) => {
                Token::SingleQuotedString(escaping::mysql(&s, '"').into_owned())
            }
            // OR in MySQL; the parser would take it for the join of two texts, which binds tighter than a comparison.
            Token::StringConcat => Token::make_keyword("OR"),
            Token::Placeholder(p) if p.starts_with('?') => {
                tokens.parameters += 1;
                Token::Placeholder(format!("?{}", tokens.parameters - 1))
            }
            other => other,
        };
        after_literal = literal;
        tokens.list.push(TokenWithSpan { token, span });
    }
    tokens
}

/// For each token whether it is (part of) a literal that alone is the value of a column: in a row of VALUES, or behind
/// `column =`. Within an expression all literals are read as in MySQL.
fn standing_alone(list: &[TokenWithSpan]) -> Vec<bool> {
    let mut alone = Vec::with_capacity(list.len());
    let (mut depth, mut in_rows, mut behind_rows) = (0_usize, false, false);
    let mut before = &Token::EOF;
    // Of the literals that stand side by side just now.
    let mut run = None;
    for (at, TokenWithSpan { token, .. }) in list.iter().enumerate() {
        if is_literal(token) || is_introducer(token) {
            alone.push(*run.get_or_insert_with(|| {
                let begins = matches!(before, Token::LParen | Token::Comma | Token::Eq);
                let mut rest = list[at..].iter().map(|next| &next.token);
                let behind = rest.find(|next| !is_literal(next) && !is_introducer(next));
                begins && depth == usize::from(in_rows) && ends_value(behind)
            }));
            continue;
        }
        alone.push(false);
        run = None;
        before = token;
        match token {
            Token::LParen => depth += 1,
            Token::RParen => depth = depth.saturating_sub(1),
            other if depth == 0 => match keyword(other) {
                Keyword::VALUES | Keyword::VALUE => in_rows = !behind_rows,
                Keyword::ON => (in_rows, behind_rows) = (false, true),
                _ => {}
            },
            _ => {}
        }
    }
    alone
}

/// Whether a value ends before this token.
fn ends_value(token: Option<&Token>) -> bool {
    match token {
        None | Some(Token::RParen | Token::Comma) => true,
        Some(other) => matches!(
            keyword(other),
            Keyword::ON | Keyword::WHERE | Keyword::ORDER | Keyword::LIMIT
        ),
    }
}

/// A word that is no keyword, or one that is a column here (`name`, `hash` …) and no operator of any grammar.
fn is_name(token: &Token) -> bool {
    let Token::Word(word) = token else {
        return false;
    };
    let is_column = || {
        TABLES
            .iter()
            .any(|table| table.column(&word.value).is_some())
    };
    keyword(token) == Keyword::NoKeyword || is_column()
}

/// `_utf8mb4'…'` names the character set of the literal; all text here is UTF-8.
fn is_introducer(token: &Token) -> bool {
    matches!(token, Token::Word(word) if word.quote_style.is_none()
        && ["_utf8", "_utf8mb3", "_utf8mb4", "_latin1", "_ascii", "_binary"]
            .iter().any(|name| word.value.eq_ignore_ascii_case(name)))
}

fn is_literal(token: &Token) -> bool {
    matches!(
        token,
        Token::SingleQuotedString(_)
            | Token::DoubleQuotedString(_)
            | Token::NationalStringLiteral(_)
    )
}

fn name(raw: String, quote: char) -> Token {
    Token::make_word(&escaping::mysql(&raw, quote), Some('`'))
}

/// Puts a literal aside; `None` when it only continues the one before it.
fn keep(raw: &mut Vec<RawLiteral>, text: String, quote: char, continues: bool) -> Option<Token> {
    if continues && let Some(last) = raw.last_mut() {
        last.parts.push((text, quote));
        return None;
    }
    raw.push(RawLiteral {
        parts: vec![(text, quote)],
    });
    Some(Token::Placeholder(format!("L{}", raw.len() - 1)))
}
