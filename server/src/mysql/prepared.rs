//! The prepared statements of a connection: which there are and what was sent for them ahead.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use mysql_common::io::ParseBuf;

use super::packets::mysql_error;
use super::parameters::{self, BadParameters, ParameterType};
use crate::cometql::{SqlError, Statement, Value, errors};
use crate::quota::Share;

/// The fixed part of `COM_STMT_EXECUTE` after the statement's id: flags (1 byte), iteration count (4).
const EXECUTE_FIXED: usize = 5;
/// What a kept statement costs beside its text, in bytes: about what a short one takes.
const STATEMENT_BYTES: usize = 1 << 10;

/// The prepared statements of a connection.
pub(super) struct Prepared {
    statements: HashMap<u32, Stored>,
    last: u32,
    long_bytes: usize,
    most_statements: usize,
    most_long_bytes: usize,
    /// What the statements and the values sent ahead cost; `None` before the log-in.
    memory: Option<Share>,
}

struct Stored {
    statement: Arc<Statement>,
    /// What it costs.
    bytes: usize,
    types: Vec<ParameterType>,
    long: BTreeMap<u16, Vec<u8>>,
    /// `COM_STMT_SEND_LONG_DATA` has no answer, so that EXECUTE must tell what was wrong with it.
    refused: Option<SqlError>,
}

impl Prepared {
    /// No statements yet.
    pub(super) fn new(most_statements: usize, most_long_bytes: usize) -> Self {
        Self {
            statements: HashMap::new(),
            last: 0,
            long_bytes: 0,
            most_statements,
            most_long_bytes,
            memory: None,
        }
    }

    /// Lets statements be kept, as far as this share can grow.
    pub(super) fn spend(&mut self, memory: Share) {
        self.memory = Some(memory);
    }

    fn hold(&mut self, more: usize) -> Result<(), SqlError> {
        let Some(memory) = &mut self.memory else {
            return Ok(());
        };
        let amount = memory.amount() + more;
        memory.resize(amount).map_err(errors::no_memory)
    }

    fn give_back(&mut self, less: usize) {
        if let Some(memory) = &mut self.memory {
            // Giving back never fails.
            _ = memory.resize(memory.amount().saturating_sub(less));
        }
    }

    fn give_back_long(&mut self, long: &BTreeMap<u16, Vec<u8>>) {
        let bytes = long.values().map(Vec::len).sum::<usize>();
        self.long_bytes -= bytes;
        self.give_back(bytes);
    }

    /// Keeps a statement whose text had so many bytes; returns its id.
    pub(super) fn add(&mut self, statement: Statement, bytes: usize) -> Result<u32, SqlError> {
        if self.statements.len() >= self.most_statements {
            let message = format!(
                "Can't create more than {} prepared statements on a connection: close some",
                self.most_statements
            );
            return Err(mysql_error(1461, "42000", message));
        }
        let bytes = bytes + STATEMENT_BYTES;
        self.hold(bytes)?;
        loop {
            self.last = self.last.wrapping_add(1);
            if self.last != 0 && !self.statements.contains_key(&self.last) {
                break;
            }
        }
        let stored = Stored {
            statement: Arc::new(statement),
            bytes,
            types: Vec::new(),
            long: BTreeMap::new(),
            refused: None,
        };
        self.statements.insert(self.last, stored);
        Ok(self.last)
    }

    /// Reads `COM_STMT_EXECUTE` (without its first byte): which statement, with which values. What was sent ahead is
    /// used up.
    pub(super) fn execute(
        &mut self,
        packet: &[u8],
    ) -> Result<(Arc<Statement>, Vec<Value>), SqlError> {
        let mut rest = ParseBuf(packet);
        let id = statement_id(&mut rest)?;
        let stored = self.statements.get_mut(&id).ok_or_else(|| unknown(id))?;
        let long = std::mem::take(&mut stored.long);
        let refused = stored.refused.take();
        self.give_back_long(&long);
        if let Some(refusal) = refused {
            return Err(refusal);
        }
        let stored = self.statements.get_mut(&id).ok_or_else(|| unknown(id))?;
        if !rest.checked_skip(EXECUTE_FIXED) {
            return Err(bad(&BadParameters::Truncated));
        }
        let count = stored.statement.parameters();
        let values = parameters::decode(rest.0, count, &mut stored.types, &long);
        Ok((
            stored.statement.clone(),
            values.map_err(|error| bad(&error))?,
        ))
    }

    /// Keeps a piece of a value (`COM_STMT_SEND_LONG_DATA` without its first byte). Has no answer, whatever it holds.
    pub(super) fn send_long_data(&mut self, packet: &[u8]) {
        let mut rest = ParseBuf(packet);
        let (Ok(id), Some(parameter)) = (statement_id(&mut rest), rest.checked_eat_u16_le()) else {
            return;
        };
        let Some(stored) = self.statements.get(&id) else {
            return;
        };
        let fits = usize::from(parameter) < stored.statement.parameters()
            && self.long_bytes + rest.len() <= self.most_long_bytes;
        let held = if fits {
            self.hold(rest.len())
        } else {
            Err(SqlError::new(11, "Data is too long"))
        };
        let Some(stored) = self.statements.get_mut(&id) else {
            return;
        };
        match held {
            Ok(()) => {
                self.long_bytes += rest.len();
                stored.long.entry(parameter).or_default().extend(rest.0);
            }
            Err(refusal) => stored.refused = Some(refusal),
        }
    }

    /// Forgets what was sent ahead (`COM_STMT_RESET`).
    pub(super) fn reset(&mut self, packet: &[u8]) -> Result<(), SqlError> {
        let id = statement_id(&mut ParseBuf(packet))?;
        let stored = self.statements.get_mut(&id).ok_or_else(|| unknown(id))?;
        let long = std::mem::take(&mut stored.long);
        stored.refused = None;
        self.give_back_long(&long);
        Ok(())
    }

    /// Forgets a statement (`COM_STMT_CLOSE`). Has no answer, whether or not there was one.
    pub(super) fn close(&mut self, packet: &[u8]) {
        if self.reset(packet).is_ok()
            && let Ok(id) = statement_id(&mut ParseBuf(packet))
        {
            let closed = self.statements.remove(&id);
            self.give_back(closed.map_or(0, |stored| stored.bytes));
        }
    }

    /// Forgets all statements.
    pub(super) fn clear(&mut self) {
        self.statements.clear();
        self.long_bytes = 0;
        self.give_back(usize::MAX);
    }
}

fn statement_id(rest: &mut ParseBuf<'_>) -> Result<u32, SqlError> {
    rest.checked_eat_u32_le()
        .ok_or_else(|| bad(&BadParameters::Truncated))
}

fn unknown(id: u32) -> SqlError {
    let message = format!("Unknown prepared statement handler ({id})");
    mysql_error(1243, "HY000", message)
}

fn bad(error: &BadParameters) -> SqlError {
    let message = format!("Incorrect arguments to mysqld_stmt_execute: {error}");
    mysql_error(1210, "HY000", message)
}
