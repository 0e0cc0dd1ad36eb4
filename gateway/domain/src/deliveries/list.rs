//! Lists deliveries, newest first, and loads one.

use diesel::sql_types::{Array, BigInt, Bool, Nullable, Timestamptz, Uuid as SqlUuid};
use diesel_async::RunQueryDsl;
use shared::db::{Db, DbError, Prepared, PushBinds, statement};
use shared::deliveries::DeliveryStatus;
use shared::ids::{AppId, RunId, UserId};
use uuid::Uuid;

use super::shape::{SHOWN_ATTEMPTS, of_app, shape_sql};
use super::{Delivery, DeliveryRef, Filters};
use crate::Refusal;
use crate::page::Page;

/// The deliveries of one run. OFFSET 0 is a fence: without it the planner may walk the account's whole list.
const OF_RUN: &str = "(SELECT x.* FROM webhook_deliveries x WHERE x.run_id = $5
     UNION ALL SELECT x.* FROM webhook_deliveries x WHERE x.event_run_id = $5 OFFSET 0)";

/// The ids of one page. There is one page for each status, of which the newest are taken: so a page costs its
/// own rows, also if nearly all deliveries have another status or another app. An index has this order.
fn sql(filters: &Filters, of_app: bool, continued: bool) -> String {
    let from = if filters.run.is_some() { OF_RUN } else { "webhook_deliveries" };
    let mut wanted = "d.user_id = $3 AND d.type <> 'ping'".to_owned();
    if of_app {
        wanted.push_str(" AND d.app_id = $4");
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
    let statuses: &[DeliveryStatus] =
        if filters.status.is_empty() { &DeliveryStatus::ALL } else { &filters.status };
    let pages: Vec<_> = statuses
        .iter()
        .map(|status| {
            format!(
                "(SELECT d.id, d.created_at FROM {from} d WHERE {wanted} AND d.status = '{}'
                  ORDER BY d.created_at DESC, d.id DESC LIMIT $10)",
                status.as_str()
            )
        })
        .collect();
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
    let sql = sql(&page.filters, app.is_some(), page.after.is_some());
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
    use shared::testing::{PlanLine, TestDatabase, plan_of};

    use super::*;

    const MANY: &str = "
        WITH u AS (
            INSERT INTO users (id, email, password_hash, plan)
            SELECT gen_random_uuid(), n || '@x', '', 'pro' FROM generate_series(1, 3) n RETURNING id
        ), l AS (
            INSERT INTO webhook_lanes (id, user_id, host) SELECT gen_random_uuid(), id, 'h' FROM u
            RETURNING id, user_id
        )
        INSERT INTO webhook_deliveries
            (id, lane_id, user_id, event_run_id, app_id, type, url, status, next_attempt_at, created_at)
        SELECT gen_random_uuid(), l.id, l.user_id, gen_random_uuid(), l.user_id, 'run.started', 'u',
               coalesce((ARRAY['pending', 'retrying', 'failed'])[n % 50 + 1], 'delivered'),
               CASE WHEN n % 50 < 2 THEN capi_now() END, capi_now() + n * interval '1 s'
        FROM l, generate_series(1, 5000) n";

    #[tokio::test(flavor = "multi_thread")]
    async fn every_filter_walks_an_index_in_the_lists_order() {
        let database = TestDatabase::create().await;
        let mut conn = database.conn().await;
        // Without triggers: the deliveries refer to no runs.
        statement("SET session_replication_role = replica").execute(&mut conn).await.unwrap();
        statement(MANY).execute(&mut conn).await.unwrap();
        statement("ANALYZE").execute(&mut conn).await.unwrap();
        let (by_status, by_app) = ("webhook_deliveries_by_status", "webhook_deliveries_by_app");
        let by_run = "webhook_deliveries_by_event_run";
        let run = format!(r#"{{"run": "{}"}}"#, RunId::generate());
        let (any, delivered) = ("{}", r#"{"status": ["delivered"]}"#);
        for (app, wanted, index) in [
            (false, any, by_status),
            (false, delivered, by_status),
            (false, r#"{"status": ["pending", "failed"]}"#, by_status),
            (false, r#"{"before": "2026-01-01T00:00:00Z"}"#, by_status),
            (true, any, by_app),
            (true, delivered, by_app),
            (false, run.as_str(), by_run),
            (true, run.as_str(), by_run),
        ] {
            let page = Page { limit: 20, after: None, filters: serde_json::from_str(wanted).unwrap() };
            let app = app.then(AppId::generate);
            let explained = format!("EXPLAIN {}", sql(&page.filters, app.is_some(), false));
            let lines: Vec<PlanLine> =
                bound(explained, UserId::generate(), app, &page, false).load(&mut conn).await.unwrap();
            let plan = plan_of(&lines);
            let walks = if index == by_run { index.to_owned() } else { format!("Backward using {index}") };
            let pages = page.filters.status.len();
            let pages = if pages == 0 { DeliveryStatus::ALL.len() } else { pages };
            assert_eq!(plan.matches(&walks).count(), pages, "{wanted}: {plan}");
            assert!(!plan.contains("Seq Scan on webhook_deliveries"), "{wanted}: {plan}");
        }
    }
}
