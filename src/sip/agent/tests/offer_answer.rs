//! Offer and answer over messages (RFC 3261 §13.2.1, §14; RFC 3262 §5; RFC 3311 §5; RFC 6337) as a table: each row is a
//! conversation with a peer written out by hand, step by step. What a description says is `sip::sdp`'s table.

use super::*;

/// What happens, and all that we send because of it, by commas: a status or a method, and the direction of its SDP.
///
/// `< METHOD …` and `< STATUS …` come from the peer, with SDP where a third word says which: `sdp`, `hold` (sendonly),
/// `alien` (no codec of ours), `broken`. The rest are commands.
type Step = (&'static str, &'static str);

/// Section, rule, conversation.
type Row = (&'static str, &'static str, &'static [Step]);

/// The peer calls, and the call stands.
const CALLED: [Step; 3] = [("< INVITE sdp", "100"), ("accept", "200 sendrecv"), ("< ACK", "")];
/// We call, and the call stands.
const CALLING: [Step; 2] = [("place", "INVITE sendrecv"), ("< 200 sdp", "ACK")];

const TABLE: &[Row] = &[
    ("RFC 6337 pattern 1", "offer in INVITE, answer in 2xx", &CALLED),
    ("RFC 6337 pattern 1", "the same from our side", &CALLING),
    (
        "RFC 6337 pattern 1",
        "ringing carries no answer",
        &[("< INVITE sdp", "100"), ("ring", "180"), ("accept", "200 sendrecv"), ("< ACK", "")],
    ),
    (
        "RFC 6337 pattern 2",
        "offer in 2xx, answer in ACK",
        &[("< INVITE", "100"), ("accept", "200 sendrecv"), ("< ACK sdp", "")],
    ),
    (
        "RFC 6337 pattern 2",
        "a held stream is an answer too",
        &[("< INVITE", "100"), ("accept", "200 sendrecv"), ("< ACK hold", "")],
    ),
    (
        "RFC 3261 13.2.1",
        "no answer in ACK: no session",
        &[("< INVITE", "100"), ("accept", "200 sendrecv"), ("< ACK", "BYE")],
    ),
    (
        "RFC 3261 13.2.1",
        "an answer in ACK that is none: no session",
        &[("< INVITE", "100"), ("accept", "200 sendrecv"), ("< ACK alien", "BYE")],
    ),
    ("RFC 3261 13.2.1", "no answer in 2xx: no session", &[("place", "INVITE sendrecv"), ("< 200", "ACK,BYE")]),
    ("RFC 3261 13.2.1", "an unusable answer in 2xx", &[("place", "INVITE sendrecv"), ("< 200 alien", "ACK,BYE")]),
    ("RFC 3261 13.2.1", "an unreadable answer in 2xx", &[("place", "INVITE sendrecv"), ("< 200 broken", "ACK,BYE")]),
    (
        "RFC 6337 3.1.1",
        "a preview in 183 spares nobody the answer, but may",
        &[("place", "INVITE sendrecv"), ("< 183 sdp", ""), ("< 200", "ACK"), ("hold", "INVITE sendonly")],
    ),
    ("RFC 3261 13.3.1.3", "an offer that cannot be met", &[("< INVITE alien", "488")]),
    ("RFC 3261 21.4.1", "an offer that cannot be read", &[("< INVITE broken", "400")]),
    (
        "RFC 3261 14.2",
        "a second INVITE before the answer to the first",
        &[("< INVITE sdp", "100"), ("ring", "180"), ("< INVITE sdp", "500")],
    ),
    (
        "RFC 3264 8.4",
        "the peer holds and resumes",
        &[
            CALLED[0],
            CALLED[1],
            CALLED[2],
            ("< INVITE hold", "200 recvonly"),
            ("< ACK", ""),
            ("< INVITE sdp", "200 sendrecv"),
            ("< ACK", ""),
        ],
    ),
    (
        "RFC 3264 8.4",
        "the peer that we called holds",
        &[CALLING[0], CALLING[1], ("< INVITE hold", "200 recvonly"), ("< ACK", "")],
    ),
    (
        "RFC 3261 14.1",
        "we hold and resume",
        &[
            CALLED[0],
            CALLED[1],
            CALLED[2],
            ("hold", "INVITE sendonly"),
            ("< 200 sdp", "ACK"),
            ("resume", "INVITE sendrecv"),
            ("< 200 sdp", "ACK"),
        ],
    ),
    (
        "RFC 6337 5.2.5",
        "a re-INVITE without offer gets all that we can do",
        &[
            CALLED[0],
            CALLED[1],
            CALLED[2],
            ("< INVITE hold", "200 recvonly"),
            ("< ACK", ""),
            ("< INVITE", "200 sendrecv"),
            ("< ACK sdp", ""),
        ],
    ),
    (
        "RFC 6337 5.2.5",
        "but not more than we want",
        &[
            CALLED[0],
            CALLED[1],
            CALLED[2],
            ("hold", "INVITE sendonly"),
            ("< 200 sdp", "ACK"),
            ("< INVITE", "200 sendonly"),
            ("< ACK sdp", ""),
        ],
    ),
    (
        "RFC 6337 3.4",
        "a re-INVITE that is refused changes nothing",
        &[
            CALLED[0],
            CALLED[1],
            CALLED[2],
            ("< INVITE alien", "488"),
            ("< ACK", ""),
            ("< INVITE", "200 sendrecv"),
            ("< ACK sdp", ""),
        ],
    ),
    (
        "RFC 6337 3.4",
        "our re-INVITE that is refused changes nothing",
        &[
            CALLED[0],
            CALLED[1],
            CALLED[2],
            ("hold", "INVITE sendonly"),
            ("< 488", "ACK"),
            ("< INVITE", "200 sendrecv"),
            ("< ACK sdp", ""),
        ],
    ),
    (
        "RFC 6337 3.4",
        "a standing session outlives a re-INVITE's missing answer",
        &[
            CALLED[0],
            CALLED[1],
            CALLED[2],
            ("< INVITE", "200 sendrecv"),
            ("< ACK", ""),
            ("< INVITE sdp", "200 sendrecv"),
            ("< ACK", ""),
        ],
    ),
    (
        "RFC 3261 14.2",
        "an offer while ours is on the way: 491",
        &[CALLED[0], CALLED[1], CALLED[2], ("hold", "INVITE sendonly"), ("< INVITE sdp", "491"), ("< 200 sdp", "ACK")],
    ),
    (
        "RFC 3261 14.1",
        "ours meets theirs: it goes again",
        &[
            CALLED[0],
            CALLED[1],
            CALLED[2],
            ("hold", "INVITE sendonly"),
            ("< 491", "ACK"),
            ("4 s", "INVITE sendonly"),
            ("< 200 sdp", "ACK"),
        ],
    ),
    (
        "RFC 3261 14.2",
        "an offer before the ACK of the last: 491",
        &[CALLED[0], CALLED[1], CALLED[2], ("< INVITE hold", "200 recvonly"), ("< INVITE sdp", "491")],
    ),
    (
        "RFC 3261 12.2.2",
        "an offer that is older than the last: 500",
        &[
            CALLED[0],
            CALLED[1],
            CALLED[2],
            ("< INVITE hold", "200 recvonly"),
            ("< ACK", ""),
            ("older", ""),
            ("< INVITE sdp", "500"),
        ],
    ),
];

/// One conversation.
struct Conversation {
    bench: Bench,
    leg: Option<LegId>,
    call_id: String,
    /// Ours.
    tag: String,
    /// Of the peer's last request but ACK, CANCEL and PRACK.
    cseq: u32,
    /// Our last request but ACK.
    request: Option<Request>,
}

fn body(name: Option<&str>) -> String {
    match name {
        None => String::new(),
        Some("sdp") => OFFER.to_owned(),
        Some("hold") => format!("{OFFER}a=sendonly\r\n"),
        Some("alien") => OFFER.replace("RTP/AVP 0 101", "RTP/AVP 18 101"),
        Some("broken") => "v=0\r\nm=\r\n".to_owned(),
        Some(other) => panic!("{other}"),
    }
}

impl Conversation {
    fn command(&mut self, command: LegCommand) -> Done {
        let leg = self.leg.expect("a call");
        self.bench.command(leg, command)
    }

    fn reoffer(&mut self, direction: Direction) -> Done {
        self.command(LegCommand::Reoffer { media: LocalMedia { direction, ..media(A) } })
    }

    fn comes(&mut self, what: &str, sdp: Option<&str>) -> Done {
        let body = body(sdp);
        if let Ok(status) = what.parse() {
            let request = self.request.clone().expect("a request of ours");
            return self.bench.reply(&request, status, "far", "Contact: <sip:bob@198.51.100.7:5070>", &body);
        }
        self.cseq += u32::from(what != "ACK");
        let text = self.bench.request(what, "x", &self.tag, self.cseq, "", &body);
        let text =
            text.replace("tag=farx", "tag=far").replace("Call-ID: call-x", &format!("Call-ID: {}", self.call_id));
        // What is older than it was has been on another way.
        self.bench.receive(&text)
    }

    fn step(&mut self, step: &str) -> Done {
        let words: Vec<&str> = step.split(' ').collect();
        let done = match words[..] {
            ["<", what] => self.comes(what, None),
            ["<", what, sdp] => self.comes(what, Some(sdp)),
            ["ring"] => self.command(LegCommand::Ring),
            ["accept"] => self.command(LegCommand::Accept { media: media(A) }),
            ["hold"] => self.reoffer(Direction::SendOnly),
            ["resume"] => self.reoffer(Direction::SendRecv),
            ["older"] => {
                self.cseq -= 5;
                Done::default()
            }
            [seconds, "s"] => self.bench.wait(Duration::from_secs(seconds.parse().unwrap())),
            ["place"] => {
                let leg = self.bench.agent.new_leg();
                self.bench.agent.place(leg, invite(Transport::Udp), self.bench.now);
                self.leg = Some(leg);
                let done = self.bench.done();
                let invite = done.request("INVITE");
                self.call_id = invite.headers.call_id().unwrap().to_owned();
                self.tag = invite.headers.from().unwrap().tag().unwrap().to_owned();
                done
            }
            _ => panic!("{step}"),
        };
        if let Some(invitation) = done.incoming.first() {
            self.leg = Some(invitation.leg);
        }
        for (_, response) in &done.responses {
            if let Some(tag) = response.headers.to().unwrap().tag() {
                self.tag = tag.to_owned();
            }
        }
        if let Some((_, request)) = done.requests.iter().rfind(|(_, request)| request.method.as_str() != "ACK") {
            self.request = Some(request.clone());
        }
        done
    }
}

fn direction(body: &[u8]) -> String {
    let text = String::from_utf8_lossy(body);
    let names = ["sendrecv", "sendonly", "recvonly", "inactive"];
    let found = text.lines().find_map(|line| line.strip_prefix("a=").filter(|name| names.contains(name)));
    found.map(|name| format!(" {name}")).unwrap_or_default()
}

fn shown(done: &Done) -> String {
    let responses = done.responses.iter().map(|(_, r)| format!("{}{}", r.status(), direction(&r.body)));
    let requests = done.requests.iter().map(|(_, r)| format!("{}{}", r.method, direction(&r.body)));
    let mut all: Vec<String> = responses.chain(requests).collect();
    // Over UDP what is not answered goes again.
    all.dedup();
    all.join(",")
}

#[test]
fn every_conversation_goes_by_the_rules() {
    for (section, rule, steps) in TABLE {
        let mut conversation = Conversation {
            bench: Bench::new(),
            leg: None,
            call_id: "call-x".into(),
            tag: String::new(),
            cseq: 9,
            request: None,
        };
        for (number, (step, expected)) in steps.iter().enumerate() {
            let done = conversation.step(step);
            assert_eq!(shown(&done), *expected, "{section}: {rule}: {step:?} (step {})", number + 1);
        }
    }
}
