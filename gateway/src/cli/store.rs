//! `gateway store …`

use anyhow::{bail, ensure};
use chrono::Utc;
use clap::{Args, Subcommand};
use shared::config::StorageConfig;
use shared::db::Db;
use shared::storage::{Artifacts, MIN_AGE, Owner, adopt_store, find_garbage, find_owner, renew_installation};
use shared::time::format_time;

use super::{OnDatabase, say};

/// Objects that one command deletes. It can be repeated.
const MAX_DELETED: usize = 100_000;

#[derive(Subcommand)]
pub(super) enum Command {
    /// Print which installation owns the store.
    Owner(OnStore),
    /// Make this database the owner of the store, whatever the store said before.
    Adopt {
        #[command(flatten)]
        on: OnStore,
        /// Confirm: from now on this database decides what is deleted from the store.
        #[arg(long)]
        yes: bool,
    },
    /// Give this database a new installation id. Do it on each copy of a database (staging, a test of a
    /// backup), so that the copy cannot use the store of its original.
    Separate {
        #[command(flatten)]
        on: OnDatabase,
        /// Confirm: the database loses its present store.
        #[arg(long)]
        yes: bool,
    },
    /// List or delete the objects older than a day that nothing references.
    Sweep(Sweep),
}

#[derive(Args)]
pub(super) struct OnStore {
    #[command(flatten)]
    on: OnDatabase,
    #[command(flatten)]
    storage: StorageConfig,
}

#[derive(Args)]
pub(super) struct Sweep {
    #[command(flatten)]
    on: OnStore,
    /// Only list them.
    #[arg(long, required_unless_present = "yes", conflicts_with = "yes")]
    dry_run: bool,
    /// Delete them now, without the second look of the workers and however many they are.
    #[arg(long)]
    yes: bool,
}

impl OnStore {
    async fn open(&self) -> anyhow::Result<(Db, Artifacts)> {
        Ok((self.on.open().await?, self.storage.open()?))
    }
}

impl Command {
    pub(super) async fn run(self) -> anyhow::Result<()> {
        match self {
            Self::Owner(on) => {
                let (db, store) = on.open().await?;
                say(&find_owner(&db, &store).await?.to_string());
                Ok(())
            }
            Self::Adopt { on, yes } => {
                let (db, store) = on.open().await?;
                let before = find_owner(&db, &store).await?;
                let is_free = matches!(before, Owner::Own | Owner::Unclaimed { .. });
                ensure!(yes || is_free, "{before}");
                let id = adopt_store(&db, &store).await?;
                say(&format!("the store belongs to installation {id}"));
                Ok(())
            }
            Self::Separate { on, yes } => {
                ensure!(yes, "confirm with --yes: the database loses its present store");
                let id = renew_installation(&on.open().await?).await?;
                say(&format!("the database is installation {id}"));
                Ok(())
            }
            Self::Sweep(sweep) => sweep.run().await,
        }
    }
}

impl Sweep {
    async fn run(self) -> anyhow::Result<()> {
        let (db, store) = self.on.open().await?;
        let owner = find_owner(&db, &store).await?;
        // The list is safe to see. Only the owner deletes.
        if owner != Owner::Own && (self.yes || !matches!(owner, Owner::Unclaimed { .. })) {
            bail!("{owner}");
        }
        let garbage = find_garbage(&db, &store, Utc::now() - MIN_AGE, MAX_DELETED).await?;
        for object in &garbage.objects {
            say(&format!("{}\t{}\t{}", object.key, object.size, format_time(object.written)));
            if self.yes {
                store.delete(&object.key).await?;
            }
        }
        let (count, bytes, listed) = (garbage.count, garbage.bytes, garbage.listed);
        say(&format!("{count} of {listed} objects are unreferenced: {bytes} bytes"));
        say(&format!("{} of them belong to runs that the database does not know", garbage.unknown));
        if self.yes {
            say(&format!("{} deleted", garbage.objects.len()));
        }
        Ok(())
    }
}
