//! What can go wrong with the store: the outside message apart from the inner cause.

/// An error of the store.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The name is taken.
    #[error("{kind} `{name}` exists already")]
    Exists {
        /// `rule`, `subscription`, `trunk`…
        kind: &'static str,
        /// Which.
        name: String,
    },
    /// The database is locked, full or out of reach for now; the same request may succeed later.
    #[error("the database is busy, try again")]
    Busy(#[source] sqlx::Error),
    /// What is kept cannot be read: written by something else, or damaged.
    #[error("{kind} `{name}` in the database cannot be read: {cause}")]
    Unreadable {
        /// What it is.
        kind: &'static str,
        /// Which.
        name: String,
        /// Why.
        cause: String,
    },
    /// The database does not fit this program.
    #[error("{0}")]
    Schema(String),
    /// Anything else.
    #[error("the database failed")]
    Database(#[source] sqlx::Error),
}

impl StoreError {
    /// May the same request succeed later?
    pub fn is_transient(&self) -> bool {
        matches!(self, StoreError::Busy(_))
    }
}

impl From<sqlx::Error> for StoreError {
    fn from(error: sqlx::Error) -> Self {
        let transient = match &error {
            sqlx::Error::PoolTimedOut | sqlx::Error::Io(_) => true,
            // Primary result codes of SQLite: BUSY, LOCKED, IOERR, FULL, CANTOPEN. The driver gives extended codes.
            sqlx::Error::Database(inner) => inner
                .code()
                .and_then(|code| code.parse::<i32>().ok())
                .is_some_and(|code| matches!(code & 0xff, 5 | 6 | 10 | 13 | 14)),
            _ => false,
        };
        if transient { StoreError::Busy(error) } else { StoreError::Database(error) }
    }
}

/// A key that is taken becomes [`StoreError::Exists`].
pub(super) fn taken(kind: &'static str, name: &str) -> impl FnOnce(sqlx::Error) -> StoreError {
    move |error| match &error {
        sqlx::Error::Database(inner) if inner.is_unique_violation() => {
            StoreError::Exists { kind, name: name.to_owned() }
        }
        _ => error.into(),
    }
}

/// Reads a JSON document that we wrote.
pub(super) fn document<T: serde::de::DeserializeOwned>(
    kind: &'static str,
    name: &str,
    text: &str,
) -> Result<T, StoreError> {
    serde_json::from_str(text).map_err(|cause| StoreError::Unreadable {
        kind,
        name: name.to_owned(),
        cause: cause.to_string(),
    })
}

/// Writes a JSON document. Only types whose keys are strings come here.
pub(super) fn json<T: serde::Serialize>(value: &T) -> String {
    serde_json::to_string(value).unwrap_or_else(|_| "null".to_owned())
}
