//! Play sources on their way to a call: loaded side by side, given back in order.

use tokio::task::JoinSet;

use crate::call::{Clips, LoadFailure, LoadFailureKind};
use crate::prompt::{Failure, Prompts, Source};

/// Loads all sources; the failure is the first one's, by index.
pub async fn load_all(prompts: &Prompts, sources: &[String]) -> Result<Clips, LoadFailure> {
    let mut loading = JoinSet::new();
    for (index, text) in sources.iter().cloned().enumerate() {
        let prompts = prompts.clone();
        loading.spawn(async move {
            let clip = match Source::parse(&text) {
                Ok(source) => prompts.load(&source).await,
                Err(error) => Err(error),
            };
            (index, clip)
        });
    }
    let mut loaded = Vec::new();
    while let Some(done) = loading.join_next().await {
        match done {
            Ok((index, clip)) => loaded.push((index, clip)),
            Err(error) => tracing::error!(%error, "loading a prompt failed"),
        }
    }
    loaded.sort_by_key(|(index, _)| *index);
    if loaded.len() < sources.len() {
        return Err(LoadFailure {
            index: (0..sources.len()).find(|i| loaded.iter().all(|(have, _)| have != i)).unwrap_or(0),
            kind: LoadFailureKind::DownloadFailed,
            message: "the source could not be loaded: an internal fault, which the log has".to_owned(),
        });
    }
    loaded
        .into_iter()
        .map(|(index, clip)| {
            clip.map_err(|error| LoadFailure {
                index,
                kind: match error.failure() {
                    Failure::BadFormat => LoadFailureKind::BadFormat,
                    Failure::DownloadFailed => LoadFailureKind::DownloadFailed,
                },
                message: error.to_string(),
            })
        })
        .collect()
}
