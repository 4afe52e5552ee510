//! Carriers over time and on the wire: what they see of who calls, how a registration lives, which trunk takes what
//! another cannot.

use serde_json::{Value, json};
use strowger::sip::message::{Name, Request};

use crate::support::{Carrier, Client, Engine, Manner, Webhook};

/// Answers calls.
fn good() -> Manner {
    Manner { invite: 200, rings: true, grants: 600, ..Manner::default() }
}

async fn put(engine: &Engine, path: &str, document: Value) {
    let (status, answer) = engine.request("PUT", path, Some(document)).await;
    assert!(matches!(status, 200 | 201), "{status}: {answer}");
}

/// Has the engine call a number as somebody (empty: as nobody), until it is answered; then hangs up. Its INVITE.
async fn told(engine: &Engine, carrier: &Carrier, caller: &str) -> Request {
    let mut webhook = Webhook::start().await;
    let target = json!({"kind": "phoneNumber", "phoneNumber": {"value": "+442079460000"}});
    let mut wish = json!({"targets": [target], "callbackUri": webhook.url, "sourceDisplayName": "Us"});
    if !caller.is_empty() {
        wish["sourceCallerIdNumber"] = json!({"kind": "phoneNumber", "value": caller});
    }
    let before = carrier.requests("INVITE").len();
    let client = Client::new(engine);
    let path = client.call("/calling/callConnections", wish).await;
    webhook.expect("CallConnected").await;
    client.post(&format!("{path}:terminate"), Value::Null).await;
    webhook.expect("CallDisconnected").await;
    carrier.until("INVITE", before + 1).await.remove(before)
}

fn header(request: &Request, name: &str) -> Option<String> {
    let name: Name = name.parse().expect("a name");
    request.headers.text(&name).map(|value| value.into_owned())
}

#[tokio::test]
async fn a_carrier_is_told_who_calls_as_its_trunk_says() {
    let engine = Engine::start(&[]);
    let carrier = Carrier::start(good()).await;
    let all = json!({"assertedIdentity": true, "preferredIdentity": true, "remotePartyId": true});
    let with = |more: Value| {
        let mut caller = all.clone();
        for (name, value) in more.as_object().into_iter().flatten() {
            caller[name] = value.clone();
        }
        caller
    };
    let own = format!("{}", carrier.address.ip());
    let (us, hidden) = ("+441632960123", "anonymous");
    // What the trunk says, who calls; From, P-Asserted-Identity, Remote-Party-ID's end, Privacy.
    #[rustfmt::skip]
    let cases = [
        (json!({}), us, format!("\"Us\" <sip:{us}@{own}>"), None, None, None),
        (all.clone(), us, format!("\"Us\" <sip:{us}@{own}>"), Some(format!("\"Us\" <sip:{us}@{own}>")), Some("privacy=off"), None),
        (with(json!({"fromUser": "acct", "fromDomain": "me.example"})), us,
            "\"Us\" <sip:acct@me.example>".into(), Some(format!("\"Us\" <sip:{us}@me.example>")), Some("privacy=off"), None),
        (with(json!({"number": "+4420"})), hidden,
            "\"Anonymous\" <sip:anonymous@anonymous.invalid>".into(), Some(format!("\"Us\" <sip:+4420@{own}>")), Some("privacy=full"), Some("id")),
        (with(json!({"number": "+4420", "privacy": "anonymous"})), hidden,
            "\"Anonymous\" <sip:anonymous@anonymous.invalid>".into(), None, None, None),
        (with(json!({"number": "+4420", "privacy": "header"})), hidden,
            format!("<sip:+4420@{own}>"), Some(format!("\"Us\" <sip:+4420@{own}>")), Some("privacy=full"), Some("user;id")),
        (with(json!({"number": "+4420"})), "", format!("\"Us\" <sip:+4420@{own}>"), Some(format!("\"Us\" <sip:+4420@{own}>")), Some("privacy=off"), None),
    ];
    for (caller, who, from, asserted, remote, privacy) in cases {
        put(&engine, "/v1/trunks/t", json!({"uri": carrier.uri(), "caller": caller})).await;
        let invite = told(&engine, &carrier, who).await;
        let seen = header(&invite, "From").expect("From");
        assert_eq!(seen.split(";tag=").next(), Some(from.as_str()), "{caller} {who}");
        assert_eq!(header(&invite, "P-Asserted-Identity"), asserted, "{caller} {who}");
        assert_eq!(header(&invite, "P-Preferred-Identity"), asserted, "{caller} {who}");
        let party = header(&invite, "Remote-Party-ID");
        assert_eq!(party.as_deref().and_then(|party| party.rsplit(';').next()), remote, "{caller} {who}");
        assert_eq!(header(&invite, "Privacy").as_deref(), privacy, "{caller} {who}");
        if seen.contains("anonymous.invalid") {
            assert!(!header(&invite, "Contact").expect("Contact").contains("4420"), "{invite:?}");
        }
    }
}

#[tokio::test]
async fn a_registration_heeds_the_registrar_is_refreshed_and_outlives_its_silence() {
    let engine = Engine::start(&[]);
    let carrier = Carrier::start(Manner::default()).await;
    let edge = format!("<sip:edge@{};lr>", carrier.address);
    let manner = Manner { asks: true, grants: 2, least: 120, service_route: Some(edge.clone()), ..good() };
    carrier.behave(manner.clone());
    let register = json!({"user": "4420", "expires": 60});
    let trunk = json!({"uri": carrier.uri(), "username": "acct", "password": "secret", "register": register});
    put(&engine, "/v1/trunks/reg", trunk).await;
    let state = async |engine: &Engine, wanted: &str| {
        let found = async |engine: &Engine| {
            let (_, shown) = engine.request("GET", "/v1/trunks/reg", None).await;
            (shown["state"]["registration"]["state"] == wanted).then_some(())
        };
        engine.until(wanted, found).await;
    };
    state(&engine, "registered").await;
    // Asked for credentials, told that it is too brief, taken; then two refreshings.
    let seen = carrier.until("REGISTER", 5).await;
    let expires: Vec<_> = seen.iter().map(|request| header(request, "Expires").expect("Expires")).collect();
    assert_eq!(expires[..5], ["60", "60", "120", "120", "120"]);
    let number = |request: &Request| request.headers.cseq().expect("a CSeq").number;
    assert!(seen.windows(2).all(|pair| number(&pair[0]) < number(&pair[1])));
    assert!(seen.windows(2).all(|pair| pair[0].headers.call_id().ok() == pair[1].headers.call_id().ok()));
    assert!(seen[1..].iter().all(|request| header(request, "Authorization").is_some()), "asked once");
    assert!(header(&seen[4], "Authorization").expect("credentials").contains("nc=00000004"));

    // Calls go by the way that the registrar named (RFC 3608).
    let invite = told(&engine, &carrier, "").await;
    assert_eq!(header(&invite, "Route"), Some(edge));

    carrier.behave(Manner { dead: true, ..Manner::default() });
    state(&engine, "unregistered").await;
    carrier.behave(manner);
    state(&engine, "registered").await;
}

#[tokio::test]
async fn what_one_trunk_cannot_take_the_next_one_does() {
    let engine = Engine::start(&[]);
    let (small, large) = (Carrier::start(good()).await, Carrier::start(good()).await);
    let route = json!({"prefix": "+44", "trunks": [{"name": "small"}, {"name": "large"}]});
    put(&engine, "/v1/trunks/small", json!({"uri": small.uri(), "maxCalls": 1})).await;
    put(&engine, "/v1/trunks/large", json!({"uri": large.uri()})).await;
    put(&engine, "/v1/routes/uk", route).await;
    let client = Client::new(&engine);
    let call = async || {
        let webhook = Webhook::start().await;
        let target = json!({"kind": "phoneNumber", "phoneNumber": {"value": "+442079460000"}});
        let wish = json!({"targets": [target], "callbackUri": webhook.url});
        let path = client.call("/calling/callConnections", wish).await;
        (webhook, path)
    };
    let mut on = Vec::new();
    for _ in 0..2 {
        let (mut webhook, path) = call().await;
        webhook.expect("CallConnected").await;
        on.push((webhook, path));
    }
    assert_eq!((small.requests("INVITE").len(), large.requests("INVITE").len()), (1, 1));
    for (webhook, path) in &mut on {
        client.post(&format!("{path}:terminate"), Value::Null).await;
        webhook.expect("CallDisconnected").await;
    }
    let free = |kind: &'static str| {
        engine.until(kind, async move |engine: &Engine| (engine.metric(kind).await == 0.0).then_some(()))
    };
    free("strowger_trunk_calls").await;

    // One call a second, and six at once: however slow this machine is, not all go by the first.
    put(&engine, "/v1/trunks/small", json!({"uri": small.uri(), "maxCallsPerSecond": 1})).await;
    let six = tokio::join!(call(), call(), call(), call(), call(), call());
    for (mut webhook, _) in [six.0, six.1, six.2, six.3, six.4, six.5] {
        webhook.expect("CallConnected").await;
    }
    let (by_small, by_large) = (small.requests("INVITE").len() - 1, large.requests("INVITE").len() - 1);
    assert_eq!(by_small + by_large, 6);
    assert!(by_small >= 1 && by_large >= 1, "{by_small} and {by_large}");
}

/// What the carrier asserts of its callers counts (RFC 3325 §5); what anybody else asserts does not.
#[tokio::test]
async fn a_carriers_word_on_who_calls_is_believed_and_a_strangers_is_not() {
    let carrier = Carrier::start(good()).await;
    let asserted = "P-Asserted-Identity: \"Bob\" <sip:+442079460000@carrier.example>\r\n";
    for (known, from) in [(true, "+442079460000"), (false, "+15550000")] {
        let engine = Engine::start(&[]);
        if known {
            put(&engine, "/v1/trunks/t", json!({"uri": carrier.uri()})).await;
        }
        engine.rule(json!({"name": "no", "priority": 1, "action": {"reject": {"reason": "busy"}}})).await;
        let (sip, us) = (engine.address("sipUdp"), "sip:100@h");
        assert_eq!(carrier.call_with(sip, us, "sip:+15550000@c.example", us, asserted).await, 486);
        let (_, calls) = engine.request("GET", "/v1/calls", None).await;
        assert_eq!(calls["value"][0]["from"], from, "{calls}");
    }
}
