//! An asynchronous standby of a private PostgreSQL, for failovers. What had not arrived is lost.

use diesel::QueryableByName;
use diesel::sql_types::Text;
use diesel_async::{AsyncPgConnection, RunQueryDsl, SimpleAsyncConnection};
use rustix::process::Signal;
use shared::db::{connect_once, statement};
use shared::testing::eventually;

use crate::ports::free_ports;
use crate::postgres::{PrivatePostgres, as_ordinary_user, bin, serve};

pub struct PrivateStandby {
    server: PrivatePostgres,
}

impl PrivatePostgres {
    /// Starts a standby that copies this server.
    pub async fn standby(&self) -> PrivateStandby {
        let dir = tempfile::tempdir().expect("a temporary directory can be made");
        let data = dir.path().join("data");
        let copied = as_ordinary_user(&bin("pg_basebackup"))
            .args(["--write-recovery-conf", "--checkpoint=fast", "--no-sync"])
            .arg(format!("--pgdata={}", data.display()))
            .arg(format!("--dbname={}", self.url))
            .output()
            .await
            .expect("pg_basebackup can be run");
        assert!(copied.status.success(), "pg_basebackup: {}", String::from_utf8_lossy(&copied.stderr));
        let [port] = free_ports();
        let url = self.url.replace(&format!(":{}/", self.port), &format!(":{port}/"));
        let server = Self { url, port, server: serve(&data, port), data, dir };
        server.answers().await;
        PrivateStandby { server }
    }
}

impl PrivateStandby {
    /// Waits until it has all that `primary` has committed.
    pub async fn catches_up_with(&self, primary: &PrivatePostgres) {
        let committed = ask(&primary.url, "SELECT pg_current_wal_flush_lsn()::text AS text").await;
        let behind = format!("SELECT (pg_last_wal_replay_lsn() >= '{committed}')::text AS text");
        eventually("the standby has all", async || {
            (ask(&self.server.url, &behind).await == "true").then_some(())
        })
        .await;
    }

    /// Copies nothing more. What `primary` commits from now on is lost in a failover.
    pub async fn loses_contact_with(&self, primary: &PrivatePostgres) {
        let mut conn = connect(&self.server.url).await;
        // ALTER SYSTEM must be a command of its own.
        for sql in ["ALTER SYSTEM SET primary_conninfo = ''", "SELECT pg_reload_conf()"] {
            conn.batch_execute(sql).await.expect("the standby takes the setting");
        }
        let copies = "SELECT count(*)::text AS text FROM pg_stat_replication";
        eventually("the standby is disconnected", async || {
            (ask(&primary.url, copies).await == "0").then_some(())
        })
        .await;
    }

    /// Crashes `primary` and answers at its address from now on.
    pub async fn replaces(mut self, primary: &mut PrivatePostgres) {
        primary.end(Signal::QUIT).await;
        let promoted = ask(&self.server.url, "SELECT pg_promote()::text AS text").await;
        assert_eq!(promoted, "true", "the standby becomes a primary");
        self.server.end(Signal::INT).await;
        std::mem::swap(&mut self.server.data, &mut primary.data);
        std::mem::swap(&mut self.server.dir, &mut primary.dir);
        primary.server = serve(&primary.data, primary.port);
        primary.answers().await;
    }
}

async fn connect(url: &str) -> AsyncPgConnection {
    eventually("PostgreSQL answers", async || connect_once(url, "capi-test").await.ok()).await
}

/// The column `text` of a statement with one row.
async fn ask(url: &str, sql: &str) -> String {
    #[derive(QueryableByName)]
    struct Row {
        #[diesel(sql_type = Text)]
        text: String,
    }
    let mut conn = connect(url).await;
    let row: Row = statement(sql.to_owned()).get_result(&mut conn).await.expect("the statement runs");
    row.text
}
