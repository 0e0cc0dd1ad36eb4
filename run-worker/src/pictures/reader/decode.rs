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
            let is_animated = decoder.is_apng()?;
            finish(decoder, Some(Format::Png).filter(|_| !is_animated))
        }
        Ok(ImageFormat::Jpeg) if !is_whole_jpeg(bytes) => Err(Refusal::Damaged),
        Ok(ImageFormat::Jpeg) => finish(JpegDecoder::new(input)?, Some(Format::Jpeg)),
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

/// Whether a JPEG goes on to its end marker. The decoder fills what is missing with grey, about which a model
/// would then speak.
pub(super) fn is_whole_jpeg(bytes: &[u8]) -> bool {
    // Not markers: data (0), fill bytes, and the markers without a length, which may be within the data.
    let is_marker = |pair: &[u8]| pair[0] == 0xFF && !matches!(pair[1], 0 | 1 | 0xD0..=0xD8 | 0xFF);
    let mut rest = bytes;
    while let Some(at) = rest.windows(2).position(is_marker) {
        if rest[at + 1] == 0xD9 {
            return true;
        }
        // The length counts its own two bytes. A thumbnail, which has an end marker too, is skipped.
        let [high, low] = [at + 2, at + 3].map(|at| rest.get(at).copied().unwrap_or_default());
        rest = rest.get(at + 2 + usize::from(u16::from_be_bytes([high, low]))..).unwrap_or_default();
    }
    false
}
