use std::io::Cursor;

use image::codecs::gif::GifEncoder;
use image::{DynamicImage, GenericImageView, ImageFormat, Rgb, RgbImage, Rgba, RgbaImage};

use super::metadata::{Content, is_bare_png, jpeg_content};
use super::*;
use crate::pictures::MAX_READY_BYTES;

/// Left half red, right half blue.
fn halves(width: u32, height: u32) -> DynamicImage {
    let color = |x: u32| if x < width / 2 { Rgb([255, 0, 0]) } else { Rgb([0, 0, 255]) };
    RgbImage::from_fn(width, height, |x, _| color(x)).into()
}

/// Pixels that no format can compress.
fn noise(width: u32, height: u32) -> DynamicImage {
    let mut state = 1_u32;
    let mut next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        state.to_be_bytes()[0]
    };
    RgbImage::from_fn(width, height, |_, _| Rgb([next(), next(), next()])).into()
}

fn file(picture: &DynamicImage, format: ImageFormat) -> Vec<u8> {
    let mut bytes = Cursor::new(Vec::new());
    picture.write_to(&mut bytes, format).unwrap();
    bytes.into_inner()
}

fn ready(bytes: &[u8]) -> Ready {
    make_ready(bytes.to_vec()).unwrap_or_else(|refusal| panic!("{refusal}"))
}

fn refused(bytes: &[u8]) -> &'static str {
    make_ready(bytes.to_vec()).map_or_else(|refusal| refusal.name(), |_| "ready")
}

/// The JPEG with an Exif block that asks to turn it.
fn turned(jpeg: &[u8], orientation: u8) -> Vec<u8> {
    let mut exif = b"Exif\0\0MM\0\x2a\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0".to_vec();
    exif.extend([orientation, 0, 0, 0, 0, 0, 0]);
    let mut bytes = jpeg[..2].to_vec();
    bytes.extend([0xFF, 0xE1, 0]);
    bytes.push(u8::try_from(exif.len() + 2).unwrap());
    bytes.extend(exif);
    bytes.extend(&jpeg[2..]);
    bytes
}

#[test]
fn a_small_picture_is_sent_as_it_came() {
    for (format, as_sent) in [(ImageFormat::Png, Format::Png), (ImageFormat::Jpeg, Format::Jpeg)] {
        let bytes = file(&halves(40, 20), format);
        let ready = ready(&bytes);
        assert!(ready.format == as_sent && ready.bytes == bytes, "{format:?}");
    }
}

#[test]
fn a_large_picture_is_made_smaller_and_always_the_same() {
    for (width, height, expected) in [
        (4000, 1000, (1568, 392)),
        (1600, 3200, (784, 1568)),
        (1568, 1569, (1567, 1568)),
        (9000, 1, (1568, 1)),
    ] {
        let bytes = file(&halves(width, height), ImageFormat::Png);
        let first = ready(&bytes);
        let picture = image::load_from_memory(&first.bytes).unwrap();
        assert_eq!((first.format, picture.dimensions()), (Format::Jpeg, expected));
        assert_eq!(first.bytes, ready(&bytes).bytes);
    }
    let bytes = file(&noise(1568, 1568), ImageFormat::Png);
    assert!(bytes.len() > MAX_READY_BYTES);
    assert!(ready(&bytes).bytes.len() <= MAX_READY_BYTES, "noise too");
}

#[test]
fn a_photo_is_turned_upright() {
    let jpeg = file(&halves(400, 200), ImageFormat::Jpeg);
    let ready = ready(&turned(&jpeg, 6));
    let picture = image::load_from_memory(&ready.bytes).unwrap().into_rgb8();
    assert_eq!(picture.dimensions(), (200, 400));
    let (top, bottom) = (picture.get_pixel(100, 20).0, picture.get_pixel(100, 380).0);
    assert!(top[0] > 200 && top[2] < 50 && bottom[2] > 200 && bottom[0] < 50, "{top:?} {bottom:?}");
}

#[test]
fn transparent_places_stay_and_formats_that_some_servers_lack_are_replaced() {
    let mut pixels = RgbaImage::from_pixel(30, 30, Rgba([9, 9, 9, 255]));
    let opaque = ready(&file(&pixels.clone().into(), ImageFormat::WebP));
    assert_eq!(opaque.format, Format::Jpeg);
    pixels.put_pixel(3, 3, Rgba([9, 9, 9, 0]));
    let transparent = ready(&file(&pixels.into(), ImageFormat::WebP));
    assert_eq!(transparent.format, Format::Png);
    let picture = image::load_from_memory(&transparent.bytes).unwrap().into_rgba8();
    assert_eq!((picture.get_pixel(3, 3).0[3], picture.get_pixel(4, 4).0), (0, [9, 9, 9, 255]));
}

#[test]
fn the_first_frame_of_an_animation_is_shown() {
    let frame = |color: [u8; 4]| image::Frame::new(RgbaImage::from_pixel(20, 20, Rgba(color)));
    let mut bytes = Vec::new();
    let mut encoder = GifEncoder::new(&mut bytes);
    encoder.encode_frames([frame([255, 0, 0, 255]), frame([0, 0, 255, 255])]).unwrap();
    drop(encoder);
    let picture = image::load_from_memory(&ready(&bytes).bytes).unwrap().into_rgb8();
    let [red, _, blue] = picture.get_pixel(10, 10).0;
    assert!(red > 200 && blue < 50, "{red} {blue}");
}

#[test]
fn what_is_cut_or_no_picture_is_refused() {
    for format in [ImageFormat::Png, ImageFormat::Jpeg, ImageFormat::WebP, ImageFormat::Gif] {
        let bytes = file(&noise(90, 90), format);
        assert_eq!(refused(&bytes), "ready", "{format:?}");
        assert_eq!(refused(&bytes[..bytes.len() / 2]), "damaged", "{format:?}");
        assert_eq!(refused(&bytes[..12]), "damaged", "{format:?}");
    }
    for other in [&b""[..], b"a,b\n1,2\n", b"BM\x1a\0\0\0", b"II*\0\x08\0\0\0", b"%PDF-1.7\n"] {
        assert_eq!(refused(other), "not_a_picture", "{}", other.escape_ascii());
    }
}

#[test]
fn the_end_of_a_jpeg_is_behind_its_data() {
    let jpeg = file(&noise(64, 64), ImageFormat::Jpeg);
    assert_eq!(jpeg_content(&jpeg), Some(Content::Bare));
    let followed = [&jpeg[..], b"trailing bytes"].concat();
    assert_eq!(jpeg_content(&followed), Some(Content::WithMetadata));
    assert_eq!(jpeg_content(&jpeg[..jpeg.len() - 2]), None);
    // A thumbnail has an end marker of its own.
    let mut with_thumbnail = vec![0xFF, 0xD8, 0xFF, 0xE1, 0, 6, 1, 2, 0xFF, 0xD9];
    with_thumbnail.extend(&jpeg[2..jpeg.len() - 2]);
    assert_eq!(jpeg_content(&with_thumbnail), None);
    for cut in [&b""[..], b"\xff", b"\xff\xd8", b"\xff\xd8\xff\xe0", b"\xff\xd8\xff\xe0\xff\xff"] {
        assert_eq!(jpeg_content(cut), None);
    }
}

/// A segment of a JPEG, or a chunk of a PNG.
fn with_block(bytes: &[u8], at: usize, block: &[u8]) -> Vec<u8> {
    [&bytes[..at], block, &bytes[at..]].concat()
}

#[test]
fn the_model_server_does_not_get_metadata() {
    let secret = b"the photographer's address";
    let jpeg = file(&halves(40, 20), ImageFormat::Jpeg);
    let segment = |marker: u8, name: &[u8]| {
        let data = [name, secret].concat();
        let length = u16::try_from(data.len() + 2).unwrap().to_be_bytes();
        with_block(&jpeg, 2, &[&[0xFF, marker][..], &length, &data].concat())
    };
    assert_eq!(jpeg_content(&jpeg), Some(Content::Bare));
    let png = file(&halves(40, 20), ImageFormat::Png);
    let chunk = |kind: &[u8], at: usize| {
        let named = [kind, secret].concat();
        let length = u32::try_from(secret.len()).unwrap().to_be_bytes();
        with_block(&png, at, &[&length[..], &named, &crc32fast::hash(&named).to_be_bytes()].concat())
    };
    // Behind the header, whose chunk has 25 bytes, and before the end, whose chunk has 12.
    let (start, end) = (8 + 25, png.len() - 12);
    assert!(is_bare_png(&png) && is_bare_png(&chunk(b"IDAT", end)));
    for with_metadata in [
        segment(0xE1, b"Exif\0\0"),
        segment(0xE1, b"http://ns.adobe.com/xap/1.0/\0"),
        segment(0xE2, b"MPF\0"),
        segment(0xE2, b"ICC_PROFILE\0\x01\x01"),
        segment(0xED, b"Photoshop 3.0\0"),
        segment(0xFE, b""),
        [&jpeg[..], secret].concat(),
        chunk(b"eXIf", start),
        chunk(b"iCCP", start),
        chunk(b"eXIf", end),
        chunk(b"tEXt", end),
        [&png[..], secret].concat(),
    ] {
        let sent = ready(&with_metadata).bytes;
        assert!(!sent.windows(secret.len()).any(|part| part == secret), "{}", with_metadata.escape_ascii());
    }
}
