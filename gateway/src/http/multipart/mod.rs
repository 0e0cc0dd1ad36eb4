//! Forms as multipart/form-data (RFC 7578): the fields of a create as parts, and files. Files are streamed to
//! the store. All other parts together may be as large as a JSON body.

mod pace;

use actix_multipart::{Field, Multipart, MultipartError};
use actix_web::HttpRequest;
use actix_web::web::Payload;
use bytes::Bytes;
use futures_util::{Stream, StreamExt};
use gateway_domain::runs::{Earlier, FIELDS, Uploads, admit};
use gateway_domain::{FieldError, quoted};
use serde_json::{Map, Value};
use shared::config::Quotas;
use shared::ids::UserId;
use shared::text::check_json;
use tokio::time::timeout_at;

use super::ApiError;
use super::extract::{
    MAX_BODY, announced, announces_more, is_of_type, may_have_large_files, read_json, utf8,
};
use super::limits::{InFlight, InFlightShare};
use crate::context::Context;
use pace::Pace;

/// Files of one run.
pub const MAX_FILES: usize = 10;
/// Bytes of one file.
pub const MAX_FILE_BYTES: u64 = 25 << 20;
/// Bytes of all files.
pub const MAX_ALL_BYTES: u64 = 100 << 20;
/// Bytes that boundaries and part headers may add.
const OVERHEAD: u64 = 1 << 20;
/// Bytes of the largest form.
const LARGEST: u64 = MAX_ALL_BYTES + MAX_BODY as u64 + OVERHEAD;
/// Bytes that a part counts beside its name and text.
const PART_OVERHEAD: usize = 256;
/// The parts that hold JSON. The others hold text.
const JSON_PARTS: [&str; 3] = ["inputs", "metadata", "queueTimeoutSeconds"];
/// The part that may repeat: once for each event. A JSON array in one part is the same.
const LIST_PART: &str = "webhookEvents";

/// Whether the request is such a form.
#[must_use]
pub fn is_form(request: &HttpRequest) -> bool {
    is_of_type(request, "multipart/form-data")
}

/// Begins to read a form, before its body: refuses it if it is one too many or cannot fit. A form that
/// announces no length counts as the largest.
pub async fn begin_form(
    context: &Context,
    request: &HttpRequest,
    (user, quotas): (UserId, &Quotas),
    earlier: Option<Earlier<'_>>,
    uploads: &mut Uploads,
) -> Result<InFlightShare, ApiError> {
    let upload = context.uploads.take(user, 1)?;
    let large = may_have_large_files(request).then(|| announced(request).unwrap_or(LARGEST));
    admit(&context.db, (user, quotas), large, earlier, uploads).await?;
    Ok(upload)
}

/// Reads a create: its fields as a JSON body would have them, its files into `uploads`. Returns the bytes of
/// all parts too, and the account's share of the memory that such values take.
pub async fn read_form(
    request: &HttpRequest,
    payload: Payload,
    uploads: &mut Uploads,
    (in_flight, user): (&InFlight, UserId),
) -> Result<(Map<String, Value>, u64, Vec<InFlightShare>), ApiError> {
    if announces_more(request, LARGEST) {
        return Err(all_too_large());
    }
    let (mut form, mut pace) = (Multipart::new(request.headers(), payload), Pace::begin());
    let (mut members, mut text_left, mut memory) = (Map::new(), MAX_BODY, Vec::new());
    while let Some(field) = next(&mut form, &mut pace).await? {
        let name = field.name().unwrap_or_default().to_owned();
        let file_name = field.content_disposition().and_then(|found| found.get_filename()).map(str::to_owned);
        if file_name.is_none() && FIELDS.contains(&name.as_str()) {
            let text = read_text(field, &mut pace, &mut text_left).await?;
            let (value, bytes) = value_of(&name, &text)?;
            memory.push(in_flight.take(user, bytes)?);
            if !add(&mut members, &name, value) {
                return Err(part(&name, "too_many", format!("the part {name:?} appears twice")));
            }
        } else {
            read_file(field, &mut pace, uploads, &name, file_name.as_deref().unwrap_or(&name)).await?;
        }
    }
    Ok((members, pace.bytes(), memory))
}

/// Adds the field of a part. Returns false if the form has the part already.
fn add(members: &mut Map<String, Value>, name: &str, value: Value) -> bool {
    if name != LIST_PART {
        return members.insert(name.to_owned(), value).is_none();
    }
    match (members.get_mut(name), value) {
        (_, Value::Null) => {}
        (Some(Value::Array(items)), Value::Array(more)) => items.extend(more),
        (Some(Value::Array(items)), item) => items.push(item),
        (_, Value::Array(items)) => drop(members.insert(name.to_owned(), Value::Array(items))),
        (_, item) => drop(members.insert(name.to_owned(), Value::Array(vec![item]))),
    }
    true
}

/// Reads a browser's form: its texts in order, its files into `uploads`. An empty file field counts as
/// absent. Returns the bytes of all parts too.
pub async fn read_browser_form(
    request: &HttpRequest,
    payload: Payload,
    uploads: &mut Uploads,
) -> Result<(Vec<(String, String)>, u64), ApiError> {
    if announces_more(request, LARGEST) {
        return Err(all_too_large());
    }
    let (mut form, mut pace) = (Multipart::new(request.headers(), payload), Pace::begin());
    let (mut texts, mut text_left) = (Vec::new(), MAX_BODY);
    while let Some(field) = next(&mut form, &mut pace).await? {
        let name = field.name().unwrap_or_default().to_owned();
        let file_name = field.content_disposition().and_then(|found| found.get_filename()).map(str::to_owned);
        match file_name.as_deref() {
            None | Some("") => {
                let text = read_text(field, &mut pace, &mut text_left).await?;
                let text = String::from_utf8(text)
                    .map_err(|_| part(&name, "type", format!("the part {name:?} is not UTF-8")))?;
                if file_name.is_none() {
                    // Names count too: otherwise a form could have any number of empty parts.
                    text_left = text_left
                        .checked_sub(name.len() + PART_OVERHEAD)
                        .ok_or(ApiError::PayloadTooLarge { limit: MAX_BODY })?;
                    texts.push((name, text));
                }
            }
            Some(file_name) => read_file(field, &mut pace, uploads, &name, file_name).await?,
        }
    }
    Ok((texts, pace.bytes()))
}

/// The next item of a stream, before the deadline.
async fn next<T>(
    stream: &mut (impl Stream<Item = Result<T, MultipartError>> + Unpin),
    pace: &mut Pace,
) -> Result<Option<T>, ApiError> {
    let next = timeout_at(pace.deadline(), stream.next()).await;
    pace.waited();
    next.map_err(|_| ApiError::RequestTimeout)?.transpose().map_err(|error| {
        let message = match error {
            MultipartError::BoundaryMissing => "the Content-Type names no boundary; let your client write it",
            MultipartError::ContentDispositionMissing | MultipartError::ContentDispositionNameMissing => {
                "a part has no name; each needs Content-Disposition: form-data; name=\"…\""
            }
            MultipartError::Incomplete | MultipartError::Payload(_) => {
                "the body ended early: send all of it, with the boundary that Content-Type names"
            }
            _ => "the body is no valid multipart/form-data (RFC 7578)",
        };
        ApiError::invalid_request(message)
    })
}

async fn read_text(mut field: Field, pace: &mut Pace, left: &mut usize) -> Result<Vec<u8>, ApiError> {
    let mut text = Vec::new();
    while let Some(bytes) = next(&mut field, pace).await? {
        pace.received(bytes.len());
        *left = left.checked_sub(bytes.len()).ok_or(ApiError::PayloadTooLarge { limit: MAX_BODY })?;
        text.extend_from_slice(&bytes);
    }
    Ok(text)
}

/// The value, and the bytes of memory that it takes, about.
fn value_of(name: &str, text: &[u8]) -> Result<(Value, usize), ApiError> {
    let refused = |why: String| part(name, "type", format!("the part {name:?} {why}"));
    // A field of a form that is not filled in is an empty part.
    if text.trim_ascii().is_empty() {
        return Ok((Value::Null, 0));
    }
    let is_list = name == LIST_PART && text.first() == Some(&b'[');
    if is_list || JSON_PARTS.contains(&name) {
        return read_json(text).map_err(refused);
    }
    let text = String::from_utf8_lossy(utf8(text).map_err(refused)?).into_owned();
    let (memory, value) = (text.len(), Value::String(text));
    check_json(&value).map_err(|refusal| refused(format!("cannot be taken: {refusal}")))?;
    Ok((value, memory))
}

async fn read_file(
    mut field: Field,
    pace: &mut Pace,
    uploads: &mut Uploads,
    name: &str,
    file_name: &str,
) -> Result<(), ApiError> {
    if uploads.files().len() == MAX_FILES {
        return Err(part(name, "too_many", format!("a run may have {MAX_FILES} files at most")));
    }
    let before = uploads.bytes();
    let mut file = uploads.start(name, file_name).await?;
    while let Some(bytes) = next::<Bytes>(&mut field, pace).await? {
        pace.received(bytes.len());
        file.write(&bytes).await?;
        if file.size() > MAX_FILE_BYTES {
            return Err(too_large(&format!(
                "the file {:?} has more than {} MiB",
                quoted(file_name),
                MAX_FILE_BYTES >> 20
            )));
        }
        if before + file.size() > MAX_ALL_BYTES {
            return Err(all_too_large());
        }
    }
    Ok(uploads.add(file).await?)
}

fn part(name: &str, code: &'static str, message: String) -> ApiError {
    ApiError::invalid(FieldError::part(quoted(name), code, message))
}

fn all_too_large() -> ApiError {
    too_large(&format!("the files have more than {} MiB in all", MAX_ALL_BYTES >> 20))
}

fn too_large(what: &str) -> ApiError {
    ApiError::FilesTooLarge(what.to_owned())
}
