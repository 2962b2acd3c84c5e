//! How soon a page is connected: wall-clock times of the npm package in real browsers, `clients/browser/client_start.mjs`.

use std::process::Command;

use anyhow::{Context as _, bail};

use super::report::Report;
use super::subjects::Kind;
use crate::process::{find_program, output, target_dir};
use crate::{clients, package};

/// As the script knows them, and their programs.
const BROWSERS: &[(&str, &str)] = &[("chromium", "chromium"), ("firefox", "firefox-esr")];

/// Opens tabs one after the other in each browser that is installed.
pub(super) fn start(quick: bool, report: &mut Report) -> anyhow::Result<()> {
    if let Some(missing) = package::make()? {
        bail!(missing);
    }
    let scripts = clients::browser_scripts()?;
    for (browser, program) in BROWSERS {
        if find_program(program).is_none() {
            println!("  {browser} is not installed: sudo apt-get install {program}");
            continue;
        }
        let said = output(
            Command::new("node")
                .args(["client_start.mjs", if quick { "3" } else { "20" }])
                .current_dir(&scripts)
                .env("COMETQL_BINARY", target_dir().join("release/cometql"))
                .env("COMETQL_BROWSER", browser)
                .env("COMETQL_PACKAGE", package::dist()),
        )?;
        let figures: Vec<(String, f64)> =
            serde_json::from_str(&said).with_context(|| format!("no figures: {said}"))?;
        for (name, milliseconds) in figures {
            report.number(
                Kind::Cometql,
                format!("{browser}, {name}"),
                milliseconds,
                "ms",
            );
        }
    }
    Ok(())
}
