//! Forms that a browser sends from a page with files.

use actix_web::HttpRequest;
use actix_web::web::Payload;
use gateway_domain::Refusal;
use gateway_domain::runs::Uploads;

use super::reader::{FormReader, Part};
use super::{MAX_FILES, read_file};
use crate::http::ApiError;
use crate::http::extract::{MAX_BODY, utf8};

/// Bytes that a part counts beside its name and text.
const PART_OVERHEAD: usize = 256;

/// A form as a browser sends it.
pub struct BrowserForm {
    /// In order.
    pub texts: Vec<(String, String)>,
    /// Bytes of all parts.
    pub bytes: u64,
    /// Why its files cannot be taken, in words for the page. The texts are whole, so that the page can show
    /// them again.
    pub refused_files: Option<String>,
}

/// Reads a form: its texts, and its files into `uploads`. An empty file field counts as absent.
pub async fn read_browser_form(
    request: &HttpRequest,
    payload: Payload,
    uploads: &mut Uploads,
) -> Result<BrowserForm, ApiError> {
    read(request, payload, uploads).await.map_err(|error| match error {
        // A browser sends no broken form, and its user cannot correct one.
        ApiError::Refused(Refusal::InvalidRequest(..)) => ApiError::BrokenForm,
        error => error,
    })
}

async fn read(
    request: &HttpRequest,
    payload: Payload,
    uploads: &mut Uploads,
) -> Result<BrowserForm, ApiError> {
    let mut form = FormReader::new(request, payload)?;
    let (mut texts, mut text_left, mut refused_files) = (Vec::new(), MAX_BODY, None);
    while let Some(mut part) = form.next().await? {
        if part.file_name.as_deref().is_some_and(|name| !name.is_empty()) {
            if refused_files.is_none() {
                refused_files = refusal(read_file(&mut form, &mut part, uploads).await)?;
            }
            // The rest is read for its texts. The form's size is bounded.
            skip(&mut form, &mut part).await?;
            continue;
        }
        let text = form.text(&mut part, &mut text_left).await?;
        if part.file_name.is_none() {
            let text = utf8(&text).map_err(ApiError::invalid_request)?;
            // Names count too: otherwise a form could have any number of empty parts.
            text_left = text_left
                .checked_sub(part.name.len() + PART_OVERHEAD)
                .ok_or(ApiError::PayloadTooLarge { limit: MAX_BODY })?;
            texts.push((part.name, String::from_utf8_lossy(text).into_owned()));
        }
    }
    Ok(BrowserForm { texts, bytes: form.bytes(), refused_files })
}

/// Splits off what a user can correct.
fn refusal(read: Result<(), ApiError>) -> Result<Option<String>, ApiError> {
    match read {
        Ok(()) => Ok(None),
        Err(ApiError::FilesTooLarge(what)) => Ok(Some(format!("{what}. Choose fewer or smaller files."))),
        Err(ApiError::Refused(Refusal::InvalidRequest(_, errors)))
            if errors.iter().any(|error| error.code == "too_many") =>
        {
            Ok(Some(format!("a run takes at most {MAX_FILES} files. Choose fewer files.")))
        }
        Err(error) => Err(error),
    }
}

async fn skip(form: &mut FormReader, part: &mut Part) -> Result<(), ApiError> {
    while form.read(part).await?.is_some() {}
    Ok(())
}
