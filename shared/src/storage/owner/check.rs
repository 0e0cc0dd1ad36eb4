//! Compares the id in the database with the id in the store, and writes the latter where that is safe.

use std::collections::HashSet;
use std::fmt;

use bytes::Bytes;
use diesel::QueryableByName;
use diesel::sql_types::{Array, BigInt, Uuid as SqlUuid};
use diesel_async::RunQueryDsl;
use futures_util::StreamExt;
use uuid::Uuid;

use super::super::{Artifacts, CompareError, ObjectKey};
use crate::db::{Db, DbError, statement};
use crate::ids::RunId;

/// An id has 36 characters and a line feed.
const MAX_ID_BYTES: usize = 100;
/// Objects of a store without an id that are compared with the database.
const SAMPLED_OBJECTS: usize = 2000;
/// A store without an id is adopted if the database knows this share of its runs. Creates that failed leave
/// few unknown ones.
const KNOWN_SHARE: f64 = 0.5;

/// Who owns the store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Owner {
    /// This installation.
    Own,
    /// The store has the id of another one.
    Other { store: Uuid, database: Uuid },
    /// The store has objects, no id, and runs that the database does not know.
    Unrecognised { database: Uuid, known: usize, runs: usize },
    /// The store has no id. The services of this installation may take it over.
    Unclaimed { database: Uuid, known: usize, runs: usize },
    /// The object with the id is not one.
    Unreadable { database: Uuid },
}

impl Owner {
    #[must_use]
    pub const fn is_own(self) -> bool {
        matches!(self, Self::Own)
    }
}

const REMEDY: &str = "point CAPI_ARTIFACTS_URL or CAPI_DATABASE_URL at the right place, or run `gateway \
                      store adopt --yes` if this database shall own the store";

impl fmt::Display for Owner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Own => write!(f, "the store belongs to this installation"),
            Self::Other { store, database } => write!(
                f,
                "the store belongs to installation {store}, the database is installation {database}: {REMEDY}"
            ),
            Self::Unrecognised { database, known, runs } => write!(
                f,
                "the store names no installation, and the database (installation {database}) knows {known} \
                 of {runs} runs in it: {REMEDY}"
            ),
            Self::Unclaimed { database, known, runs } => write!(
                f,
                "the store names no installation, and the database (installation {database}) knows {known} \
                 of {runs} runs in it: the first gateway or run-worker that starts takes the store over"
            ),
            Self::Unreadable { database } => write!(
                f,
                "the object `installation` of the store holds no id, the database is installation \
                 {database}: {REMEDY}"
            ),
        }
    }
}

#[derive(QueryableByName)]
struct Installation {
    #[diesel(sql_type = SqlUuid)]
    id: Uuid,
}

async fn database_id(db: &Db) -> Result<Uuid, DbError> {
    let read = db.read(|mut conn| async move {
        let row: Installation = statement("SELECT id FROM installation").get_result(&mut conn).await?;
        Ok(row.id)
    });
    read.await
}

/// The id that the store holds. The inner `None` stands for an object that is no id.
async fn store_id(store: &Artifacts) -> Result<Option<Option<Uuid>>, CompareError> {
    match store.get_small(&ObjectKey::installation(), MAX_ID_BYTES).await {
        Ok(read) => {
            let text = read.and_then(|read| String::from_utf8(read).ok());
            Ok(Some(text.and_then(|text| text.trim().parse().ok())))
        }
        Err(error) if error.is_missing() => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// Compares the ids, and writes nothing.
pub async fn find_owner(db: &Db, store: &Artifacts) -> Result<Owner, CompareError> {
    let database = database_id(db).await?;
    Ok(match store_id(store).await? {
        Some(Some(id)) if id == database => Owner::Own,
        Some(Some(store)) => Owner::Other { store, database },
        Some(None) => Owner::Unreadable { database },
        None => {
            let (known, runs) = known_runs(db, store).await?;
            #[expect(clippy::cast_precision_loss, reason = "the numbers are small")]
            if (known as f64) < runs as f64 * KNOWN_SHARE {
                Owner::Unrecognised { database, known, runs }
            } else {
                Owner::Unclaimed { database, known, runs }
            }
        }
    })
}

/// Compares the ids, for a service. A store without an id gets the database's if it is empty or if the
/// database knows its runs: an installation that is older than the id needs no work by hand.
pub async fn check_owner(db: &Db, store: &Artifacts) -> Result<Owner, CompareError> {
    let found = find_owner(db, store).await?;
    let Owner::Unclaimed { database, known, runs } = found else { return Ok(found) };
    // If another process was faster, its id counts.
    if store.put_own(&ObjectKey::installation(), text_of(database), false).await? {
        tracing::info!(installation = %database, known, runs, "took over the store");
    }
    find_owner(db, store).await
}

/// Writes the database's id into the store.
pub async fn adopt_store(db: &Db, store: &Artifacts) -> Result<Uuid, CompareError> {
    let database = database_id(db).await?;
    store.put_own(&ObjectKey::installation(), text_of(database), true).await?;
    Ok(database)
}

/// Gives the database a new id, because it is a copy of another installation's database.
pub async fn renew_installation(db: &Db) -> Result<Uuid, DbError> {
    let id = Uuid::new_v4();
    db.write(|mut conn| async move {
        statement("UPDATE installation SET id = $1").bind::<SqlUuid, _>(id).execute(&mut conn).await?;
        Ok(())
    })
    .await?;
    Ok(id)
}

fn text_of(id: Uuid) -> Bytes {
    format!("{id}\n").into()
}

/// How many runs the first objects of the store belong to, and how many of these the database knows.
async fn known_runs(db: &Db, store: &Artifacts) -> Result<(usize, usize), CompareError> {
    #[derive(QueryableByName)]
    struct Row {
        #[diesel(sql_type = BigInt)]
        known: i64,
    }
    let (mut objects, mut runs) = (store.list(None).take(SAMPLED_OBJECTS), HashSet::<RunId>::new());
    while let Some(object) = objects.next().await {
        runs.extend(object?.run);
    }
    let runs: Vec<RunId> = runs.into_iter().collect();
    let asked = &runs;
    let counting = db.read(|mut conn| async move {
        let sql = "SELECT count(*) AS known FROM runs WHERE id = ANY ($1)";
        let row: Row = statement(sql).bind::<Array<SqlUuid>, _>(asked).get_result(&mut conn).await?;
        Ok(row.known)
    });
    Ok((usize::try_from(counting.await?).unwrap_or(0), runs.len()))
}
