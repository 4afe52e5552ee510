//! Play sources on their way to a call: loaded side by side, given back in order.

use std::sync::Arc;

use tokio::task::JoinSet;

use crate::call::{Clips, LoadFailure, LoadFailureKind};
use crate::prompt::{Failure, Prompts, Source};
use crate::session::Codec;

/// Loads all sources, and has them encoded in the leg's codec (by the first of all calls that play it); the failure is
/// the first one's, by index.
pub async fn load_all(prompts: &Prompts, sources: &[String], codec: Option<Codec>) -> Result<Clips, LoadFailure> {
    let mut loading = JoinSet::new();
    for (index, text) in sources.iter().cloned().enumerate() {
        let prompts = prompts.clone();
        loading.spawn(async move {
            let clip = match Source::parse(&text) {
                Ok(source) => prompts.load(&source).await,
                Err(error) => Err(error),
            };
            if let (Ok(clip), Some(codec)) = (&clip, codec)
                && clip.ready(codec).is_none()
            {
                let clip = Arc::clone(clip);
                // Where this fails, it is encoded live.
                let _ = tokio::task::spawn_blocking(move || drop(clip.encoded(codec).clone())).await;
            }
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
