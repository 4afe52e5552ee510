//! The data directory: where secrets are made at first start and read afterwards.

use std::fs;
use std::io::Write;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::random::Random;

/// Bytes in an access key (ACS: 64).
const KEY_BYTES: usize = 64;

/// A data directory that can be read and written, and that no other engine uses while this lives.
#[derive(Debug)]
pub struct DataDir {
    path: PathBuf,
    /// Locked (flock) as long as it is open.
    _lock: fs::File,
}

/// What the data directory keeps secret.
#[derive(Clone)]
pub struct Secrets {
    /// Both access keys, base64; the first is the one in the connection string.
    pub access_keys: [String; 2],
    /// Signs `incomingCallContext`s.
    pub token_key: [u8; 32],
}

/// The data directory cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("data-dir = {path:?}: {problem}; a folder is needed that can be written")]
pub struct DataDirError {
    path: String,
    problem: String,
}

fn wrong(path: &Path, problem: impl ToString) -> DataDirError {
    DataDirError { path: path.display().to_string(), problem: problem.to_string() }
}

impl DataDir {
    /// Opens it, made where it is missing (mode 0700).
    pub fn open(path: &Path) -> Result<DataDir, DataDirError> {
        if !path.exists() {
            fs::create_dir_all(path).map_err(|error| wrong(path, format!("cannot be made: {error}")))?;
            fs::set_permissions(path, fs::Permissions::from_mode(0o700)).map_err(|error| wrong(path, error))?;
        }
        let path = path.canonicalize().map_err(|error| wrong(path, error))?;
        if !path.is_dir() {
            return Err(wrong(&path, "this is not a folder"));
        }
        let lock =
            fs::File::create(path.join("lock")).map_err(|error| wrong(&path, format!("cannot be written: {error}")))?;
        lock.try_lock().map_err(|_| wrong(&path, "another engine uses it; stop that one, or give another folder"))?;
        Ok(DataDir { path, _lock: lock })
    }

    /// The directory itself.
    pub fn folder(&self) -> &Path {
        &self.path
    }

    /// A file or folder in it.
    pub fn path(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    /// Writes a file whole or not at all: first beside it, then moved into its place.
    pub fn write(&self, name: &str, text: &str, mode: u32) -> Result<(), DataDirError> {
        let path = self.path(name);
        let beside = self.path(&format!("{name}.new"));
        let written = (|| {
            let _ = fs::remove_file(&beside);
            let mut file = fs::OpenOptions::new().write(true).create_new(true).mode(mode).open(&beside)?;
            file.write_all(text.as_bytes())?;
            file.sync_all()?;
            fs::rename(&beside, &path)
        })();
        written.map_err(|error| wrong(&path, format!("cannot be written: {error}")))
    }

    /// Takes a file away, if it is there.
    pub fn remove(&self, name: &str) {
        let _ = fs::remove_file(self.path(name));
    }

    /// Reads the secrets, made at first start. The two access keys stand in `access-key`, a line each; either may be
    /// replaced by hand to rotate it.
    pub fn secrets(&self, random: &mut Random) -> Result<Secrets, DataDirError> {
        let keys = self.read_or_make("access-key", || format!("{}\n{}\n", key(random), key(random)))?;
        let path = self.path("access-key");
        let mut lines = keys.lines().map(str::trim).filter(|line| !line.is_empty()).map(str::to_owned);
        let (Some(first), Some(second)) = (lines.next(), lines.next()) else {
            return Err(wrong(&path, "two lines with a base64 key each are needed; remove the file to get new ones"));
        };
        for line in [&first, &second] {
            if STANDARD.decode(line).map_or(0, |raw| raw.len()) < 16 {
                return Err(wrong(&path, "a line is not base64 of at least 16 bytes; remove the file to get new keys"));
            }
        }
        let token = self.read_or_make("token-key", || STANDARD.encode(raw::<32>(random)) + "\n")?;
        let token_key = STANDARD
            .decode(token.trim())
            .ok()
            .and_then(|raw| <[u8; 32]>::try_from(raw).ok())
            .ok_or_else(|| wrong(&self.path("token-key"), "32 bytes as base64 are needed; remove the file"))?;
        Ok(Secrets { access_keys: [first, second], token_key })
    }

    fn read_or_make(&self, name: &str, make: impl FnOnce() -> String) -> Result<String, DataDirError> {
        let path = self.path(name);
        match fs::read_to_string(&path) {
            Ok(text) => Ok(text),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                let text = make();
                self.write(name, &text, 0o600)?;
                Ok(text)
            }
            Err(error) => Err(wrong(&path, format!("cannot be read: {error}"))),
        }
    }
}

fn raw<const N: usize>(random: &mut Random) -> [u8; N] {
    std::array::from_fn(|_| random.u32() as u8)
}

fn key(random: &mut Random) -> String {
    STANDARD.encode(raw::<KEY_BYTES>(random))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_made_once_and_kept_private() {
        let dir = tempfile::tempdir().unwrap();
        let data = DataDir::open(&dir.path().join("new")).unwrap();
        let first = data.secrets(&mut Random::from_number(1)).unwrap();
        let again = data.secrets(&mut Random::from_number(2)).unwrap();
        assert_eq!(first.access_keys, again.access_keys);
        assert_eq!(first.token_key, again.token_key);
        assert_ne!(first.access_keys[0], first.access_keys[1]);
        for name in ["access-key", "token-key"] {
            assert_eq!(fs::metadata(data.path(name)).unwrap().permissions().mode() & 0o777, 0o600);
        }
    }

    #[test]
    fn a_damaged_key_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let data = DataDir::open(dir.path()).unwrap();
        data.write("access-key", "not base64!\nneither\n", 0o600).unwrap();
        let problem = data.secrets(&mut Random::from_number(1)).err().unwrap().to_string();
        assert!(problem.contains("access-key"), "{problem}");
    }
}
