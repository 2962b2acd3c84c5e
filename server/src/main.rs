//! The `cometql` binary.

use std::io::Write;
use std::process::ExitCode;

#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> ExitCode {
    cometql_server::cli::run().unwrap_or_else(|error| {
        // One line for people: a stack of calls would hide it.
        _ = writeln!(std::io::stderr(), "cometql: {error:#}");
        ExitCode::FAILURE
    })
}
