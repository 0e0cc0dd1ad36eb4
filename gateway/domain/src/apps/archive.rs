//! Archives apps. An archived app takes no runs; its runs and versions are kept.

use diesel::sql_types::{Bool, Uuid as SqlUuid};
use diesel_async::RunQueryDsl;
use shared::db::{Db, lock_user, statement};
use shared::ids::{AppId, UserId};

use super::store::{StoreRefusal, check_name_is_free, stored};
use crate::accounts::audit::{self, Action, Actor};
use crate::error::write as write_with_refusals;

/// Archives an app, which then takes no runs, or restores it.
pub async fn set_archived(
    db: &Db,
    user: UserId,
    app: AppId,
    archived: bool,
    by: Actor,
) -> Result<(), StoreRefusal> {
    const SQL: &str = "
        UPDATE apps SET archived_at = CASE WHEN $2 THEN capi_now() END, updated_at = capi_now()
        WHERE id = $1";
    write_with_refusals(db, |mut conn| async move {
        conn.build_transaction()
            .run(async |conn| {
                lock_user(conn, user).await?;
                let row = stored(conn, user, None, Some(app)).await?.ok_or(StoreRefusal::Unknown)?;
                if row.archived == archived {
                    return Ok(());
                }
                if !archived {
                    check_name_is_free(conn, user, app, &row.name).await?;
                }
                statement(SQL).bind::<SqlUuid, _>(app.uuid()).bind::<Bool, _>(archived).execute(conn).await?;
                let action = if archived { Action::AppArchived } else { Action::AppRestored };
                audit::record(conn, user, by, action, &row.name).await?;
                Ok(())
            })
            .await
    })
    .await
}
