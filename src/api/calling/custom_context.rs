//! ACS's CustomCallingContext: headers that go to whom an application calls. `sipHeaders` go out on the INVITE, or into
//! the Refer-To of a transfer; `voipHeaders` are for ACS's own clients and are taken and not used.
//!
//! By ACS's rules: `User-To-User` and `X-…` (there: `X-MS-Custom-…`), names of at most 64 bytes of letters, digits and
//! `.!%*_+~-`, values of at most 256 bytes. Ours beyond that: `Alert-Info`. A name that the SIP stack owns is none of
//! these; nothing that could begin another header line passes.

use std::collections::BTreeMap;

use serde::Deserialize;
use utoipa::ToSchema;

use crate::api::problem::Problem;

/// The most headers.
const MAX_HEADERS: usize = 20;

/// The longest name in bytes.
const MAX_NAME: usize = 64;

/// The longest value in bytes.
const MAX_VALUE: usize = 256;

/// Headers for the one who is called.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct CustomCallingContext {
    /// `User-To-User`, `X-…` and `Alert-Info`: at most 20, names of at most 64 bytes, values of at most 256.
    sip_headers: Option<BTreeMap<String, String>>,
    /// Taken and not used.
    #[allow(dead_code, reason = "read so that it is described")]
    voip_headers: Option<BTreeMap<String, String>>,
}

impl CustomCallingContext {
    /// The headers to send, checked.
    pub fn headers(given: Option<Self>) -> Result<Vec<(String, String)>, Problem> {
        let headers = given.and_then(|context| context.sip_headers).unwrap_or_default();
        if headers.len() > MAX_HEADERS {
            let problem = format!("has {} headers, {MAX_HEADERS} are allowed", headers.len());
            return Err(Problem::bad("customCallingContext.sipHeaders", problem));
        }
        for (name, value) in &headers {
            check(name, value).map_err(|problem| {
                let shown: String = name.chars().filter(|c| !c.is_control()).take(MAX_NAME).collect();
                Problem::bad(&format!("customCallingContext.sipHeaders.{shown}"), problem)
            })?;
        }
        Ok(headers.into_iter().collect())
    }
}

fn check(name: &str, value: &str) -> Result<(), &'static str> {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b".!%*_+~-".contains(&b);
    let custom = name.len() > 2 && name.get(..2).is_some_and(|start| start.eq_ignore_ascii_case("x-"));
    let known = ["User-To-User", "Alert-Info"].iter().any(|known| known.eq_ignore_ascii_case(name));
    if !custom && !known {
        return Err("is not User-To-User, Alert-Info or X-…: other headers are the service's own");
    }
    if name.len() > MAX_NAME || !name.bytes().all(plain) {
        return Err("wants a name of at most 64 letters, digits and .!%*_+~-");
    }
    if value.len() > MAX_VALUE || !crate::line::is_one_line(value) {
        return Err("wants a value of at most 256 bytes without line ends or other control characters");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(headers: &[(&str, &str)]) -> Result<Vec<(String, String)>, Problem> {
        let sip_headers = headers.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect();
        CustomCallingContext::headers(Some(CustomCallingContext { sip_headers: Some(sip_headers), voip_headers: None }))
    }

    #[test]
    fn only_what_may_be_said_is_taken() {
        assert_eq!(read(&[("User-To-User", "abc"), ("x-a", "")]).unwrap().len(), 2);
        assert!(read(&[("Alert-Info", "<http://www.example.com/ring.wav>")]).is_ok());
        assert!(CustomCallingContext::headers(None).unwrap().is_empty());
        let long = "v".repeat(257);
        let name = format!("X-{}", "n".repeat(63));
        for (name, value) in [
            ("Via", "x"),
            ("From", "x"),
            ("Contact", "x"),
            ("Authorization", "x"),
            ("X-", "x"),
            ("", "x"),
            ("X-A:B", "x"),
            ("X-A\r\nVia", "x"),
            ("X-Ä", "x"),
            ("X-A", "1\r\nVia: SIP/2.0/UDP evil"),
            ("X-A", "1\n2"),
            ("X-A", "1\r2"),
            ("X-A", "1\0"),
            ("X-A", "\u{85}"),
            ("X-A", "\u{2028}"),
            ("X-A", &long),
            (&name, "x"),
        ] {
            let problem = read(&[(name, value)]).unwrap_err();
            assert_eq!(problem.status.as_u16(), 400, "{name:?}: {value:?}");
            let target = problem.body.target.unwrap();
            assert!(target.starts_with("customCallingContext.sipHeaders.") && !target.contains(['\r', '\n']));
        }
        let many: Vec<_> = (0..21).map(|n| (format!("X-{n}"), String::new())).collect();
        let many: Vec<_> = many.iter().map(|(n, v)| (n.as_str(), v.as_str())).collect();
        assert!(read(&many).is_err() && read(&many[1..]).is_ok());
    }
}
