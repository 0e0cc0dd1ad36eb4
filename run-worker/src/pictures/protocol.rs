//! What the program `picture-reader` answers: a line of JSON, then the bytes of the picture, if there is one.

use serde::{Deserialize, Serialize};

use super::{MAX_EDGE, MAX_PIXELS};

/// Bytes of the line, with its end.
pub(super) const MAX_LINE_BYTES: usize = 1 << 10;

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Answer {
    /// The picture follows.
    Ready(Format),
    Refused(Refusal),
}

/// The formats that each model server reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Format {
    Jpeg,
    Png,
}

impl Format {
    pub(super) const fn media_type(self) -> &'static str {
        match self {
            Self::Jpeg => "image/jpeg",
            Self::Png => "image/png",
        }
    }
}

/// Why a model cannot be shown a picture. The words are for the caller who sent it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
pub enum Refusal {
    #[error("it is no PNG, JPEG, WebP or GIF picture; send one of these")]
    NotAPicture,
    #[error("the picture is damaged and cannot be read; send it again, or another one")]
    Damaged,
    #[error("this kind of picture cannot be read; save it as an ordinary PNG or JPEG, and send that")]
    Unsupported,
    #[error(
        "the picture has {width} × {height} pixels; at most {millions} million, and {edge} on an edge, are \
         possible; send a smaller picture",
        millions = MAX_PIXELS / 1_000_000,
        edge = MAX_EDGE
    )]
    TooManyPixels { width: u32, height: u32 },
    #[error("reading the picture takes too much memory; send a smaller picture")]
    TooMuchMemory,
    #[error("reading the picture takes too long; send a smaller picture")]
    TooSlow,
    #[error("the picture has so much detail that it stays too large; send a smaller picture")]
    TooDetailed,
}

impl Refusal {
    /// For metrics and the log.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::NotAPicture => "not_a_picture",
            Self::Damaged => "damaged",
            Self::Unsupported => "unsupported",
            Self::TooManyPixels { .. } => "too_many_pixels",
            Self::TooMuchMemory => "too_much_memory",
            Self::TooSlow => "too_slow",
            Self::TooDetailed => "too_detailed",
        }
    }
}
