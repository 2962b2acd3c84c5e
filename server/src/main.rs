//! The `cometql` binary.

fn main() {}
