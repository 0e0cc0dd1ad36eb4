//! Sending an artifact. What a run produced is hostile: a browser must neither guess its type nor run it on
//! this origin.

use actix_web::body::SizedStream;
use actix_web::http::Method;
use actix_web::http::header::{
    ACCEPT_RANGES, CONTENT_DISPOSITION, CONTENT_RANGE, CONTENT_SECURITY_POLICY, CONTENT_TYPE, Charset,
    ContentDisposition, DispositionParam, DispositionType, ETAG, ExtendedValue, HeaderValue, IF_RANGE, RANGE,
};
use actix_web::{HttpRequest, HttpResponse, HttpResponseBuilder};
use futures_util::stream::{self, StreamExt};
use gateway_domain::artifacts::Artifact;
use shared::ids::{ArtifactId, RunId};
use shared::storage::{Artifacts, ObjectKey};

use super::ApiError;
use super::extract::is_known;
use super::middleware::leave_uncompressed;
use super::range::{Requested, requested_range};

/// Answers with the bytes, or the range that the request asks for. Always an attachment, never a document.
pub async fn send_artifact(
    request: &HttpRequest,
    store: &Artifacts,
    (run, id): (RunId, ArtifactId),
    artifact: &Artifact,
) -> Result<HttpResponse, ApiError> {
    let header = |name| request.headers().get(name).and_then(|value| value.to_str().ok());
    let (size, tag) = (u64::try_from(artifact.size).unwrap_or_default(), format!("\"{}\"", artifact.sha256));
    if is_known(request, &tag) {
        return Ok(HttpResponse::NotModified().insert_header((ETAG, tag)).finish());
    }
    // With If-Range, a range is only valid for the same content.
    let same = header(IF_RANGE).is_none_or(|known| known.trim() == tag) && request.method() == Method::GET;
    let (mut response, range) = match requested_range(header(RANGE).filter(|_| same), size) {
        Requested::Whole => (HttpResponse::Ok(), 0..size),
        Requested::Part(range) => {
            let mut response = HttpResponse::PartialContent();
            response
                .insert_header((CONTENT_RANGE, format!("bytes {}-{}/{size}", range.start, range.end - 1)));
            (response, range)
        }
        Requested::Unsatisfiable => return Err(ApiError::RangeNotSatisfiable { size }),
    };
    describe(&mut response, artifact, tag);
    let length = range.end - range.start;
    let key = ObjectKey::artifact(run, id);
    // HEAD needs no bytes.
    let opened = if request.method() == Method::HEAD {
        store.exists(&key).await.map(|()| stream::empty().boxed())
    } else {
        store.get(&key, range).await
    };
    let bytes = match opened {
        Ok(bytes) => bytes,
        Err(error) if error.is_missing() => {
            // Its run was deleted at this moment, or the store lost it.
            tracing::warn!(%key, "the store does not have an artifact");
            return Err(ApiError::not_found("artifact"));
        }
        Err(error) => return Err(error.into()),
    };
    // With a known size, a short stream closes the connection: the client must not take the next response for
    // its rest.
    let mut response = response.body(SizedStream::new(length, bytes));
    leave_uncompressed(response.headers_mut());
    Ok(response)
}

fn describe(response: &mut HttpResponseBuilder, artifact: &Artifact, tag: String) {
    let media_type = HeaderValue::from_str(&artifact.r#type);
    response
        .insert_header((ETAG, tag))
        .insert_header((ACCEPT_RANGES, "bytes"))
        .insert_header((
            CONTENT_TYPE,
            media_type.unwrap_or(HeaderValue::from_static("application/octet-stream")),
        ))
        .insert_header((CONTENT_DISPOSITION, disposition(&artifact.title)))
        .insert_header((CONTENT_SECURITY_POLICY, "sandbox; default-src 'none'"));
}

/// An attachment with its title as file name: in ASCII for old clients, and whole as RFC 5987 writes it.
fn disposition(title: &str) -> ContentDisposition {
    let plain = |c: char| if c.is_ascii_graphic() && !"\"\\/".contains(c) { c } else { '_' };
    let ascii = DispositionParam::Filename(title.chars().map(plain).collect());
    let whole = DispositionParam::FilenameExt(ExtendedValue {
        charset: Charset::Ext("UTF-8".to_owned()),
        language_tag: None,
        value: title.replace(['/', '\\'], "_").into_bytes(),
    });
    ContentDisposition { disposition: DispositionType::Attachment, parameters: vec![ascii, whole] }
}
