use clap::CommandFactory;

use super::*;

#[test]
fn the_documentation_names_every_command_and_flag() {
    let page = include_str!("../../../docs-site/reference/cli.md");
    let cli = Cli::command();
    cli.clone().debug_assert();
    for command in cli.get_subcommands() {
        let name = command.get_name();
        assert!(page.contains(&format!("## cometql {name}")), "{name}");
        for flag in command.get_arguments().filter_map(|flag| flag.get_long()) {
            if !matches!(flag, "help" | "version") {
                assert!(page.contains(&format!("`--{flag}")), "{name} --{flag}");
            }
        }
    }
}
