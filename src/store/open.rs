//! Opening the database: settings of the connection, migrations, and a clear word where the schema does not fit.

use std::path::Path;
use std::time::Duration;

use sqlx::SqlitePool;
use sqlx::migrate::{MigrateError, Migrator};
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous};

use super::error::StoreError;

static MIGRATIONS: Migrator = sqlx::migrate!("./migrations");

/// Connections that read at the same time.
const READERS: u32 = 4;
/// How long one statement waits for a lock that another process holds.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);
/// How long a request waits for a connection; more than a statement may wait for a lock.
const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(8);

/// The database. Cheap to clone.
///
/// All writes go over one connection, so that we never lock ourselves out; reads have their own.
#[derive(Clone, Debug)]
pub struct Store {
    pub(super) read: SqlitePool,
    pub(super) write: SqlitePool,
}

impl Store {
    /// Opens the SQLite file, creates it where it is missing, and brings its schema up to date.
    pub async fn open(path: &Path) -> Result<Store, StoreError> {
        Store::open_with(path, BUSY_TIMEOUT).await
    }

    /// As [`Store::open`], with the time that a statement waits for another process's lock.
    pub async fn open_with(path: &Path, busy_timeout: Duration) -> Result<Store, StoreError> {
        let options = SqliteConnectOptions::new()
            .filename(path)
            .create_if_missing(true)
            .journal_mode(SqliteJournalMode::Wal)
            // Durable against a crash of the process; a power cut may lose the last moments, never the file.
            .synchronous(SqliteSynchronous::Normal)
            .foreign_keys(true)
            .busy_timeout(busy_timeout);
        let describe = |error: sqlx::Error| {
            let error = StoreError::from(error);
            match &error {
                StoreError::Busy(cause) | StoreError::Database(cause) => {
                    StoreError::Schema(format!("the database {} cannot be opened: {cause}", path.display()))
                }
                _ => error,
            }
        };
        let pool = |connections| {
            SqlitePoolOptions::new()
                .max_connections(connections)
                .acquire_timeout(ACQUIRE_TIMEOUT)
                .idle_timeout(None)
                .max_lifetime(None)
        };
        private(path).map_err(|error| describe(sqlx::Error::Io(error)))?;
        let write = pool(1).connect_with(options.clone()).await.map_err(describe)?;
        MIGRATIONS.run(&write).await.map_err(|error| match error {
            MigrateError::VersionMissing(version) | MigrateError::VersionTooNew(version, _) => {
                StoreError::Schema(format!(
                    "the database {} has schema {version}, which this version does not know: it was written by a newer \
                 version; run that one, or another data directory",
                    path.display()
                ))
            }
            MigrateError::VersionMismatch(version) | MigrateError::Dirty(version) => StoreError::Schema(format!(
                "schema step {version} of the database {} is not the one of this version: it is not a database of \
                 this program, or was changed by hand",
                path.display()
            )),
            other => {
                StoreError::Schema(format!("the database {} cannot be brought up to date: {other}", path.display()))
            }
        })?;
        let read = pool(READERS).connect_with(options).await.map_err(describe)?;
        let store = Store { read, write };
        store.forget_unfinished_requests().await?;
        Ok(store)
    }

    /// Is the database there? For `/readyz`.
    pub async fn ping(&self) -> Result<(), StoreError> {
        sqlx::query("SELECT 1").execute(&self.read).await?;
        Ok(())
    }

    /// Closes every connection, after the statements that run.
    pub async fn close(&self) {
        self.read.close().await;
        self.write.close().await;
    }
}

/// Makes the file where it is missing, for nobody else to read: it holds carriers' passwords. SQLite gives its
/// companions (`-wal`, `-shm`) the same mode.
fn private(path: &Path) -> std::io::Result<()> {
    let mut options = std::fs::OpenOptions::new();
    options.append(true).create(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path).map(drop)
}

#[cfg(test)]
impl Store {
    /// For tests that change rows behind our back.
    pub(crate) fn write_pool(&self) -> SqlitePool {
        self.write.clone()
    }
}
