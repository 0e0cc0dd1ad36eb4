//! The fenced blocks of a Markdown file.

use std::path::PathBuf;

/// A fenced block.
#[derive(Debug, Clone)]
pub(super) struct Block {
    pub(super) language: String,
    /// What follows the language.
    pub(super) marks: Vec<String>,
    pub(super) text: String,
    /// Of the fence.
    pub(super) line: usize,
}

impl Block {
    pub(super) fn is_skipped(&self) -> bool {
        self.marks.iter().any(|mark| mark == "skip")
    }
}

/// The folder of the repository.
pub(super) fn root() -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../..")).canonicalize().unwrap()
}

/// The names of all guides.
pub(super) fn names() -> Vec<String> {
    let files = std::fs::read_dir(root().join("docs/guides")).unwrap();
    let names = files.map(|file| file.unwrap().path().file_stem().unwrap().to_str().unwrap().to_owned());
    let names: Vec<_> = names.collect();
    assert!(names.len() > 8, "the guides are read");
    names
}

/// The text of a guide.
pub(super) fn source_of(guide: &str) -> String {
    source_at(&format!("docs/guides/{guide}.md"))
}

/// The text of a file of the repository.
pub(super) fn source_at(path: &str) -> String {
    std::fs::read_to_string(root().join(path)).unwrap()
}

pub(super) fn blocks_of(markdown: &str) -> Vec<Block> {
    let mut blocks = Vec::new();
    let mut lines = markdown.lines().enumerate();
    while let Some((at, line)) = lines.next() {
        let Some(info) = line.strip_prefix("```") else { continue };
        let mut words = info.split_whitespace().map(str::to_owned);
        let language = words.next().unwrap_or_default();
        let text = lines.by_ref().map(|(_, line)| line).take_while(|line| *line != "```");
        let text = text.fold(String::new(), |text, line| text + line + "\n");
        blocks.push(Block { language, marks: words.collect(), text, line: at + 1 });
    }
    blocks
}
