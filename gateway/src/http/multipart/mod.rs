//! Forms as multipart/form-data (RFC 7578): the fields of a create as parts, and files. Files are streamed to
//! the store. All other parts together may be as large as a JSON body.

mod browser;
mod disposition;
mod encoded;
mod pace;
mod reader;

use std::time::Instant;

use actix_web::HttpRequest;
use actix_web::web::Payload;
use gateway_domain::runs::{Earlier, FIELDS, FILES_PART, Uploads, admit};
use gateway_domain::suggestion::did_you_mean;
use gateway_domain::{FieldError, quoted};
use serde_json::{Map, Value};
use shared::config::Quotas;
use shared::ids::UserId;
use shared::text::check_json;

use super::ApiError;
use super::extract::{
    MAX_BODY, announced, announces_more, check_encoding, is_of_type, may_have_large_files, read_json, utf8,
};
use super::limits::{Flood, InFlight, InFlightShare};
use crate::context::Context;
pub use browser::{BrowserForm, read_browser_form};
use reader::{FormReader, Part};

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
    check_encoding(request)?;
    if announces_more(request, LARGEST) {
        return Err(all_too_large());
    }
    let upload = context.uploads.take(user, 1)?;
    let large = may_have_large_files(request).then(|| announced(request).unwrap_or(LARGEST));
    admit(&context.db, (user, quotas), large, earlier, uploads).await?;
    if uploads.stores() {
        let refused = context.refused_uploads.check(user, Instant::now());
        refused.map_err(|Flood(wait)| {
            metrics::counter!("capi_requests_rate_limited_total", "limiter" => "refused_uploads")
                .increment(1);
            ApiError::RefusedUploads { retry_after: wait.as_secs() + 1 }
        })?;
    }
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
    let mut form = FormReader::new(request, payload)?;
    let (mut members, mut text_left, mut memory) = (Map::new(), MAX_BODY, Vec::new());
    while let Some(mut part) = form.next().await? {
        // A field stays a field if the client sends it like a file: `new Blob([json])` has a file name.
        if FIELDS.contains(&part.name.as_str()) {
            let text = form.text(&mut part, &mut text_left).await?;
            let (value, bytes) = value_of(&part.name, &text)?;
            memory.push(in_flight.take(user, bytes)?);
            if !add(&mut members, &part.name, value) {
                let message = format!("the part {:?} appears twice", part.name);
                return Err(wrong_part(&part.name, "too_many", message));
            }
        } else if part.file_name.is_some() {
            read_file(&mut form, &mut part, uploads).await?;
        } else {
            return Err(no_file(&part.name));
        }
    }
    Ok((members, form.bytes(), memory))
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

/// A part that is neither a field nor a file.
fn no_file(name: &str) -> ApiError {
    let shown = quoted(name);
    if name == FILES_PART {
        let message = format!(
            "the part {shown:?} has no file name, so it is no file; send one with the file (curl: -F \
             {FILES_PART}=@data.csv)"
        );
        return wrong_part(name, "no_file", message);
    }
    let meant = did_you_mean(name, FIELDS);
    let message = format!(
        "the part {shown:?} is no field{meant} and has no file name; fields are: {}. Send inputs as JSON in \
         the part inputs (curl: -F 'inputs={{{shown:?}: \"x\"}}'), and files with a file name (curl: -F \
         {shown}=@data.csv)",
        FIELDS.join(", ")
    );
    wrong_part(name, "unknown", message)
}

/// The value, and the bytes of memory that it takes, about.
fn value_of(name: &str, text: &[u8]) -> Result<(Value, usize), ApiError> {
    let refused = |why: String| wrong_part(name, "type", format!("the part {name:?} {why}"));
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

/// Reads a file into the store.
async fn read_file(form: &mut FormReader, part: &mut Part, uploads: &mut Uploads) -> Result<(), ApiError> {
    if uploads.files().len() == MAX_FILES {
        let message = format!("a run may have {MAX_FILES} files at most");
        return Err(wrong_part(&part.name, "too_many", message));
    }
    let file_name = part.file_name.clone().unwrap_or_default();
    let before = uploads.bytes();
    let mut file = uploads.start(&part.name, &file_name).await?.given_type(part.media_type.take());
    while let Some(bytes) = form.read(part).await? {
        file.write(&bytes).await?;
        if file.size() > MAX_FILE_BYTES {
            let (name, most) = (quoted(&file_name), MAX_FILE_BYTES >> 20);
            return Err(ApiError::FilesTooLarge(format!("the file {name:?} has more than {most} MiB")));
        }
        if before + file.size() > MAX_ALL_BYTES {
            return Err(all_too_large());
        }
    }
    Ok(uploads.add(file).await?)
}

fn wrong_part(name: &str, code: &'static str, message: String) -> ApiError {
    ApiError::invalid(FieldError::part(quoted(name), code, message))
}

fn all_too_large() -> ApiError {
    ApiError::FilesTooLarge(format!("the files have more than {} MiB in all", MAX_ALL_BYTES >> 20))
}
