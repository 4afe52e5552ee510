//! Being registered at a carrier (RFC 3261 §10.2): when to register, refresh, try again and take leave. Sending REGISTER
//! and answering challenges is the user agent's; here is what its outcomes mean and when the next is due.

use std::time::Duration;

use serde::Serialize;

use super::document::Register;
use crate::random::Random;
use crate::sip::digest::Authenticator;
use crate::sip::message::{Contacts, Name, Response};
use crate::time::Time;

/// First and longest pause after a failure (RFC 5626 §4.5 in shape: doubled each time, half of it by chance).
const PAUSE: (Duration, Duration) = (Duration::from_secs(2), Duration::from_secs(300));

/// The same after a refusal, which is not likely to go away by itself.
const REFUSED_PAUSE: (Duration, Duration) = (Duration::from_secs(60), Duration::from_secs(1_800));

/// The longest expiry that a registrar can make us ask for, in seconds (423).
const MAX_EXPIRES: u32 = 604_800;

/// Where a registration stands.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Standing {
    /// Not yet, or no more.
    #[default]
    Unregistered,
    /// The registrar took it.
    Registered,
    /// The registrar said no.
    Refused,
    /// The registrar cannot be reached.
    Failed,
}

/// A REGISTER to be sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wish {
    /// Seconds; 0: take leave.
    pub expires: u32,
    /// The number for CSeq.
    pub cseq: u32,
    /// What has been answered before.
    pub authenticator: Authenticator,
}

/// One registration.
#[derive(Clone, Debug)]
pub struct Registration {
    asked: u32,
    cseq: u32,
    authenticator: Authenticator,
    standing: Standing,
    /// Until when the registrar keeps it.
    until: Option<Time>,
    next: Option<Time>,
    asking: bool,
    failures: u32,
    /// A 423 has been obeyed since the last success.
    obeyed: bool,
    leaving: bool,
    last_error: Option<(Time, String)>,
    /// Service-Route (RFC 3608): where calls go first.
    route: Vec<String>,
}

impl Registration {
    /// Begins at once.
    pub fn new(register: &Register, now: Time, random: &mut Random) -> Self {
        Registration {
            asked: register.expires,
            cseq: 1 + u32::try_from(random.below(1 << 16)).unwrap_or_default(),
            authenticator: Authenticator::default(),
            standing: Standing::Unregistered,
            until: None,
            next: Some(now),
            asking: false,
            failures: 0,
            obeyed: false,
            leaving: false,
            last_error: None,
            route: Vec::new(),
        }
    }

    /// When the next REGISTER is due.
    pub fn deadline(&self) -> Option<Time> {
        self.next.filter(|_| !self.asking)
    }

    /// The REGISTER that is due now; its outcome must come by [`Registration::answered`] or [`Registration::failed`].
    pub fn ask(&mut self, now: Time) -> Option<Wish> {
        if self.deadline().is_none_or(|at| at > now) {
            return None;
        }
        self.asking = true;
        Some(self.wish(self.asked))
    }

    /// The REGISTER that takes leave; none: there is nothing to leave. Nothing is due any more after that.
    pub fn leave(&mut self, now: Time) -> Option<Wish> {
        self.next = None;
        self.leaving = true;
        self.standing(now);
        let there = self.until.take().is_some_and(|until| until > now);
        self.standing = Standing::Unregistered;
        there.then(|| self.wish(0))
    }

    fn wish(&mut self, expires: u32) -> Wish {
        self.cseq = self.cseq.saturating_add(1);
        Wish { expires, cseq: self.cseq, authenticator: self.authenticator.clone() }
    }

    /// The network has changed or a connection was lost: the registrar may have forgotten us.
    pub fn lost(&mut self, now: Time, random: &mut Random) {
        if !self.leaving {
            // Not all trunks at the same moment.
            let soon = now + Duration::from_millis(random.below(1_000));
            self.next = Some(self.next.map_or(soon, |at| at.min(soon)));
        }
    }

    /// What the request's number and challenges have come to.
    pub fn sent(&mut self, cseq: u32, authenticator: Authenticator) {
        self.cseq = self.cseq.max(cseq);
        self.authenticator = authenticator;
    }

    /// The registrar's final answer. `contact` is the user part of the Contact that we registered.
    pub fn answered(&mut self, response: &Response, contact: &str, now: Time, random: &mut Random) {
        self.asking = false;
        if self.leaving {
            return;
        }
        let status = response.status();
        let seconds = |name: &Name| response.headers.text(name).and_then(|text| text.trim().parse::<u32>().ok());
        match status {
            200..=299 => {
                let granted = expiry_of(response, contact)
                    .or_else(|| response.headers.expires().ok().flatten())
                    .unwrap_or(self.asked);
                self.failures = 0;
                self.obeyed = false;
                self.route = service_route(response);
                if granted == 0 {
                    return self.bad(
                        Standing::Refused,
                        "the registrar keeps it for no time at all".into(),
                        None,
                        now,
                        random,
                    );
                }
                self.standing = Standing::Registered;
                self.until = Some(now + Duration::from_secs(u64::from(granted)));
                // At three quarters to nine tenths of its time, so that many do not come together.
                let share = 750 + random.below(150);
                self.next = Some(now + Duration::from_millis(u64::from(granted) * share));
            }
            423 if !self.obeyed => {
                self.obeyed = true;
                match seconds(&Name::MinExpires).filter(|least| (1..=MAX_EXPIRES).contains(least)) {
                    Some(least) => {
                        self.asked = self.asked.max(least);
                        self.next = Some(now);
                    }
                    None => self.bad(
                        Standing::Refused,
                        "423 without a Min-Expires that can be used".into(),
                        None,
                        now,
                        random,
                    ),
                }
            }
            _ => {
                let problem = format!("{status} {}", response.reason());
                let wait = response.headers.retry_after().ok().flatten();
                let standing = if status == 408 || status >= 500 { Standing::Failed } else { Standing::Refused };
                self.bad(standing, problem, wait, now, random);
            }
        }
    }

    /// No answer came.
    pub fn failed(&mut self, problem: &str, now: Time, random: &mut Random) {
        self.asking = false;
        if !self.leaving {
            self.bad(Standing::Failed, problem.to_owned(), None, now, random);
        }
    }

    fn bad(&mut self, standing: Standing, problem: String, wait: Option<u32>, now: Time, random: &mut Random) {
        let (first, most) = if standing == Standing::Refused { REFUSED_PAUSE } else { PAUSE };
        self.failures = self.failures.saturating_add(1);
        let pause = first.saturating_mul(1 << (self.failures - 1).min(10)).min(most);
        let half = u64::try_from(pause.as_millis() / 2).unwrap_or_default();
        let pause = Duration::from_millis(half + random.below(half + 1));
        let wished = Duration::from_secs(u64::from(wait.unwrap_or_default())).min(PAUSE.1);
        self.next = Some(now + pause.max(wished));
        self.last_error = Some((now, problem));
        if standing == Standing::Refused {
            self.until = None;
        }
        self.standing = standing;
    }

    /// Where it stands. What the registrar still keeps is a registration, though its refresh has failed so far.
    pub fn standing(&self, now: Time) -> Standing {
        let kept = self.until.is_some_and(|until| until > now);
        match self.standing {
            Standing::Failed if kept => Standing::Registered,
            Standing::Registered if !kept => Standing::Unregistered,
            ref other => other.clone(),
        }
    }

    /// Until when the registrar keeps it.
    pub fn until(&self) -> Option<Time> {
        self.until
    }

    /// What went wrong last, and when.
    pub fn last_error(&self) -> Option<&(Time, String)> {
        self.last_error.as_ref()
    }

    /// Failures in a row: with several ways to the registrar, the number of the next one.
    pub fn failures(&self) -> u32 {
        self.failures
    }

    /// Where calls go first (RFC 3608), while it stands.
    pub fn route(&self) -> &[String] {
        &self.route
    }
}

/// What our own Contact was granted, among those that the registrar lists.
fn expiry_of(response: &Response, user: &str) -> Option<u32> {
    let Ok(Contacts::List(contacts)) = response.headers.contacts() else { return None };
    let ours = |uri: &crate::sip::message::Uri| uri.user().is_some_and(|name| name == user);
    let found = contacts.iter().find(|contact| ours(&contact.uri))?;
    found.params.get("expires")?.parse().ok()
}

/// At most eight hops; more is no route of a sane registrar's.
fn service_route(response: &Response) -> Vec<String> {
    let name = Name::parse(b"Service-Route");
    let list =
        name.and_then(|n| response.headers.list(n, crate::sip::message::NameAddr::parse).ok()).unwrap_or_default();
    if list.len() > 8 { Vec::new() } else { list.iter().map(|hop| format!("<{}>", hop.uri)).collect() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sip::message::Message;

    fn response(status: u16, headers: &str) -> Response {
        let text = format!(
            "SIP/2.0 {status} X\r\nVia: SIP/2.0/UDP a;branch=z9hG4bK1\r\nFrom: <sip:u@c>;tag=1\r\nTo: <sip:u@c>;tag=2\r\n\
             Call-ID: 1\r\nCSeq: 1 REGISTER\r\n{headers}Content-Length: 0\r\n\r\n"
        );
        let Ok(Message::Response(response)) = Message::parse(text.as_bytes()) else { panic!("{text}") };
        response
    }

    struct Desk {
        registration: Registration,
        random: Random,
        now: Time,
    }

    impl Desk {
        fn new() -> Self {
            let mut random = Random::from_number(7);
            let register = Register { user: "u".into(), expires: 600, ..Register::default() };
            Desk { registration: Registration::new(&register, Time::EPOCH, &mut random), random, now: Time::EPOCH }
        }

        /// Waits for the next REGISTER and gives it, with how long the wait was.
        fn next(&mut self) -> (Wish, Duration) {
            let at = self.registration.deadline().expect("it goes on");
            let waited = at.since(self.now);
            self.now = self.now.max(at);
            (self.registration.ask(self.now).expect("due"), waited)
        }

        fn answer(&mut self, status: u16, headers: &str) {
            self.registration.answered(&response(status, headers), "u", self.now, &mut self.random);
        }

        fn standing(&self) -> Standing {
            self.registration.standing(self.now)
        }
    }

    #[test]
    fn refreshed_well_before_it_expires_by_what_was_granted() {
        let mut desk = Desk::new();
        let (first, waited) = desk.next();
        assert_eq!((first.expires, waited), (600, Duration::ZERO));
        desk.answer(200, "Contact: <sip:other@h>;expires=9000, <sip:u@h>;expires=100\r\nExpires: 500\r\nService-Route: <sip:p;lr>\r\n");
        assert_eq!(
            (desk.standing(), desk.registration.route()),
            (Standing::Registered, &["<sip:p;lr>".to_owned()][..])
        );
        let (second, waited) = desk.next();
        assert!(second.cseq > first.cseq);
        assert!((75..=90).contains(&waited.as_secs()), "{waited:?}");
        desk.answer(200, "Expires: 50\r\n");
        assert!((37..=45).contains(&desk.next().1.as_secs()));
        // Nothing said: as asked.
        desk.answer(200, "");
        assert!((450..=540).contains(&desk.next().1.as_secs()));
    }

    #[test]
    fn a_longer_expiry_is_asked_for_once() {
        let mut desk = Desk::new();
        desk.next();
        desk.answer(423, "Min-Expires: 1800\r\n");
        let (wish, waited) = desk.next();
        assert_eq!((wish.expires, waited), (1800, Duration::ZERO));
        desk.answer(423, "Min-Expires: 3600\r\n");
        assert_eq!(desk.standing(), Standing::Refused);
        let mut desk = Desk::new();
        desk.next();
        desk.answer(423, "Min-Expires: 4000000000\r\n");
        assert_eq!(desk.standing(), Standing::Refused);
    }

    #[test]
    fn a_lost_network_is_tried_again_ever_more_slowly_and_the_binding_holds_meanwhile() {
        let mut desk = Desk::new();
        desk.next();
        desk.answer(200, "Expires: 600\r\n");
        let mut pauses = Vec::new();
        for _ in 0..12 {
            pauses.push(desk.next().1.as_secs_f64());
            desk.registration.failed("no answer in time", desk.now, &mut desk.random);
            let kept = desk.registration.until().is_some_and(|until| until > desk.now);
            assert_eq!(desk.standing() == Standing::Registered, kept);
        }
        let pauses = &pauses[1..];
        assert!((1.0..=2.0).contains(&pauses[0]) && (2.0..=4.0).contains(&pauses[1]), "{pauses:?}");
        assert!(pauses.iter().all(|pause| *pause <= 300.0) && pauses[10] >= 150.0, "{pauses:?}");
        assert_eq!(desk.standing(), Standing::Failed, "it has expired by now");
        desk.next();
        desk.answer(200, "");
        assert_eq!(desk.standing(), Standing::Registered);
        // A connection is lost: at once, more or less.
        desk.registration.lost(desk.now, &mut desk.random);
        assert!(desk.next().1 < Duration::from_secs(1));
    }

    #[test]
    fn a_refusal_is_shown_and_not_hammered() {
        for status in [401, 403, 404, 407] {
            let mut desk = Desk::new();
            desk.next();
            desk.answer(status, "");
            assert_eq!(desk.standing(), Standing::Refused);
            assert!(desk.registration.last_error().unwrap().1.starts_with(&status.to_string()));
            assert!(desk.next().1 >= Duration::from_secs(30));
        }
        let mut desk = Desk::new();
        desk.next();
        desk.answer(503, "Retry-After: 120\r\n");
        assert_eq!(desk.standing(), Standing::Failed);
        assert!(desk.next().1 >= Duration::from_secs(120));
        desk.answer(200, "Expires: 0\r\n");
        assert_eq!(desk.standing(), Standing::Refused);
    }

    #[test]
    fn it_expires_by_itself_and_takes_leave_only_where_it_was() {
        let mut desk = Desk::new();
        assert_eq!(desk.registration.clone().leave(desk.now), None);
        desk.next();
        desk.answer(200, "Expires: 60\r\n");
        desk.now += Duration::from_secs(61);
        assert_eq!(desk.standing(), Standing::Unregistered);
        desk.next();
        desk.answer(200, "Expires: 60\r\n");
        let leave = desk.registration.leave(desk.now).expect("there is something to leave");
        assert_eq!((leave.expires, desk.registration.deadline(), desk.standing()), (0, None, Standing::Unregistered));
        desk.answer(200, "");
        assert_eq!((desk.registration.deadline(), desk.standing()), (None, Standing::Unregistered));
    }
}
