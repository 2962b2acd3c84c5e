//! The documentation's examples: what the pages show is what runs.

use std::path::Path;
use std::process::Command;

use anyhow::Context as _;

use super::install;
use super::server::{KEY, Server};
use crate::process::root;

/// Pages whose examples run.
const PAGES: &[&str] = &["README.md", "docs-site/getting-started/README.md"];

/// A fenced block of a page.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Example {
    pub(super) language: String,
    pub(super) code: String,
}

impl Example {
    /// What the page that shows it promises: the text that the browser receives.
    pub(super) fn promise(&self) -> Option<&str> {
        let at = self.code.find("Hello from ")?;
        self.code[at..].split(['\'', '"']).next()
    }

    /// As a process against the server under test.
    pub(super) fn command(&self, server: &Server) -> anyhow::Result<Command> {
        let code = self.for_server(server);
        let folder = server.folder();
        Ok(match self.language.as_str() {
            "sql" => {
                let mut command = Command::new("mariadb");
                command
                    .args([
                        "--host=127.0.0.1",
                        "--protocol=tcp",
                        "--user=root",
                        "--skip-ssl",
                    ])
                    .arg(format!("--port={}", server.mysql.port()))
                    .args(["--execute", &code, "CometQL_v1"])
                    .env("MYSQL_PWD", KEY);
                command
            }
            "php" => with_file(Command::new("php"), &folder.join("example.php"), &code)?,
            "python" => {
                let python = Command::new(install::python()?);
                with_file(python, &folder.join("example.py"), &code)?
            }
            _ => {
                // Beside the packages, where Node looks for them.
                let file = install::node()?.join("example.mjs");
                with_file(Command::new("node"), &file, &code)?
            }
        })
    }

    fn for_server(&self, server: &Server) -> String {
        self.code
            .replace("YOUR_KEY", KEY)
            .replace("3307", &server.mysql.port().to_string())
            .replace("8087", &server.http.port().to_string())
    }
}

fn with_file(mut command: Command, file: &Path, code: &str) -> anyhow::Result<Command> {
    std::fs::write(file, code)?;
    command.arg(file);
    Ok(command)
}

/// The examples that send, of all pages.
pub(super) fn all() -> anyhow::Result<Vec<Example>> {
    let mut examples = Vec::new();
    for page in PAGES {
        let text =
            std::fs::read_to_string(root().join(page)).with_context(|| (*page).to_owned())?;
        examples.extend(
            fences(&text).into_iter().filter(|example| {
                ["sql", "php", "python", "js"].contains(&example.language.as_str())
            }),
        );
    }
    Ok(examples)
}

fn fences(page: &str) -> Vec<Example> {
    let mut found = Vec::new();
    let mut lines = page.lines();
    while let Some(line) = lines.next() {
        let Some(language) = line
            .strip_prefix("```")
            .filter(|language| !language.is_empty())
        else {
            continue;
        };
        let code: Vec<&str> = lines.by_ref().take_while(|line| *line != "```").collect();
        found.push(Example {
            language: language.to_owned(),
            code: code.join("\n"),
        });
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fences_are_found() {
        let found =
            fences("a\n```sql\nSELECT 1;\nSELECT 'Hello from x';\n```\nb\n```sh\nls\n```\n");
        let languages: Vec<_> = found
            .iter()
            .map(|example| example.language.as_str())
            .collect();
        assert_eq!(languages, ["sql", "sh"]);
        assert_eq!(found[0].promise(), Some("Hello from x"));
        assert_eq!(found[1].promise(), None);
    }

    #[test]
    fn every_language_of_the_pages_has_its_example() {
        let mut languages: Vec<_> = all().unwrap().into_iter().map(|one| one.language).collect();
        languages.sort();
        assert_eq!(languages, ["js", "php", "python", "sql"]);
        assert!(all().unwrap().iter().all(|one| one.promise().is_some()));
    }
}
