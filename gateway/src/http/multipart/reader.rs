//! Reads a form part by part, within its pace. Each way in which a form can be broken has its sentence.

use actix_multipart::{Field, Multipart, MultipartError};
use actix_web::HttpRequest;
use actix_web::error::PayloadError;
use actix_web::http::header::{
    CONTENT_DISPOSITION, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue, TRANSFER_ENCODING,
};
use actix_web::web::Payload;
use bytes::Bytes;
use futures_util::{Stream, StreamExt};
use gateway_domain::quoted;
use tokio::time::timeout_at;

use super::disposition::Disposition;
use super::pace::Pace;
use super::{LARGEST, all_too_large, wrong_part};
use crate::http::ApiError;
use crate::http::extract::{MAX_BODY, announced};

/// Parts of a form. The run form of an app has one for each of its inputs.
const MAX_PARTS: usize = 3000;

pub(super) struct FormReader {
    form: Multipart,
    pace: Pace,
    boundary: String,
    parts: usize,
}

/// A part, before its content is read.
pub(super) struct Part {
    pub(super) name: String,
    /// `None` for a part that is no file.
    pub(super) file_name: Option<String>,
    /// The Content-Type of the part.
    pub(super) media_type: Option<String>,
    /// `None` at its end, because the parser must not be asked again.
    content: Option<Field>,
}

impl FormReader {
    pub(super) fn new(request: &HttpRequest, payload: Payload) -> Result<Self, ApiError> {
        let chunked = request.headers().contains_key(TRANSFER_ENCODING);
        if announced(request).map_or(!chunked, |bytes| bytes == 0) {
            return Err(ApiError::invalid_request("the body is empty; send the parts of the form"));
        }
        let kind = request.headers().get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
        let (kind, boundary) = kind.and_then(with_boundary).ok_or_else(|| {
            ApiError::invalid_request(
                "the Content-Type names no boundary; let your client write that header by itself",
            )
        })?;
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, kind);
        Ok(Self { form: Multipart::new(&headers, payload), pace: Pace::begin(), boundary, parts: 0 })
    }

    /// All received bytes.
    pub(super) const fn bytes(&self) -> u64 {
        self.pace.bytes()
    }

    pub(super) async fn next(&mut self) -> Result<Option<Part>, ApiError> {
        let next = wait(&mut self.form, &mut self.pace).await?;
        let Some(content) = next.transpose().map_err(|error| self.refusal(&error))? else { return Ok(None) };
        self.parts += 1;
        if self.parts > MAX_PARTS {
            return Err(ApiError::invalid_request(format!("the form has more than {MAX_PARTS} parts")));
        }
        let header = content.headers().get(CONTENT_DISPOSITION).map(HeaderValue::as_bytes);
        let Disposition { name, file_name } =
            Disposition::parse(header).map_err(ApiError::invalid_request)?;
        let encoding = HeaderName::from_static("content-transfer-encoding");
        let encoding = content.headers().get(encoding).and_then(|value| value.to_str().ok());
        let is_plain = |encoding: &str| {
            ["7bit", "8bit", "binary"].iter().any(|plain| encoding.trim().eq_ignore_ascii_case(plain))
        };
        if let Some(encoding) = encoding.filter(|encoding| !is_plain(encoding)) {
            let (name, encoding) = (quoted(&name), quoted(encoding));
            let message = format!("the part {name:?} is encoded as {encoding:?}; send its bytes as they are");
            return Err(wrong_part(&name, "encoding", message));
        }
        let media_type = content.headers().get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
        let media_type = media_type.map(str::to_owned);
        Ok(Some(Part { name, file_name, media_type, content: Some(content) }))
    }

    /// The next bytes of a part.
    pub(super) async fn read(&mut self, part: &mut Part) -> Result<Option<Bytes>, ApiError> {
        let Some(content) = &mut part.content else { return Ok(None) };
        let next = wait(content, &mut self.pace).await?;
        let Some(bytes) = next.transpose().map_err(|error| self.refusal(&error))? else {
            part.content = None;
            return Ok(None);
        };
        self.pace.received(bytes.len());
        if self.pace.bytes() > LARGEST {
            return Err(all_too_large());
        }
        Ok(Some(bytes))
    }

    /// The text of a part. `left` counts the bytes that texts may still have.
    pub(super) async fn text(&mut self, part: &mut Part, left: &mut usize) -> Result<Vec<u8>, ApiError> {
        let mut text = Vec::new();
        while let Some(bytes) = self.read(part).await? {
            *left = left.checked_sub(bytes.len()).ok_or(ApiError::PayloadTooLarge { limit: MAX_BODY })?;
            text.extend_from_slice(&bytes);
        }
        Ok(text)
    }

    fn refusal(&self, error: &MultipartError) -> ApiError {
        let boundary = quoted(&self.boundary);
        ApiError::invalid_request(match error {
            MultipartError::Payload(PayloadError::Overflow) => {
                "the header of a part, or the text before the first part, has more than 64 KiB".to_owned()
            }
            MultipartError::Incomplete if self.parts == 0 => format!(
                "no part begins: the body has no line with --{boundary}, the boundary that Content-Type names"
            ),
            MultipartError::Incomplete => {
                format!("the body ended early: send all of it, with --{boundary}-- as its last line")
            }
            MultipartError::Payload(_) => {
                "the connection ended before the whole body was there; send it again".to_owned()
            }
            MultipartError::BoundaryMissing => format!(
                "a part does not end with a line of --{boundary} (or --{boundary}-- after the last part)"
            ),
            MultipartError::Parse(_) => {
                "the header of a part is not valid: it needs lines like Name: value, and an empty line after \
                 them"
                    .to_owned()
            }
            MultipartError::Nested => {
                "a part is itself multipart; send each file as a part of its own".to_owned()
            }
            MultipartError::ContentTypeParse => {
                "the boundary in Content-Type cannot be read; let your client write that header by itself"
                    .to_owned()
            }
            _ => "the body is no valid multipart/form-data (RFC 7578)".to_owned(),
        })
    }
}

/// The next item, before the deadline.
async fn wait<T>(
    stream: &mut (impl Stream<Item = Result<T, MultipartError>> + Unpin),
    pace: &mut Pace,
) -> Result<Option<Result<T, MultipartError>>, ApiError> {
    let next = timeout_at(pace.deadline(), stream.next()).await;
    pace.waited();
    next.map_err(|_| ApiError::RequestTimeout)
}

/// The Content-Type for the parser, and its boundary. As multipart/mixed the parser leaves the names of the
/// parts to us: of a form it refuses parts with unusual names, without a reason.
fn with_boundary(kind: &str) -> Option<(HeaderValue, String)> {
    let (_, parameters) = kind.split_once(';')?;
    let kind = HeaderValue::from_str(&format!("multipart/mixed;{parameters}")).ok()?;
    let mut pairs = parameters.split(';').filter_map(|parameter| parameter.split_once('='));
    let (_, boundary) = pairs.find(|(name, _)| name.trim().eq_ignore_ascii_case("boundary"))?;
    let boundary = boundary.trim().trim_matches('"');
    (!boundary.is_empty()).then(|| (kind, boundary.to_owned()))
}
