//! What commands find in the sandbox: kit.json of the Python environment, which deploy/sandbox/kit.py wrote.
//! The descriptions of the tools `shell` and `python` are made from it.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use serde::Deserialize;

/// The file is 10 KB.
const MAX_BYTES: u64 = 256 << 10;

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Kit {
    /// The version of Python.
    python: String,
    packages: Vec<Package>,
    programs: Vec<Part>,
    fonts: Vec<Part>,
    /// The font for PDFs, inside.
    pdf_font: Option<String>,
}

/// A Python package.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
struct Package {
    /// As a script imports it.
    name: String,
    purpose: String,
}

/// Programs or a font of the machine.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
struct Part {
    name: String,
    path: PathBuf,
    purpose: String,
}

impl Kit {
    /// Reads the kit of a Python environment. Leaves out what this machine does not have: another one may
    /// have prepared the environment. Returns none if there is no kit, which is logged.
    pub(super) fn read(python: &Path) -> Option<Self> {
        let path = python.join("kit.json");
        let mut text = String::new();
        let gauge = metrics::gauge!("capi_sandbox_kit_read");
        gauge.set(0.0);
        let read = File::open(&path).and_then(|file| file.take(MAX_BYTES).read_to_string(&mut text));
        let kit = read.and_then(|_| Ok(serde_json::from_str::<Self>(&text)?));
        let mut kit = kit
            .inspect_err(|error| {
                let path = path.display();
                tracing::warn!(%error, %path, "failed to read the kit of the sandbox");
            })
            .ok()?;
        for parts in [&mut kit.programs, &mut kit.fonts] {
            parts.retain(|part| part.path.exists());
        }
        gauge.set(1.0);
        Some(kit)
    }

    /// "Python 3.11.2 with numpy (arrays), …"
    pub(crate) fn packages(&self) -> String {
        let packages = self.packages.iter().map(|one| named(&one.name, &one.purpose));
        format!("Python {} with {}", self.python, packages.collect::<Vec<_>>().join(", "))
    }

    /// "pdftotext, pdfinfo (PDF as text), …", or none.
    pub(crate) fn programs(&self) -> Option<String> {
        list(&self.programs)
    }

    /// "DejaVu Sans (Latin, Greek), …", or none.
    pub(crate) fn fonts(&self) -> Option<String> {
        list(&self.fonts)
    }

    pub(crate) fn pdf_font(&self) -> Option<&str> {
        self.pdf_font.as_deref()
    }
}

fn list(parts: &[Part]) -> Option<String> {
    let listed: Vec<_> = parts.iter().map(|part| named(&part.name, &part.purpose)).collect();
    (!listed.is_empty()).then(|| listed.join(", "))
}

fn named(name: &str, purpose: &str) -> String {
    if purpose.is_empty() { name.to_owned() } else { format!("{name} ({purpose})") }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// As kit.py writes it, with two programs of which this machine has one.
    const WRITTEN: &str = r#"{
        "kit": "core", "python": "3.11.2", "fallback": ["DejaVu Sans"],
        "packages": [
            {"name": "numpy", "package": "numpy", "version": "2.4.6", "purpose": "arrays"},
            {"name": "docx", "package": "python-docx", "version": "1.2.0", "purpose": "DOCX"}
        ],
        "programs": [
            {"name": "bash, sh", "path": "/bin/sh", "purpose": ""},
            {"name": "rg", "path": "/nowhere/rg", "purpose": "search in files"}
        ],
        "fonts": [{"name": "Any", "path": "/bin/sh", "purpose": "Latin"}],
        "pdf_font": "/opt/python/fonts/cjk.ttf"
    }"#;

    pub(crate) fn kit() -> Kit {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("kit.json"), WRITTEN).unwrap();
        Kit::read(dir.path()).unwrap()
    }

    #[test]
    fn the_kit_is_what_the_machine_has_of_the_file() {
        let kit = kit();
        assert_eq!(kit.packages(), "Python 3.11.2 with numpy (arrays), docx (DOCX)");
        assert_eq!(kit.programs().unwrap(), "bash, sh");
        assert_eq!(kit.fonts().unwrap(), "Any (Latin)");
        assert_eq!(kit.pdf_font(), Some("/opt/python/fonts/cjk.ttf"));
    }

    #[test]
    fn an_environment_without_a_kit_can_be_used() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(Kit::read(dir.path()), None);
        std::fs::write(dir.path().join("kit.json"), "{").unwrap();
        assert_eq!(Kit::read(dir.path()), None);
    }
}
