//! SHOW and DESCRIBE.

use sqlparser::tokenizer::Token;

use super::{Limit, Operand, Parsed, Reader, Show, ShowFilter, ShowWhat, StatusOf, change, tokens};
use crate::cometql::catalog::Table;
use crate::cometql::{SqlError, Value, errors};
use sqlparser::keywords::Keyword;

const TRIGGERS: &[&str] = &[
    "Trigger",
    "Event",
    "Table",
    "Statement",
    "Timing",
    "Created",
    "sql_mode",
    "Definer",
    "character_set_client",
    "collation_connection",
    "Database Collation",
];
const EVENTS: &[&str] = &[
    "Db",
    "Name",
    "Definer",
    "Time zone",
    "Type",
    "Execute at",
    "Interval value",
    "Interval field",
    "Starts",
    "Ends",
    "Status",
    "Originator",
    "character_set_client",
    "collation_connection",
    "Database Collation",
];
const ROUTINES: &[&str] = &[
    "Db",
    "Name",
    "Type",
    "Definer",
    "Modified",
    "Created",
    "Security_type",
    "Comment",
    "character_set_client",
    "collation_connection",
    "Database Collation",
];
const PLUGINS: &[&str] = &["Name", "Status", "Type", "Library", "License"];
const OPEN_TABLES: &[&str] = &["Database", "Table", "In_use", "Name_locked"];
const PRIVILEGES: &[&str] = &["Privilege", "Context", "Comment"];
const REPLICATION: &[&str] = &[
    "File",
    "Position",
    "Binlog_Do_DB",
    "Binlog_Ignore_DB",
    "Executed_Gtid_Set",
];
const PROFILES: &[&str] = &["Query_ID", "Duration", "Query"];

impl Reader<'_> {
    /// `SHOW …`.
    pub(super) fn show(&mut self) -> Result<Parsed, SqlError> {
        self.parser.next_token();
        let mut full = false;
        let mut status = StatusOf::Session;
        while let Some(word) = self.word(&[
            "FULL",
            "EXTENDED",
            "GLOBAL",
            "SESSION",
            "LOCAL",
            "FILESYSTEM",
            "RAM",
            "AVG",
            "UPTIME",
            "STORAGE",
        ]) {
            match word.as_str() {
                "FULL" => full = true,
                "GLOBAL" => status = StatusOf::Global,
                "FILESYSTEM" => status = StatusOf::Filesystem,
                "RAM" => status = StatusOf::Ram,
                "AVG" => status = StatusOf::Average,
                "UPTIME" => status = StatusOf::Uptime,
                _ => {}
            }
        }
        let what = self.what(full, status)?;
        self.skip_database()?;
        let filter = self.show_filter()?;
        let limit = self.show_limit()?;
        Ok(Parsed::Show(Show {
            what,
            filter,
            limit,
        }))
    }

    fn what(&mut self, full: bool, status: StatusOf) -> Result<ShowWhat, SqlError> {
        if tokens::keyword(&self.parser.peek_token_ref().token) == Keyword::COUNT {
            self.parser.parse_expr().map_err(errors::syntax)?;
            self.word(&["WARNINGS", "ERRORS"]);
            return Ok(ShowWhat::WarningCount);
        }
        let next = self.parser.next_token();
        let Token::Word(word) = &next.token else {
            return Err(errors::syntax(format_args!(
                "near '{}': SHOW what?",
                next.token
            )));
        };
        Ok(match word.value.to_ascii_uppercase().as_str() {
            "DATABASES" | "SCHEMAS" => ShowWhat::Databases,
            "TABLES" => ShowWhat::Tables { full },
            "COLUMNS" | "FIELDS" => ShowWhat::Columns {
                table: self.expect_from_table()?,
                full,
                column: None,
            },
            "INDEX" | "INDEXES" | "KEYS" => ShowWhat::Index(self.expect_from_table()?),
            "STATUS" => ShowWhat::Status(status),
            "VARIABLES" => ShowWhat::Variables,
            "PROCESSLIST" => ShowWhat::Processlist,
            "CONNECTIONS" => ShowWhat::Connections,
            "WARNINGS" => ShowWhat::Warnings,
            "ERRORS" => ShowWhat::Empty(&["Level", "Code", "Message"]),
            "ENGINES" => ShowWhat::Engines,
            "CHARSET" => ShowWhat::CharacterSet,
            "COLLATION" => ShowWhat::Collation,
            "GRANTS" => {
                self.skip_rest();
                ShowWhat::Grants
            }
            "PLUGINS" => ShowWhat::Empty(PLUGINS),
            "TRIGGERS" => ShowWhat::Empty(TRIGGERS),
            "EVENTS" => ShowWhat::Empty(EVENTS),
            "PRIVILEGES" => ShowWhat::Empty(PRIVILEGES),
            "PROFILES" => ShowWhat::Empty(PROFILES),
            "CREATE" => self.show_create()?,
            first => self.two_words(first)?,
        })
    }

    fn two_words(&mut self, first: &str) -> Result<ShowWhat, SqlError> {
        let second = match &self.parser.peek_token_ref().token {
            Token::Word(word) => word.value.to_ascii_uppercase(),
            other => other.to_string(),
        };
        let what = match (first, second.as_str()) {
            ("TABLE", "STATUS") => ShowWhat::TableStatus,
            ("CHARACTER", "SET") => ShowWhat::CharacterSet,
            ("PROCEDURE" | "FUNCTION" | "PACKAGE", "STATUS") => ShowWhat::Empty(ROUTINES),
            ("OPEN", "TABLES") => ShowWhat::Empty(OPEN_TABLES),
            ("MASTER" | "SLAVE" | "REPLICA", "STATUS") => ShowWhat::Empty(REPLICATION),
            _ => {
                return Err(errors::syntax(format_args!(
                    "near '{first} {second}': SHOW what?"
                )));
            }
        };
        self.parser.next_token();
        Ok(what)
    }

    fn show_create(&mut self) -> Result<ShowWhat, SqlError> {
        match self.word(&["TABLE", "DATABASE", "SCHEMA"]).as_deref() {
            Some("TABLE") => {
                let name = self
                    .parser
                    .parse_object_name(false)
                    .map_err(errors::syntax)?;
                Ok(ShowWhat::CreateTable(change::table(&name)?))
            }
            Some(_) => {
                _ = self
                    .parser
                    .parse_keywords(&[Keyword::IF, Keyword::NOT, Keyword::EXISTS]);
                let name = self.parser.parse_identifier().map_err(errors::syntax)?;
                Ok(ShowWhat::CreateDatabase(name.value))
            }
            None => Err(errors::not_implemented(
                "SHOW CREATE of anything but a table or database",
            )),
        }
    }

    /// `DESCRIBE table [column]`.
    pub(super) fn describe(&mut self) -> Result<Parsed, SqlError> {
        let name = self
            .parser
            .parse_object_name(false)
            .map_err(errors::syntax)?;
        let table = change::table(&name)?;
        let mut filter = ShowFilter::None;
        let mut column = None;
        match self.parser.next_token().token {
            Token::EOF => {}
            Token::Word(word) => column = Some(word.value),
            Token::SingleQuotedString(pattern) => {
                filter = ShowFilter::Like(Operand::Value(Value::Text(pattern)));
            }
            other => return Err(errors::syntax(format_args!("near '{other}'"))),
        }
        let what = ShowWhat::Columns {
            table,
            full: false,
            column,
        };
        Ok(Parsed::Show(Show {
            what,
            filter,
            limit: Limit::default(),
        }))
    }

    fn expect_from_table(&mut self) -> Result<&'static Table, SqlError> {
        if self.word(&["FROM", "IN"]).is_none() {
            return Err(errors::syntax("expected FROM table"));
        }
        let name = self
            .parser
            .parse_object_name(false)
            .map_err(errors::syntax)?;
        change::table(&name)
    }

    /// `FROM database`: there is only one with tables; others are empty but harmless.
    fn skip_database(&mut self) -> Result<(), SqlError> {
        if self.word(&["FROM", "IN"]).is_some() {
            self.parser.parse_identifier().map_err(errors::syntax)?;
        }
        Ok(())
    }

    fn show_filter(&mut self) -> Result<ShowFilter, SqlError> {
        match self.word(&["LIKE", "WHERE"]).as_deref() {
            Some("LIKE") => self.operand_here().map(ShowFilter::Like),
            Some(_) => {
                let condition = self.parser.parse_expr().map_err(errors::syntax)?;
                Ok(ShowFilter::Where(condition.into()))
            }
            None => Ok(ShowFilter::None),
        }
    }

    fn show_limit(&mut self) -> Result<Limit, SqlError> {
        let mut limit = Limit::default();
        if self.word(&["LIMIT"]).is_some() {
            limit.rows = Some(self.operand_here()?);
            if self.parser.consume_token(&Token::Comma) {
                limit.offset = limit.rows.replace(self.operand_here()?);
            }
        }
        Ok(limit)
    }
}
