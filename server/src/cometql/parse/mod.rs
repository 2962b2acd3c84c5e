//! Text to statements, over sqlparser. It must not touch live state.

/// The syntax tree of SELECT, so that only this folder names the library.
pub(crate) use sqlparser::ast;
