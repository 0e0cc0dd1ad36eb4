//! Files that a run published, for its owner's browser: to download, and for the page a picture or the beginning of a text.
//! They are hostile. Nothing of theirs becomes a document of this origin: pictures are of the few types that are pixels and
//! nothing else, texts are escaped, and each answer says `sandbox` for whoever opens it alone.

use actix_web::http::header::ContentDisposition;
use actix_web::{HttpRequest, HttpResponse, web};
use askama::Template;
use futures_util::StreamExt;
use shared::ids::{ArtifactId, RunId};
use shared::media_types;
use shared::storage::ObjectKey;

use super::super::page::show;
use super::super::visitor::Visitor;
use crate::context::Context;
use crate::http::ApiError;
use crate::http::download::send_artifact;
use gateway_domain::artifacts::{Artifact, Requester, find};

/// Media types that are shown as pictures.
pub(super) const IMAGES: [&str; 4] = ["image/png", "image/jpeg", "image/gif", "image/webp"];
/// Bytes of a text that the page shows.
const SHOWN_BYTES: u64 = 64 << 10;

type Ids = web::Path<(String, String)>;

async fn owned(
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
pub(in crate::console) async fn download(
    visitor: Visitor,
    request: HttpRequest,
    path: Ids,
    context: web::Data<Context>,
) -> Result<HttpResponse, ApiError> {
    let (run, artifact, row) = owned(&context, &visitor, &path).await?;
    send_artifact(&request, &context.artifacts, (run, artifact), &row).await
}

/// GET /runs/{id}/artifacts/{artifactId}/image
pub(in crate::console) async fn image(
    visitor: Visitor,
    request: HttpRequest,
    path: Ids,
    context: web::Data<Context>,
) -> Result<HttpResponse, ApiError> {
    let (run, artifact, row) = owned(&context, &visitor, &path).await?;
    if !IMAGES.contains(&row.r#type.as_str()) {
        return Err(ApiError::not_found("picture"));
    }
    let mut response = send_artifact(&request, &context.artifacts, (run, artifact), &row).await?;
    let inline = ContentDisposition {
        disposition: actix_web::http::header::DispositionType::Inline,
        parameters: vec![],
    };
    if let Ok(value) = inline.to_string().parse() {
        response.headers_mut().insert(actix_web::http::header::CONTENT_DISPOSITION, value);
    }
    Ok(response)
}

#[derive(Template)]
#[template(
    source = r#"<pre tabindex="0">{{ text }}</pre>{% if more %}<p class="faint">This is its beginning; download it to see the rest.</p>{% endif %}"#,
    ext = "html"
)]
struct Beginning {
    text: String,
    more: bool,
}

/// GET /runs/{id}/artifacts/{artifactId}/text
pub(in crate::console) async fn text(
    visitor: Visitor,
    path: Ids,
    context: web::Data<Context>,
) -> Result<HttpResponse, ApiError> {
    let (run, artifact, row) = owned(&context, &visitor, &path).await?;
    if !media_types::is_text(&row.r#type) {
        return Err(ApiError::not_found("text"));
    }
    let size = u64::try_from(row.size).unwrap_or_default();
    let opened = context.artifacts.get(&ObjectKey::artifact(run, artifact), 0..size.min(SHOWN_BYTES)).await;
    let mut bytes = match opened {
        Err(error) if error.is_missing() => return Err(ApiError::not_found("artifact")),
        opened => opened?,
    };
    let mut beginning = Vec::new();
    while let Some(chunk) = bytes.next().await {
        beginning.extend_from_slice(&chunk?);
    }
    show(&Beginning { text: String::from_utf8_lossy(&beginning).into_owned(), more: size > SHOWN_BYTES })
}
