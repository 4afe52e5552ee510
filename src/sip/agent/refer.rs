//! REFER of ours (RFC 3515 §2.4.4): sending it, its answer, the NOTIFYs that tell how it went, and REFER of the peer's
//! up to the decision, which is call control's. Carrying it out is `follow`'s, telling the peer of it `notify`'s.

use super::transmit::{Arrival, party};
use super::user_agent::{Purpose, UserAgent};
use crate::line::is_one_line;
use crate::sip::leg::referral::{DECISION, OurRefer, TheirRefer};
use crate::sip::leg::state::{Leg, State};
use crate::sip::leg::{CommandError, LegEvent, MAX_REFERRED_HEADERS, Refer, ReferProgress, Referral};
use crate::sip::message::{
    MAX_LINE, Method, Name, NameAddr, Replaces, Request, Response, SIPFRAG, Uri, read_sipfrag, reason_phrase,
};
use crate::time::Time;

/// The event package of REFER (RFC 3515 §3).
pub(super) const PACKAGE: &str = "refer";

impl UserAgent {
    pub(super) fn refer(&mut self, leg: &mut Leg, wish: Refer, now: Time) -> Result<(), CommandError> {
        if leg.state != State::Established {
            return Err(CommandError::WrongState { state: leg.state.name() });
        }
        if leg.referrals.ours.as_ref().is_some_and(|ours| !ours.over) {
            return Err(CommandError::WrongState { state: "referring already" });
        }
        let target = self.refer_target(leg, &wish)?;
        let Some(dialog) = &leg.dialog else { return Err(CommandError::WrongState { state: "without a dialog" }) };
        let referred_by = match &wish.referred_by {
            Some(by) => NameAddr {
                display_name: None,
                ..super::outgoing::address(by).map_err(|_| CommandError::BadValue { what: "Referred-By" })?
            },
            None => NameAddr::new(dialog.local_party().uri.clone().for_request_line()),
        };
        let contact = self.contact_for(dialog.next_hop()).map(|contact| contact.header.clone());
        let sent = self.start_in_dialog(
            leg,
            Method::Refer,
            Purpose::Refer,
            |request| {
                if let Some(contact) = &contact {
                    request.headers.set_value(Name::Contact, contact);
                }
                request.headers.push_value(Name::ReferTo, &target);
                request.headers.push_value(Name::ReferredBy, &referred_by);
                if !wish.subscribe {
                    request.headers.push_value(Name::ReferSub, &"false");
                    request.headers.set_value(Name::Supported, &"norefersub");
                }
            },
            now,
        );
        match sent {
            Some(_) => {
                let id = leg.dialog.as_ref().map_or(0, |dialog| dialog.local_cseq());
                let give_up = now + wish.timeout;
                leg.referrals.ours = Some(OurRefer { id, accepted: false, over: false, give_up });
            }
            None => self.refer_refused(leg, 503, reason_phrase(503)),
        }
        Ok(())
    }

    /// Refer-To: a number at the peer's own domain, the headers for the INVITE behind the `?`.
    fn refer_target(&self, leg: &Leg, wish: &Refer) -> Result<NameAddr, CommandError> {
        let bad = |what| CommandError::BadValue { what };
        let mut uri: Uri = wish.target.parse().map_err(|_| bad("the target"))?;
        if let Uri::Tel(tel) = &uri
            && let Some(host) = leg.dialog.as_ref().and_then(|dialog| dialog.remote_party().uri.host().cloned())
        {
            uri = Uri::sip(Some(tel.number()), host, None).with_param("user", Some("phone"));
        }
        // Each byte may become three.
        let length = wish.target.len() + wish.headers.iter().map(|(n, v)| n.len() + v.len() + 2).sum::<usize>();
        let plain = wish.headers.iter().all(|(n, v)| n.parse::<Name>().is_ok() && is_one_line(v));
        if wish.headers.len() > MAX_REFERRED_HEADERS || length > MAX_LINE / 4 || !plain {
            return Err(bad("a header for the target"));
        }
        let mut headers = wish.headers.clone();
        if let Some(other) = wish.replaces {
            let other = self.legs.get(&other).filter(|other| other.state == State::Established);
            let dialog = other.and_then(|other| other.dialog.as_ref()).ok_or(bad("the leg to be replaced"))?;
            // As the one sees the dialog who will be called: his tag is the peer's of ours.
            let replaces = Replaces {
                call_id: dialog.call_id().to_owned(),
                to_tag: dialog.remote_party().tag().ok_or(bad("a dialog without tag"))?.to_owned(),
                from_tag: dialog.local_party().tag().unwrap_or_default().to_owned(),
                early_only: false,
            };
            headers.push(("Replaces".to_owned(), replaces.to_string()));
        }
        match &mut uri {
            Uri::Sip(sip) if !headers.is_empty() => {
                sip.set_headers(headers.iter().map(|(name, value)| (name.as_str(), value.as_str())));
            }
            Uri::Sip(_) | Uri::Tel(_) => {}
            Uri::Other(_) => return Err(bad("the target")),
        }
        Ok(NameAddr::new(uri))
    }

    /// The answer to our REFER.
    pub(super) fn refer_heard(&mut self, leg: &mut Leg, response: &Response) {
        let status = response.status();
        if status < 200 {
            return;
        }
        if status >= 300 {
            return self.refer_refused(leg, status, &response.reason());
        }
        let subscribed = !response.headers.without_subscription();
        let Some(ours) = leg.referrals.ours.as_mut().filter(|ours| !ours.over) else { return };
        // A NOTIFY may have overtaken it.
        let news = !std::mem::replace(&mut ours.accepted, true);
        ours.over = !subscribed;
        if news {
            self.tell_refer(leg, ReferProgress::Accepted { subscribed });
        }
    }

    /// Our REFER came to nothing.
    pub(super) fn refer_refused(&mut self, leg: &mut Leg, status: u16, phrase: &str) {
        if leg.referrals.ours.as_ref().is_some_and(|ours| ours.over) {
            return;
        }
        leg.referrals.ours = None;
        self.tell_refer(leg, ReferProgress::Refused { status, phrase: phrase.to_owned() });
    }

    /// NOTIFY within a dialog: how what we asked for goes.
    pub(super) fn notified(&mut self, leg: &mut Leg, id: u64, request: &Request, arrival: Arrival<'_>) {
        let now = arrival.now;
        let (event, state) = match (request.headers.event(), request.headers.subscription_state()) {
            (Ok(event), Ok(state)) => (event, state),
            _ => return self.refuse(leg, id, request, 400, now),
        };
        let Some(event) = event.filter(|event| event.package == PACKAGE) else {
            let mut response = self.response(leg, request, 489, arrival.peer);
            response.headers.push_value(Name::AllowEvents, &PACKAGE);
            self.respond(id, &response, now);
            return;
        };
        let number = event.id.as_deref().map(str::parse::<u32>);
        let known = |ours: &&mut OurRefer| number.as_ref().is_none_or(|n| n.as_ref().is_ok_and(|n| *n >= ours.id));
        let Some(ours) = leg.referrals.ours.as_mut().filter(known) else {
            return self.refuse(leg, id, request, 481, now);
        };
        let news = !std::mem::replace(&mut ours.accepted, true);
        let over = ours.over;
        let ended = state.is_some_and(|state| !state.alive);
        let fragment = matches!(request.headers.content_type(), Ok(Some(kind)) if kind.essence == SIPFRAG);
        let told = if fragment { read_sipfrag(&request.body) } else { None };
        ours.over = over || ended || told.as_ref().is_some_and(|(status, _)| *status >= 200);
        let response = self.response(leg, request, 200, arrival.peer);
        self.respond(id, &response, now);
        if over {
            return;
        }
        if news {
            self.tell_refer(leg, ReferProgress::Accepted { subscribed: true });
        }
        match told {
            Some((status, phrase)) if status >= 200 => self.tell_refer(leg, ReferProgress::Done { status, phrase }),
            Some((status, phrase)) => {
                self.tell_refer(leg, ReferProgress::Progress { status, phrase });
                if ended {
                    self.tell_refer(leg, ReferProgress::Lost);
                }
            }
            None if ended => self.tell_refer(leg, ReferProgress::Lost),
            None => {}
        }
    }

    fn tell_refer(&mut self, leg: &Leg, progress: ReferProgress) {
        if !leg.is_ended() {
            self.tell(leg, LegEvent::Refer(progress));
        }
    }

    /// REFER within a dialog: read, and told to call control, who decides.
    pub(super) fn referred(&mut self, leg: &mut Leg, id: u64, request: &Request, arrival: Arrival<'_>) {
        let now = arrival.now;
        if leg.is_ended() {
            return self.refuse(leg, id, request, 481, now);
        }
        if !matches!(leg.state, State::Answered | State::Established) || leg.referrals.theirs.is_some() {
            return self.refuse(leg, id, request, 491, now);
        }
        let Ok(target) = request.headers.refer_to() else { return self.refuse(leg, id, request, 400, now) };
        let method = target.uri.param("method").unwrap_or("INVITE");
        if !method.eq_ignore_ascii_case("INVITE") {
            return self.refuse(leg, id, request, 603, now);
        }
        let headers = match &target.uri {
            Uri::Sip(sip) => sip.header_list(),
            Uri::Tel(_) => Vec::new(),
            Uri::Other(_) => return self.refuse(leg, id, request, 416, now),
        };
        let replaces = headers.iter().find(|(name, _)| name.eq_ignore_ascii_case("Replaces")).map(|(_, v)| v.clone());
        if replaces.as_ref().is_some_and(|value| Replaces::parse(value.as_bytes()).is_err()) {
            return self.refuse(leg, id, request, 400, now);
        }
        let referred_by = request.headers.referred_by().ok().flatten();
        leg.referrals.theirs = Some(TheirRefer {
            id: request.headers.cseq().map(|cseq| cseq.number).unwrap_or_default(),
            undecided: Some((id, request.clone())),
            replaces: replaces.clone(),
            referred_by: referred_by.as_ref().map(NameAddr::to_string),
            subscribed: !request.headers.without_subscription(),
            follower: None,
            elsewhere: false,
            since: now,
            give_up: now + DECISION,
            notifying: None,
            next: None,
            closing: false,
            then_leave: false,
        });
        let mut shown = party(&target);
        shown.uri = target.uri.clone().for_request_line().to_string();
        let passed = |(name, value): &(String, String)| {
            let custom = name.eq_ignore_ascii_case("User-to-User") || name.to_ascii_lowercase().starts_with("x-");
            custom && is_one_line(value)
        };
        self.tell(
            leg,
            LegEvent::Referred(Referral {
                target: shown,
                headers: headers.into_iter().filter(passed).take(MAX_REFERRED_HEADERS).collect(),
                replaces,
                referred_by: referred_by.as_ref().map(party),
            }),
        );
    }

    /// Call control does not want it.
    pub(super) fn refuse_referral(&mut self, leg: &mut Leg, status: u16, now: Time) -> Result<(), CommandError> {
        if !(400..700).contains(&status) {
            return Err(CommandError::BadValue { what: "a status outside 400 to 699" });
        }
        let undecided = leg.referrals.theirs.as_mut().and_then(|theirs| theirs.undecided.take());
        let Some((id, request)) = undecided else { return Err(CommandError::WrongState { state: "not referred" }) };
        leg.referrals.theirs = None;
        self.refuse(leg, id, &request, status, now);
        Ok(())
    }

    /// What of both kinds is due.
    pub(super) fn referrals_timeout(&mut self, leg: &mut Leg, now: Time) {
        if let Some(ours) = leg.referrals.ours.as_mut().filter(|ours| !ours.over && ours.give_up <= now) {
            ours.over = true;
            self.tell_refer(leg, ReferProgress::Lost);
        }
        let ended = leg.is_ended();
        let Some(theirs) = &leg.referrals.theirs else { return };
        if theirs.undecided.is_some() && (ended || theirs.give_up <= now) {
            let _ = self.refuse_referral(leg, if ended { 481 } else { 603 }, now);
        } else if ended {
            self.stop_following(leg, now);
        }
    }
}
