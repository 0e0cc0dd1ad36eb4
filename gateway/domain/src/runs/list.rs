//! Lists runs. Each combination of filters walks one index in the order of the list, so a page costs the same
//! with thousands of runs and with millions.

use chrono::{DateTime, Utc};
use diesel::QueryableByName;
use diesel::sql_types::{Array, BigInt, Bool, Jsonb, Nullable, Text, Timestamptz, Uuid as SqlUuid};
use diesel_async::RunQueryDsl;
use serde_json::Value;
use shared::db::{Db, DbError, Prepared, PushBinds, statement};
use shared::ids::{AppId, RunId, UserId};
use shared::runs::{RunView, Source, Viewer};

use super::filters::Filters;
use crate::page::{Page, Position};

/// Bytes of a page. A page has at least one run, and as many more as fit. A client that does not read its
/// answer costs this memory. The largest run has a few times as many.
const PAGE_BYTES: i64 = 1 << 20;

/// Bytes of an artifact in an answer beside its title: ids, hash, and two addresses.
const ARTIFACT_BYTES: i64 = 700;

#[derive(Debug, QueryableByName)]
struct Found {
    #[diesel(sql_type = SqlUuid)]
    id: RunId,
    #[diesel(sql_type = Timestamptz)]
    created_at: DateTime<Utc>,
    /// Whether the page has room for it.
    #[diesel(sql_type = Bool)]
    fits: bool,
}

/// The text depends on which filters are set. The binds are always the same.
fn sql(filters: &Filters, of_app: bool, continued: bool) -> String {
    let mut wanted = String::new();
    let mut and = |there: bool, condition: &str| {
        if there {
            wanted.push_str(" AND ");
            wanted.push_str(condition);
        }
    };
    and(of_app, "r.app_id = $3");
    match filters.source {
        // A literal: the planner uses a partial index only for a literal.
        Some(Source::Api) => and(true, "r.source = 'api'"),
        Some(Source::Console) => and(true, "r.source = 'console'"),
        None => {}
    }
    let (at, id) =
        if filters.metadata.is_empty() { ("r.created_at", "r.id") } else { ("m.created_at", "m.run_id") };
    and(filters.after.is_some(), &format!("{at} > $4"));
    and(filters.before.is_some(), &format!("{at} < $5"));
    and(continued, &format!("({at}, {id}) < ($6, $7)"));
    let order = "ORDER BY r.created_at DESC, r.id DESC LIMIT $11";
    if !filters.metadata.is_empty() {
        // The index of the first pair gives the order.
        let status = if filters.status.is_empty() { "" } else { " AND r.status = ANY ($2)" };
        return format!(
            "SELECT r.id, r.created_at FROM run_metadata m JOIN runs r ON r.id = m.run_id
             WHERE m.user_id = $1 AND m.key = $8 AND m.value = $9 AND r.metadata @> $10{status}{wanted}
             ORDER BY m.created_at DESC, m.run_id DESC LIMIT $11"
        );
    }
    if filters.status.is_empty() {
        return format!("SELECT r.id, r.created_at FROM runs r WHERE r.user_id = $1{wanted} {order}");
    }
    // One page of each status, then the newest of those.
    format!(
        "SELECT p.id, p.created_at FROM unnest($2) s (status), LATERAL (
             SELECT r.id, r.created_at FROM runs r
             WHERE r.user_id = $1 AND r.status = s.status{wanted} {order}) p
         ORDER BY p.created_at DESC, p.id DESC LIMIT $11"
    )
}

/// Adds to the runs of `found` whether they fit into a page. The size of a run is computed only if all newer
/// runs fit: it costs the reading of inputs and result. `$12` and `$13` are the sizes above, `$14` is
/// `whole`. Results repeat the artifacts.
fn with_sizes(found: &str) -> String {
    format!(
        "WITH RECURSIVE line AS MATERIALIZED (
             SELECT f.id, f.created_at, row_number() OVER (ORDER BY f.created_at DESC, f.id DESC) AS n
             FROM ({found}) f),
         page (n, bytes) AS (
             SELECT 0::bigint, 0::bigint
             UNION ALL
             SELECT line.n, page.bytes + size.bytes
             FROM page JOIN line ON line.n = page.n + 1, LATERAL (
                 SELECT CASE WHEN $14 THEN octet_length(r.inputs::text)
                                           + coalesce(octet_length(r.result::text), 0) ELSE 0 END
                     + (SELECT coalesce(sum(octet_length(a.title) + $13), 0)::bigint FROM artifacts a
                        WHERE a.run_id = r.id) * CASE WHEN $14 THEN 2 ELSE 1 END AS bytes
                 FROM runs r WHERE r.id = line.id) size
             WHERE line.n = 1 OR page.bytes + size.bytes <= $12)
         SELECT line.id, line.created_at, line.n <= (SELECT max(page.n) FROM page) AS fits
         FROM line ORDER BY line.n"
    )
}

/// The runs of one page, newest first, and the cursor of the next page. `app` limits the list to one app; the
/// app in the filters is ignored. Inputs and results are loaded only if `whole` is set. The page may have
/// fewer runs than its limit, see [`PAGE_BYTES`].
pub async fn list(
    db: &Db,
    viewer: &Viewer,
    user: UserId,
    app: Option<AppId>,
    page: &Page<Filters>,
    whole: bool,
) -> Result<(Vec<RunView>, Option<String>), DbError> {
    db.read(|mut conn| async move {
        let sql = with_sizes(&sql(&page.filters, app.is_some(), page.after.is_some()));
        let mut found: Vec<Found> = bound(sql, user, app, page)
            .bind::<BigInt, _>(PAGE_BYTES)
            .bind::<BigInt, _>(ARTIFACT_BYTES)
            .bind::<Bool, _>(whole)
            .load(&mut conn)
            .await?;
        let fitting = found.iter().take_while(|run| run.fits).count();
        let next = page.cut_at(&mut found, fitting, |run| Position { at: run.created_at, id: run.id.uuid() });
        let ids: Vec<RunId> = found.iter().map(|run| run.id).collect();
        Ok((viewer.load_all(&mut conn, user, &ids, whole).await?, next))
    })
    .await
}

/// The text with its binds.
fn bound(
    sql: String,
    user: UserId,
    app: Option<AppId>,
    page: &Page<Filters>,
) -> Prepared<impl PushBinds + Send> {
    let filters = &page.filters;
    let pairs: Value =
        filters.metadata.iter().map(|(key, value)| (key.clone(), Value::from(value.as_str()))).collect();
    let (key, value) = filters.metadata.as_slice().first().cloned().unwrap_or_default();
    statement(sql)
        .bind::<SqlUuid, _>(user.uuid())
        .bind::<Array<Text>, _>(filters.status.iter().map(|status| status.as_str()).collect::<Vec<_>>())
        .bind::<Nullable<SqlUuid>, _>(app.map(AppId::uuid))
        .bind::<Nullable<Timestamptz>, _>(filters.after)
        .bind::<Nullable<Timestamptz>, _>(filters.before)
        .bind::<Nullable<Timestamptz>, _>(page.after.map(|position| position.at))
        .bind::<Nullable<SqlUuid>, _>(page.after.map(|position| position.id))
        .bind::<Text, _>(key)
        .bind::<Text, _>(value)
        .bind::<Jsonb, _>(pairs)
        .bind::<BigInt, _>(page.rows())
}

#[cfg(test)]
mod tests {
    use super::*;
    use shared::testing::{PlanLine, TestDatabase, plan_of};

    const MANY: &str = r#"
        WITH u AS (
            INSERT INTO users (id, email, password_hash, plan)
            SELECT gen_random_uuid(), n || '@x', '', 'pro' FROM generate_series(1, 3) n RETURNING id
        ), a AS (
            INSERT INTO apps (id, user_id, name) SELECT gen_random_uuid(), id, 'a' FROM u
            RETURNING id, user_id
        ), v AS (
            INSERT INTO app_versions (id, app_id, version, definition)
            SELECT gen_random_uuid(), id, 1, '{}' FROM a RETURNING id, app_id
        ), r AS (
            INSERT INTO runs (id, user_id, app_id, app_version_id, source, status, title, inputs,
                              chat_model_id, metadata, created_at, last_seq)
            SELECT gen_random_uuid(), a.user_id, a.id, v.id, 'api', 'pending', '', '{}', 'm', '{"k": "v"}',
                   capi_now() + n * interval '1 s', 1
            FROM a JOIN v ON v.app_id = a.id, generate_series(1, 5000) n RETURNING id, user_id, created_at
        )
        INSERT INTO run_metadata (user_id, key, value, created_at, run_id)
        SELECT user_id, 'k', 'v', created_at, id FROM r"#;

    #[tokio::test(flavor = "multi_thread")]
    async fn every_filter_walks_an_index_in_the_lists_order() {
        let database = TestDatabase::create().await;
        database.run_sql(MANY).await;
        database.run_sql("ANALYZE").await;
        let filters = |text: &str| serde_json::from_str::<Filters>(text).unwrap();
        for wanted in [
            "{}",
            r#"{"status": ["failed"]}"#,
            r#"{"status": ["pending", "failed"]}"#,
            r#"{"source": "console"}"#,
            r#"{"metadata": [["k", "v"]]}"#,
            r#"{"metadata": [["k", "v"]], "before": "2026-01-01T00:00:00Z"}"#,
        ] {
            let page = Page { limit: 20, after: None, filters: filters(wanted) };
            let explained = format!("EXPLAIN {}", sql(&page.filters, false, false));
            let mut conn = database.conn().await;
            let lines: Vec<PlanLine> =
                bound(explained, UserId::generate(), None, &page).load(&mut conn).await.unwrap();
            let plan = plan_of(&lines);
            assert!(plan.contains("Backward using run"), "{wanted}: {plan}");
            assert!(!plan.contains("Seq Scan") && !plan.contains("Bitmap"), "{wanted}: {plan}");
            // Only the pages of several statuses have to be merged.
            assert!(wanted.contains("status") || !plan.contains("Sort"), "{wanted}: {plan}");
        }
    }
}
