//! The server's packets that `mysql_common` reads but does not write: OK, EOF and the answer to PREPARE; and columns,
//! which version 0.37.3 writes with two fields exchanged.

use bytes::BufMut;
use mysql_common::collations::CollationId;
use mysql_common::constants::{ColumnFlags, ColumnType, StatusFlags};
use mysql_common::io::BufMutExt;
use mysql_common::packets::{ErrPacket, ServerError, SqlState};
use mysql_common::proto::MySerialize;

use crate::cometql::{Done, SqlError};

/// Bytes of a column definition after its names.
const FIXED_COLUMN_FIELDS: u8 = 12;

/// What follows a statement without rows.
pub(super) struct Ok<'a> {
    pub(super) done: &'a Done,
    pub(super) status: StatusFlags,
    pub(super) warnings: u16,
}

/// The end of columns or rows. The new form is an OK packet with another head (`CLIENT_DEPRECATE_EOF`).
pub(super) struct Eof {
    pub(super) status: StatusFlags,
    pub(super) warnings: u16,
    pub(super) new_form: bool,
}

/// The first packet of the answer to `COM_STMT_PREPARE`.
pub(super) struct PrepareOk {
    pub(super) statement: u32,
    pub(super) columns: u16,
    pub(super) parameters: u16,
}

/// A column of a result set.
pub(super) struct ColumnDefinition<'a> {
    pub(super) name: &'a str,
    pub(super) kind: ColumnType,
    pub(super) charset: CollationId,
    /// Longest value, in bytes.
    pub(super) length: u32,
    pub(super) flags: ColumnFlags,
    pub(super) decimals: u8,
}

impl MySerialize for Ok<'_> {
    fn serialize(&self, buf: &mut Vec<u8>) {
        buf.put_u8(0x00);
        buf.put_lenenc_int(self.done.affected_rows);
        buf.put_lenenc_int(self.done.last_insert_id);
        buf.put_u16_le(self.status.bits());
        buf.put_u16_le(self.warnings);
        if !self.done.info.is_empty() {
            buf.put_lenenc_str(self.done.info.as_bytes());
        }
    }
}

impl MySerialize for Eof {
    fn serialize(&self, buf: &mut Vec<u8>) {
        buf.put_u8(0xfe);
        if self.new_form {
            buf.put_slice(&[0, 0]);
            buf.put_u16_le(self.status.bits());
            buf.put_u16_le(self.warnings);
        } else {
            buf.put_u16_le(self.warnings);
            buf.put_u16_le(self.status.bits());
        }
    }
}

impl MySerialize for PrepareOk {
    fn serialize(&self, buf: &mut Vec<u8>) {
        buf.put_u8(0x00);
        buf.put_u32_le(self.statement);
        buf.put_u16_le(self.columns);
        buf.put_u16_le(self.parameters);
        buf.put_u8(0);
        buf.put_u16_le(0);
    }
}

impl MySerialize for ColumnDefinition<'_> {
    fn serialize(&self, buf: &mut Vec<u8>) {
        buf.put_lenenc_str(b"def");
        for no_name_of_schema_and_tables in [b""; 3] {
            buf.put_lenenc_str(no_name_of_schema_and_tables);
        }
        buf.put_lenenc_str(self.name.as_bytes());
        buf.put_lenenc_str(self.name.as_bytes());
        buf.put_u8(FIXED_COLUMN_FIELDS);
        buf.put_u16_le(self.charset as u16);
        buf.put_u32_le(self.length);
        buf.put_u8(self.kind as u8);
        buf.put_u16_le(self.flags.bits());
        buf.put_u8(self.decimals);
        buf.put_u16_le(0);
    }
}

/// An error packet. Clients from before MySQL 4.1, and those that did not log in yet, expect no SQLSTATE.
pub(super) fn error(error: &SqlError, with_state: bool) -> ErrPacket<'_> {
    let state = error.state.as_bytes().try_into();
    let state = state.ok().filter(|_| with_state).map(SqlState::new);
    ErrPacket::Error(ServerError::new(
        error.code,
        state,
        error.message.as_bytes(),
    ))
}

/// An error with one of MySQL's own codes, where drivers depend on it.
pub(super) fn mysql_error(code: u16, state: &'static str, message: impl Into<String>) -> SqlError {
    SqlError {
        state,
        ..SqlError::new(code, message)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(packet: &impl MySerialize, expected: &[u8]) {
        let mut bytes = Vec::new();
        packet.serialize(&mut bytes);
        assert_eq!(bytes, expected);
    }

    #[test]
    fn packets_have_the_documented_bytes() {
        let done = Done {
            affected_rows: 300,
            last_insert_id: 7,
            info: "Reached: 3".to_owned(),
        };
        let status = StatusFlags::SERVER_STATUS_AUTOCOMMIT;
        let ok = Ok {
            done: &done,
            status,
            warnings: 1,
        };
        check(&ok, b"\x00\xfc\x2c\x01\x07\x02\x00\x01\x00\x0aReached: 3");
        let eof = |new_form| Eof {
            status,
            warnings: 1,
            new_form,
        };
        check(&eof(false), b"\xfe\x01\x00\x02\x00");
        check(&eof(true), b"\xfe\x00\x00\x02\x00\x01\x00");
        let prepared = PrepareOk {
            statement: 5,
            columns: 2,
            parameters: 1,
        };
        check(&prepared, b"\x00\x05\0\0\0\x02\0\x01\0\0\0\0");
        let refused = SqlError::new(16, "No");
        check(&error(&refused, true), b"\xff\x10\x00#HY000No");
        check(&error(&refused, false), b"\xff\x10\x00No");
    }
}
