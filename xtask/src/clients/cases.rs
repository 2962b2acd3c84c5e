//! The texts that every client must bring to the browser unchanged.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::Context as _;

/// Where the texts are for the clients, and the texts.
pub(super) struct Files {
    pub(super) json: PathBuf,
    /// One a line, for clients without a JSON reader.
    pub(super) base64: PathBuf,
    pub(super) texts: Vec<String>,
}

/// Writes the texts into a folder.
pub(super) fn write(folder: &Path) -> anyhow::Result<Files> {
    let texts = texts();
    let json = folder.join("cases.json");
    std::fs::write(&json, serde_json::to_string(&texts)?)?;
    let base64 = folder.join("cases.base64");
    let lines: anyhow::Result<Vec<String>> = texts.iter().map(|text| encode(text)).collect();
    std::fs::write(&base64, lines?.join("\n"))?;
    Ok(Files {
        json,
        base64,
        texts,
    })
}

/// Quotes, backslashes, JSON with escapes, line breaks, other scripts, placeholders, comments, and 300 KB.
fn texts() -> Vec<String> {
    let mut texts: Vec<String> = [
        "plain",
        r#"it's "quoted" and `ticked` and ''doubled''"#,
        r"a\b \' \\ ends in one \",
        r#"{"a":"it's","b":"x\ny \u0441 \"q\" \\","c":[1,2.50,null]}"#,
        r#"[1, "two", {"three": "\/"}]"#,
        r#"{"not": "JSON",}"#,
        "line\nfeed\ttab\rreturn",
        "emoji 🎉 кириллица 中文",
        "? :name %s %(x)s %% -- no comment /* */ # ; $1 @@x",
    ]
    .map(str::to_owned)
    .into();
    texts.push("é\\'\"{}\u{1f389} ".repeat(300 * 1024 / 12));
    texts
}

fn encode(text: &str) -> anyhow::Result<String> {
    let mut child = Command::new("base64")
        .arg("--wrap=0")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .context("base64 is part of coreutils")?;
    let mut input = child.stdin.take().context("asked for")?;
    let bytes = text.as_bytes().to_vec();
    let writer = std::thread::spawn(move || input.write_all(&bytes));
    let output = child.wait_with_output()?;
    writer.join().ok().context("the writer ended")??;
    Ok(String::from_utf8(output.stdout)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_files_hold_the_texts() {
        let folder = tempfile::tempdir().unwrap();
        let files = write(folder.path()).unwrap();
        let json: Vec<String> =
            serde_json::from_str(&std::fs::read_to_string(&files.json).unwrap()).unwrap();
        assert_eq!(json, files.texts);
        let lines = std::fs::read_to_string(&files.base64).unwrap();
        assert_eq!(lines.lines().count(), files.texts.len());
        assert_eq!(lines.lines().next(), Some("cGxhaW4="));
        assert!(files.texts.iter().any(|text| text.len() > 300_000));
    }
}
