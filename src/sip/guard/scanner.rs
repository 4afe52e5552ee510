//! What scanners write into their requests when nobody has told them to hide. Those who hide are found by what they do;
//! this only saves the trouble with the many who do not.

use crate::sip::message::{Name, Request};

/// Names in User-Agent, in lower case. Tools that people use on their own systems (sipsak, SIPp) are not among them.
const TOOLS: &[&str] = &[
    "friendly-scanner",
    "friendly-request",
    "sipvicious",
    "sip-scan",
    "sipscan",
    "sundayddr",
    "iwar",
    "sipcli",
    "siparmyknife",
    "smap",
    "pplsip",
    "vaxsipuseragent",
    "sivus",
    "gulp",
];

/// The same in From and To: svmap's and svwar's display name, and its source address.
const NAMES: &[&str] = &["sipvicious", "friendly-scanner", "@1.1.1.1>"];

/// Is this written by a scanner that says so?
pub fn is_scanner(request: &Request) -> bool {
    let has = |name: Name, words: &[&str]| {
        request.headers.text(&name).is_some_and(|text| {
            let text = text.to_ascii_lowercase();
            words.iter().any(|word| text.contains(word))
        })
    };
    has(Name::UserAgent, TOOLS) || has(Name::From, NAMES) || has(Name::To, NAMES)
}
