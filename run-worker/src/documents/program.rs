//! The fixed programs that read documents.

use std::fmt::Write as _;

use super::DocumentKind;
use super::limits::PROGRAM_LIMITS;

const COMMON: &str = include_str!("common.py");
const OFFICE: &str = include_str!("office.py");
/// The file of the answer, in the program's workspace.
pub(super) const ANSWER: &str = "answer.json";
/// The document, in the program's inputs.
pub(super) const DOCUMENT: &str = "document";

pub(super) fn program(kind: DocumentKind) -> String {
    let parts: &[&str] = match kind {
        DocumentKind::Pdf => &[COMMON, include_str!("pdf.py")],
        DocumentKind::Xlsx => &[COMMON, OFFICE, include_str!("xlsx.py")],
        DocumentKind::Docx => &[COMMON, OFFICE, include_str!("docx.py")],
        DocumentKind::Pptx => &[COMMON, OFFICE, include_str!("pptx.py")],
    };
    let mut text = String::new();
    for (name, limit) in PROGRAM_LIMITS {
        let _ = writeln!(text, "{name} = {limit}");
    }
    for part in parts {
        text.push('\n');
        text.push_str(part);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::workspace::INSIDE;

    #[test]
    fn programs_know_their_limits_and_their_files() {
        for kind in DocumentKind::ALL {
            let program = program(kind);
            assert!(program.starts_with("SECONDS = 40\n") && program.ends_with("\nmain(read)\n"), "{kind}");
            assert!(program.contains(&format!("\"{INSIDE}/{ANSWER}\"")), "{kind}");
            assert!(program.contains(&format!("\"{INSIDE}/inputs/{DOCUMENT}\"")), "{kind}");
            assert!(program.lines().all(|line| line.chars().count() <= 110), "{kind}");
        }
    }
}
