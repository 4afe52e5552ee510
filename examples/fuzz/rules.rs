//! Rules as an operator writes them, and calls against them.

use std::net::IpAddr;

use serde_json::Value;
use strowger::rules::{Candidate, ExplainRequest, Rule, Table};
use strowger::time::Time;

use super::Target;

const RULE: &str = r#"{"name":"night-emea","priority":100,"enabled":true,"match":{"to":{"prefix":"+44"},
"from":{"not":{"regex":"^anonymous$"}},"trunk":["carrier-a"],"source":["10.0.0.0/8"],
"header":{"X-Campaign":{"exact":"spring"}},"time":{"zone":"Europe/London","days":["mon-fri"],"from":"18:00","to":"08:00"},
"percent":{"share":10,"by":"callId"}},"action":{"webhook":{"subscription":"my-app"}},
"onFailure":{"reject":{"reason":"busy"}}}"#;
const ANSWER: &str = r#"{"name":"a","priority":1,"match":{},"action":{"answer":{"play":["prompt:welcome"],
"collect":{"maxTones":4,"stopTones":["pound"]}}}}"#;
const WOULD_BE: &str = r#"{"to":"sip:+442079460000@x","from":"+1","trunk":"carrier-a","source":"10.1.2.3",
"headers":{"X-Campaign":"spring"},"callId":"a","time":"2026-11-22T18:30:00Z"}"#;

const SPICE: &[&[u8]] = &[
    b"null",
    b"{}",
    b"[]",
    b"\"",
    b"-1",
    b"1e999",
    b"\\u0000",
    b"\\ud800",
    b"\xff",
    b"not",
    b"regex",
    b"(?i)",
    b"[",
    b"(",
    b"{1000}",
    b"*",
    b"\\\\p{L}",
    b"24:00",
    b"sat-mon",
    b"::/0",
    b"/33",
    b"sips:",
    b"tel:",
    b"%",
    b",",
    b":",
];

/// `PUT /v1/rules/{name}` and `POST /v1/rules:explain`, without HTTP.
pub fn rules() -> Target {
    let table = |rule| Table::new([rule]);
    let now = Time::from_micros(1_795_339_564_000_000);
    let call = Candidate {
        to: "sip:+442079460000@example.com".into(),
        from: "tel:+15551230001".into(),
        trunk: Some("carrier-a".into()),
        user: None,
        source: IpAddr::from([10, 1, 2, 3]),
        headers: vec![("X-Campaign".into(), "spring".into())],
        call_id: "a84b4c76e66710".into(),
    };
    let open = Rule::from_json(&serde_json::from_str(RULE).expect("JSON")).expect("a sound rule");
    let open = table(open).expect("a table");
    let read = move |input: &[u8]| {
        // Each address that a caller may write meets the table as well.
        let strange = Candidate {
            to: String::from_utf8_lossy(input).into_owned(),
            from: String::from_utf8_lossy(input).into_owned(),
            ..call.clone()
        };
        open.decide(&strange, now);
        let Ok(value) = serde_json::from_slice::<Value>(input) else { return false };
        if let Ok(request) = serde_json::from_value::<ExplainRequest>(value.clone())
            && let Ok((candidate, at)) = request.into_candidate(now)
        {
            open.decide(&candidate, at);
        }
        let Ok(rule) = Rule::from_json(&value) else { return false };
        let again = serde_json::to_value(&rule).expect("a rule can be written");
        assert_eq!(Rule::from_json(&again).as_ref(), Ok(&rule), "what we write we can read");
        if let Ok(table) = table(rule) {
            table.decide(&call, now);
        }
        true
    };
    let seeds = [RULE, ANSWER, WOULD_BE].map(|text| text.as_bytes().to_vec()).to_vec();
    Target { name: "rules", seeds, spice: SPICE, read: Box::new(read) }
}
