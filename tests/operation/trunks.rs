//! Carriers: which of several proxies a call goes by, what is told to them, how they fare, and who may call what.

use std::net::SocketAddr;

use serde_json::{Value, json};
use strowger::sip::message::{Name, Request};

use crate::support::{Carrier, Client, Engine, Manner, Webhook};

/// Answers calls.
fn good() -> Manner {
    Manner { invite: 200, rings: true, grants: 600, ..Manner::default() }
}

async fn put(engine: &Engine, path: &str, document: Value) -> Value {
    let (status, answer) = engine.request("PUT", path, Some(document)).await;
    assert!(matches!(status, 200 | 201), "{status}: {answer}");
    answer
}

/// Has the engine call a number; the webhook and the call's path.
async fn call(engine: &Engine, number: &str, more: Value) -> (Webhook, String) {
    let webhook = Webhook::start().await;
    let target = json!({"kind": "phoneNumber", "phoneNumber": {"value": number}});
    let mut wish = json!({"targets": [target], "callbackUri": webhook.url});
    for (name, value) in more.as_object().into_iter().flatten() {
        wish[name] = value.clone();
    }
    let call = Client::new(engine).call("/calling/callConnections", wish).await;
    (webhook, call)
}

/// The texts of the newest call's timeline.
async fn timeline(engine: &Engine) -> Vec<String> {
    let (_, calls) = engine.request("GET", "/v1/calls", None).await;
    let id = calls["value"][0]["id"].as_str().expect("a call").to_owned();
    let (_, timeline) = engine.request("GET", &format!("/v1/calls/{id}/timeline"), None).await;
    let entries = timeline["entries"].as_array().expect("entries").iter();
    entries.map(|entry| entry["text"].as_str().unwrap_or_default().to_owned()).collect()
}

fn assert_order(entries: &[String], wanted: &[&str]) {
    let mut rest = entries.iter();
    for text in wanted {
        assert!(rest.any(|entry| entry.contains(text)), "no {text:?} in its place among {entries:#?}");
    }
}

fn header(request: &Request, name: &str) -> Option<String> {
    let name: Name = name.parse().expect("a name");
    request.headers.text(&name).map(|value| value.into_owned())
}

/// An address where nobody listens by TCP.
fn closed() -> SocketAddr {
    std::net::TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("its address")
}

#[tokio::test]
async fn a_call_finds_the_proxy_that_works_and_says_who_calls() {
    let engine = Engine::start(&[]);
    let silent = Carrier::start(Manner { dead: true, ..Manner::default() }).await;
    let busy = Carrier::start(Manner { invite: 503, ..Manner::default() }).await;
    let works = Carrier::start(good()).await;
    let refused = closed();
    put(
        &engine,
        "/v1/trunks/many",
        json!({
            "proxies": [
                {"uri": silent.uri(), "priority": 1},
                {"uri": format!("sip:{refused};transport=tcp"), "priority": 2},
                {"uri": busy.uri(), "priority": 3},
                {"uri": works.uri(), "priority": 4},
            ],
            "failover": {"silenceSeconds": 1},
            "numbers": {"countryCode": "44", "nationalPrefix": "0", "internationalPrefix": "00", "format": "national"},
            "caller": {"fromDomain": "me.example", "assertedIdentity": true, "remotePartyId": true},
        }),
    )
    .await;
    let more = json!({"sourceCallerIdNumber": {"kind": "phoneNumber", "value": "+441632960123"}});
    let (mut application, path) = call(&engine, "+442079460000", more).await;
    application.expect("CallConnected").await;
    let invite = works.until("INVITE", 1).await.remove(0);
    assert_eq!(invite.uri.to_string(), format!("sip:02079460000@{}", works.address));
    let from = header(&invite, "From").expect("From");
    assert!(from.contains("sip:01632960123@me.example"), "{from}");
    assert_eq!(header(&invite, "P-Asserted-Identity").as_deref(), Some("<sip:01632960123@me.example>"));
    let party = header(&invite, "Remote-Party-ID").expect("Remote-Party-ID");
    assert!(party.ends_with(";party=calling;screen=yes;privacy=off"), "{party}");
    assert_eq!(header(&invite, "Privacy"), None);

    let (_, shown) = engine.request("GET", "/v1/trunks/many", None).await;
    assert_eq!(shown["state"]["activeCalls"], 1, "{shown}");
    let problems: Vec<_> =
        (0..4).map(|n| shown["state"]["proxies"][n]["lastError"]["problem"].as_str().unwrap_or_default()).collect();
    assert_eq!(
        problems,
        ["INVITE: no response in time", "INVITE: no way there", "INVITE: 503 Service Unavailable", ""],
        "{shown}"
    );
    Client::new(&engine).post(&format!("{path}:terminate"), Value::Null).await;
    application.expect("CallDisconnected").await;
    assert_order(
        &timeline(&engine).await,
        &[
            "tried trunk many, proxy 1",
            "trunk many, proxy 1 no answer in time",
            "tried trunk many, proxy 2",
            "trunk many, proxy 2 no way there",
            "tried trunk many, proxy 3",
            "trunk many, proxy 3 refused: 503",
            "tried trunk many, proxy 4",
            "trunk many, proxy 4 answered",
        ],
    );
    assert_eq!(engine.metric("strowger_trunk_attempts_total{kind=\"answered\"}").await, 1.0);
    engine
        .until("the call to leave the trunk", async |engine| {
            (engine.metric("strowger_trunk_calls").await == 0.0).then_some(())
        })
        .await;
}

#[tokio::test]
async fn busy_is_an_answer_and_a_redirection_is_followed_within_the_trunk() {
    let engine = Engine::start(&[]);
    let (first, second) =
        (Carrier::start(Manner { invite: 486, ..Manner::default() }).await, Carrier::start(good()).await);
    let proxies = json!([{"uri": first.uri()}, {"uri": second.uri(), "priority": 1}]);
    put(&engine, "/v1/trunks/t", json!({"proxies": proxies})).await;
    let (mut application, _) = call(&engine, "+4420", json!({})).await;
    application.expect("CreateCallFailed").await;
    assert_eq!(second.requests("INVITE").len(), 0);

    let contact = format!("<sip:+4499@{}>", second.address);
    first.behave(Manner { invite: 302, extra: vec![("Contact", contact)], ..Manner::default() });
    let (mut application, path) = call(&engine, "+4420", json!({})).await;
    application.expect("CallConnected").await;
    assert_eq!(second.until("INVITE", 1).await[0].uri.to_string(), format!("sip:+4499@{}", second.address));
    Client::new(&engine).post(&format!("{path}:terminate"), Value::Null).await;
    application.expect("CallDisconnected").await;

    // A number is never called on a carrier's word.
    first.behave(Manner { invite: 302, extra: vec![("Contact", "<tel:+4477>".into())], ..Manner::default() });
    let (mut application, _) = call(&engine, "+4420", json!({})).await;
    application.expect("CreateCallFailed").await;
    assert_eq!(second.requests("INVITE").len(), 1);
}

#[tokio::test]
async fn a_trunk_takes_no_more_calls_than_it_may() {
    let engine = Engine::start(&[]);
    let carrier = Carrier::start(good()).await;
    put(&engine, "/v1/trunks/t", json!({"uri": carrier.uri(), "maxCalls": 1})).await;
    let (mut first, path) = call(&engine, "+4420", json!({})).await;
    first.expect("CallConnected").await;
    let (mut second, _) = call(&engine, "+4421", json!({})).await;
    let failed = second.expect("CreateCallFailed").await;
    assert!(failed.to_string().contains("1 calls are on, the most allowed"), "{failed}");
    assert_eq!(carrier.call(engine.address("sipUdp"), "sip:+4422@h", "sip:+331@c", "sip:+4422@h").await, 503);
    Client::new(&engine).post(&format!("{path}:terminate"), Value::Null).await;
    first.expect("CallDisconnected").await;
    let (mut third, _) = call(&engine, "+4423", json!({})).await;
    third.expect("CallConnected").await;
}

#[tokio::test]
async fn options_show_which_proxy_is_down_and_which_is_up_again() {
    let engine = Engine::start(&[]);
    let carrier = Carrier::start(good()).await;
    let health = json!({"optionsIntervalSeconds": 1, "timeoutSeconds": 1, "failures": 2});
    put(&engine, "/v1/trunks/t", json!({"uri": carrier.uri(), "health": health})).await;
    let standing = async |engine: &Engine, wanted: &str| {
        engine
            .until(wanted, async |engine| {
                let (_, shown) = engine.request("GET", "/v1/trunks/t", None).await;
                (shown["state"]["proxies"][0]["state"] == wanted).then_some(shown)
            })
            .await
    };
    standing(&engine, "up").await;
    carrier.behave(Manner { dead: true, ..Manner::default() });
    let down = standing(&engine, "down").await;
    assert_eq!(down["state"]["proxies"][0]["lastError"]["problem"], "OPTIONS: no answer in time", "{down}");
    assert_eq!(engine.metric("strowger_trunk_proxies{kind=\"down\"}").await, 1.0);
    carrier.behave(good());
    standing(&engine, "up").await;
}

#[tokio::test]
async fn registered_with_digest_called_by_the_contact_and_gone_with_the_trunk() {
    let engine = Engine::start(&[]);
    let carrier = Carrier::start(Manner { asks: true, ..good() }).await;
    let trunk = json!({
        "uri": carrier.uri(), "username": "acct", "password": "very-secret", "register": {"user": "4420", "expires": 300},
        "numbers": {"countryCode": "44", "nationalPrefix": "0", "internationalPrefix": "00"},
    });
    put(&engine, "/v1/trunks/reg", trunk).await;
    let shown = engine
        .until("the registration", async |engine| {
            let (_, shown) = engine.request("GET", "/v1/trunks/reg", None).await;
            (shown["state"]["registration"]["state"] == "registered").then_some(shown)
        })
        .await;
    assert!(!shown.to_string().contains("very-secret"), "{shown}");
    let registers = carrier.requests("REGISTER");
    assert_eq!(registers.len(), 2, "asked once");
    let authorization = header(&registers[1], "Authorization").expect("credentials");
    assert!(authorization.contains("username=\"acct\"") && authorization.contains("algorithm=SHA-256"));
    assert_eq!(registers[0].headers.call_id(), registers[1].headers.call_id());
    assert!(header(&registers[1], "To").expect("To").contains("sip:4420@127.0.0.1"));
    let contact = registers[1].headers.contact().expect("readable").expect("a Contact");

    // The carrier calls by that Contact; the number is To's, in our writing, and the rule knows the trunk.
    let rule = json!({"name": "in", "priority": 1, "match": {"trunk": ["reg"], "to": {"exact": "+442079460000"}},
        "action": {"reject": {"reason": "busy"}}});
    engine.rule(rule).await;
    let sip = engine.address("sipUdp");
    let status =
        carrier.call(sip, &contact.uri.to_string(), "sip:00331234@c.example", "sip:02079460000@c.example").await;
    assert_eq!(status, 486, "{:#?}", timeline(&engine).await);
    let (_, calls) = engine.request("GET", "/v1/calls", None).await;
    assert!(calls.to_string().contains("+331234"), "{calls}");

    let (status, _) = engine.request("DELETE", "/v1/trunks/reg", None).await;
    assert_eq!(status, 204);
    let last = carrier.until("REGISTER", 3).await.pop().expect("a REGISTER");
    assert_eq!(header(&last, "Expires").as_deref(), Some("0"));
}

#[tokio::test]
async fn routes_say_which_trunk_how_the_number_is_written_and_who_may_call() {
    let engine = Engine::start(&[]);
    let (a, b) = (Carrier::start(good()).await, Carrier::start(good()).await);
    put(&engine, "/v1/trunks/a", json!({"uri": a.uri()})).await;
    put(&engine, "/v1/trunks/b", json!({"uri": b.uri()})).await;
    put(&engine, "/v1/routes/uk", json!({"prefix": "+44", "trunks": [{"name": "b", "strip": 3, "add": "0"}]})).await;
    let (status, problem) =
        engine.request("PUT", "/v1/routes/x", Some(json!({"regex": "(", "trunks": [{"name": "nobody"}]}))).await;
    assert_eq!(status, 400, "{problem}");
    assert!(problem.to_string().contains("there is no trunk"), "{problem}");
    let (mut application, _) = call(&engine, "+442079460000", json!({})).await;
    application.expect("CallConnected").await;
    assert_eq!(b.until("INVITE", 1).await[0].uri.user().as_deref(), Some("02079460000"));
    assert_eq!(a.requests("INVITE").len(), 0);
    assert_order(&timeline(&engine).await, &["route uk: decides: trunks b", "tried trunk b"]);

    let explain = async |number: &str, caller: &str| {
        let question = json!({"number": number, "caller": caller});
        engine.request("POST", "/v1/routes:explain", Some(question)).await.1
    };
    assert_eq!(explain("+4420", "user:bob").await["ways"], json!([{"trunk": "b", "number": "020"}]));
    let stranger = explain("+4420", "stranger").await;
    assert_eq!(stranger["ways"], json!([]));
    assert!(stranger["problem"].as_str().expect("why").contains("route uk is closed"), "{stranger}");
    assert!(explain("+33", "application").await["problem"].as_str().expect("why").contains("no route takes +33"));

    let (status, problem) = engine.request("DELETE", "/v1/trunks/b", None).await;
    assert_eq!(status, 409, "{problem}");
    assert_eq!(engine.request("DELETE", "/v1/routes/uk", None).await.0, 204);
    assert_eq!(engine.request("DELETE", "/v1/trunks/b", None).await.0, 204);
}
