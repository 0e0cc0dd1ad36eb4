//! Makes a decoded picture as small as model servers need it.

use image::codecs::jpeg::JpegEncoder;
use image::codecs::png::{CompressionType, FilterType, PngEncoder};
use image::imageops::FilterType as Filter;
use image::metadata::Orientation;
use image::{DynamicImage, RgbImage};

use super::super::protocol::{Format, Refusal};
use super::super::{EDGE, MAX_READY_BYTES};
use super::Ready;

/// The qualities of JPEG. The first that makes the picture small enough is used. Noise needs the others.
const QUALITIES: [u8; 3] = [85, 60, 30];

/// An upright picture of 8 bits a channel, whose longer edge has at most [`EDGE`] pixels.
pub(super) fn shrink(mut picture: DynamicImage, turn: Orientation) -> DynamicImage {
    // First with averages, which need little memory, then with a filter that keeps small print readable.
    if longer_edge(&picture) > 2 * EDGE {
        picture = picture.thumbnail(2 * EDGE, 2 * EDGE);
    }
    picture = if picture.has_alpha() { picture.into_rgba8().into() } else { picture.into_rgb8().into() };
    if longer_edge(&picture) > EDGE {
        picture = picture.resize(EDGE, EDGE, Filter::CatmullRom);
    }
    picture.apply_orientation(turn);
    picture
}

fn longer_edge(picture: &DynamicImage) -> u32 {
    picture.width().max(picture.height())
}

/// PNG for a picture with transparent places if that is small enough, else JPEG.
pub(super) fn encode(picture: DynamicImage) -> Result<Ready, Refusal> {
    if is_transparent(&picture) {
        let mut bytes = Vec::new();
        let encoder =
            PngEncoder::new_with_quality(&mut bytes, CompressionType::Default, FilterType::Adaptive);
        picture.write_with_encoder(encoder)?;
        if bytes.len() <= MAX_READY_BYTES {
            return Ok(Ready { format: Format::Png, bytes });
        }
    }
    let picture = on_white(picture);
    for quality in QUALITIES {
        let mut bytes = Vec::new();
        let encoder = JpegEncoder::new_with_quality(&mut bytes, quality);
        picture.write_with_encoder(encoder)?;
        if bytes.len() <= MAX_READY_BYTES {
            return Ok(Ready { format: Format::Jpeg, bytes });
        }
    }
    Err(Refusal::TooDetailed)
}

fn is_transparent(picture: &DynamicImage) -> bool {
    picture.as_rgba8().is_some_and(|pixels| pixels.pixels().any(|pixel| pixel.0[3] < u8::MAX))
}

/// The picture without transparent places: JPEG has none.
fn on_white(picture: DynamicImage) -> DynamicImage {
    let DynamicImage::ImageRgba8(pixels) = picture else { return picture };
    let mut flat = RgbImage::new(pixels.width(), pixels.height());
    for (to, from) in flat.pixels_mut().zip(pixels.pixels()) {
        let [red, green, blue, alpha] = from.0;
        to.0 = [red, green, blue].map(|channel| blend(channel, alpha));
    }
    flat.into()
}

fn blend(channel: u8, alpha: u8) -> u8 {
    let [channel, alpha, white] = [channel, alpha, u8::MAX].map(u16::from);
    u8::try_from((channel * alpha + white * (white - alpha)) / white).unwrap_or(u8::MAX)
}
