//! Named prompts: the uploaded ones (files under the data directory's `prompts/`) over the shipped ones (in the
//! binary). Blocking: callers run it on a blocking thread. What may be stored is checked by `decode` before.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;

use super::decode::Format;
use super::shipped::{self, Shipped};
use super::{CLIP_RATE, Name, PromptConfig, PromptError};

/// The ending of what was uploaded, whatever its format.
const UPLOADED: &str = "audio";

/// Endings of files that an operator may have put there by hand; an uploaded prompt of the name hides them.
const BY_HAND: [&str; 7] = ["wav", "mp3", "flac", "ogg", "m4a", "mp4", "aac"];

/// The deepest that folders are read; names cannot be deeper.
const MAX_DEPTH: usize = super::MAX_NAME_LENGTH / 2;

/// Where a named prompt comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// The data directory.
    Uploaded,
    /// The binary.
    Shipped,
}

/// What is known of a named prompt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Info {
    /// Its name.
    pub name: Name,
    /// Where it comes from.
    pub origin: Origin,
    /// The size of its file in bytes.
    pub bytes: u64,
    /// The media type of its file.
    pub content_type: &'static str,
    /// How long it plays, where that is known without decoding it.
    pub duration: Option<Duration>,
    /// What is said in it; shipped prompts only.
    pub text: Option<&'static str>,
}

/// The named prompts.
pub struct Library {
    directory: Option<PathBuf>,
    most_prompts: usize,
    most_bytes: u64,
    max_file: usize,
    /// One writer at a time, so that the limits hold. Held while a file is written; readers do not take it.
    writing: Mutex<()>,
    temporary: AtomicU64,
}

impl Library {
    /// The library under these settings.
    pub fn new(config: &PromptConfig) -> Self {
        Library {
            directory: config.directory.clone(),
            most_prompts: config.library_count,
            most_bytes: config.library_bytes,
            max_file: config.limits.max_bytes,
            writing: Mutex::new(()),
            temporary: AtomicU64::new(0),
        }
    }

    /// A prompt's file.
    pub fn get(&self, name: &Name) -> Result<(Info, Bytes), PromptError> {
        if let Some(path) = self.find(name)? {
            let fail = |e: io::Error| storage(name, "read", &e);
            let size = fs::metadata(&path).map_err(fail)?.len();
            if size > self.max_file as u64 {
                return Err(PromptError::TooBig { place: format!("prompt:{name}"), limit: self.max_file });
            }
            let audio = Bytes::from(fs::read(&path).map_err(fail)?);
            let mut info = uploaded(name.clone(), audio.len() as u64);
            info.content_type = Format::guess(&audio).content_type;
            return Ok((info, audio));
        }
        match shipped::find(name.as_str()) {
            Some(prompt) => Ok((described(prompt, name.clone()), Bytes::from_static(prompt.audio))),
            None => Err(PromptError::NotFound(name.clone())),
        }
    }

    /// Stores a prompt that was decoded to `samples` samples. It is there whole or not at all.
    pub fn put(&self, name: &Name, audio: &[u8], format: Format, samples: usize) -> Result<Info, PromptError> {
        let Some(directory) = &self.directory else {
            let problem = "there is no data directory to keep uploads in".to_owned();
            return Err(PromptError::Storage { name: name.to_string(), action: "stored", problem });
        };
        let fail = |e: io::Error| storage(name, "stored", &e);
        let _one_writer = self.writing.lock().unwrap_or_else(PoisonError::into_inner);
        let (mut count, mut bytes) = (0, 0);
        for (other, size) in self.uploads().map_err(fail)? {
            if other != *name {
                count += 1;
                bytes += size;
            }
        }
        if count >= self.most_prompts {
            return Err(PromptError::LibraryFull { problem: format!("it holds {count} uploaded prompts") });
        }
        if bytes + audio.len() as u64 > self.most_bytes {
            let problem = format!("with this one it would hold more than {} bytes", self.most_bytes);
            return Err(PromptError::LibraryFull { problem });
        }
        let path = file(directory, name, UPLOADED);
        let folder = path.parent().unwrap_or(directory);
        fs::create_dir_all(folder).map_err(fail)?;
        let number = self.temporary.fetch_add(1, Ordering::Relaxed);
        let temporary = folder.join(format!(".upload-{}-{number}.tmp", std::process::id()));
        if let Err(e) = write_whole(&temporary, audio).and_then(|()| fs::rename(&temporary, &path)) {
            // Whatever it was, half a file must not take up the room that was missing.
            let _ = fs::remove_file(&temporary);
            return Err(fail(e));
        }
        // So that the name is there after a power cut too. Not every file system can do it.
        let _ = File::open(folder).and_then(|folder| folder.sync_all());
        let mut info = uploaded(name.clone(), audio.len() as u64);
        info.content_type = format.content_type;
        info.duration = Some(playing_time(samples));
        Ok(info)
    }

    /// Removes an uploaded prompt.
    pub fn delete(&self, name: &Name) -> Result<(), PromptError> {
        let _one_writer = self.writing.lock().unwrap_or_else(PoisonError::into_inner);
        let mut found = false;
        while let Some(path) = self.find(name)? {
            fs::remove_file(&path).map_err(|e| storage(name, "deleted", &e))?;
            found = true;
        }
        match (found, shipped::find(name.as_str())) {
            (true, _) => Ok(()),
            (false, Some(_)) => Err(PromptError::Shipped(name.clone())),
            (false, None) => Err(PromptError::NotFound(name.clone())),
        }
    }

    /// Every prompt by name; an uploaded one hides the shipped one of its name.
    pub fn list(&self) -> Result<Vec<Info>, PromptError> {
        let mut all: BTreeMap<Name, Info> = BTreeMap::new();
        for prompt in shipped::PROMPTS {
            let name = Name::parse(prompt.name)?;
            all.insert(name.clone(), described(prompt, name));
        }
        let fail = |e: io::Error| PromptError::Storage { name: "*".to_owned(), action: "listed", problem: explain(&e) };
        for (name, size) in self.uploads().map_err(fail)? {
            all.insert(name.clone(), uploaded(name, size));
        }
        Ok(all.into_values().collect())
    }

    /// The file of an uploaded prompt, or one put there by hand.
    fn find(&self, name: &Name) -> Result<Option<PathBuf>, PromptError> {
        let Some(directory) = &self.directory else { return Ok(None) };
        for ending in std::iter::once(UPLOADED).chain(BY_HAND) {
            let path = file(directory, name, ending);
            match fs::metadata(&path) {
                Ok(found) if found.is_file() => return Ok(Some(path)),
                Ok(_) => {}
                Err(e) if matches!(e.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {}
                Err(e) => return Err(storage(name, "read", &e)),
            }
        }
        Ok(None)
    }

    /// The names and sizes of what is in the directory. At most `most_prompts` and one are read.
    fn uploads(&self) -> io::Result<BTreeMap<Name, u64>> {
        let mut found = BTreeMap::new();
        if let Some(directory) = &self.directory {
            self.walk(directory, "", 0, &mut found)?;
        }
        Ok(found)
    }

    fn walk(&self, folder: &Path, prefix: &str, depth: usize, found: &mut BTreeMap<Name, u64>) -> io::Result<()> {
        let entries = match fs::read_dir(folder) {
            Ok(entries) => entries,
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(()),
            Err(e) => return Err(e),
        };
        for entry in entries {
            if found.len() > self.most_prompts {
                return Ok(());
            }
            let entry = entry?;
            let (Ok(file_name), kind) = (entry.file_name().into_string(), entry.file_type()?) else { continue };
            if kind.is_dir() {
                if depth < MAX_DEPTH {
                    self.walk(&entry.path(), &format!("{prefix}{file_name}/"), depth + 1, found)?;
                }
                continue;
            }
            let Some((stem, ending)) = file_name.rsplit_once('.') else { continue };
            if ending != UPLOADED && !BY_HAND.contains(&ending) {
                continue;
            }
            // Another name's file is none of ours.
            let Ok(name) = Name::parse(&format!("{prefix}{stem}")) else { continue };
            // Deleted between the two looks: gone.
            let Ok(about) = fs::metadata(entry.path()) else { continue };
            if ending == UPLOADED || !found.contains_key(&name) {
                found.insert(name, about.len());
            }
        }
        Ok(())
    }
}

fn file(directory: &Path, name: &Name, ending: &str) -> PathBuf {
    directory.join(format!("{name}.{ending}"))
}

fn write_whole(path: &Path, audio: &[u8]) -> io::Result<()> {
    let mut options = File::options();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o640);
    let mut file = options.open(path)?;
    file.write_all(audio)?;
    file.sync_all()
}

fn uploaded(name: Name, bytes: u64) -> Info {
    Info { name, origin: Origin::Uploaded, bytes, content_type: "application/octet-stream", duration: None, text: None }
}

fn described(prompt: &'static Shipped, name: Name) -> Info {
    Info {
        name,
        origin: Origin::Shipped,
        bytes: prompt.audio.len() as u64,
        content_type: Format::WAV.content_type,
        duration: Some(playing_time(prompt.samples)),
        text: Some(prompt.text),
    }
}

fn playing_time(samples: usize) -> Duration {
    Duration::from_micros(samples as u64 * 1_000_000 / u64::from(CLIP_RATE))
}

fn storage(name: &Name, action: &'static str, error: &io::Error) -> PromptError {
    PromptError::Storage { name: name.to_string(), action, problem: explain(error) }
}

fn explain(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
            "the disk of the data directory is full; free some space".to_owned()
        }
        io::ErrorKind::PermissionDenied => "the engine may not do that in its data directory (permissions)".to_owned(),
        io::ErrorKind::ReadOnlyFilesystem => "the data directory is read-only".to_owned(),
        _ => error.to_string(),
    }
}

#[cfg(test)]
mod tests;
