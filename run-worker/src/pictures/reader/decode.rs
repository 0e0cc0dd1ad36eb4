//! Decodes a picture under limits.

use std::io::Cursor;

use image::codecs::gif::GifDecoder;
use image::codecs::jpeg::JpegDecoder;
use image::codecs::png::PngDecoder;
use image::codecs::webp::WebPDecoder;
use image::metadata::Orientation;
use image::{DynamicImage, ImageDecoder, ImageError, ImageFormat, Limits};

use super::super::protocol::{Format, Refusal};
use super::super::{MAX_EDGE, MAX_PIXELS};
use super::metadata::{Content, is_bare_png, jpeg_content};

/// What a decoder may allocate, the picture included. The process may have more, so that it can still answer.
const DECODER_BYTES: u64 = 440 << 20;

pub(super) struct Decoded {
    pub(super) picture: DynamicImage,
    /// How the picture must be turned to be upright. Model servers do not do it.
    pub(super) turn: Orientation,
    /// The format, if a model server can be sent the file itself.
    pub(super) sendable_as: Option<Format>,
}

/// Decodes a picture of any of the four formats, and of an animation the first frame.
pub(super) fn decode(bytes: &[u8]) -> Result<Decoded, Refusal> {
    let input = Cursor::new(bytes);
    match image::guess_format(bytes) {
        Ok(ImageFormat::Png) => {
            let decoder = PngDecoder::with_limits(input, limits())?;
            finish(decoder, Some(Format::Png).filter(|_| is_bare_png(bytes)))
        }
        Ok(ImageFormat::Jpeg) => {
            let content = jpeg_content(bytes).ok_or(Refusal::Damaged)?;
            finish(JpegDecoder::new(input)?, Some(Format::Jpeg).filter(|_| content == Content::Bare))
        }
        // Not every model server reads these.
        Ok(ImageFormat::WebP) => finish(WebPDecoder::new(input)?, None),
        Ok(ImageFormat::Gif) => finish(GifDecoder::new(input)?, None),
        _ => Err(Refusal::NotAPicture),
    }
}

fn finish(mut decoder: impl ImageDecoder, format: Option<Format>) -> Result<Decoded, Refusal> {
    let (width, height) = decoder.dimensions();
    if width.max(height) > MAX_EDGE || u64::from(width) * u64::from(height) > MAX_PIXELS {
        return Err(Refusal::TooManyPixels { width, height });
    }
    // A picture with damaged metadata is shown as it is stored.
    let turn = decoder.orientation().unwrap_or(Orientation::NoTransforms);
    let mut limits = limits();
    limits.reserve(decoder.total_bytes())?;
    decoder.set_limits(limits)?;
    let picture = DynamicImage::from_decoder(decoder)?;
    Ok(Decoded { picture, turn, sendable_as: format.filter(|_| turn == Orientation::NoTransforms) })
}

fn limits() -> Limits {
    let mut limits = Limits::no_limits();
    limits.max_alloc = Some(DECODER_BYTES);
    limits
}

impl From<ImageError> for Refusal {
    fn from(error: ImageError) -> Self {
        match error {
            ImageError::Limits(_) => Self::TooMuchMemory,
            ImageError::Unsupported(_) => Self::Unsupported,
            _ => Self::Damaged,
        }
    }
}
