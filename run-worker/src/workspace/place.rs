//! Paths as a model writes them: pure. They name places in the workspace, or files of the caller under `inputs/`.

use std::path::{Component, Path, PathBuf};

use crate::sandbox::policy::WORKSPACE;

const MAX_PATH_BYTES: usize = 4096;
const MAX_NAME_BYTES: usize = 255;
/// The directory of the caller's files.
pub(super) const INPUTS: &str = "inputs";

/// A place that a tool may look at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// In the workspace; empty for itself.
    Workspace(PathBuf),
    /// Among the caller's files, which nobody changes; empty for all of them.
    Inputs(PathBuf),
}

impl Place {
    /// Reads a path; what is wrong with it is told in words for the model.
    pub fn parse(text: &str) -> Result<Self, String> {
        let refused =
            |why: &str| Err(format!("The path {:?} {why}.", text.chars().take(100).collect::<String>()));
        if text.len() > MAX_PATH_BYTES {
            return refused("is longer than 4096 bytes");
        }
        if text.contains('\0') {
            return refused("holds a NUL character");
        }
        let given = Path::new(text);
        let relative = given.strip_prefix(WORKSPACE).unwrap_or(given);
        let mut path = PathBuf::new();
        for part in relative.components() {
            match part {
                Component::CurDir => {}
                Component::Normal(name) if name.len() > MAX_NAME_BYTES => {
                    return refused("has a name of more than 255 bytes");
                }
                Component::Normal(name) => path.push(name),
                Component::ParentDir => return refused("holds \"..\"; write it without"),
                Component::RootDir | Component::Prefix(_) => {
                    return refused("is not in the workspace; write it relative to /workspace");
                }
            }
        }
        Ok(match path.strip_prefix(INPUTS) {
            Ok(rest) => Self::Inputs(rest.to_owned()),
            Err(_) => Self::Workspace(path),
        })
    }

    /// For writing.
    pub fn writable(self) -> Result<PathBuf, String> {
        match self {
            Self::Workspace(path) if path.as_os_str().is_empty() => Err("The path names no file.".to_owned()),
            Self::Workspace(path) => Ok(path),
            Self::Inputs(_) => {
                Err("The files in inputs/ cannot be changed; write to another place.".to_owned())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_stay_in_the_workspace() {
        let workspace = |path: &str| Ok(Place::Workspace(path.into()));
        for (text, path) in [
            ("a.txt", "a.txt"),
            ("./a//b/", "a/b"),
            ("/workspace/a", "a"),
            ("/workspace", ""),
            ("inputsx", "inputsx"),
        ] {
            assert_eq!(Place::parse(text), workspace(path), "{text}");
        }
        assert_eq!(Place::parse("inputs/a.csv"), Ok(Place::Inputs("a.csv".into())));
        assert_eq!(Place::parse("/workspace/inputs"), Ok(Place::Inputs("".into())));
        for text in [
            "../x",
            "a/../../x",
            "/etc/passwd",
            "/workspacex/a",
            "a\0b",
            &"x".repeat(256),
            &"x/".repeat(3000),
        ] {
            assert!(Place::parse(text).is_err(), "{text}");
        }
        assert!(Place::parse("inputs/a").unwrap().writable().is_err());
        assert!(Place::parse(".").unwrap().writable().is_err());
    }
}
