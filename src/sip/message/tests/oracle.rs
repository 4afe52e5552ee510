//! Against the crate `rsip` on ordinary messages: what it accepts and means, we accept and mean.

use rsip::headers::UntypedHeader;
use rsip::message::{HasHeaders, HeadersExt};
use rsip::typed;

use super::super::*;

/// Messages as phones, carriers and gateways send them, put together from parts.
fn corpus() -> Vec<String> {
    let uris = [
        "sip:bob@biloxi.com",
        "sip:biloxi.com",
        "sip:+15551234567@carrier.example:5080;transport=udp;user=phone",
        "sip:bob@192.0.2.4:5062",
        "sips:bob@biloxi.com;transport=tcp",
        "sip:100@pbx.example.com;lr",
        "sip:bob%20b@example.com",
    ];
    let froms = [
        "\"Alice A.\" <sip:alice@atlanta.com>;tag=1928301774",
        "<sip:alice@192.0.2.7:5061>;tag=a-b.c",
        "Alice <sip:alice@atlanta.com>;tag=9",
        "sip:alice@atlanta.com;tag=88sja8x",
        "<sip:+15550001111@gw.example;user=phone>;tag=as5",
        "\"\" <sip:a@b.example>;tag=1",
    ];
    let tos = [
        "<sip:bob@biloxi.com>",
        "Bob <sip:bob@biloxi.com>;tag=a6c85cf",
        "sip:bob@biloxi.com",
        "\"Bob\" <sip:bob@biloxi.com:5070>",
    ];
    let vias = [
        "SIP/2.0/UDP pc33.atlanta.com;branch=z9hG4bK776asdhds",
        "SIP/2.0/TCP 192.0.2.1:5060;branch=z9hG4bKnashds8;rport",
        "SIP/2.0/UDP 192.0.2.1:5061;rport=40000;received=198.51.100.3;branch=z9hG4bK-524287-1---0f3eb40b",
        "SIP/2.0/TLS sbc.example.com:5061;branch=z9hG4bK87asd;alias",
    ];
    let bodies =
        ["", "v=0\r\no=- 1 1 IN IP4 192.0.2.1\r\ns=-\r\nc=IN IP4 192.0.2.1\r\nt=0 0\r\nm=audio 4000 RTP/AVP 0 101\r\n"];
    let methods = [
        "INVITE", "ACK", "BYE", "CANCEL", "OPTIONS", "REGISTER", "INFO", "UPDATE", "PRACK", "REFER", "NOTIFY",
        "MESSAGE",
    ];
    let mut list = Vec::new();
    for (i, from) in froms.iter().enumerate() {
        for (j, to) in tos.iter().enumerate() {
            for (k, via) in vias.iter().enumerate() {
                for (n, body) in bodies.iter().enumerate() {
                    let uri = uris[(i + j + k + n) % uris.len()];
                    let method = methods[(i * 7 + j * 5 + k * 3 + n) % methods.len()];
                    let length = body.len();
                    let start = [
                        format!("{method} {uri} SIP/2.0"),
                        "SIP/2.0 180 Ringing".into(),
                        "SIP/2.0 486 Busy Here".into(),
                    ];
                    for start in start {
                        list.push(format!(
                            "{start}\r\nVia: {via}\r\nMax-Forwards: 70\r\nFrom: {from}\r\nTo: {to}\r\n\
                             Call-ID: {i}{j}{k}-a84b@pc33.atlanta.com\r\nCSeq: {} {method}\r\nContact: <{uri}>\r\n\
                             User-Agent: test/1\r\nContent-Length: {length}\r\n\r\n{body}",
                            314159 + i
                        ));
                    }
                }
            }
        }
    }
    list
}

fn same_uri(theirs: &rsip::Uri, ours: &Uri, text: &str) {
    let host = theirs.host_with_port.host.to_string();
    assert_eq!(ours.host().unwrap().to_string(), host.to_ascii_lowercase(), "{text}");
    assert_eq!(ours.port(), theirs.host_with_port.port.as_ref().map(|p| u16::from(*p)), "{text}");
    let user = theirs.auth.as_ref().map(|auth| auth.user.clone());
    assert_eq!(ours.as_sip().unwrap().user_escaped().map(str::to_owned), user, "{text}");
}

#[test]
fn what_rsip_accepts_and_means_we_accept_and_mean() {
    let corpus = corpus();
    let mut compared = 0;
    for text in &corpus {
        let Ok(theirs) = rsip::SipMessage::try_from(text.as_bytes()) else { continue };
        let ours = Message::parse(text.as_bytes()).unwrap_or_else(|error| panic!("{error}\n{text}"));
        ours.check().unwrap_or_else(|error| panic!("{error}\n{text}"));
        let headers = ours.headers();
        match (&theirs, &ours) {
            (rsip::SipMessage::Request(theirs), Message::Request(ours)) => {
                assert_eq!(theirs.method.to_string(), ours.method.as_str());
                same_uri(&theirs.uri, &ours.uri, text);
                assert_eq!(theirs.body, ours.body);
            }
            (rsip::SipMessage::Response(theirs), Message::Response(ours)) => {
                assert_eq!(theirs.status_code.code(), ours.status());
                assert_eq!(theirs.body, ours.body);
            }
            _ => panic!("{text}"),
        }
        assert_eq!(theirs.headers().iter().count(), headers.len());
        assert_eq!(theirs.call_id_header().unwrap().value(), headers.call_id().unwrap());
        let cseq: typed::CSeq = theirs.cseq_header().unwrap().clone().try_into().unwrap();
        let our_cseq = headers.cseq().unwrap();
        assert_eq!((cseq.seq, cseq.method.to_string()), (our_cseq.number, our_cseq.method.to_string()));
        // Typed values, where it reads them.
        if let Ok(from) = typed::From::try_from(theirs.from_header().unwrap().clone()) {
            let our_from = headers.from().unwrap();
            same_uri(&from.uri, &our_from.uri, text);
            assert_eq!(from.tag().map(|tag| tag.value().to_owned()).as_deref(), our_from.tag(), "{text}");
            compared += 1;
        }
        if let Ok(to) = typed::To::try_from(theirs.to_header().unwrap().clone()) {
            let our_to = headers.to().unwrap();
            same_uri(&to.uri, &our_to.uri, text);
            assert_eq!(to.tag().map(|tag| tag.value().to_owned()).as_deref(), our_to.tag(), "{text}");
        }
        if let Ok(via) = typed::Via::try_from(theirs.via_header().unwrap().clone()) {
            let our_via = headers.top_via().unwrap();
            assert_eq!(via.transport.to_string(), our_via.transport.as_str());
            assert_eq!(via.branch().map(|b| b.value().to_owned()).as_deref(), our_via.branch(), "{text}");
            assert_eq!(via.uri.host_with_port.host.to_string(), our_via.host.to_string());
        }
    }
    assert_eq!(corpus.len(), 6 * 4 * 4 * 2 * 3);
    assert!(compared > corpus.len() / 2, "rsip read {compared} of {}", corpus.len());
}
