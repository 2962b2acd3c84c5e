//! Every build, check, test and load step of CometQL. `cargo xtask ci` is what the project's CI runs.

use std::process::ExitCode;

use clap::{Parser, Subcommand};

mod browser;
mod ci;
mod clients;
mod cluster;
mod crash;
mod demo;
mod faults;
mod fuzz;
mod load;
mod notices;
mod package;
mod plot;
mod positions;
mod process;
mod random;
mod sdks;
mod simulate;
mod soak;
mod tidy;
mod wasm;
mod witness;

#[derive(Parser)]
#[command(
    name = "cargo xtask",
    about = "Every build, check and test step of CometQL"
)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Builds the server and runs its demo: prints a page's URL and a SQL line.
    Demo(demo::Options),
    /// Runs a cluster on this machine: three nodes, three NATS servers and HAProxy.
    Cluster(cluster::Options),
    /// Runs every check and every test.
    Ci(ci::Options),
    /// Checks the rules of house-style.md that no compiler knows.
    Tidy,
    /// Runs the tests through real MySQL clients.
    Clients(clients::Options),
    /// Builds the npm package of the browser client.
    Npm(package::Options),
    /// Kills the server again and again under load, and checks that nothing is lost or doubled.
    Crash(crash::Options),
    /// Breaks a cluster in every way under load, and checks that nothing is lost or doubled.
    Faults(faults::Options),
    /// Measures what the server costs per connection, delivery and INSERT.
    Load(load::Options),
    /// Feeds changed input to everything that reads foreign bytes.
    Fuzz(fuzz::Options),
    /// Runs fresh seeds of the simulator.
    Simulate(simulate::Options),
    /// Lets the simulator find bugs that are planted on purpose.
    Planted,
    /// Builds the browser's session as WebAssembly, into `target/wasm/pkg`.
    Wasm(wasm::Options),
    /// Builds the SDKs for backends from their one library, and runs their tests.
    Sdks(sdks::Options),
    /// Writes the licences of all packages that are linked into a program, for those who give it to others.
    Notices(notices::Options),
    /// Keeps a server busy for long, and checks that its memory does not grow.
    Soak(soak::Options),
    /// Fetches the NATS server that tests of the cluster need, where none is installed, and prints its path.
    NatsServer,
    /// Serves the least that a server can do: the load generator's yardstick.
    #[command(hide = true)]
    Bare(load::BareOptions),
}

fn main() -> ExitCode {
    let result = match Arguments::parse().command {
        Command::Demo(options) => demo::run(&options),
        Command::Cluster(options) => cluster::run(&options),
        Command::Ci(options) => ci::run(&options),
        Command::Tidy => tidy::run(),
        Command::Clients(options) => clients::run(&options),
        Command::Npm(options) => package::run(&options),
        Command::Crash(options) => crash::run(&options),
        Command::Faults(options) => faults::run(&options),
        Command::Load(options) => load::run(&options),
        Command::Fuzz(options) => fuzz::run(&options),
        Command::Simulate(options) => simulate::run_seeds(&options),
        Command::Planted => simulate::planted(),
        Command::Wasm(options) => wasm::run(&options),
        Command::Sdks(options) => sdks::run(&options),
        Command::Notices(options) => notices::run(&options),
        Command::Soak(options) => soak::run(&options),
        Command::NatsServer => process::nats_server().map(|path| println!("{}", path.display())),
        Command::Bare(options) => load::run_bare(&options),
    };
    if let Err(error) = result {
        eprintln!("error: {error:#}");
        return ExitCode::FAILURE;
    }
    ExitCode::SUCCESS
}
