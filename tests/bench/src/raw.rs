//! The database alone: pgbench runs the SQL statements of a create, one create at a time over as many
//! connections as the gateway's clients. A gateway sends them in sets, so it may be faster.

use anyhow::{Context as _, ensure};
use diesel_async::RunQueryDsl;
use e2e::Stack;
use shared::db::statement;
use tokio::process::Command;

use crate::creates::ACCOUNTS;
use crate::single::{ADMIT, INSERT};

/// A pgbench script cannot look ids up, so all ids of account `n` derive from `n`.
const INSERT_ACCOUNTS: &str = "
WITH n AS (
    SELECT n, md5('user-' || n)::uuid AS u, md5('app-' || n)::uuid AS a, md5('version-' || n)::uuid AS v
    FROM generate_series(1, $1) n
),
users AS (
    INSERT INTO users (id, email, password_hash, plan) SELECT u, n || '@raw', '', 'big' FROM n
),
slots AS (INSERT INTO user_slots SELECT u FROM n),
apps AS (INSERT INTO apps (id, user_id, name) SELECT a, u, 'raw' FROM n),
versions AS (
    INSERT INTO app_versions (id, app_id, version, definition) SELECT v, a, 1, '{}' FROM n
)
INSERT INTO api_keys (id, user_id, name, sha256, display_prefix)
SELECT md5('key-' || n)::uuid, u, 'raw', sha256(('raw-' || n)::bytea), 'capi_raw' FROM n";

/// Like a UUID v7: a time in milliseconds, then random digits.
const RUN_ID: &str = "(lpad(to_hex((extract(epoch FROM clock_timestamp()) * 1000)::bigint), 12, '0') \
                      || substr(md5(random()::text), 1, 20))::uuid";

fn id(what: &str) -> String {
    format!("md5('{what}-' || :n::text)::uuid")
}

/// Replaces `$1`, `$2`, … by expressions of the pgbench script.
fn fill(sql: &str, values: &[String]) -> String {
    let numbered = values.iter().enumerate().rev();
    let filled =
        numbered.fold(sql.to_owned(), |sql, (at, value)| sql.replace(&format!("${}", at + 1), value));
    format!("{};\n", filled.replace('\n', " "))
}

fn script() -> String {
    let text = |literal: &str| literal.to_owned();
    let admit =
        fill(ADMIT, &["sha256(('raw-' || :n::text)::bytea)".to_owned(), text("'{\"big\": 10000}'::jsonb")]);
    let accept = fill(
        INSERT,
        &[
            text(RUN_ID),
            id("user"),
            id("app"),
            id("version"),
            id("key"),
            text("'hello'::text"),
            text("'{\"text\": \"hello\"}'::jsonb"),
            text("'scripted'::text"),
            text("NULL::text"),
            text("NULL::text"),
            text("'{}'::jsonb"),
            text("'run.created'::text"),
            text("'{\"source\": \"api\"}'::jsonb"),
            text("86400"),
            text("'raw'::text"),
            text("NULL::text[]"),
        ],
    );
    format!("\\set n random(1, {ACCOUNTS})\n{admit}{accept}")
}

/// Returns the transactions per second and the seconds of each.
pub(crate) async fn measure(
    stack: &Stack,
    seconds: u64,
    connections: u32,
) -> anyhow::Result<(f64, Vec<f64>)> {
    let accounts = i32::try_from(ACCOUNTS)?;
    statement(INSERT_ACCOUNTS)
        .bind::<diesel::sql_types::Integer, _>(accounts)
        .execute(&mut stack.database.conn().await)
        .await
        .context("failed to create the accounts")?;
    let dir = tempfile::tempdir()?;
    let file = dir.path().join("creates.sql");
    std::fs::write(&file, script())?;
    let (seconds, connections) = (seconds.to_string(), connections.to_string());
    let ran = Command::new("pgbench")
        .args([
            "--no-vacuum",
            "--protocol=prepared",
            "--jobs=2",
            "--client",
            &connections,
            "--time",
            &seconds,
        ])
        .args(["--log", "--file"])
        .arg(&file)
        .current_dir(dir.path())
        .arg(&stack.database.url)
        .output()
        .await
        .context("failed to run pgbench")?;
    let output = String::from_utf8_lossy(&ran.stdout).into_owned();
    ensure!(ran.status.success(), "pgbench: {}", String::from_utf8_lossy(&ran.stderr));
    let written: usize = stack.text("SELECT count(*)::text AS text FROM runs").await.parse()?;
    ensure!(written > 0, "pgbench wrote no run: {output}");
    let rate = output.lines().find_map(|line| line.strip_prefix("tps = "));
    let rate =
        rate.and_then(|rest| rest.split(' ').next()?.parse().ok()).context("pgbench printed no rate")?;
    Ok((rate, samples(dir.path())?))
}

/// The third column of a log of pgbench has the microseconds of a transaction.
fn samples(dir: &std::path::Path) -> anyhow::Result<Vec<f64>> {
    let mut samples = Vec::new();
    for file in std::fs::read_dir(dir)? {
        let file = file?;
        if file.file_name().to_string_lossy().starts_with("pgbench_log") {
            let text = std::fs::read_to_string(file.path())?;
            let times = text.lines().filter_map(|line| line.split(' ').nth(2)?.parse::<f64>().ok());
            samples.extend(times.map(|micros| micros / 1_000_000.0));
        }
    }
    Ok(samples)
}
