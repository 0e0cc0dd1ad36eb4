//! Plans of accounts that the process does not know. A process whose CAPI_PLANS lacks a plan treats its
//! accounts more strictly than the other processes do.

use diesel::QueryableByName;
use diesel::sql_types::{Array, BigInt, Text};
use diesel_async::RunQueryDsl;

use crate::config::Plans;
use crate::db::{Db, DbError, statement};

/// A plan that accounts have and CAPI_PLANS lacks.
#[derive(Debug, Clone, PartialEq, Eq, QueryableByName)]
pub struct MissingPlan {
    #[diesel(sql_type = Text)]
    pub plan: String,
    /// How many accounts have it.
    #[diesel(sql_type = BigInt)]
    pub accounts: i64,
}

/// Plans that are named in the log. More would only repeat what to do.
const MAX_NAMED: i64 = 20;

/// The plans of accounts that `plans` lacks.
pub async fn missing_plans(db: &Db, plans: &Plans) -> Result<Vec<MissingPlan>, DbError> {
    let known: Vec<&str> = plans.names().collect();
    let known = &known;
    let sql = "SELECT plan, count(*) AS accounts FROM users WHERE plan <> ALL ($1)
               GROUP BY plan ORDER BY plan LIMIT $2";
    db.read(|mut conn| async move {
        let finding = statement(sql).bind::<Array<Text>, _>(known).bind::<BigInt, _>(MAX_NAMED);
        Ok(finding.load(&mut conn).await?)
    })
    .await
}

/// Logs the plans that CAPI_PLANS lacks. Call it once, when a process starts.
pub async fn warn_of_missing_plans(db: Db, plans: Plans) {
    match missing_plans(&db, &plans).await {
        Ok(missing) => {
            for MissingPlan { plan, accounts } in missing {
                tracing::warn!(
                    plan,
                    accounts,
                    "CAPI_PLANS lacks a plan of accounts: their webhooks reach only public addresses, and \
                     they have the smallest limits of all plans. Give all services the same CAPI_PLANS"
                );
            }
        }
        Err(error) => tracing::warn!(%error, "failed to compare CAPI_PLANS with the plans of the accounts"),
    }
}
