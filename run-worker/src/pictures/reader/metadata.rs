//! What a file holds beside its picture. Exif and XMP tell where and when a photo was taken. Model servers do
//! not get such data, so a file that has it is encoded again.

/// The chunks of a PNG that say how it looks. An animation has others.
const PNG_CHUNKS: [[u8; 4]; 10] =
    [*b"IHDR", *b"PLTE", *b"tRNS", *b"gAMA", *b"cHRM", *b"sRGB", *b"sBIT", *b"pHYs", *b"IDAT", *b"IEND"];
const PNG_SIGNATURE_BYTES: usize = 8;

#[derive(Debug, PartialEq, Eq)]
pub(super) enum Content {
    /// Only the picture.
    Bare,
    WithMetadata,
}

/// What a JPEG holds. `None` if it ends before its end marker: the decoder fills what is missing with grey,
/// which a model would describe.
pub(super) fn jpeg_content(bytes: &[u8]) -> Option<Content> {
    // Not markers: data (0), fill bytes, and the markers without a length, which may be within the data.
    let is_marker = |pair: &[u8]| pair[0] == 0xFF && !matches!(pair[1], 0 | 1 | 0xD0..=0xD8 | 0xFF);
    let (mut rest, mut is_bare) = (bytes, true);
    while let Some(at) = rest.windows(2).position(is_marker) {
        match rest[at + 1] {
            0xD9 if is_bare && rest.len() == at + 2 => return Some(Content::Bare),
            // A camera may append a second picture with its own metadata.
            0xD9 => return Some(Content::WithMetadata),
            // What other programs add, and comments. A colour profile can hold any text.
            0xE1..=0xED | 0xEF | 0xFE => is_bare = false,
            _ => {}
        }
        // The length counts its own two bytes. A thumbnail, which has an end marker too, is skipped.
        let [high, low] = [at + 2, at + 3].map(|at| rest.get(at).copied().unwrap_or_default());
        rest = rest.get(at + 2 + usize::from(u16::from_be_bytes([high, low]))..).unwrap_or_default();
    }
    None
}

/// Whether a PNG holds only one picture.
pub(super) fn is_bare_png(bytes: &[u8]) -> bool {
    let mut rest = bytes.get(PNG_SIGNATURE_BYTES..).unwrap_or_default();
    while let Some((&[a, b, c, d, ref kind @ ..], data)) = rest.split_first_chunk::<8>() {
        if !PNG_CHUNKS.contains(kind) {
            return false;
        }
        // Behind the data is a checksum of four bytes.
        let length = u32::from_be_bytes([a, b, c, d]) as usize;
        rest = data.get(length.saturating_add(4)..).unwrap_or_default();
    }
    rest.is_empty()
}
