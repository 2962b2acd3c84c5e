//! What the pages of the SDKs show must be what tests run: each of their examples stands, line by line, in a file that a
//! language's tests compile and run.

use std::path::Path;

use anyhow::{Context as _, ensure};

use crate::process::root;

/// Fails at the first example of `docs-site/sdks/LANGUAGE.md` that stands in no file of `sdks/LANGUAGE`.
pub(super) fn check(language: &str) -> anyhow::Result<()> {
    let page = root().join(format!("docs-site/sdks/{language}.md"));
    let page = std::fs::read_to_string(&page).with_context(|| page.display().to_string())?;
    let mut files = Vec::new();
    read_all(&root().join("sdks").join(language), &mut files)?;
    let examples = examples(&page, language);
    ensure!(
        !examples.is_empty(),
        "the page of {language} has no example"
    );
    for example in examples {
        ensure!(
            files.iter().any(|file| contains(file, &example)),
            "docs-site/sdks/{language}.md shows what no test of sdks/{language} runs:\n{}",
            example.join("\n")
        );
    }
    Ok(())
}

/// The blocks of the page in this language, as lines without indentation.
fn examples(page: &str, language: &str) -> Vec<Vec<String>> {
    let fence = format!("```{language}");
    let mut examples = Vec::new();
    let mut lines = page.lines();
    while let Some(line) = lines.next() {
        if line.trim() == fence {
            let block = lines.by_ref().take_while(|line| line.trim() != "```");
            examples.push(trimmed(block));
        }
    }
    examples
}

fn trimmed<'a>(lines: impl Iterator<Item = &'a str>) -> Vec<String> {
    let lines = lines.map(|line| line.trim().to_owned());
    lines.filter(|line| !line.is_empty()).collect()
}

fn contains(file: &[String], example: &[String]) -> bool {
    file.windows(example.len()).any(|lines| lines == example)
}

fn read_all(folder: &Path, files: &mut Vec<Vec<String>>) -> anyhow::Result<()> {
    for entry in std::fs::read_dir(folder).with_context(|| folder.display().to_string())? {
        let path = entry?.path();
        if path.is_dir() {
            read_all(&path, files)?;
        } else if path
            .extension()
            .is_some_and(|end| end == "kt" || end == "swift")
        {
            files.push(trimmed(std::fs::read_to_string(&path)?.lines()));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn examples_are_found_whatever_their_indentation() {
        let page = "Text\n\n```kotlin\nfun a() {\n    b()\n}\n```\n\n```sh\nls\n```\n";
        let examples = examples(page, "kotlin");
        assert_eq!(examples, [["fun a() {", "b()", "}"]]);
        let file = trimmed("class X {\n  fun a() {\n\n    b()\n  }\n}".lines());
        assert!(contains(&file, &examples[0]));
        assert!(!contains(
            &file,
            &["fun a() {".to_owned(), "c()".to_owned()]
        ));
    }

    #[test]
    fn the_pages_show_what_is_run() {
        for language in ["kotlin", "swift"] {
            check(language).unwrap();
        }
    }
}
