//! Parses the paths that a model writes: paths in the workspace, and paths of the caller's files under
//! `inputs/`.

use std::path::{Component, Path, PathBuf};

use super::mounts::INSIDE;

const MAX_PATH_BYTES: usize = 4096;
const MAX_NAME_BYTES: usize = 255;
/// The directory of the caller's files.
pub(super) const INPUTS: &str = "inputs";

/// A path that a tool can read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum WorkspacePath {
    /// Relative to the workspace. Empty for the workspace itself.
    Workspace(PathBuf),
    /// Relative to `inputs/`, which is read-only. Empty for `inputs/` itself.
    Inputs(PathBuf),
}

impl WorkspacePath {
    /// The error is a sentence for the model.
    pub fn parse(text: &str) -> Result<Self, String> {
        let refused =
            |why: &str| Err(format!("The path {:?} {why}.", text.chars().take(100).collect::<String>()));
        if text.len() > MAX_PATH_BYTES {
            return refused("is longer than 4096 bytes");
        }
        if text.contains('\0') {
            return refused("contains a NUL character");
        }
        if text.contains("://") {
            return refused("is a URL and no file; fetch_url can fetch a page, if the app has that tool");
        }
        let given = Path::new(text);
        let relative = given.strip_prefix(INSIDE).unwrap_or(given);
        let mut path = PathBuf::new();
        for part in relative.components() {
            match part {
                Component::CurDir => {}
                Component::Normal(name) if name.len() > MAX_NAME_BYTES => {
                    return refused("has a name of more than 255 bytes");
                }
                Component::Normal(name) => path.push(name),
                Component::ParentDir => return refused("contains \"..\"; write it without"),
                Component::RootDir | Component::Prefix(_) => return refused(&outside(given)),
            }
        }
        Ok(match path.strip_prefix(INPUTS) {
            Ok(rest) => Self::Inputs(rest.to_owned()),
            Err(_) => Self::Workspace(path),
        })
    }

    /// The path in the workspace, if a tool may write to it.
    pub fn writable(self) -> Result<PathBuf, String> {
        match self {
            Self::Workspace(path) if path.as_os_str().is_empty() => {
                Err("The path names no file; give one like report.md.".to_owned())
            }
            Self::Workspace(path) => Ok(path),
            Self::Inputs(_) => Err("The files in inputs/ cannot be changed; write to a path outside of \
                                    inputs/, for example with the same name in the workspace itself."
                .to_owned()),
        }
    }
}

/// Directories that a command may write to, and whose files are gone after it.
const TEMPORARY: [&str; 3] = ["/tmp", "/var/tmp", "/dev/shm"];

/// Why a path is refused that begins with a slash and is not below the workspace.
fn outside(path: &Path) -> String {
    if let Some(dir) = TEMPORARY.into_iter().find(|dir| path.starts_with(dir)) {
        return format!(
            "is not in the workspace: {dir} does not last from one call to the next. Let the command write \
             to the workspace, its working directory, and give the path relative to it"
        );
    }
    let inputs = Path::new("/").join(INPUTS);
    if path.starts_with(&inputs) {
        return format!(
            "is not in the workspace; the caller's files are in {INPUTS}/, without a slash before"
        );
    }
    "is not in the workspace; write it relative to /workspace".to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_stay_in_the_workspace() {
        let workspace = |path: &str| Ok(WorkspacePath::Workspace(path.into()));
        for (text, path) in [
            ("a.txt", "a.txt"),
            ("./a//b/", "a/b"),
            ("/workspace/a", "a"),
            ("/workspace", ""),
            ("inputsx", "inputsx"),
        ] {
            assert_eq!(WorkspacePath::parse(text), workspace(path), "{text}");
        }
        assert_eq!(WorkspacePath::parse("inputs/a.csv"), Ok(WorkspacePath::Inputs("a.csv".into())));
        assert_eq!(WorkspacePath::parse("/workspace/inputs"), Ok(WorkspacePath::Inputs("".into())));
        for text in [
            "../x",
            "a/../../x",
            "/etc/passwd",
            "/workspacex/a",
            "a\0b",
            &"x".repeat(256),
            &"x/".repeat(3000),
        ] {
            assert!(WorkspacePath::parse(text).is_err(), "{text}");
        }
        for (text, said) in [
            ("/tmp/out.csv", "/tmp does not last"),
            ("/workspace/../tmp/x", "\"..\""),
            ("/inputs/a.csv", "are in inputs/"),
            ("/etc/passwd", "relative to /workspace"),
            ("https://example.org/a", "is a URL"),
        ] {
            assert!(WorkspacePath::parse(text).unwrap_err().contains(said), "{text}");
        }
        assert!(WorkspacePath::parse("inputs/a").unwrap().writable().is_err());
        assert!(WorkspacePath::parse(".").unwrap().writable().is_err());
    }
}
