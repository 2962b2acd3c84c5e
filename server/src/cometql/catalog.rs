//! All tables and columns of the language: what `DESCRIBE`, `*`, `information_schema`, error messages and the SELECT
//! engine know of them. Data only: it must not read anything.

use super::outcome::{Column, ColumnKind};

/// A table.
#[derive(Debug, PartialEq, Eq)]
pub struct Table {
    /// As written in statements, compared exactly.
    pub name: &'static str,
    /// In the order of `SELECT *`, which leaves out the invisible ones.
    pub columns: &'static [Field],
    /// What backends may do with it.
    pub access: Access,
    /// One line for people: the table comment.
    pub comment: &'static str,
}

/// What backends may do with a table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// INSERT, SELECT, UPDATE where it has a meaning, DELETE.
    ReadWrite,
    /// Only SELECT: error 10 for the rest.
    ReadOnly,
}

/// A column of a table.
#[derive(Debug, PartialEq, Eq)]
pub struct Field {
    /// As written in statements, compared exactly.
    pub name: &'static str,
    /// What it is within a query.
    pub kind: Kind,
    /// How it goes over the wire when it is selected bare: the original's columns are all text.
    pub wire: ColumnKind,
    /// The type in `DESCRIBE` and `information_schema`, as MySQL writes it.
    pub sql_type: &'static str,
    /// Its part in the table's key.
    pub key: Key,
    /// How its text compares.
    pub compare: Compare,
    /// Only who names it gets it, as MySQL's invisible columns: `SELECT *` and an INSERT without columns are as in the original.
    pub invisible: bool,
}

/// What a column is within a query: how it compares and what sums do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A whole number.
    Integer,
    /// Text.
    Text,
}

/// How text compares.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Compare {
    /// Byte for byte: names, hashes, tokens, ids (and numbers, where it has no meaning).
    Exact,
    /// Without regard to case, as MySQL's default collations do.
    IgnoreCase,
}

/// A column's part in the key of its table, as MySQL's column `Key` names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Key {
    /// None.
    No,
    /// (A part of) the primary key.
    Primary,
    /// The column by which rows are found; several rows may share it.
    Multiple,
}

impl Key {
    /// `PRI`, `MUL` or nothing.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::No => "",
            Self::Primary => "PRI",
            Self::Multiple => "MUL",
        }
    }
}

/// The database that all tables belong to.
pub const DATABASE: &str = "CometQL_v1";

/// Every table, the original's seven listed ones first and in its order.
pub static TABLES: &[Table] = &[
    Table {
        name: "users_auth",
        columns: &[
            number("id", "int(11)", Key::Primary),
            exact("hash", "varchar(32)", Key::No),
        ],
        access: Access::ReadWrite,
        comment: "Hashes that log users in; DELETE also closes their connections",
    },
    Table {
        name: "users_time",
        columns: &[
            number("id", "int(11)", Key::Primary),
            number("time", "bigint(20)", Key::No),
        ],
        access: Access::ReadOnly,
        comment: "When users were last online: 0 = now, -1 = never",
    },
    Table {
        name: "users_messages",
        columns: &[
            number("id", "int(11)", Key::Multiple),
            exact("index", "varchar(36)", Key::No),
            text("event", "varchar(64)"),
            text("message", "mediumtext"),
        ],
        access: Access::ReadWrite,
        comment: "Private messages; SELECT shows those that wait",
    },
    Table {
        name: "pipes_messages",
        columns: &[
            exact("id", "varchar(36)", Key::Primary),
            number("time", "bigint(20)", Key::No),
            exact("name", "varchar(64)", Key::Multiple),
            number("index", "int(11)", Key::No),
            text("event", "varchar(64)"),
            text("message", "mediumtext"),
            number("user_id", "int(11)", Key::No),
            invisible(whole("offset", Key::No)),
        ],
        access: Access::ReadWrite,
        comment: "Publications; SELECT shows what is kept",
    },
    Table {
        name: "users_in_pipes",
        columns: &[
            exact("name", "varchar(64)", Key::Multiple),
            number("user_id", "int(11)", Key::No),
            exact("user_uuid", "varchar(64)", Key::No),
            text("user_agent", "varchar(250)"),
            exact("ip", "varchar(45)", Key::No),
            text("origin", "varchar(250)"),
            text("language", "varchar(64)"),
        ],
        access: Access::ReadOnly,
        comment: "Connections subscribed to a channel, newest first",
    },
    Table {
        name: "pipes",
        columns: &[
            exact("name", "varchar(64)", Key::Primary),
            number("users", "int(11)", Key::No),
        ],
        access: Access::ReadOnly,
        comment: "How many connections are subscribed to a channel",
    },
    Table {
        name: "pipes_settings",
        columns: &[
            exact("name", "varchar(64)", Key::Primary),
            number("length", "int(11)", Key::No),
        ],
        access: Access::ReadWrite,
        comment: "How many publications a channel keeps on disk",
    },
    Table {
        name: "users_data",
        columns: &[number("id", "int(11)", Key::Primary), text("data", "text")],
        access: Access::ReadWrite,
        comment: "A text for each user that browsers may read",
    },
    Table {
        name: "revoked_tokens",
        columns: &[exact("token", "varchar(600)", Key::Primary)],
        access: Access::ReadWrite,
        comment: "Tokens that no longer log in; INSERT also closes their connections",
    },
    Table {
        name: "pipes_members",
        columns: &[
            exact("name", "varchar(64)", Key::Primary),
            whole("user_id", Key::Primary),
        ],
        access: Access::ReadWrite,
        comment: "Who counts as a member of a channel, for rules that ask for members",
    },
    Table {
        name: "trace",
        columns: &[
            whole("user_id", Key::Multiple),
            whole("time", Key::No),
            whole("connection", Key::No),
            text("event", "varchar(64)"),
            exact("channel", "varchar(64)", Key::No),
            text("detail", "varchar(250)"),
            exact("node", "varchar(64)", Key::No),
        ],
        access: Access::ReadOnly,
        comment: "What happened to sessions of browsers lately, in unix milliseconds",
    },
    Table {
        name: "cluster_members",
        columns: &[
            exact("node", "varchar(64)", Key::Multiple),
            exact("id", "varchar(80)", Key::No),
            whole("number", Key::No),
            exact("version", "varchar(32)", Key::No),
            exact("http", "varchar(64)", Key::No),
            exact("mysql", "varchar(64)", Key::No),
            whole("started", Key::No),
            whole("draining", Key::No),
            whole("silent_ms", Key::No),
            whole("own", Key::No),
        ],
        access: Access::ReadOnly,
        comment: "The nodes of the cluster, for log-ins that may see all tenants",
    },
];

/// Tables of the original that are not served: error 2 by name.
pub static NOT_IMPLEMENTED: &[&str] = &["conference", "conference_members", "dialogs", "profiler"];

/// The table with this name, exactly.
#[must_use]
pub fn table(name: &str) -> Option<&'static Table> {
    TABLES.iter().find(|table| table.name == name)
}

impl Table {
    /// The column with this name, exactly.
    #[must_use]
    pub fn column(&self, name: &str) -> Option<&'static Field> {
        self.columns.iter().find(|field| field.name == name)
    }

    /// The columns of `SELECT *`, with their places among all.
    pub fn visible(&self) -> impl Iterator<Item = (usize, &Field)> {
        let numbered = self.columns.iter().enumerate();
        numbered.filter(|(_, field)| !field.invisible)
    }

    /// The column by which rows are found: `id`, `name` or `token`.
    #[must_use]
    pub fn key(&self) -> &'static Field {
        let by_name = self.columns.iter().find(|field| field.name == "name");
        by_name.unwrap_or(&self.columns[0])
    }
}

impl Field {
    /// The column of a result that shows this field bare.
    #[must_use]
    pub fn result_column(&self) -> Column {
        Column {
            name: self.name.to_owned(),
            kind: self.wire,
        }
    }
}

const fn number(name: &'static str, sql_type: &'static str, key: Key) -> Field {
    Field {
        name,
        kind: Kind::Integer,
        wire: ColumnKind::Text,
        sql_type,
        key,
        compare: Compare::Exact,
        invisible: false,
    }
}

/// One that the original did not have goes over the wire as what it is.
const fn whole(name: &'static str, key: Key) -> Field {
    Field {
        wire: ColumnKind::Integer,
        ..number(name, "bigint(20)", key)
    }
}

/// Not in the original, and not to be seen by who expects the original's columns.
const fn invisible(field: Field) -> Field {
    Field {
        invisible: true,
        ..field
    }
}

const fn exact(name: &'static str, sql_type: &'static str, key: Key) -> Field {
    Field {
        name,
        kind: Kind::Text,
        wire: ColumnKind::Text,
        sql_type,
        key,
        compare: Compare::Exact,
        invisible: false,
    }
}

const fn text(name: &'static str, sql_type: &'static str) -> Field {
    Field {
        name,
        kind: Kind::Text,
        wire: ColumnKind::Text,
        sql_type,
        key: Key::No,
        compare: Compare::IgnoreCase,
        invisible: false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check_key(name: &str, expected: &str) {
        assert_eq!(table(name).unwrap().key().name, expected);
    }

    #[test]
    fn keys_are_those_of_the_original() {
        check_key("users_auth", "id");
        check_key("users_data", "id");
        check_key("users_time", "id");
        check_key("users_messages", "id");
        check_key("pipes_messages", "name");
        check_key("pipes_settings", "name");
        check_key("pipes", "name");
        check_key("users_in_pipes", "name");
        check_key("revoked_tokens", "token");
        check_key("pipes_members", "name");
        check_key("trace", "user_id");
        assert_eq!(table("Users_auth"), None);
    }
}
