//! Pictures and the real program `picture-reader`: hostile ones, large ones, and what the model is sent.

mod runs;
mod shown;

use std::io::Cursor;
use std::path::Path;
use std::time::Duration;

use base64::prelude::{BASE64_STANDARD, Engine};
use image::{DynamicImage, GenericImageView, ImageFormat, Rgb, RgbImage};
use model_client::Picture;
use run_worker::pictures::{EDGE, PictureError, Pictures};
use shared::ids::UserId;

fn pictures() -> Pictures {
    Pictures::new(env!("CARGO_BIN_EXE_picture-reader").into())
}

/// Reads a picture of an account without others.
async fn read(pictures: &Pictures, bytes: &[u8]) -> Result<Picture, PictureError> {
    pictures.turn(UserId::generate(), &[bytes.len() as u64]).await?.of_bytes(bytes.to_vec()).await
}

fn picture(width: u32, height: u32, format: ImageFormat) -> Vec<u8> {
    let channel = |of: u32| of.to_le_bytes()[0];
    let pixels = RgbImage::from_fn(width, height, |x, y| Rgb([channel(x), channel(y), channel(x + y)]));
    let mut bytes = Cursor::new(Vec::new());
    DynamicImage::from(pixels).write_to(&mut bytes, format).unwrap();
    bytes.into_inner()
}

/// The outcome of a refused picture, and the words of its error.
async fn refused(bytes: &[u8]) -> (&'static str, String) {
    let error = read(&pictures(), bytes).await.map(|read| read.media_type).unwrap_err();
    (error.outcome(), error.to_string())
}

fn chunk(kind: &str, data: &[u8]) -> Vec<u8> {
    let named = [kind.as_bytes(), data].concat();
    let length = u32::try_from(data.len()).unwrap().to_be_bytes();
    [&length[..], &named, &crc32fast::hash(&named).to_be_bytes()].concat()
}

/// A PNG of so many pixels of 64 bits. Its few bytes of data are the beginning of an endless row of zeros.
fn png_bomb(width: u32, height: u32) -> Vec<u8> {
    let header = [&width.to_be_bytes()[..], &height.to_be_bytes(), &[16, 6, 0, 0, 0]].concat();
    let chunks = [chunk("IHDR", &header), chunk("IDAT", b"\x78\x01\x01\x00\x00\xff\xff"), chunk("IEND", b"")];
    [b"\x89PNG\r\n\x1a\n".to_vec(), chunks.concat()].concat()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_picture_of_too_many_pixels_is_refused_by_its_header() {
    for (width, height) in [(50_000, 50_000), (16_385, 1), (1, 16_385), (10_000, 5001)] {
        let (outcome, said) = refused(&png_bomb(width, height)).await;
        assert_eq!(outcome, "too_many_pixels", "{said}");
        assert!(said.contains(&format!("{width} × {height} pixels; at most 50 million")), "{said}");
    }
    let frame = b",\0\0\0\0\x01\0\x01\0\0\x02\x02\x4c\x01\0;";
    let gif = [&b"GIF89a"[..], &[0xFF; 4], &[0x80, 0, 0], &[0; 6], frame].concat();
    assert_eq!(refused(&gif).await.0, "too_many_pixels");
}

/// The picture itself is small, and its decoder would need gigabytes.
#[tokio::test(flavor = "multi_thread")]
async fn a_picture_that_needs_too_much_memory_is_refused() {
    let screen = [&b"GIF89a\x0a\0\x0a\0\x80\0\0"[..], &[0; 6]].concat();
    let frame =
        [b",\0\0\0\0".as_slice(), &60_000_u16.to_le_bytes(), &60_000_u16.to_le_bytes(), &[0, 2]].concat();
    let (outcome, said) = refused(&[screen, frame, vec![1, 0, 0, b';']].concat()).await;
    assert_eq!(outcome, "too_much_memory", "{said}");
    assert!(said.contains("send a smaller picture"), "{said}");
    // So many pixels are allowed, and the process has the memory for them. Only the data is missing.
    assert_eq!(refused(&png_bomb(8000, 6000)).await.0, "damaged");
    // A row of so many pixels is longer than the whole address space of the process.
    let row = refused(&png_bomb(i32::MAX.unsigned_abs(), 1)).await.0;
    assert!(["too_many_pixels", "too_much_memory"].contains(&row), "{row}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_damaged_or_no_picture_is_refused_in_words() {
    for format in [ImageFormat::Png, ImageFormat::Jpeg, ImageFormat::WebP] {
        let whole = picture(300, 300, format);
        let (outcome, said) = refused(&whole[..whole.len() / 2]).await;
        assert_eq!(outcome, "damaged", "{format:?}: {said}");
        assert!(said.contains("damaged"), "{said}");
    }
    for other in [&b"a,b\n1,2\n"[..], b"", b"<svg xmlns='http://www.w3.org/2000/svg'/>"] {
        let (outcome, said) = refused(other).await;
        assert_eq!(outcome, "not_a_picture", "{said}");
        assert!(said.contains("no PNG, JPEG, WebP or GIF"), "{said}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_small_picture_is_unchanged_and_a_large_one_is_made_smaller() {
    let small = picture(200, 100, ImageFormat::Png);
    let shown = read(&pictures(), &small).await.unwrap();
    assert_eq!((shown.media_type.as_str(), &*shown.base64), ("image/png", &*BASE64_STANDARD.encode(small)));

    let large = picture(2400, 1800, ImageFormat::Jpeg);
    let reader = pictures();
    let (first, second) = tokio::join!(read(&reader, &large), read(&reader, &large));
    let (first, second) = (first.unwrap(), second.unwrap());
    assert_eq!(first, second, "the same picture, the same bytes");
    assert_eq!(first.media_type, "image/jpeg");
    let decoded = image::load_from_memory(&BASE64_STANDARD.decode(&*first.base64).unwrap()).unwrap();
    assert_eq!(decoded.dimensions(), (EDGE, EDGE * 3 / 4));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_picture_has_limited_time() {
    let (hasty, large) =
        (pictures().with_deadline(Duration::from_millis(1)), picture(2000, 2000, ImageFormat::Png));
    // The second time the place of the first process is free again.
    for _ in 0..2 {
        let error = read(&hasty, &large).await.unwrap_err();
        assert_eq!(error.outcome(), "too_slow", "{error}");
        assert!(error.to_string().contains("takes too long"), "{error}");
    }
}

/// Nothing is said about the picture if its reader does not work.
#[tokio::test(flavor = "multi_thread")]
async fn a_reader_that_does_not_work_is_no_fault_of_the_picture() {
    let small = picture(20, 10, ImageFormat::Png);
    for program in ["/nowhere/picture-reader", "/bin/false", "/bin/cat", "/usr/bin/yes"] {
        let error = read(&Pictures::new(Path::new(program).into()), &small).await.unwrap_err();
        assert!(matches!(error, PictureError::Unavailable(_)), "{program}: {error}");
    }
}
