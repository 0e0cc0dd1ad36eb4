//! Reads the files of the local search.

use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use chrono::{DateTime, Utc};
use url::Url;

use super::html;

/// Bounds of the index: with its texts it takes about three times as much memory.
const MAX_FILES: usize = 5000;
const MAX_ALL_BYTES: usize = 32 << 20;
/// The rest of a longer file is not searched.
const MAX_FILE_BYTES: u64 = 1 << 20;
const MAX_DEPTH: usize = 16;
/// Entries of directories that are looked at.
const MAX_ENTRIES: usize = 100_000;

/// A page that the operator serves.
#[derive(Debug)]
pub(super) struct LocalPage {
    pub(super) url: Url,
    pub(super) title: String,
    pub(super) text: String,
    pub(super) changed_at: DateTime<Utc>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Markdown,
    Html,
    Text,
}

impl Kind {
    fn of(path: &Path) -> Option<Self> {
        match path.extension().and_then(OsStr::to_str)?.to_ascii_lowercase().as_str() {
            "md" => Some(Self::Markdown),
            "html" | "htm" => Some(Self::Html),
            "txt" => Some(Self::Text),
            _ => None,
        }
    }
}

/// The pages below a directory, in the order of their paths, and how many files did not fit. Files and
/// directories whose names begin with a dot, and symbolic links, are not read.
pub(super) fn read(dir: &Path, base_url: &Url) -> io::Result<(Vec<LocalPage>, usize)> {
    let paths = paths(dir)?;
    let (mut pages, mut left_out, mut bytes) = (Vec::new(), 0, 0);
    for path in &paths {
        if pages.len() >= MAX_FILES || bytes >= MAX_ALL_BYTES {
            left_out += 1;
            continue;
        }
        match page(dir, path, base_url) {
            Ok(page) => {
                bytes += page.text.len();
                pages.push(page);
            }
            Err(error) => {
                let path = path.display();
                tracing::warn!(%path, %error, "failed to read a file of the local search; it is left out");
            }
        }
    }
    Ok((pages, left_out))
}

/// Fails if the directory itself cannot be read. Directories in it that cannot be read are left out.
fn paths(dir: &Path) -> io::Result<Vec<PathBuf>> {
    let mut all = Paths { found: Vec::new(), open: Vec::new(), entries: 0 };
    all.look_into(dir, 0)?;
    while let Some((dir, depth)) = all.open.pop() {
        if all.entries > MAX_ENTRIES {
            tracing::warn!("the local search has too many files and directories; some are left out");
            break;
        }
        if let Err(error) = all.look_into(&dir, depth) {
            let path = dir.display();
            tracing::warn!(%path, %error, "failed to read a directory of the local search; it is left out");
        }
    }
    all.found.sort();
    Ok(all.found)
}

/// The files that were found, and the directories to look into.
struct Paths {
    found: Vec<PathBuf>,
    open: Vec<(PathBuf, usize)>,
    entries: usize,
}

impl Paths {
    fn look_into(&mut self, dir: &Path, depth: usize) -> io::Result<()> {
        for entry in std::fs::read_dir(dir)? {
            let entry = entry?;
            self.entries += 1;
            if self.entries > MAX_ENTRIES {
                break;
            }
            let (path, kind) = (entry.path(), entry.file_type()?);
            if entry.file_name().as_encoded_bytes().starts_with(b".") {
                continue;
            }
            if kind.is_dir() && depth < MAX_DEPTH {
                self.open.push((path, depth + 1));
            } else if kind.is_file() && Kind::of(&path).is_some() {
                self.found.push(path);
            }
        }
        Ok(())
    }
}

fn page(dir: &Path, path: &Path, base_url: &Url) -> io::Result<LocalPage> {
    let no_text = || io::Error::new(io::ErrorKind::InvalidData, "its name is not UTF-8");
    let relative = path.strip_prefix(dir).ok().and_then(Path::to_str).ok_or_else(no_text)?;
    let file = File::open(path)?;
    let changed_at = file.metadata()?.modified()?.into();
    let mut bytes = Vec::new();
    file.take(MAX_FILE_BYTES).read_to_end(&mut bytes)?;
    let text = String::from_utf8_lossy(&bytes);
    let stem = path.file_stem().and_then(OsStr::to_str).unwrap_or_default();
    let (title, text) = match Kind::of(path) {
        Some(Kind::Html) => html::title_and_text(&text),
        Some(Kind::Markdown) => (heading(&text).to_owned(), text.into_owned()),
        Some(Kind::Text) | None => (String::new(), text.into_owned()),
    };
    let title = if title.trim().is_empty() { stem.to_owned() } else { title };
    Ok(LocalPage { url: url_of(base_url, relative), title, text, changed_at })
}

/// The first heading of a Markdown text.
fn heading(text: &str) -> &str {
    text.lines().find_map(|line| line.strip_prefix("# ")).unwrap_or_default()
}

fn url_of(base_url: &Url, relative: &str) -> Url {
    let mut url = base_url.clone();
    if let Ok(mut segments) = url.path_segments_mut() {
        segments.pop_if_empty().extend(relative.split('/'));
    }
    url
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_become_pages_with_titles_and_addresses() {
        let dir = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| {
            let path = dir.path().join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        };
        write("a b.md", "Intro\n# Solar power\nPanels.");
        write("deep/er/page.html", "<title>Wind &amp; water</title><p>Mills");
        write("notes.TXT", "Only text.");
        write("data.csv", "no page");
        write(".hidden/x.md", "hidden");
        std::os::unix::fs::symlink("/etc/hosts", dir.path().join("link.txt")).unwrap();
        let base = Url::parse("http://127.0.0.1:8000/docs/").unwrap();
        let (pages, left_out) = read(dir.path(), &base).unwrap();
        let shown: Vec<_> = pages.iter().map(|page| (page.url.as_str(), page.title.as_str())).collect();
        assert_eq!(
            shown,
            [
                ("http://127.0.0.1:8000/docs/a%20b.md", "Solar power"),
                ("http://127.0.0.1:8000/docs/deep/er/page.html", "Wind & water"),
                ("http://127.0.0.1:8000/docs/notes.TXT", "notes"),
            ]
        );
        assert_eq!((pages[1].text.trim(), left_out), ("Mills", 0));
        assert!(read(&dir.path().join("none"), &base).is_err());
    }

    #[test]
    fn a_directory_that_cannot_be_read_is_left_out() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("a.txt"), "a").unwrap();
        let closed = dir.path().join("lost+found");
        std::fs::create_dir(&closed).unwrap();
        let mode = |mode| std::os::unix::fs::PermissionsExt::from_mode(mode);
        std::fs::set_permissions(&closed, mode(0)).unwrap();
        assert_eq!(paths(dir.path()).unwrap(), [dir.path().join("a.txt")]);
        std::fs::set_permissions(&closed, mode(0o700)).unwrap();
    }
}
