//! The kinds of documents that can be read as text.

use std::fmt;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DocumentKind {
    Pdf,
    Xlsx,
    Docx,
    Pptx,
}

impl DocumentKind {
    pub const ALL: [Self; 4] = [Self::Pdf, Self::Xlsx, Self::Docx, Self::Pptx];

    /// The kind of this media type. Parameters and variants with macros or for templates are ignored.
    #[must_use]
    pub fn of(media_type: &str) -> Option<Self> {
        let essence = media_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
        Some(match essence.as_str() {
            "application/pdf" | "application/x-pdf" => Self::Pdf,
            "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"
            | "application/vnd.openxmlformats-officedocument.spreadsheetml.template"
            | "application/vnd.ms-excel.sheet.macroenabled.12"
            | "application/vnd.ms-excel.template.macroenabled.12" => Self::Xlsx,
            "application/vnd.openxmlformats-officedocument.wordprocessingml.document"
            | "application/vnd.openxmlformats-officedocument.wordprocessingml.template"
            | "application/vnd.ms-word.document.macroenabled.12"
            | "application/vnd.ms-word.template.macroenabled.12" => Self::Docx,
            "application/vnd.openxmlformats-officedocument.presentationml.presentation"
            | "application/vnd.openxmlformats-officedocument.presentationml.slideshow"
            | "application/vnd.openxmlformats-officedocument.presentationml.template"
            | "application/vnd.ms-powerpoint.presentation.macroenabled.12"
            | "application/vnd.ms-powerpoint.slideshow.macroenabled.12" => Self::Pptx,
            _ => return None,
        })
    }

    /// The kind of a file with this extension.
    #[must_use]
    pub fn of_extension(extension: &str) -> Option<Self> {
        Some(match extension.to_ascii_lowercase().as_str() {
            "pdf" => Self::Pdf,
            "xlsx" | "xlsm" | "xltx" | "xltm" => Self::Xlsx,
            "docx" | "docm" | "dotx" | "dotm" => Self::Docx,
            "pptx" | "pptm" | "ppsx" | "ppsm" | "potx" => Self::Pptx,
            _ => return None,
        })
    }

    /// The label of the metric.
    pub(super) const fn label(self) -> &'static str {
        match self {
            Self::Pdf => "pdf",
            Self::Xlsx => "xlsx",
            Self::Docx => "docx",
            Self::Pptx => "pptx",
        }
    }
}

impl fmt::Display for DocumentKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Pdf => "PDF",
            Self::Xlsx => "XLSX",
            Self::Docx => "DOCX",
            Self::Pptx => "PPTX",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_are_found_by_type_and_by_name() {
        assert_eq!(DocumentKind::of("Application/PDF; version=1.7"), Some(DocumentKind::Pdf));
        assert_eq!(
            DocumentKind::of("application/vnd.ms-excel.sheet.macroEnabled.12"),
            Some(DocumentKind::Xlsx)
        );
        for other in ["application/msword", "application/vnd.ms-excel", "text/csv", "application/zip", ""] {
            assert_eq!(DocumentKind::of(other), None, "{other}");
        }
        assert_eq!(DocumentKind::of_extension("DOCX"), Some(DocumentKind::Docx));
        assert_eq!(DocumentKind::of_extension("doc"), None);
    }
}
