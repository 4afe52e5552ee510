//! RTP that is kept for capture files: one task appends the chunks of `media::tap` to a file a call, in the data
//! directory, and reads them back. Calls hand chunks over and go on; what finds no room in the queue, or on the disk, is
//! missing from the file and from nothing else.

use std::io;
use std::path::{Path, PathBuf};

use tokio::fs;
use tokio::io::AsyncWriteExt;
use tokio::sync::{mpsc, oneshot};

/// Chunks that may wait: of some 20 kB a second and call. When it is full, a chunk is refused.
const QUEUE: usize = 1024;

/// What the files are called: the call's id and this.
const SUFFIX: &str = "rtp";

enum Wish {
    Append(String, Vec<u8>),
    Read(String, oneshot::Sender<io::Result<Vec<u8>>>),
}

/// The way to the task, which ends with it.
pub struct Captures(mpsc::Sender<Wish>);

impl Captures {
    /// Starts the task; of the files in `folder`, which is made when the first is, the latest `most` are kept.
    pub fn start(folder: PathBuf, most: usize) -> Captures {
        let (queue, wishes) = mpsc::channel(QUEUE);
        tokio::spawn(run(folder, most, wishes));
        Captures(queue)
    }

    /// Adds a chunk to a call's file. False: there is no room in the queue.
    pub fn append(&self, call: &str, chunk: Vec<u8>) -> bool {
        self.0.try_send(Wish::Append(call.to_owned(), chunk)).is_ok()
    }

    /// All that has been kept of a call before now; empty where nothing was.
    pub async fn read(&self, call: &str) -> io::Result<Vec<u8>> {
        let (reply, answer) = oneshot::channel();
        let gone = || io::Error::other("the task that keeps captures is gone");
        self.0.send(Wish::Read(call.to_owned(), reply)).await.map_err(|_| gone())?;
        answer.await.map_err(|_| gone())?
    }
}

async fn run(folder: PathBuf, most: usize, mut wishes: mpsc::Receiver<Wish>) {
    // Whether the last write failed: a full disk is told once, not with each chunk.
    let mut failing = false;
    while let Some(wish) = wishes.recv().await {
        match wish {
            Wish::Append(call, chunk) => match append(&folder, most, &call, &chunk).await {
                Ok(()) => failing = false,
                Err(error) => {
                    if !std::mem::replace(&mut failing, true) {
                        tracing::error!(id = %call, %error, folder = %folder.display(), "RTP is missing from captures");
                    }
                }
            },
            Wish::Read(call, reply) => {
                let read = match fs::read(file(&folder, &call)).await {
                    Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
                    read => read,
                };
                // Whoever asked may be gone.
                let _ = reply.send(read);
            }
        }
    }
}

/// A call's id is a UUID of ours, or one that a kept call has: never a way out of the folder.
fn file(folder: &Path, call: &str) -> PathBuf {
    folder.join(call).with_extension(SUFFIX)
}

async fn append(folder: &Path, most: usize, call: &str, chunk: &[u8]) -> io::Result<()> {
    let path = file(folder, call);
    let mut options = fs::OpenOptions::new();
    options.append(true);
    let mut file = match options.open(&path).await {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            fs::create_dir_all(folder).await?;
            forget_oldest(folder, most.saturating_sub(1)).await?;
            options.create(true).mode(0o600).open(&path).await?
        }
        opened => opened?,
    };
    let before = file.metadata().await?.len();
    let written = async {
        file.write_all(chunk).await?;
        file.flush().await
    };
    if let Err(error) = written.await {
        // Half a chunk would end the file for its reader: chunks that find room later stand behind whole ones.
        file.set_len(before).await?;
        return Err(error);
    }
    Ok(())
}

/// Removes the files that were written to longest ago, but for the latest `keep`.
async fn forget_oldest(folder: &Path, keep: usize) -> io::Result<()> {
    let mut files = Vec::new();
    let mut entries = fs::read_dir(folder).await?;
    while let Some(entry) = entries.next_entry().await? {
        let path = entry.path();
        if path.extension().is_some_and(|extension| extension == SUFFIX) {
            files.push((entry.metadata().await?.modified()?, path));
        }
    }
    files.sort();
    let many = files.len().saturating_sub(keep);
    for (_, path) in files.into_iter().take(many) {
        fs::remove_file(path).await?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn chunks_come_back_in_order_and_the_oldest_files_go() {
        let folder = tempfile::tempdir().unwrap();
        let captures = Captures::start(folder.path().join("captures"), 2);
        assert_eq!(captures.read("a").await.unwrap(), b"");
        for (call, chunk) in [("a", "1"), ("a", "2"), ("b", "3"), ("c", "4")] {
            assert!(captures.append(call, chunk.into()));
            // Files are told apart by their times: the next is written when this one is.
            captures.read(call).await.unwrap();
        }
        assert_eq!(captures.read("a").await.unwrap(), b"", "the oldest of three is gone");
        assert_eq!(captures.read("b").await.unwrap(), b"3");
        assert_eq!(captures.read("c").await.unwrap(), b"4");
    }

    #[tokio::test]
    async fn a_folder_that_cannot_be_written_costs_the_capture_alone() {
        let folder = tempfile::tempdir().unwrap();
        let place = folder.path().join("captures");
        std::fs::write(&place, "a file stands in the way").unwrap();
        let captures = Captures::start(place, 2);
        assert!(captures.append("a", b"1".to_vec()));
        assert!(captures.read("a").await.is_err());
        assert!(captures.append("b", b"1".to_vec()), "the task goes on");
    }
}
