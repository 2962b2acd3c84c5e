//! Text to statements, over sqlparser: the only folder (with `select/translate.rs`) that names it. Pure: it must not
//! touch live state.
//!
//! Limits come first (`tokens`), because sqlparser and all tree walks recurse along chains. SHOW, SET, USE, KILL,
//! DESCRIBE and `EXPLAIN SUBSCRIBE` are read here on sqlparser's token stream, which knows fewer of them than clients send.

use sqlparser::dialect::MySqlDialect;
use sqlparser::keywords::Keyword;
use sqlparser::parser::Parser;
use sqlparser::tokenizer::Token;

use super::{Settings, SqlError, errors};

mod change;
mod computed;
mod duplicate;
mod fast_insert;
mod operand;
mod select;
mod show;
mod statement;
#[cfg(test)]
mod tests;
mod tokens;

pub(crate) use computed::{on_row, row_query};
pub(crate) use duplicate::values_of;
pub(crate) use operand::placeholder;
/// The syntax tree of SELECT, so that only this folder names the library.
pub(crate) use sqlparser::ast;
pub(crate) use statement::{
    Assigned, Computed, Constant, Delete, Existing, Filter, Insert, Limit, Lookup, NewRow, Operand,
    Parsed, Plan, Select, Show, ShowFilter, ShowWhat, Source, StatusOf, Update, key_columns,
};

/// A parsed statement and how many placeholders it has.
pub(crate) type Counted = (Parsed, usize);

/// What a prefix of the original's cluster peers looked like; any client could use it to enter another tenant.
const CLUSTER_PREFIX: &str = "cometqlcluster_v1";

/// Reads one or several statements.
pub(super) fn parse(sql: &str, settings: &Settings) -> Result<Vec<Counted>, SqlError> {
    check_length(sql, settings)?;
    if let Some(insert) = fast_insert::parse(sql, settings) {
        return Ok(vec![(Parsed::Insert(insert), 0)]);
    }
    let statements = tokens::tokenize(sql, settings)?;
    if statements.is_empty() {
        return Ok(vec![(Parsed::Nothing, 0)]);
    }
    statements
        .into_iter()
        .map(|tokens| {
            let parameters = tokens.parameters;
            Ok((Reader::new(tokens, settings).statement()?, parameters))
        })
        .collect()
}

fn check_length(sql: &str, settings: &Settings) -> Result<(), SqlError> {
    let start = skip_comments(sql);
    if start
        .get(..CLUSTER_PREFIX.len())
        .is_some_and(|s| s.eq_ignore_ascii_case(CLUSTER_PREFIX))
    {
        return Err(errors::access_denied());
    }
    let bare = start.trim_end_matches(|c: char| c.is_ascii_whitespace() || c == ';');
    if !bare.is_empty() && sql.len() <= 3 {
        return Err(errors::too_short("Data"));
    }
    let writes = ["insert", "replace"].iter().any(|word| {
        start
            .get(..word.len())
            .is_some_and(|s| s.eq_ignore_ascii_case(word))
    });
    let limit = if writes {
        settings.insert_bytes
    } else {
        settings.statement_bytes
    };
    if sql.len() > limit {
        return Err(errors::too_long("Data"));
    }
    Ok(())
}

/// What follows leading white space, `;` and comments.
fn skip_comments(sql: &str) -> &str {
    let mut rest = sql;
    loop {
        rest = rest.trim_start_matches(|c: char| c.is_ascii_whitespace() || c == ';');
        let end = if rest.starts_with("/*") && !rest.starts_with("/*!") {
            rest.find("*/").map(|at| at + 2)
        } else if rest.starts_with('#') || rest.starts_with("-- ") {
            rest.find('\n')
        } else {
            return rest;
        };
        match end {
            Some(end) => rest = &rest[end..],
            None => return "",
        }
    }
}

/// Reads one statement.
struct Reader<'a> {
    parser: Parser<'a>,
    raw: Vec<tokens::RawLiteral>,
    settings: &'a Settings,
}

impl<'a> Reader<'a> {
    fn new(tokens: tokens::Tokens, settings: &'a Settings) -> Self {
        let parser = Parser::new(&MySqlDialect {}).with_tokens_with_locations(tokens.list);
        Self {
            parser,
            raw: tokens.raw,
            settings,
        }
    }

    fn statement(&mut self) -> Result<Parsed, SqlError> {
        let parsed = match tokens::keyword(&self.parser.peek_token_ref().token) {
            Keyword::SHOW => self.show()?,
            Keyword::DESCRIBE | Keyword::DESC | Keyword::EXPLAIN => self.explain()?,
            Keyword::USE => self.use_database()?,
            Keyword::KILL => self.kill()?,
            Keyword::SET => self.set()?,
            Keyword::INSERT | Keyword::REPLACE | Keyword::UPDATE | Keyword::DELETE => {
                self.change()?
            }
            Keyword::SELECT | Keyword::WITH | Keyword::VALUES | Keyword::TABLE => self.query()?,
            _ => self.other()?,
        };
        self.end()?;
        Ok(parsed)
    }

    /// The whole statement must have been read.
    fn end(&self) -> Result<(), SqlError> {
        match &self.parser.peek_token_ref().token {
            Token::EOF => Ok(()),
            other => Err(errors::syntax(format_args!(
                "near '{}'",
                short(&other.to_string())
            ))),
        }
    }

    /// The next word, in upper case, if it is one of these; quoted words are none.
    fn word(&mut self, wanted: &[&str]) -> Option<String> {
        let Token::Word(word) = &self.parser.peek_token_ref().token else {
            return None;
        };
        let found = word.value.to_ascii_uppercase();
        if word.quote_style.is_some() || !wanted.contains(&found.as_str()) {
            return None;
        }
        self.parser.next_token();
        Some(found)
    }

    /// Words without effect, and a clear refusal of the rest.
    fn other(&mut self) -> Result<Parsed, SqlError> {
        if self.parser.peek_token_ref().token == Token::LParen {
            return self.query();
        }
        let harmless = [
            "BEGIN",
            "START",
            "COMMIT",
            "ROLLBACK",
            "SAVEPOINT",
            "RELEASE",
            "LOCK",
            "UNLOCK",
            "FLUSH",
            "DO",
            "ANALYZE",
            "OPTIMIZE",
            "CHECK",
            "XA",
        ];
        let known = [
            "CREATE",
            "ALTER",
            "DROP",
            "TRUNCATE",
            "RENAME",
            "GRANT",
            "REVOKE",
            "CALL",
            "LOAD",
            "HANDLER",
            "PREPARE",
            "EXECUTE",
            "DEALLOCATE",
            "INSTALL",
            "RESET",
            "PURGE",
            "CHANGE",
            "REPAIR",
            "MERGE",
        ];
        if self.word(&harmless).is_some() {
            self.skip_rest();
            return Ok(Parsed::Nothing);
        }
        if let Some(word) = self.word(&known) {
            return Err(errors::not_implemented(word));
        }
        let near = self.parser.peek_token_ref().token.to_string();
        Err(errors::syntax(format_args!("near '{}'", short(&near))))
    }

    fn skip_rest(&mut self) {
        while self.parser.peek_token_ref().token != Token::EOF {
            self.parser.next_token();
        }
    }

    /// `SET`: always OK and without effect, as in the original, but for `wait_timeout` and what would look like more
    /// than it is.
    fn set(&mut self) -> Result<Parsed, SqlError> {
        self.parser.next_token();
        if self.parser.peek_token_ref().token == Token::EOF {
            return Err(errors::syntax("near the end: SET what?"));
        }
        if self.word(&["PASSWORD", "ROLE"]).is_some() {
            return Err(errors::not_implemented("SET PASSWORD"));
        }
        let (mut idle, mut global) = (None, false);
        while self.parser.peek_token_ref().token != Token::EOF {
            let token = self.parser.next_token().token;
            let Token::Word(word) = &token else {
                global &= token == Token::Period;
                continue;
            };
            let name = word.value.trim_start_matches('@').to_ascii_lowercase();
            let is_idle = matches!(&*name, "wait_timeout" | "interactive_timeout");
            let assigns = matches!(
                self.parser.peek_token_ref().token,
                Token::Eq | Token::Assignment
            );
            if is_idle && assigns {
                if global {
                    return Err(errors::not_implemented(
                        "SET GLOBAL wait_timeout: it is idle_time in the configuration",
                    ));
                }
                self.parser.next_token();
                idle = Some(self.operand_here()?);
            }
            global = matches!(&*name, "global" | "persist" | "persist_only");
        }
        Ok(idle.map_or(Parsed::Nothing, Parsed::Idle))
    }

    fn use_database(&mut self) -> Result<Parsed, SqlError> {
        self.parser.next_token();
        let name = self.parser.parse_identifier().map_err(errors::syntax)?;
        Ok(Parsed::Use(name.value))
    }

    fn kill(&mut self) -> Result<Parsed, SqlError> {
        self.parser.next_token();
        self.word(&["HARD", "SOFT"]);
        let query = self.word(&["QUERY", "CONNECTION"]).as_deref() == Some("QUERY");
        let id = self.operand_here()?;
        Ok(Parsed::Kill { id, query })
    }

    /// `EXPLAIN SUBSCRIBE`, `EXPLAIN statement`, `DESCRIBE table`.
    fn explain(&mut self) -> Result<Parsed, SqlError> {
        self.parser.next_token();
        if self.word(&["SUBSCRIBE"]).is_some() {
            return self.explain_subscribe();
        }
        if self.word(&["MESSAGE"]).is_some() {
            let (message, user) = self.for_user()?;
            return Ok(Parsed::ExplainMessage { message, user });
        }
        self.word(&["ANALYZE", "EXTENDED", "PARTITIONS"]);
        if self.word(&["FORMAT"]).is_some() {
            self.parser
                .expect_token(&Token::Eq)
                .map_err(errors::syntax)?;
            self.parser.parse_identifier().map_err(errors::syntax)?;
        }
        match tokens::keyword(&self.parser.peek_token_ref().token) {
            Keyword::SELECT | Keyword::WITH => Ok(Parsed::Explain(Box::new(self.query()?))),
            Keyword::INSERT | Keyword::REPLACE | Keyword::UPDATE | Keyword::DELETE => {
                Ok(Parsed::Explain(Box::new(self.change()?)))
            }
            _ => self.describe(),
        }
    }

    fn explain_subscribe(&mut self) -> Result<Parsed, SqlError> {
        let (channel, user) = self.for_user()?;
        Ok(Parsed::ExplainSubscribe { channel, user })
    }

    /// `'what' FOR USER n`.
    fn for_user(&mut self) -> Result<(Operand, Operand), SqlError> {
        let what = self.operand_here()?;
        let mut user = Operand::Value(super::Value::Null);
        if self.word(&["FOR"]).is_some() {
            if self.word(&["USER"]).is_none() {
                return Err(errors::syntax("expected FOR USER n"));
            }
            user = self.operand_here()?;
        }
        Ok((what, user))
    }

    fn query(&mut self) -> Result<Parsed, SqlError> {
        let query = self.parser.parse_query().map_err(errors::syntax)?;
        Ok(Parsed::Select(select::plan(query)))
    }
}

/// The beginning of a text, for messages.
fn short(text: &str) -> String {
    let mut end = text.char_indices().map(|(at, _)| at).skip(60);
    match end.next() {
        Some(end) => format!("{}...", &text[..end]),
        None => text.to_owned(),
    }
}
