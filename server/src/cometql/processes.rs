//! The open MySQL connections: `SHOW PROCESSLIST` lists them, `KILL` ends them.

/// All open MySQL connections of the node.
#[derive(Debug, Default)]
pub struct Processes {}
