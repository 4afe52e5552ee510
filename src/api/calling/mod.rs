//! The ACS Call Automation wire, api-version 2026-03-12 and any other: one file per operation, each with its JSON and
//! its translation into [`crate::call::Command`]. What is not there yet is in [`later`], and says so.
//!
//! Reading is as tolerant as the SDKs need it (unknown members, missing `kind`, any case of enums, `null` for absent);
//! what is read is then checked, and an error names the field.

pub mod events;

mod answer;
mod cancel_media;
mod continuous_dtmf;
mod create;
mod custom_context;
mod get;
mod later;
mod leave;
mod participants;
mod play;
mod properties;
mod recognize;
mod redirect;
mod reject;
mod send_dtmf;
mod source;
mod terminate;
mod transfer;

use serde_json::Value;
use url::Url;

use super::endpoint::Endpoint;
use super::problem::Problem;
use crate::call::Context;
use crate::dtmf::Digit;

/// Every operation of this wire.
pub(super) fn endpoints() -> Vec<Endpoint> {
    let mut all = vec![
        create::endpoint(),
        answer::endpoint(),
        redirect::endpoint(),
        reject::endpoint(),
        get::endpoint(),
        leave::endpoint(),
        terminate::endpoint(),
        participants::list_endpoint(),
        participants::get_endpoint(),
        play::endpoint(),
        recognize::endpoint(),
        cancel_media::endpoint(),
        continuous_dtmf::start_endpoint(),
        continuous_dtmf::stop_endpoint(),
        send_dtmf::endpoint(),
        transfer::endpoint(),
    ];
    all.extend(later::endpoints());
    all
}

/// The longest `operationContext` in bytes.
const MAX_CONTEXT: usize = 5000;

/// The longest URL in bytes.
const MAX_URL: usize = 8192;

fn context(given: Option<String>) -> Result<Context, Problem> {
    match given {
        Some(text) if text.len() > MAX_CONTEXT => Err(Problem::bad("operationContext", "has more than 5000 bytes")),
        other => Ok(other.filter(|text| !text.is_empty())),
    }
}

/// An http(s) URL with a host.
fn http_url(text: &str, field: &str) -> Result<Url, Problem> {
    let wanted = "is not an http or https URL of at most 8192 bytes";
    let fits = |url: &Url| matches!(url.scheme(), "http" | "https") && url.has_host();
    let url = Url::parse(text).ok().filter(fits).filter(|_| text.len() <= MAX_URL);
    url.ok_or_else(|| Problem::bad(field, wanted))
}

fn callback(given: Option<String>) -> Result<Url, Problem> {
    http_url(&given.ok_or_else(|| Problem::bad("callbackUri", "is required"))?, "callbackUri")
}

/// Where this operation's events go, where not to the call's callback.
fn operation_callback(given: Option<String>) -> Result<Option<String>, Problem> {
    let given = given.filter(|text| !text.is_empty());
    given.map(|text| Ok(http_url(&text, "operationCallbackUri")?.into())).transpose()
}

/// Options that would change what the application hears must not be passed over in silence.
fn not_yet(options: [(&'static str, &Option<Value>); 3]) -> Result<(), Problem> {
    match options.into_iter().find(|(_, value)| value.is_some()) {
        Some((field, _)) => Err(Problem::later(field, field)),
        None => Ok(()),
    }
}

fn tone(name: &str, field: &str) -> Result<Digit, Problem> {
    let wanted = || Problem::bad(field, format!("{name:?} is not a tone: zero to nine, a to d, pound, asterisk"));
    Digit::from_tone_name(name).ok_or_else(wanted)
}

fn tones(names: &[String], field: &str) -> Result<Vec<Digit>, Problem> {
    names.iter().enumerate().map(|(index, name)| tone(name, &format!("{field}[{index}]"))).collect()
}
