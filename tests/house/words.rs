//! Words for which the glossary of CONTRIBUTING.md has another one.

use std::fs;
use std::path::{Path, PathBuf};

/// Never right. The JSON of `premain status` and `premain plan` keeps its field `ledger`.
const WRONG: [&str; 5] = ["ledger", "way up", "way down", "ways up", "ways down"];

#[test]
fn one_word_is_used_for_one_thing() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut files = vec![root.join("README.md"), root.join("CONTRIBUTING.md")];
    for directory in ["src", "docs", "docker"] {
        find(&root.join(directory), &mut files);
    }
    assert!(files.len() > 100, "{} files are too few to be all", files.len());
    let mut found = Vec::new();
    for file in files {
        let text = fs::read_to_string(&file).unwrap().to_lowercase();
        let text = text.replace("\"ledger\"", "").replace("`ledger`", "");
        // A line may end within a term, and the next one begin as a comment.
        let words: Vec<_> =
            text.split_whitespace().filter(|word| !word.starts_with("//")).collect();
        let text = words.join(" ");
        let wrong = WRONG.iter().filter(|wrong| text.contains(*wrong));
        found.extend(wrong.map(|wrong| format!("{}: {wrong}", file.display())));
    }
    assert!(found.is_empty(), "{}", found.join("\n"));
}

/// Adds the Rust and Markdown files in `directory`, at any depth.
fn find(directory: &Path, files: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            find(&path, files);
        } else if path.extension().is_some_and(|ending| ending == "rs" || ending == "md") {
            files.push(path);
        }
    }
}
