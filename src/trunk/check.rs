//! What may be written in a trunk's and a route's document. Each complaint names the field and says what to do.

use ipnet::IpNet;

use super::document::{InboundProof, Numbers, Rewrite, Trunk};
use super::number::whole;
use super::route::Route;
use crate::line::is_one_line;
use crate::sip::message::{Host, Uri};
use crate::sip::peer::Transport;

/// Something in a document that cannot be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// Which field: `proxies[1].uri`.
    pub field: String,
    /// What is wrong and what to do.
    pub problem: String,
}

/// Collects complaints.
#[derive(Default)]
struct Complaints(Vec<Problem>);

impl Complaints {
    fn unless(&mut self, fine: bool, field: impl Into<String>, problem: impl Into<String>) {
        if !fine {
            self.0.push(Problem { field: field.into(), problem: problem.into() });
        }
    }

    fn at_most(&mut self, count: usize, most: usize, field: &str) {
        self.unless(count <= most, field, format!("{count} entries: {most} are the most"));
    }

    fn within(&mut self, value: u32, least: u32, most: u32, field: &str) {
        let problem = format!("{value} is out of range: write {least} to {most}");
        self.unless((least..=most).contains(&value), field, problem);
    }

    fn text(&mut self, text: Option<&str>, field: &str) {
        let fine = text.is_none_or(|t| !t.is_empty() && t.len() <= 128 && is_one_line(t));
        self.unless(fine, field, "write 1 to 128 characters, none of them a control character");
    }

    /// A user part or a name that goes into one without escapes.
    fn user(&mut self, text: Option<&str>, field: &str) {
        let fits = |c: char| c.is_ascii_alphanumeric() || "+-._~*!'()&=$,#".contains(c);
        let fine = text.is_none_or(|t| (1..=64).contains(&t.len()) && t.chars().all(fits));
        self.unless(fine, field, "write 1 to 64 letters, digits or + - . _ *");
    }

    fn host(&mut self, text: Option<&str>, field: &str) {
        let fine = text.is_none_or(|t| Host::parse(t.as_bytes()).is_some());
        self.unless(fine, field, format!("{:?} is no host name or address", text.unwrap_or_default()));
    }

    fn uri(&mut self, text: &str, field: &str) {
        match Uri::parse(text.as_bytes()) {
            Err(error) => {
                self.unless(false, field, format!("{text:?} is not a SIP URI ({error}); write sip:host:port"));
            }
            Ok(uri) => {
                let known = uri.param("transport").is_none_or(|name| {
                    matches!(Transport::from_name(name), Some(Transport::Udp | Transport::Tcp | Transport::Tls))
                });
                let scheme = matches!(&*uri.scheme(), "sip" | "sips");
                self.unless(scheme, field, format!("{text:?} is not a SIP URI; write sip:host:port"));
                self.unless(known, field, format!("{text:?}: SIP over UDP, TCP and TLS is what trunks speak"));
                self.unless(!scheme || uri.host().is_some(), field, format!("{text:?} names no host"));
                self.unless(uri.user().is_none(), field, format!("{text:?}: write it without a user"));
            }
        }
    }

    fn digits(&mut self, text: Option<&str>, field: &str) {
        let fine = text
            .is_none_or(|t| (1..=8).contains(&t.len()) && t.bytes().all(|b| b.is_ascii_digit() || b"*#".contains(&b)));
        self.unless(fine, field, "write 1 to 8 digits");
    }

    fn prefix(&mut self, text: Option<&str>, field: &str) {
        let fine = text.is_none_or(|t| {
            t.len() <= 32 && t.strip_prefix('+').unwrap_or(t).bytes().all(|b| b.is_ascii_digit() || b"*#".contains(&b))
        });
        self.unless(
            fine,
            field,
            format!("{:?} is not the beginning of a number; write +44 or the like", text.unwrap_or_default()),
        );
    }

    fn pattern(&mut self, text: &str, field: &str) {
        self.unless((1..=200).contains(&text.len()), field, "write 1 to 200 characters");
        if let Err(error) = whole(text) {
            self.unless(false, field, format!("{text:?} is no regular expression that can be used: {error}"));
        }
    }

    fn rewrites(&mut self, list: &[Rewrite], field: &str) {
        self.at_most(list.len(), 50, field);
        for (at, rewrite) in list.iter().enumerate().take(50) {
            self.pattern(&rewrite.r#match, &format!("{field}[{at}].match"));
            let fine = rewrite.replace.len() <= 100 && is_one_line(&rewrite.replace);
            self.unless(fine, format!("{field}[{at}].replace"), "write at most 100 characters");
        }
    }

    fn numbers(&mut self, numbers: &Numbers) {
        self.digits(numbers.country_code.as_deref(), "numbers.countryCode");
        self.digits(numbers.national_prefix.as_deref(), "numbers.nationalPrefix");
        self.digits(numbers.international_prefix.as_deref(), "numbers.internationalPrefix");
        self.rewrites(&numbers.inward, "numbers.in");
        self.rewrites(&numbers.outward, "numbers.out");
    }
}

/// Everything that is wrong with a trunk's document; empty: it can be used.
pub fn check(trunk: &Trunk) -> Vec<Problem> {
    let mut all = Complaints::default();
    let proxies = trunk.proxies();
    all.unless(!proxies.is_empty(), "uri", "is missing: write sip:host:port, or several under proxies");
    all.at_most(proxies.len(), 16, "proxies");
    if let Some(uri) = &trunk.uri {
        all.uri(uri, "uri");
    }
    for (at, proxy) in trunk.proxies.iter().enumerate().take(16) {
        all.uri(&proxy.uri, &format!("proxies[{at}].uri"));
    }
    all.text(trunk.username.as_deref(), "username");
    all.text(trunk.password.as_deref(), "password");
    let account = trunk.username.is_some() || trunk.register.is_some();
    all.unless(trunk.password.is_none() || account, "username", "a password needs a username");
    all.prefix(trunk.prefix.as_deref(), "prefix");
    all.at_most(trunk.networks.len(), 64, "networks");
    for (at, network) in trunk.networks.iter().enumerate() {
        let fine = network.parse::<IpNet>().is_ok() || network.parse::<std::net::IpAddr>().is_ok();
        all.unless(fine, format!("networks[{at}]"), format!("{network:?} is no network; write 203.0.113.0/24"));
    }
    if let Some(inbound) = &trunk.inbound {
        all.user(Some(&inbound.username), "inbound.username");
        all.text(inbound.password.as_deref(), "inbound.password");
    }
    all.at_most(trunk.certificate_names.len(), 16, "certificateNames");
    for (at, name) in trunk.certificate_names.iter().enumerate() {
        all.text(Some(name), &format!("certificateNames[{at}]"));
    }
    let provable = trunk.inbound.is_some() || !trunk.certificate_names.is_empty();
    all.unless(
        provable || trunk.inbound_proof == InboundProof::Any,
        "inboundProof",
        "there is nothing to prove: add inbound or certificateNames, or write any",
    );
    if let Some(numbers) = &trunk.numbers {
        all.numbers(numbers);
    }
    if let Some(most) = trunk.max_calls {
        all.within(most, 1, 1_000_000, "maxCalls");
    }
    if let Some(most) = trunk.max_calls_per_second {
        all.within(most, 1, 10_000, "maxCallsPerSecond");
    }
    if let Some(register) = &trunk.register {
        all.user(Some(&register.user), "register.user");
        all.host(register.domain.as_deref(), "register.domain");
        all.within(register.expires, 60, 86_400, "register.expires");
        if let Some(registrar) = &register.registrar {
            all.uri(registrar, "register.registrar");
        }
    }
    if let Some(health) = &trunk.health {
        all.within(health.options_interval_seconds, 1, 3_600, "health.optionsIntervalSeconds");
        all.within(health.timeout_seconds, 1, 32, "health.timeoutSeconds");
        all.within(health.failures, 1, 100, "health.failures");
    }
    if let Some(caller) = &trunk.caller {
        all.user(caller.from_user.as_deref(), "caller.fromUser");
        all.host(caller.from_domain.as_deref(), "caller.fromDomain");
        all.user(caller.number.as_deref(), "caller.number");
    }
    if let Some(failover) = &trunk.failover {
        all.at_most(failover.statuses.len(), 32, "failover.statuses");
        let fine = failover.statuses.iter().all(|status| (400..600).contains(status));
        all.unless(fine, "failover.statuses", "write statuses from 400 to 599");
        all.within(failover.silence_seconds, 1, 32, "failover.silenceSeconds");
    }
    all.0
}

/// Everything that is wrong with a route's document.
pub fn check_route(route: &Route, known: impl Fn(&str) -> bool) -> Vec<Problem> {
    let mut all = Complaints::default();
    all.prefix(route.prefix.as_deref(), "prefix");
    if let Some(regex) = &route.regex {
        all.pattern(regex, "regex");
    }
    let both = route.prefix.is_some() && route.regex.is_some();
    all.unless(!both, "regex", "a route has a prefix or a regex, not both");
    all.unless(!route.trunks.is_empty(), "trunks", "is empty: name at least one trunk");
    all.at_most(route.trunks.len(), 16, "trunks");
    for (at, by) in route.trunks.iter().enumerate() {
        let problem = format!("there is no trunk {:?}; add it under /v1/trunks first", by.name);
        all.unless(known(&by.name), format!("trunks[{at}].name"), problem);
        all.within(by.strip, 0, 32, &format!("trunks[{at}].strip"));
        all.prefix(Some(&by.add), &format!("trunks[{at}].add"));
    }
    all.0
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fields(text: &str) -> Vec<String> {
        let trunk: Trunk = serde_json::from_str(text).unwrap();
        check(&trunk).into_iter().map(|p| p.field).collect()
    }

    #[test]
    fn each_complaint_names_its_field() {
        for (text, field) in [
            (r#"{"name":"a"}"#, "uri"),
            (r#"{"name":"a","uri":"http://x"}"#, "uri"),
            (r#"{"name":"a","uri":"sip:u@x"}"#, "uri"),
            (r#"{"name":"a","uri":"sip:x;transport=sctp"}"#, "uri"),
            (r#"{"name":"a","proxies":[{"uri":"sip:a"},{"uri":"sip:"}]}"#, "proxies[1].uri"),
            (r#"{"name":"a","uri":"sip:x","password":"p"}"#, "username"),
            (r#"{"name":"a","uri":"sip:x","username":"a\r\nb"}"#, "username"),
            (r#"{"name":"a","uri":"sip:x","prefix":"44x"}"#, "prefix"),
            (r#"{"name":"a","uri":"sip:x","networks":["10.0.0.0/8","x"]}"#, "networks[1]"),
            (r#"{"name":"a","uri":"sip:x","numbers":{"countryCode":"+44"}}"#, "numbers.countryCode"),
            (r#"{"name":"a","uri":"sip:x","numbers":{"in":[{"match":"(","replace":""}]}}"#, "numbers.in[0].match"),
            (r#"{"name":"a","uri":"sip:x","maxCalls":0}"#, "maxCalls"),
            (r#"{"name":"a","uri":"sip:x","inboundProof":"required"}"#, "inboundProof"),
            (r#"{"name":"a","uri":"sip:x","register":{"user":"u","expires":5}}"#, "register.expires"),
            (r#"{"name":"a","uri":"sip:x","register":{"user":"u@x"}}"#, "register.user"),
            (r#"{"name":"a","uri":"sip:x","health":{"failures":0}}"#, "health.failures"),
            (r#"{"name":"a","uri":"sip:x","caller":{"fromDomain":"a b"}}"#, "caller.fromDomain"),
            (r#"{"name":"a","uri":"sip:x","failover":{"statuses":[200]}}"#, "failover.statuses"),
        ] {
            assert_eq!(fields(text), [field], "{text}");
        }
        let whole = r#"{"name":"a","proxies":[{"uri":"sip:a;transport=tls","priority":1,"weight":3}],"username":"u",
            "password":"p","networks":["203.0.113.7","2001:db8::/32"],"inbound":{"username":"i","password":"p"},
            "certificateNames":["sbc.carrier.example"],"inboundProof":"required","numbers":{"countryCode":"44","nationalPrefix":"0",
            "internationalPrefix":"00","format":"national","in":[{"match":"9(.*)","replace":"$1"}]},"maxCalls":30,
            "maxCallsPerSecond":5,"register":{"user":"u"},"health":{},"caller":{"assertedIdentity":true},
            "failover":{"statuses":[503],"redirects":"none"},"srtp":"offered"}"#;
        assert_eq!(fields(whole), [""; 0]);
    }
}
