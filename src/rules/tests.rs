//! The table against calls: each condition, each error, ties, and the explanation.

use serde_json::{Value, json};

use super::*;
use crate::random::Random;
use crate::time::Time;

fn at(text: &str) -> Time {
    let stamp: jiff::Timestamp = text.parse().unwrap();
    Time::from_micros(stamp.as_microsecond() as u64)
}

fn call() -> Candidate {
    Candidate {
        to: "sip:+44-20-7946-0000@carrier.example;user=phone".into(),
        from: "\"Alice\" <sip:Alice@Example.COM:5061>;tag=1".into(),
        trunk: Some("carrier-a".into()),
        user: None,
        source: "10.1.2.3".parse().unwrap(),
        headers: vec![("X-Campaign".into(), " spring ".into()), ("x-campaign".into(), "autumn".into())],
        call_id: "a84b4c76e66710@pc33.atlanta.com".into(),
    }
}

fn rule(name: &str, priority: i32, matching: Value) -> Rule {
    let text = json!({"name": name, "priority": priority, "match": matching, "action": {"reject": {"reason": "busy"}}});
    Rule::from_json(&text).unwrap()
}

/// The failing field of a rule with this one match; none where it takes the call.
fn failing(matching: Value, call: &Candidate, now: Time) -> Option<String> {
    let table = Table::new([rule("r", 1, matching)]).unwrap();
    let decision = table.decide(call, now);
    assert_eq!(decision.rule.is_some(), decision.explanation[0].matched);
    decision.explanation[0].first_failing_condition.clone().map(|failed| failed.field)
}

fn takes(matching: Value) -> bool {
    failing(matching, &call(), at("2026-11-22T12:00:00Z")).is_none()
}

/// All that is wrong with a rule, shape and meaning.
fn wrong(value: Value) -> Vec<String> {
    let errors = match Rule::from_json(&value) {
        Err(errors) => errors,
        Ok(rule) => match CompiledRule::compile(rule) {
            Err(errors) => errors,
            Ok(_) => return Vec::new(),
        },
    };
    errors.0.iter().map(ToString::to_string).collect()
}

fn wrong_match(matching: Value) -> Vec<String> {
    wrong(json!({"name": "r", "priority": 1, "match": matching, "action": {"webhook": {"subscription": "app"}}}))
}

fn documented() -> Value {
    json!({"name": "night-emea", "priority": 100, "enabled": true,
        "match": {"to": {"prefix": "+44"}, "from": {"not": {"regex": "^anonymous$"}}, "trunk": ["carrier-a"],
                  "source": ["10.0.0.0/8"], "header": {"X-Campaign": {"exact": "spring"}},
                  "time": {"zone": "Europe/London", "days": ["mon-fri"], "from": "18:00", "to": "08:00"},
                  "percent": {"share": 10, "by": "callId"}},
        "action": {"webhook": {"subscription": "my-app"}},
        "onFailure": {"reject": {"reason": "busy"}}})
}

#[test]
fn the_documented_rule_goes_in_and_comes_out_the_same() {
    let rule = Rule::from_json(&documented()).unwrap();
    CompiledRule::compile(rule.clone()).unwrap();
    assert_eq!(serde_json::to_value(&rule).unwrap(), documented());
    assert_eq!(serde_json::from_value::<Rule>(documented()).unwrap(), rule);
    for action in [
        json!({"answer": {"play": ["prompt:welcome"], "collect": {"maxTones": 4, "stopTones": ["pound"]}}}),
        json!({"answer": {"play": ["https://a.example/x.wav?y=1", "prompt:en/one"]}}),
        json!({"redirect": {"to": "sip:x@y"}}),
        json!({"forward": {"to": "+4420"}}),
        json!({"reject": {"reason": "none"}}),
    ] {
        assert_eq!(wrong(json!({"name": "r", "priority": -1, "action": action})), Vec::<String>::new());
    }
}

#[test]
fn each_action_says_what_it_stands_for() {
    let statuses = ["none", "busy", "forbidden", "unavailable", "declined"]
        .map(|reason| serde_json::from_value::<RejectReason>(json!(reason)).unwrap().sip_status());
    assert_eq!(statuses, [603, 486, 403, 480, 603]);
    let Action::Answer { collect: Some(collect), .. } = serde_json::from_value(
        json!({"answer": {"play": ["prompt:x"], "collect": {"maxTones": 4, "stopTones": ["pound", "a"]}}}),
    )
    .unwrap() else {
        panic!("not an answer");
    };
    assert_eq!(collect.stop_tones.iter().map(|tone| tone.key()).collect::<String>(), "#A");
    assert_eq!((collect.inter_tone_timeout_in_seconds, collect.initial_silence_timeout_in_seconds), (2, 5));
    assert!(collect.interrupt_prompt);
}

#[test]
fn an_extension_matches_by_its_user_alone() {
    let extension = Candidate { to: "sip:1000@192.0.2.7:5060".into(), ..call() };
    for (matching, expected) in [
        (json!({"to": {"exact": "1000"}}), true),
        (json!({"to": {"prefix": "10"}}), true),
        (json!({"to": {"exact": "100"}}), false),
        (json!({"to": {"not": {"prefix": "2"}}}), true),
        (json!({"to": {"exact": "sip:1000@192.0.2.7"}}), true),
        (json!({"to": {"exact": "sip:1000@elsewhere"}}), false),
    ] {
        assert_eq!(failing(matching.clone(), &extension, Time::EPOCH).is_none(), expected, "{matching}");
    }
}

#[test]
fn an_address_matches_exactly_by_prefix_by_regex_and_not() {
    for (matching, taken) in [
        (json!({"to": {"exact": "+442079460000"}}), true),
        (json!({"to": {"exact": "tel:+44-20-7946-0000"}}), true),
        (json!({"to": {"exact": "+44207946000"}}), false),
        (json!({"to": {"prefix": "+44"}}), true),
        (json!({"to": {"prefix": "+44 20"}}), true),
        (json!({"to": {"prefix": "+45"}}), false),
        (json!({"to": {"regex": "^\\+44\\d{10}$"}}), true),
        (json!({"to": {"regex": "7946"}}), true),
        (json!({"to": {"regex": "^7946"}}), false),
        (json!({"to": {"not": {"exact": "+442079460000"}}}), false),
        (json!({"to": {"not": {"prefix": "+45"}}}), true),
        (json!({"to": {"not": {"not": {"prefix": "+44"}}}}), true),
        (json!({"from": {"exact": "sip:Alice@example.com"}}), true),
        (json!({"from": {"exact": "sips:Alice@EXAMPLE.com:9;x=y"}}), true),
        (json!({"from": {"exact": "sip:alice@example.com"}}), false),
        (json!({"from": {"prefix": "sip:Alice@EX"}}), true),
        (json!({"from": {"not": {"regex": "^anonymous$"}}}), true),
        (json!({"from": {"regex": "^anonymous$"}}), false),
    ] {
        assert_eq!(takes(matching.clone()), taken, "{matching}");
    }
    let hidden = Candidate { from: "\"Anonymous\" <sip:anonymous@anonymous.invalid>".into(), ..call() };
    assert_eq!(
        failing(json!({"from": {"not": {"regex": "^anonymous$"}}}), &hidden, Time::EPOCH).unwrap(),
        "match.from"
    );
}

#[test]
fn a_trunk_a_network_a_header() {
    for (matching, taken) in [
        (json!({"trunk": ["carrier-a"]}), true),
        (json!({"trunk": ["carrier-b", "carrier-a"]}), true),
        (json!({"trunk": ["carrier-b"]}), false),
        (json!({"source": ["10.0.0.0/8"]}), true),
        (json!({"source": ["10.1.2.3"]}), true),
        (json!({"source": ["2001:db8::/32", "192.168.0.0/16"]}), false),
        (json!({"source": ["0.0.0.0/0"]}), true),
        (json!({"header": {"x-CAMPAIGN": {"exact": "spring"}}}), true),
        (json!({"header": {"X-Campaign": {"exact": "autumn"}}}), true),
        (json!({"header": {"X-Campaign": {"exact": "Spring"}}}), false),
        (json!({"header": {"X-Campaign": {"prefix": "aut"}}}), true),
        (json!({"header": {"X-Campaign": {"regex": "^(spring|fall)$"}}}), true),
        (json!({"header": {"X-Campaign": {"not": {"exact": "spring"}}}}), false),
        (json!({"header": {"X-Campaign": {"not": {"exact": "winter"}}}}), true),
        (json!({"header": {"X-Other": {"exact": ""}}}), false),
        (json!({"header": {"X-Other": {"not": {"regex": "."}}}}), true),
        (json!({"header": {"X-Campaign": {"exact": "spring"}, "X-Other": {"prefix": "x"}}}), false),
    ] {
        assert_eq!(takes(matching.clone()), taken, "{matching}");
    }
    // Of a very long value the regex sees the beginning.
    let long = Candidate { headers: vec![("X-Long".into(), format!("a{}z", "é".repeat(30_000)))], ..call() };
    assert_eq!(failing(json!({"header": {"x-long": {"regex": "^a"}}}), &long, Time::EPOCH), None);
    assert_eq!(
        failing(json!({"header": {"x-long": {"regex": "z$"}}}), &long, Time::EPOCH).unwrap(),
        "match.header.x-long"
    );
    let mapped = Candidate { source: "::ffff:10.1.2.3".parse().unwrap(), trunk: None, ..call() };
    assert_eq!(failing(json!({"source": ["10.0.0.0/8"]}), &mapped, Time::EPOCH), None);
    assert_eq!(failing(json!({"trunk": ["carrier-a"]}), &mapped, Time::EPOCH).unwrap(), "match.trunk");
    let own = Candidate { user: Some("alice".into()), ..call() };
    assert_eq!(failing(json!({"user": ["bob", "alice"]}), &own, Time::EPOCH), None);
    assert_eq!(failing(json!({"user": ["*"]}), &own, Time::EPOCH), None);
    assert_eq!(failing(json!({"user": ["bob"]}), &own, Time::EPOCH).unwrap(), "match.user");
    assert_eq!(failing(json!({"user": ["*"]}), &call(), Time::EPOCH).unwrap(), "match.user", "a stranger");
    let v6 = Candidate { source: "2001:db8::7".parse().unwrap(), ..call() };
    assert_eq!(failing(json!({"source": ["2001:db8::/32"]}), &v6, Time::EPOCH), None);
    assert_eq!(failing(json!({"source": ["0.0.0.0/0"]}), &v6, Time::EPOCH).unwrap(), "match.source");
}

#[test]
fn a_window_holds_between_its_times_on_its_days() {
    let holds = |window: &Value, time: &str| failing(json!({"time": window}), &call(), at(time)).is_none();
    // 2026-11-22 is a Sunday; London is on UTC.
    let office = json!({"zone": "Europe/London", "days": ["mon-fri"], "from": "08:00", "to": "18:00"});
    for (time, inside) in [
        ("2026-11-22T12:00:00Z", false),
        ("2026-11-23T07:59:59Z", false),
        ("2026-11-23T08:00:00Z", true),
        ("2026-11-23T17:59:59Z", true),
        ("2026-11-23T18:00:00Z", false),
        ("2026-11-27T09:00:00Z", true),
        ("2026-11-28T09:00:00Z", false),
    ] {
        assert_eq!(holds(&office, time), inside, "office {time}");
    }
    let night = json!({"zone": "Europe/London", "days": ["mon-fri"], "from": "18:00", "to": "08:00"});
    for (time, inside) in [
        ("2026-11-23T07:59:00Z", false), // Monday morning belongs to Sunday's night
        ("2026-11-23T18:00:00Z", true),
        ("2026-11-24T00:00:00Z", true),
        ("2026-11-24T07:59:59Z", true),
        ("2026-11-24T08:00:00Z", false),
        ("2026-11-28T07:59:00Z", true), // Saturday morning belongs to Friday's night
        ("2026-11-28T18:00:00Z", false),
    ] {
        assert_eq!(holds(&night, time), inside, "night {time}");
    }
    let weekend = json!({"zone": "UTC", "days": ["sat-sun"]});
    assert!(holds(&weekend, "2026-11-22T23:59:59Z") && !holds(&weekend, "2026-11-23T00:00:00Z"));
    let around = json!({"zone": "UTC", "days": ["Sat-mon", "wed"], "from": "00:00", "to": "24:00"});
    let days: Vec<bool> = (22..29).map(|day| holds(&around, &format!("2026-11-{day}T23:59:00Z"))).collect();
    assert_eq!(days, [true, true, false, true, false, false, true]);
    let evening = json!({"zone": "UTC", "from": "20:00", "to": "24:00"});
    assert!(holds(&evening, "2026-11-22T23:59:59Z") && !holds(&evening, "2026-11-22T00:00:00Z"));
    let till_midnight = json!({"zone": "UTC", "from": "20:00", "to": "00:00"});
    assert!(holds(&till_midnight, "2026-11-22T23:59:59Z") && !holds(&till_midnight, "2026-11-22T00:00:00Z"));
    // The same moment is another day elsewhere.
    let auckland = json!({"zone": "Pacific/Auckland", "days": ["mon"]});
    assert!(holds(&auckland, "2026-11-22T12:00:00Z"));
}

#[test]
fn a_window_follows_the_wall_clock_over_the_change_of_time() {
    let holds = |window: &Value, time: &str| failing(json!({"time": window}), &call(), at(time)).is_none();
    let nine = json!({"zone": "Europe/London", "from": "09:00", "to": "10:00"});
    // 09:00 in London is 09:00 UTC in winter and 08:00 UTC in summer.
    assert!(holds(&nine, "2026-03-28T09:00:00Z") && !holds(&nine, "2026-03-28T08:00:00Z"));
    assert!(holds(&nine, "2026-03-29T08:00:00Z") && !holds(&nine, "2026-03-29T09:00:00Z"));
    // Forward: 01:00–02:00 does not exist on 2026-03-29; of 00:30–02:30 an hour is left.
    let small = json!({"zone": "Europe/London", "from": "00:30", "to": "02:30"});
    // Up to 23:00 UTC, where the next summer day begins.
    let minutes = |window: &Value, day: &str| {
        (0..1_380).filter(|m| holds(window, &format!("{day}T{:02}:{:02}:00Z", m / 60, m % 60))).count()
    };
    assert_eq!(minutes(&small, "2026-03-29"), 60);
    assert_eq!(minutes(&small, "2026-03-22"), 120);
    let gone = json!({"zone": "Europe/London", "from": "01:00", "to": "02:00"});
    assert_eq!(minutes(&gone, "2026-03-29"), 0);
    // Back: 01:00–02:00 comes twice on 2026-10-25.
    assert_eq!(minutes(&gone, "2026-10-25"), 120);
    // A night over the change ends when the wall clock says so.
    let night = json!({"zone": "Europe/London", "days": ["sat"], "from": "22:00", "to": "06:00"});
    assert!(holds(&night, "2026-03-28T22:00:00Z"));
    assert!(holds(&night, "2026-03-29T04:59:00Z") && !holds(&night, "2026-03-29T05:00:00Z"));
    assert!(holds(&night, "2026-10-25T05:59:00Z") && !holds(&night, "2026-10-25T06:00:00Z"));
}

#[test]
fn a_share_is_stable_and_about_as_large_as_it_says() {
    let table = Table::new([
        rule("a", 1, json!({"percent": {"share": 10}})),
        rule("b", 2, json!({"percent": {"share": 30, "by": "callId"}})),
        rule("c", 3, json!({})),
    ])
    .unwrap();
    let renamed = Table::new([rule("zzz", 7, json!({"percent": {"share": 10}}))]).unwrap();
    let mut random = Random::from_number(5);
    let mut counts = [0, 0, 0];
    for _ in 0..20_000 {
        let call = Candidate { call_id: format!("{}@10.0.0.1", random.token(8)), ..call() };
        let decision = table.decide(&call, Time::EPOCH);
        assert_eq!(decision, table.decide(&call, Time::EPOCH));
        let winner = decision.rule.as_deref().unwrap();
        counts[["a", "b", "c"].iter().position(|name| *name == winner).unwrap()] += 1;
        assert_eq!(winner == "a", renamed.decide(&call, Time::EPOCH).rule.is_some());
    }
    assert!((1_800..2_200).contains(&counts[0]) && (3_700..4_300).contains(&counts[1]), "{counts:?}");

    // By caller: however it is written, and whatever the Call-ID.
    let by_from = |share: f64, from: &str, call_id: &str| {
        let call = Candidate { from: from.into(), call_id: call_id.into(), ..call() };
        failing(json!({"percent": {"share": share, "by": "from"}}), &call, Time::EPOCH).is_none()
    };
    let edge = (share::bucket("+442079460000") + 1) as f64 / 100.0;
    assert!(by_from(edge, "tel:+44-20-7946-0000", "x") && by_from(edge, "+442079460000", "y"));
    let below = share::bucket("+442079460000") as f64 / 100.0;
    assert!(!by_from(below, "+442079460000", "x"));
    assert!(!takes(json!({"percent": {"share": 0}})) && takes(json!({"percent": {"share": 100}})));
}

#[test]
fn priority_wins_then_name_and_disabled_rules_never() {
    let mut off = rule("a-off", 1, json!({}));
    off.enabled = false;
    let table = Table::new([
        rule("later", 10, json!({})),
        rule("z", 5, json!({"to": {"prefix": "+44"}})),
        rule("b", 5, json!({"to": {"prefix": "+4"}})),
        rule("other", 2, json!({"to": {"prefix": "+1"}, "trunk": ["nobody"]})),
        off,
    ])
    .unwrap();
    assert_eq!(table.rules().map(|r| r.name.as_str()).collect::<Vec<_>>(), ["a-off", "other", "b", "z", "later"]);
    let decision = table.decide(&call(), at("2026-11-22T12:00:00Z"));
    assert_eq!(decision.rule.as_deref(), Some("b"));
    assert_eq!(decision.action, Some(Action::Reject { reason: RejectReason::Busy }));
    assert_eq!((decision.to.as_str(), decision.from.as_str()), ("+442079460000", "sip:Alice@example.com"));
    assert_eq!(
        serde_json::to_value(&decision.explanation).unwrap(),
        json!([
            {"name": "a-off", "priority": 1, "enabled": false, "matched": true, "firstFailingCondition": null},
            {"name": "other", "priority": 2, "enabled": true, "matched": false, "firstFailingCondition":
                {"field": "match.to", "wanted": "prefix `+1`", "found": "+442079460000"}},
            {"name": "b", "priority": 5, "enabled": true, "matched": true, "firstFailingCondition": null},
            {"name": "z", "priority": 5, "enabled": true, "matched": true, "firstFailingCondition": null},
            {"name": "later", "priority": 10, "enabled": true, "matched": true, "firstFailingCondition": null},
        ])
    );
    let text = serde_json::to_string(&decision).unwrap();
    assert_eq!(serde_json::from_str::<Decision>(&text).unwrap(), decision);
}

#[test]
fn no_rule_no_action() {
    let decision = Table::default().decide(&call(), Time::EPOCH);
    assert_eq!((decision.rule, decision.action, decision.explanation), (None, None, vec![]));
}

#[test]
fn the_explanation_says_what_was_wanted_and_found() {
    let explain = |matching: Value| {
        let table = Table::new([rule("r", 1, matching)]).unwrap();
        let verdict = table.decide(&call(), at("2026-11-23T12:30:00Z")).explanation.remove(0);
        let failed = verdict.first_failing_condition.unwrap();
        format!("{}: {} / {}", failed.field, failed.wanted, failed.found)
    };
    assert_eq!(
        explain(json!({"from": {"not": {"prefix": "sip:"}}})),
        "match.from: not prefix `sip:` / sip:Alice@example.com"
    );
    assert_eq!(explain(json!({"trunk": ["b", "a"]})), "match.trunk: one of a, b / carrier-a");
    assert_eq!(explain(json!({"source": ["192.168.1.0/24"]})), "match.source: in 192.168.1.0/24 / 10.1.2.3");
    assert_eq!(
        explain(json!({"header": {"X-Campaign": {"exact": "x"}}})),
        "match.header.X-Campaign: exactly `x` / spring, autumn"
    );
    assert_eq!(explain(json!({"header": {"X-No": {"regex": "."}}})), "match.header.X-No: regex `.` / no such header");
    assert_eq!(
        explain(json!({"time": {"zone": "Europe/London", "days": ["mon-fri"], "from": "18:00", "to": "08:00"}})),
        "match.time: mon,tue,wed,thu,fri from 18:00 to 08:00 in Europe/London / mon 12:30"
    );
    let percent = explain(json!({"percent": {"share": 0}}));
    assert!(percent.starts_with("match.percent: bucket of callId below 0 of 10000 / bucket "), "{percent}");
}

#[test]
fn rules_that_can_never_be_told_apart_are_refused_with_both_names() {
    let refused = |a: Value, b: Value| {
        let (one, other) = (rule("one", 5, a), rule("other", 5, b));
        match Table::new([one.clone(), other.clone()]) {
            Ok(_) => false,
            Err(errors) => {
                let text = errors.to_string();
                assert!(text.contains("`one`") && text.contains("`other`") && text.contains("match"), "{text}");
                // Another priority, or one of them disabled, and they are fine.
                Table::new([one.clone(), Rule { priority: 6, ..other.clone() }]).unwrap();
                Table::new([one, Rule { enabled: false, ..other }]).unwrap();
                true
            }
        }
    };
    for (a, b) in [
        (json!({}), json!({})),
        (json!({}), json!({"percent": {"share": 100, "by": "from"}})),
        (json!({"to": {"exact": "+442079460000"}}), json!({"to": {"exact": "tel:+44-20-7946-0000"}})),
        (json!({"to": {"prefix": "+44"}}), json!({"to": {"not": {"not": {"prefix": "+44"}}}})),
        (json!({"trunk": ["a", "b"]}), json!({"trunk": ["b", "a", "b"]})),
        (json!({"source": ["10.0.0.0/9", "10.128.0.0/9"]}), json!({"source": ["10.9.9.9/8"]})),
        (json!({"source": ["10.0.0.1"]}), json!({"source": ["10.0.0.1/32"]})),
        (json!({"header": {"X-A": {"exact": "1"}}}), json!({"header": {"x-a": {"exact": "1"}}})),
        (
            json!({"time": {"zone": "UTC", "days": ["mon-wed"]}}),
            json!({"time": {"zone": "utc", "days": ["wed", "mon", "tue"], "from": "00:00", "to": "24:00"}}),
        ),
        (json!({"percent": {"share": 10}}), json!({"percent": {"share": 10.0, "by": "callId"}})),
    ] {
        assert!(refused(a.clone(), b.clone()), "{a} {b}");
    }
    for (a, b) in [
        (json!({}), json!({"to": {"prefix": "+44"}})),
        (json!({"to": {"prefix": "+44"}}), json!({"from": {"prefix": "+44"}})),
        (json!({"to": {"prefix": "+44"}}), json!({"to": {"exact": "+44"}})),
        (json!({"to": {"prefix": "+44"}}), json!({"to": {"not": {"prefix": "+44"}}})),
        (json!({"header": {"X-A": {"exact": "a"}}}), json!({"header": {"X-A": {"exact": "A"}}})),
        (json!({"percent": {"share": 10}}), json!({"percent": {"share": 10, "by": "from"}})),
        (json!({"time": {"zone": "UTC"}}), json!({"time": {"zone": "Europe/London"}})),
    ] {
        assert!(!refused(a.clone(), b.clone()), "{a} {b}");
    }
}

#[test]
fn a_name_twice_and_too_many_rules_are_refused() {
    let errors = Table::new([rule("a", 1, json!({})), rule("a", 2, json!({}))]).unwrap_err();
    assert!(errors.to_string().contains("`a` is used twice"), "{errors}");
    let many = (0..=MAX_RULES).map(|n| rule(&format!("r{n}"), n as i32, json!({})));
    assert!(Table::new(many).unwrap_err().to_string().contains("1000"));
    let errors = Table::new([rule("bad", 1, json!({"to": {"regex": "("}}))]).unwrap_err();
    assert_eq!(errors.0[0].rule.as_deref(), Some("bad"));
}

#[test]
fn errors_name_the_field_and_what_is_allowed() {
    for (matching, field, says) in [
        (json!({"to": {"regex": "(+44"}}), "match.to.regex: ", "not a regular expression"),
        (json!({"to": {"not": {"regex": "[z-a]"}}}), "match.to.not.regex: ", "not a regular expression"),
        (json!({"to": {"regex": "(a{500}){500}"}}), "match.to.regex: ", "when compiled"),
        (json!({"to": {"regex": "a".repeat(513)}}), "match.to.regex: ", "512"),
        (json!({"to": {"exact": ""}}), "match.to.exact: ", "empty"),
        (json!({"to": {"suffix": "1"}}), "match.to: ", "`exact`"),
        (json!({"to": {"exact": 7}}), "match.to.exact: ", "expected a string"),
        (json!({"to": {"exact": "a", "prefix": "b"}}), "match.to: ", ""),
        (json!({"to": "+44"}), "match.to: ", ""),
        (json!({"too": {"exact": "1"}}), "match.too: ", "unknown field; allowed are to, from"),
        (json!({"trunk": []}), "match.trunk: ", "at least one"),
        (json!({"trunk": ["a b"]}), "match.trunk[0]: ", "not a name"),
        (json!({"source": []}), "match.source: ", "at least one"),
        (json!({"source": ["10.0.0.0/8", "10.0.0.0/33"]}), "match.source[1]: ", "not a network"),
        (json!({"header": {"X A": {"exact": "1"}}}), "match.header.X A: ", "header"),
        (json!({"header": {"X-A": {"regex": "("}}}), "match.header.X-A.regex: ", "not a regular"),
        (json!({"header": {"X-A": {"like": "1"}}}), "match.header.X-A: ", "`exact`"),
        (json!({"header": {"X-A": {"exact": "1"}, "x-a": {"exact": "2"}}}), "match.header.x-a: ", "twice"),
        (json!({"header": []}), "match.header: ", "object"),
        (json!({"time": {"zone": "Mars/Olympus"}}), "match.time.zone: ", "Europe/London"),
        (json!({"time": {}}), "match.time: ", "zone"),
        (json!({"time": {"zone": "UTC", "days": ["mon", "funday"]}}), "match.time.days[1]: ", "mon, tue"),
        (json!({"time": {"zone": "UTC", "days": []}}), "match.time.days: ", "at least one"),
        (json!({"time": {"zone": "UTC", "from": "8:00", "to": "18:00"}}), "match.time.from: ", "00:00"),
        (json!({"time": {"zone": "UTC", "from": "24:00", "to": "18:00"}}), "match.time.from: ", "23:59"),
        (json!({"time": {"zone": "UTC", "from": "08:00", "to": "24:01"}}), "match.time.to: ", "24:00"),
        (json!({"time": {"zone": "UTC", "from": "08:00"}}), "match.time.to: ", "required"),
        (json!({"time": {"zone": "UTC", "from": "08:00", "to": "08:00"}}), "match.time.to: ", "same"),
        (json!({"percent": {"share": 101}}), "match.percent.share: ", "0 to 100"),
        (json!({"percent": {"share": -1}}), "match.percent.share: ", "0 to 100"),
        (json!({"percent": {"share": 0.001}}), "match.percent.share: ", "two decimal"),
        (json!({"percent": {"share": 1, "by": "moon"}}), "match.percent.by: ", "`callId`"),
    ] {
        let found = wrong_match(matching.clone());
        assert!(found.len() == 1 && found[0].starts_with(field) && found[0].contains(says), "{matching}: {found:?}");
    }
    for (action, field) in [
        (json!({"answer": {"play": []}}), "action.answer.play: "),
        (json!({"answer": {"play": ["welcome"]}}), "action.answer.play[0]: "),
        (json!({"answer": {"play": ["prompt:../../etc/passwd"]}}), "action.answer.play[0]: "),
        (json!({"answer": {"play": ["file:///etc/passwd"]}}), "action.answer.play[0]: "),
        (json!({"answer": {"play": ["prompt:a"], "collect": {"maxTones": 0}}}), "action.answer.collect.maxTones: "),
        (
            json!({"answer": {"play": ["prompt:a"], "collect": {"maxTones": 1, "stopTones": ["hash"]}}}),
            "action.answer.collect.stopTones[0]: ",
        ),
        (json!({"answer": {"play": ["prompt:a"], "loop": true}}), "action.answer"),
        (json!({"redirect": {"to": "y"}}), "action.redirect.to: "),
        (json!({"redirect": {"to": "sip:"}}), "action.redirect.to: "),
        (json!({"redirect": {"to": "sip:x@y>\r\nX: y"}}), "action.redirect.to: "),
        (json!({"forward": {"to": "02-07"}}), "action.forward.to: "),
        (json!({"reject": {"reason": "bored"}}), "action.reject.reason: "),
        (json!({"webhook": {"subscription": ""}}), "action.webhook.subscription: "),
        (json!({"webhook": {"subscription": "a"}, "reject": {"reason": "busy"}}), "action: "),
        (json!({"explode": {}}), "action: "),
    ] {
        let found = wrong(json!({"name": "r", "priority": 1, "action": action.clone()}));
        assert!(found.len() == 1 && found[0].starts_with(field), "{action}: {found:?}");
    }
    let again = json!({"name": "r", "priority": 1, "action": {"webhook": {"subscription": "a"}},
        "onFailure": {"webhook": {"subscription": "b"}}});
    assert!(wrong(again)[0].starts_with("onFailure.webhook: "));
    let all = wrong(json!({"name": 7, "match": {"to": {}, "x": 1}, "colour": "red"}));
    let fields: Vec<&str> = all.iter().map(|text| text.split(": ").next().unwrap()).collect();
    assert_eq!(fields, ["colour", "name", "priority", "match.x", "match.to", "action"], "{all:?}");
    assert_eq!(wrong(json!([])), ["must be an object"]);
    assert!(
        wrong(json!({"name": "a b", "priority": 1, "action": {"reject": {"reason": "busy"}}}))[0].starts_with("name: ")
    );
}

#[test]
fn a_would_be_call_is_read_with_its_time() {
    let request: ExplainRequest = serde_json::from_value(json!({"to": "+4420"})).unwrap();
    let (candidate, now) = request.into_candidate(Time::from_micros(7)).unwrap();
    assert_eq!(
        (candidate.from.as_str(), candidate.source.is_loopback(), now),
        ("anonymous", true, Time::from_micros(7))
    );
    let request: ExplainRequest = serde_json::from_value(json!({"to": "+4420", "from": "tel:+1", "trunk": "t",
        "source": "10.0.0.1", "headers": {"X-A": "b"}, "callId": "c", "time": "2026-11-22T13:00:00+01:00"}))
    .unwrap();
    let (candidate, now) = request.into_candidate(Time::EPOCH).unwrap();
    assert_eq!(now, at("2026-11-22T12:00:00Z"));
    assert_eq!(candidate.headers, [("X-A".to_owned(), "b".to_owned())]);
    let request: ExplainRequest = serde_json::from_value(json!({"to": "+4420", "time": "noon"})).unwrap();
    assert_eq!(request.into_candidate(Time::EPOCH).unwrap_err().0[0].field, "time");
}

#[test]
fn random_documents_never_break_it() {
    let mut random = Random::from_number(6);
    let text = documented().to_string();
    for _ in 0..20_000 {
        let mut bytes = text.clone().into_bytes();
        for _ in 0..=random.below(4) {
            let at = random.below(bytes.len() as u64) as usize;
            match random.below(3) {
                0 => bytes[at] = random.below(128) as u8,
                1 => drop(bytes.remove(at)),
                _ => bytes.insert(at, b"{}[]\",:0129-"[random.below(12) as usize]),
            }
        }
        if let Ok(value) = serde_json::from_slice::<Value>(&bytes)
            && let Ok(rule) = Rule::from_json(&value)
            && let Ok(table) = Table::new([rule.clone()])
        {
            table.decide(&call(), Time::from_micros(random.u64()));
            let again = serde_json::to_value(&rule).unwrap();
            assert_eq!(Rule::from_json(&again).unwrap(), rule);
        }
    }
}
