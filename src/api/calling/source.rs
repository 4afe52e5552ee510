//! What is played: ACS's PlaySource, of which `file` is carried out, and `text` and `ssml` come with a later release.

use serde::Deserialize;
use serde_json::Value;
use utoipa::ToSchema;

use super::{MAX_URL, http_url};
use crate::api::problem::Problem;
use crate::call::MAX_SOURCES;

/// Something to play. Audio is cached by its URL, whatever `playSourceCacheId` says.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct PlaySource {
    /// `file`; `text` and `ssml` come with a later release. May be left out.
    kind: Option<String>,
    /// Audio.
    file: Option<FileSource>,
    /// Comes with a later release.
    #[schema(value_type = Option<Object>)]
    text: Option<Value>,
    /// Comes with a later release.
    #[schema(value_type = Option<Object>)]
    ssml: Option<Value>,
}

/// An audio file.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct FileSource {
    /// An http or https URL, or `prompt:NAME` for one of `/v1/prompts`.
    #[schema(required)]
    uri: Option<String>,
}

impl PlaySource {
    fn uri(self, field: &str) -> Result<String, Problem> {
        let kind = self.kind.as_deref().map(str::to_ascii_lowercase);
        let kind = match kind.as_deref() {
            Some(kind) => kind,
            None if self.file.is_some() => "file",
            None if self.text.is_some() => "text",
            None if self.ssml.is_some() => "ssml",
            None => return Err(Problem::bad(&format!("{field}.kind"), "is required: file, text or ssml")),
        };
        match kind {
            "file" => {}
            "text" | "ssml" => return Err(Problem::later(field, &format!("play sources of the kind {kind}"))),
            _ => return Err(Problem::bad(&format!("{field}.kind"), "is file, text or ssml")),
        }
        let field = format!("{field}.file.uri");
        let uri = self.file.and_then(|file| file.uri).ok_or_else(|| Problem::bad(&field, "is required"))?;
        match uri.strip_prefix("prompt:") {
            Some(name) if name.is_empty() || uri.len() > MAX_URL || !crate::line::is_one_line(name) => {
                Err(Problem::bad(&field, "names no prompt after prompt:"))
            }
            Some(_) => Ok(uri),
            // As written: a signed URL must not change.
            None => http_url(&uri, &field).map(|_| uri),
        }
    }
}

/// At most [`MAX_SOURCES`] of them, in their order.
pub(super) fn uris(sources: Vec<PlaySource>, field: &str) -> Result<Vec<String>, Problem> {
    if sources.len() > MAX_SOURCES {
        return Err(Problem::bad(field, format!("names more than {MAX_SOURCES} sources")));
    }
    sources.into_iter().enumerate().map(|(index, source)| source.uri(&format!("{field}[{index}]"))).collect()
}

/// One of them.
pub(super) fn uri(source: PlaySource, field: &str) -> Result<String, Problem> {
    source.uri(field)
}
