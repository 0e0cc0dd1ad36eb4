//! Lists deliveries, newest first, and loads one.

use diesel::sql_types::{Array, BigInt, Bool, Nullable, Timestamptz, Uuid as SqlUuid};
use diesel_async::RunQueryDsl;
use shared::db::{Db, DbError, Prepared, PushBinds, statement};
use shared::ids::{AppId, RunId, UserId};
use uuid::Uuid;

use super::shape::{SHOWN_ATTEMPTS, of_app, shape_sql};
use super::{Delivery, DeliveryRef, Filters};
use crate::Refusal;
use crate::page::Page;

/// The ids of one page. Statuses are literals: the planner uses a partial index only for a literal. There is
/// one page for each status, of which the newest are taken.
fn sql(filters: &Filters, continued: bool) -> String {
    let mut wanted = format!("d.user_id = $3 AND d.type <> 'ping' AND {}", of_app!("$4"));
    if filters.run.is_some() {
        wanted.push_str(" AND (d.run_id = $5 OR d.event_run_id = $5)");
    }
    if filters.after.is_some() {
        wanted.push_str(" AND d.created_at > $6");
    }
    if filters.before.is_some() {
        wanted.push_str(" AND d.created_at < $7");
    }
    if continued {
        wanted.push_str(" AND (d.created_at, d.id) < ($8, $9)");
    }
    let page = |status: &str| {
        format!(
            "(SELECT d.id, d.created_at FROM webhook_deliveries d WHERE {wanted}{status}
              ORDER BY d.created_at DESC, d.id DESC LIMIT $10)"
        )
    };
    let pages: Vec<_> = match filters.status.as_slice() {
        [] => vec![page("")],
        some => some.iter().map(|status| page(&format!(" AND d.status = '{}'", status.as_str()))).collect(),
    };
    format!(
        "{}d.id = ANY (ARRAY(SELECT p.id FROM ({}) p ORDER BY p.created_at DESC, p.id DESC LIMIT $10))
         ORDER BY d.created_at DESC, d.id DESC",
        shape_sql!(),
        pages.join(" UNION ALL ")
    )
}

/// The deliveries of one page, without the bodies of answers unless `whole` is set, and the cursor of the
/// next page. `app` limits the list to the runs of one app.
pub async fn list(
    db: &Db,
    user: UserId,
    app: Option<AppId>,
    page: &Page<Filters>,
    whole: bool,
) -> Result<(Vec<Delivery>, Option<String>), DbError> {
    let sql = sql(&page.filters, page.after.is_some());
    let loading = db.read(|mut conn| async move {
        Ok(bound(sql, user, app, page, whole).load::<Delivery>(&mut conn).await?)
    });
    let mut found = loading.await?;
    let next = page.cut(&mut found, Delivery::position);
    Ok((found, next))
}

/// The text with its binds.
fn bound(
    sql: String,
    user: UserId,
    app: Option<AppId>,
    page: &Page<Filters>,
    whole: bool,
) -> Prepared<impl PushBinds + Send> {
    let filters = &page.filters;
    statement(sql)
        .bind::<BigInt, _>(SHOWN_ATTEMPTS)
        .bind::<Bool, _>(whole)
        .bind::<SqlUuid, _>(user.uuid())
        .bind::<Nullable<SqlUuid>, _>(app.map(AppId::uuid))
        .bind::<Nullable<SqlUuid>, _>(filters.run.map(RunId::uuid))
        .bind::<Nullable<Timestamptz>, _>(filters.after)
        .bind::<Nullable<Timestamptz>, _>(filters.before)
        .bind::<Nullable<Timestamptz>, _>(page.after.map(|position| position.at))
        .bind::<Nullable<SqlUuid>, _>(page.after.map(|position| position.id))
        .bind::<BigInt, _>(page.rows())
}

const GET: &str = concat!(shape_sql!(), "d.user_id = $3 AND ", of_app!("$4"), " AND d.id = ANY ($5)");

/// The user's delivery with the bodies of answers.
pub async fn get(db: &Db, user: UserId, of: DeliveryRef) -> Result<Delivery, Refusal> {
    let ids: Vec<Uuid> = vec![of.delivery.uuid()];
    let loading = db.read(|mut conn| async move {
        let mut found: Vec<Delivery> = statement(GET)
            .bind::<BigInt, _>(SHOWN_ATTEMPTS)
            .bind::<Bool, _>(true)
            .bind::<SqlUuid, _>(user.uuid())
            .bind::<Nullable<SqlUuid>, _>(of.app.map(AppId::uuid))
            .bind::<Array<SqlUuid>, _>(ids)
            .load(&mut conn)
            .await?;
        Ok(found.pop())
    });
    loading.await?.ok_or(Refusal::NotFound("delivery"))
}

#[cfg(test)]
mod tests {
    use diesel::QueryableByName;
    use diesel::sql_types::Text;
    use shared::testing::TestDatabase;

    use super::*;

    #[derive(QueryableByName)]
    struct PlanRow {
        #[diesel(sql_type = Text, column_name = "QUERY PLAN")]
        line: String,
    }

    const MANY: &str = "
        WITH u AS (
            INSERT INTO users (id, email, password_hash, plan)
            SELECT gen_random_uuid(), n || '@x', '', 'pro' FROM generate_series(1, 3) n RETURNING id
        ), l AS (
            INSERT INTO webhook_lanes (id, user_id, host) SELECT gen_random_uuid(), id, 'h' FROM u
            RETURNING id, user_id
        )
        INSERT INTO webhook_deliveries
            (id, lane_id, user_id, event_run_id, type, url, status, next_attempt_at, created_at)
        SELECT gen_random_uuid(), l.id, l.user_id, gen_random_uuid(), 'run.started', 'u',
               CASE WHEN n % 50 = 0 THEN 'failed' ELSE 'delivered' END, NULL, capi_now() + n * interval '1 s'
        FROM l, generate_series(1, 5000) n";

    #[tokio::test(flavor = "multi_thread")]
    async fn every_filter_walks_an_index_in_the_lists_order() {
        let database = TestDatabase::create().await;
        let mut conn = database.conn().await;
        // Without triggers: the deliveries refer to no runs.
        statement("SET session_replication_role = replica").execute(&mut conn).await.unwrap();
        statement(MANY).execute(&mut conn).await.unwrap();
        statement("ANALYZE").execute(&mut conn).await.unwrap();
        for (wanted, index) in [
            ("{}", "webhook_deliveries_by_user"),
            (r#"{"status": ["delivered"]}"#, "webhook_deliveries_by_user"),
            (r#"{"status": ["failed"]}"#, "webhook_deliveries_by_status"),
            (r#"{"status": ["pending", "failed"]}"#, "webhook_deliveries_by_status"),
            (r#"{"before": "2026-01-01T00:00:00Z"}"#, "webhook_deliveries_by_user"),
        ] {
            let page = Page { limit: 20, after: None, filters: serde_json::from_str(wanted).unwrap() };
            let explained = format!("EXPLAIN {}", sql(&page.filters, false));
            let lines: Vec<PlanRow> =
                bound(explained, UserId::generate(), None, &page, false).load(&mut conn).await.unwrap();
            let plan = lines.iter().map(|row| row.line.as_str()).collect::<Vec<_>>().join("\n");
            assert!(plan.contains(&format!("Backward using {index}")), "{wanted}: {plan}");
            assert!(!plan.contains("Seq Scan on webhook_deliveries"), "{wanted}: {plan}");
        }
    }
}
