//! Artifacts for their owner's browser: a download, and for the run's page an image or the start of a text.
//! Artifacts are hostile, so none becomes a document of this site. Only image types without scripts are
//! shown, texts are escaped, and each response has the policy `sandbox`.

use actix_web::http::header::{CONTENT_DISPOSITION, ContentDisposition, DispositionType};
use actix_web::{HttpRequest, HttpResponse, web};
use askama::Template;
use futures_util::StreamExt;
use gateway_domain::artifacts::{Artifact, Requester, find};
use shared::ids::{ArtifactId, RunId};
use shared::media_types;
use shared::storage::ObjectKey;

use crate::console::page::show;
use crate::console::session::Visitor;
use crate::context::Context;
use crate::http::ApiError;
use crate::http::download::send_artifact;

/// Media types that the page shows as images.
pub(crate) const IMAGES: [&str; 4] = ["image/png", "image/jpeg", "image/gif", "image/webp"];
/// Bytes of a text that the page shows.
const SHOWN_BYTES: u64 = 64 << 10;

type Ids = web::Path<(String, String)>;

async fn find_owned(
    context: &Context,
    visitor: &Visitor,
    path: &Ids,
) -> Result<(RunId, ArtifactId, Artifact), ApiError> {
    let unknown = || ApiError::not_found("artifact");
    let run: RunId = path.0.parse().map_err(|_| unknown())?;
    let artifact: ArtifactId = path.1.parse().map_err(|_| unknown())?;
    let found = find(&context.db, run, artifact, Requester::Owner(visitor.user(), None)).await?;
    Ok((run, artifact, found.ok_or_else(unknown)?))
}

/// GET /runs/{id}/artifacts/{artifactId}
pub(crate) async fn download(
    visitor: Visitor,
    request: HttpRequest,
    path: Ids,
    context: web::Data<Context>,
) -> Result<HttpResponse, ApiError> {
    let (run, artifact, row) = find_owned(&context, &visitor, &path).await?;
    send_artifact(&request, &context.artifacts, (run, artifact), &row).await
}

/// GET /runs/{id}/artifacts/{artifactId}/image
pub(crate) async fn image(
    visitor: Visitor,
    request: HttpRequest,
    path: Ids,
    context: web::Data<Context>,
) -> Result<HttpResponse, ApiError> {
    let (run, artifact, row) = find_owned(&context, &visitor, &path).await?;
    if !IMAGES.contains(&row.r#type.as_str()) {
        return Err(ApiError::not_found("image"));
    }
    let mut response = send_artifact(&request, &context.artifacts, (run, artifact), &row).await?;
    let inline = ContentDisposition { disposition: DispositionType::Inline, parameters: vec![] };
    if let Ok(value) = inline.to_string().parse() {
        response.headers_mut().insert(CONTENT_DISPOSITION, value);
    }
    Ok(response)
}

#[derive(Template)]
#[template(
    source = r#"<pre tabindex="0">{{ text }}</pre>
{%- if more %}<p class="faint">This is the start of the file. Download it to see the rest.</p>{% endif %}"#,
    ext = "html"
)]
struct TextStart {
    text: String,
    more: bool,
}

/// GET /runs/{id}/artifacts/{artifactId}/text
pub(crate) async fn text(
    visitor: Visitor,
    path: Ids,
    context: web::Data<Context>,
) -> Result<HttpResponse, ApiError> {
    let (run, artifact, row) = find_owned(&context, &visitor, &path).await?;
    if !media_types::is_text(&row.r#type) {
        return Err(ApiError::not_found("text"));
    }
    let size = u64::try_from(row.size).unwrap_or_default();
    let opened = context.artifacts.get(&ObjectKey::artifact(run, artifact), 0..size.min(SHOWN_BYTES)).await;
    let mut bytes = match opened {
        Err(error) if error.is_missing() => return Err(ApiError::not_found("artifact")),
        opened => opened?,
    };
    let mut start = Vec::new();
    while let Some(chunk) = bytes.next().await {
        start.extend_from_slice(&chunk?);
    }
    show(&TextStart { text: String::from_utf8_lossy(&start).into_owned(), more: size > SHOWN_BYTES })
}
