//! GET /api/v1/runs/{id}/artifacts/{artifactId}: the bytes, by key or by signed link. What a run produced is hostile: a
//! browser must neither guess its type nor run it here.

use actix_web::body::SizedStream;
use actix_web::http::Method;
use actix_web::http::header::{
    ACCEPT_RANGES, CONTENT_DISPOSITION, CONTENT_RANGE, CONTENT_SECURITY_POLICY, CONTENT_TYPE, Charset,
    ContentDisposition, DispositionParam, DispositionType, ETAG, ExtendedValue, HeaderValue, IF_RANGE, RANGE,
};
use actix_web::{FromRequest, HttpRequest, HttpResponse, HttpResponseBuilder, web};
use diesel::QueryableByName;
use diesel::sql_types::{BigInt, Bool, Nullable, Text, Uuid as SqlUuid};
use diesel_async::RunQueryDsl;
use futures_util::stream::{self, StreamExt};
use shared::db::{Connection, DbError, statement};
use shared::ids::{AppId, ArtifactId, RunId, UserId};
use shared::storage::ObjectKey;

use super::range::{Wanted, wanted};
use crate::auth::Caller;
use crate::context::Context;
use crate::error::ApiError;
use crate::extract::{Query, is_known};
use crate::middleware::leave_uncompressed;

const UNKNOWN: ApiError = ApiError::NotFound("artifact");

/// What is known of a file.
#[derive(QueryableByName)]
pub(crate) struct Row {
    #[diesel(sql_type = Text)]
    pub(crate) r#type: String,
    #[diesel(sql_type = Text)]
    title: String,
    #[diesel(sql_type = BigInt)]
    pub(crate) size: i64,
    #[diesel(sql_type = Text)]
    sha256: String,
    #[diesel(sql_type = Bool)]
    in_time: bool,
}

/// Who asks: the owner, within an app perhaps, or somebody with a link that ends at a time (seconds since 1970).
pub(crate) enum Asker {
    Owner(UserId, Option<AppId>),
    Link(i64),
}

const LOAD: &str = "
SELECT f.type, f.title, f.size, encode(f.sha256, 'hex') AS sha256,
    ($5 IS NULL OR $5 > extract(epoch FROM capi_now())) AS in_time
FROM artifacts f JOIN runs r ON r.id = f.run_id
WHERE f.id = $1 AND r.id = $2 AND ($3 IS NULL OR r.user_id = $3) AND ($4 IS NULL OR r.app_id = $4)";

/// The file, if the asker may have it.
pub(crate) async fn load(
    conn: &mut Connection,
    run: RunId,
    artifact: ArtifactId,
    asker: &Asker,
) -> Result<Option<Row>, DbError> {
    let (user, app, expires) = match asker {
        Asker::Owner(user, app) => (Some(user.uuid()), app.map(AppId::uuid), None),
        Asker::Link(expires) => (None, None, Some(*expires)),
    };
    let mut found: Vec<Row> = statement(LOAD)
        .bind::<SqlUuid, _>(artifact.uuid())
        .bind::<SqlUuid, _>(run.uuid())
        .bind::<Nullable<SqlUuid>, _>(user)
        .bind::<Nullable<SqlUuid>, _>(app)
        .bind::<Nullable<BigInt>, _>(expires)
        .load(conn)
        .await?;
    Ok(found.pop())
}

/// The handler.
#[utoipa::path(
    get, path = "/api/v1/runs/{id}/artifacts/{artifactId}", tag = "Runs", operation_id = "downloadArtifact",
    summary = "Download an artifact", security(("apiKey" = []), ()),
    description = "The bytes of a file that the run published. A `downloadUrl` opens it without a key for seven days. One byte range is \
                   served (RFC 9110).",
    params(
        ("id" = uuid::Uuid, Path, description = "The run's id"),
        ("artifactId" = uuid::Uuid, Path, description = "The artifact's id"),
        ("expires" = Option<i64>, Query, description = "Of a signed link"),
        ("signature" = Option<String>, Query, description = "Of a signed link"),
        ("Range" = Option<String>, Header, description = "`bytes=FROM-TO`"),
        ("If-Range" = Option<String>, Header, description = "ETag of the file that the part must be of"),
        ("If-None-Match" = Option<String>, Header, description = "ETag of an earlier answer"),
    ),
    responses(
        (status = 200, description = "The file", content_type = "*/*", headers(
            ("ETag" = String, description = "For `If-None-Match` and `If-Range`"),
            ("Content-Disposition" = String, description = "Always an attachment, under its title"),
        )),
        (status = 206, description = "The asked part of it", content_type = "*/*", headers(
            ("Content-Range" = String, description = "Which part, and of how much"),
        )),
        (status = 304, description = "Not changed since the answer with that ETag"),
    ),
)]
pub async fn handle(
    request: HttpRequest,
    path: web::Path<(String, String)>,
    context: web::Data<Context>,
) -> Result<HttpResponse, ApiError> {
    let mut query = Query::of(&request)?;
    let (expires, signature) = (query.value::<i64>("expires", "seconds since 1970"), query.text("signature"));
    let ids = path.0.parse::<RunId>().ok().zip(path.1.parse::<ArtifactId>().ok());
    let (asker, (run, artifact)) = if let (Some(expires), Some(signature)) = (expires, signature) {
        let (run, artifact) = ids.ok_or(UNKNOWN)?;
        context.links.check(run, artifact, expires, &signature).map_err(|_| ApiError::LinkExpired)?;
        query.end()?;
        (Asker::Link(expires), (run, artifact))
    } else {
        let caller = Caller::extract(&request).await?;
        query.end()?;
        (Asker::Owner(caller.user, caller.app), ids.ok_or(UNKNOWN)?)
    };
    let asker = &asker;
    let loading = context.db.read(|mut conn| async move { load(&mut conn, run, artifact, asker).await });
    let row = loading.await?.ok_or(UNKNOWN)?;
    if !row.in_time {
        return Err(ApiError::LinkExpired);
    }
    send(&request, &context, run, artifact, &row).await
}

/// Its bytes, or the part of them that the request asks for; always as a file to save, never as a document.
pub(crate) async fn send(
    request: &HttpRequest,
    context: &Context,
    run: RunId,
    artifact: ArtifactId,
    row: &Row,
) -> Result<HttpResponse, ApiError> {
    let header = |name| request.headers().get(name).and_then(|value| value.to_str().ok());
    let (size, tag) = (u64::try_from(row.size).unwrap_or_default(), format!("\"{}\"", row.sha256));
    if is_known(request, &tag) {
        return Ok(HttpResponse::NotModified().insert_header((ETAG, tag)).finish());
    }
    // A part of what the file was then is no part of what it is now.
    let same = header(IF_RANGE).is_none_or(|known| known.trim() == tag) && request.method() == Method::GET;
    let (mut response, range) = match wanted(header(RANGE).filter(|_| same), size) {
        Wanted::Whole => (HttpResponse::Ok(), 0..size),
        Wanted::Part(range) => {
            let mut response = HttpResponse::PartialContent();
            response
                .insert_header((CONTENT_RANGE, format!("bytes {}-{}/{size}", range.start, range.end - 1)));
            (response, range)
        }
        Wanted::Nothing => return Err(ApiError::RangeNotSatisfiable { size }),
    };
    describe(&mut response, row, tag);
    let length = range.end - range.start;
    // For HEAD the bytes would be read and thrown away.
    let key = ObjectKey::artifact(run, artifact);
    let opened = if request.method() == Method::HEAD {
        context.artifacts.exists(&key).await.map(|()| stream::empty().boxed())
    } else {
        context.artifacts.get(&key, range).await
    };
    let bytes = match opened {
        Ok(bytes) => bytes,
        Err(error) if error.is_missing() => return Err(UNKNOWN),
        Err(error) => return Err(error.into()),
    };
    // Of this length, or the connection is closed: a client must not take the next answer for the rest of this one.
    let mut response = response.body(SizedStream::new(length, bytes));
    leave_uncompressed(response.headers_mut());
    Ok(response)
}

fn describe(response: &mut HttpResponseBuilder, row: &Row, tag: String) {
    let kind = HeaderValue::from_str(&row.r#type);
    response
        .insert_header((ETAG, tag))
        .insert_header((ACCEPT_RANGES, "bytes"))
        .insert_header((CONTENT_TYPE, kind.unwrap_or(HeaderValue::from_static("application/octet-stream"))))
        .insert_header((CONTENT_DISPOSITION, disposition(&row.title)))
        .insert_header((CONTENT_SECURITY_POLICY, "sandbox; default-src 'none'"));
}

/// To be saved under its title: in ASCII for old clients, and whole as RFC 5987 writes it.
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
