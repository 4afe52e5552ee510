//! Users who register with us, and the registrations that outlive the process. Of a password only its HA1s are kept.

use serde::{Deserialize, Serialize};

use super::error::{StoreError, document, json, taken};
use super::open::Store;

/// A user.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct User {
    /// Unique name: the digest user name and the user part of his address.
    pub name: String,
    /// The realm that the HA1s are for.
    pub realm: String,
    /// MD5 of `name:realm:password`, hexadecimal.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ha1_md5: Option<String>,
    /// SHA-256 of the same, hexadecimal.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ha1_sha256: Option<String>,
    /// The name shown to those whom he calls.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub display_name: Option<String>,
    /// Numbers and extensions that are his as well, in normal form (`+15551230001`, `7042`).
    #[serde(default)]
    pub numbers: Vec<String>,
    /// Contacts that he may have registered at once.
    pub max_contacts: u32,
    /// `parallel` or `sequential`.
    pub forking: String,
    /// `off`, `offered` or `required`, whatever the engine's setting says; none: as that says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub srtp: Option<String>,
    /// Neither registers nor calls.
    #[serde(default)]
    pub disabled: bool,
}

/// Without secrets.
impl std::fmt::Debug for User {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("User").field("name", &self.name).finish_non_exhaustive()
    }
}

impl Store {
    /// All users by name.
    pub async fn users(&self) -> Result<Vec<User>, StoreError> {
        let rows: Vec<(String, String)> =
            sqlx::query_as("SELECT name, document FROM users ORDER BY name").fetch_all(&self.read).await?;
        rows.iter().map(|(name, text)| document("user", name, text)).collect()
    }

    /// One user.
    pub async fn user(&self, name: &str) -> Result<Option<User>, StoreError> {
        let row: Option<(String,)> =
            sqlx::query_as("SELECT document FROM users WHERE name = $1").bind(name).fetch_optional(&self.read).await?;
        row.map(|(text,)| document("user", name, &text)).transpose()
    }

    /// Adds a user.
    pub async fn create_user(&self, user: &User) -> Result<(), StoreError> {
        sqlx::query("INSERT INTO users (name, document) VALUES ($1, $2)")
            .bind(&user.name)
            .bind(json(user))
            .execute(&self.write)
            .await
            .map_err(taken("user", &user.name))?;
        Ok(())
    }

    /// Replaces the user of that name; false: there is none.
    pub async fn replace_user(&self, user: &User) -> Result<bool, StoreError> {
        let done = sqlx::query("UPDATE users SET document = $2 WHERE name = $1")
            .bind(&user.name)
            .bind(json(user))
            .execute(&self.write)
            .await?;
        Ok(done.rows_affected() > 0)
    }

    /// Deletes a user; false: there is none.
    pub async fn delete_user(&self, name: &str) -> Result<bool, StoreError> {
        let done = sqlx::query("DELETE FROM users WHERE name = $1").bind(name).execute(&self.write).await?;
        Ok(done.rows_affected() > 0)
    }

    /// The registrations that were kept: name and document of each user who has any.
    pub async fn registrations(&self) -> Result<Vec<(String, String)>, StoreError> {
        Ok(sqlx::query_as("SELECT name, document FROM registrations ORDER BY name").fetch_all(&self.read).await?)
    }
}

/// Keeps a user's registrations, in place of those before; none: he has none any more.
pub(super) async fn save_registrations(
    connection: &mut sqlx::SqliteConnection,
    name: &str,
    document: Option<&str>,
) -> Result<(), sqlx::Error> {
    sqlx::query("DELETE FROM registrations WHERE name = $1").bind(name).execute(&mut *connection).await?;
    if let Some(document) = document {
        sqlx::query("INSERT INTO registrations (name, document) VALUES ($1, $2)")
            .bind(name)
            .bind(document)
            .execute(&mut *connection)
            .await?;
    }
    Ok(())
}
