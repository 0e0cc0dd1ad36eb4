//! Writes the hosts of a run to its row before they are contacted. The result of a call lists its hosts too,
//! but a cancelled run and a lost worker record no result.

use std::collections::BTreeSet;

use diesel::QueryableByName;
use diesel::sql_types::{Array, Integer, Text, Uuid as SqlUuid};
use diesel_async::RunQueryDsl;
use shared::config::LeaseConfig;
use shared::db::{Connection, Db, DbError, statement};
use shared::ids::RunId;
use shared::runs::{Fence, RunStatus};

use crate::retry_on_outage::retry_on_outage;

const ADD: &str = "
UPDATE runs SET contacted_hosts = merged_hosts_v1(contacted_hosts, ARRAY[$3])
WHERE id = $1 AND attempt = $2 AND lease_claim = $4 AND status = $5";

/// The hosts of one attempt.
pub struct HostLog {
    db: Db,
    lease: LeaseConfig,
    fence: Fence,
    /// The hosts in the row. The lock is held during a statement, so that the row gets the changes in order.
    recorded: tokio::sync::Mutex<BTreeSet<String>>,
}

impl HostLog {
    /// `contacted` are the hosts in the row.
    #[must_use]
    pub fn new(db: Db, lease: LeaseConfig, fence: Fence, contacted: BTreeSet<String>) -> Self {
        Self { db, lease, fence, recorded: contacted.into() }
    }

    /// Call it before a request. An error is a sentence for the model: the host must not be contacted.
    pub async fn begin(&self, host: &str) -> Result<(), String> {
        let mut recorded = self.recorded.lock().await;
        if recorded.contains(host) {
            return Ok(());
        }
        let fence = self.fence;
        let add = |mut conn| async move { write(&mut conn, fence, host).await };
        match retry_on_outage(&self.db, self.lease, "record a host", add).await {
            Ok(true) => {
                recorded.insert(host.to_owned());
                Ok(())
            }
            Ok(false) => Err("The run is over.".to_owned()),
            Err(error) => {
                tracing::warn!(%error, run_id = %fence.run, "failed to record a host; it is not contacted");
                Err("The fetch was not made, because capi could not record it. Try again later.".to_owned())
            }
        }
    }
}

async fn write(conn: &mut Connection, fence: Fence, host: &str) -> Result<bool, DbError> {
    let writing = statement(ADD)
        .bind::<SqlUuid, _>(fence.run.uuid())
        .bind::<Integer, _>(fence.attempt)
        .bind::<Text, _>(host)
        .bind::<SqlUuid, _>(fence.claim)
        .bind::<Text, _>(RunStatus::Running.as_str());
    Ok(writing.execute(conn).await? == 1)
}

/// The hosts in the row of a run. Calls that were lost may have added some that no event holds.
pub async fn recorded_hosts(conn: &mut Connection, run: RunId) -> Result<BTreeSet<String>, DbError> {
    #[derive(QueryableByName)]
    struct Row {
        #[diesel(sql_type = Array<Text>)]
        contacted_hosts: Vec<String>,
    }
    let reading = statement("SELECT contacted_hosts FROM runs WHERE id = $1").bind::<SqlUuid, _>(run.uuid());
    let row: Row = reading.get_result(conn).await?;
    Ok(row.contacted_hosts.into_iter().collect())
}
