//! The choices of RFC 3263 and RFC 2782 as pure functions: which services a domain's NAPTR records offer us, and in
//! which order the targets of SRV records are tried.

use crate::random::Random;
use crate::sip::peer::Transport;

/// A NAPTR record (RFC 3403), as far as SIP reads it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Naptr {
    /// Lower ones first.
    pub order: u16,
    /// Lower ones first among those of one order.
    pub preference: u16,
    /// `s`: SRV records are next. Others are not used for SIP.
    pub flags: String,
    /// `SIP+D2U` and the like.
    pub service: String,
    /// Where to look next.
    pub replacement: String,
}

/// An SRV record (RFC 2782).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Srv {
    /// Lower ones first.
    pub priority: u16,
    /// Share of the calls among those of one priority.
    pub weight: u16,
    /// The port there.
    pub port: u16,
    /// The host; empty: the service is decidedly not there.
    pub target: String,
}

/// The transport of a NAPTR service (RFC 3263 §4.1, RFC 7118 §10); none: not one of SIP's.
fn transport(service: &str) -> Option<Transport> {
    const SERVICES: [(&str, Transport); 5] = [
        ("SIP+D2U", Transport::Udp),
        ("SIP+D2T", Transport::Tcp),
        ("SIPS+D2T", Transport::Tls),
        ("SIP+D2W", Transport::Ws),
        ("SIPS+D2W", Transport::Wss),
    ];
    SERVICES.into_iter().find(|(name, _)| name.eq_ignore_ascii_case(service)).map(|(_, transport)| transport)
}

/// What a domain offers that we can use, in its order: transports, and where their SRV records are. For a `sips:` URI
/// only what is secure.
pub fn services(mut records: Vec<Naptr>, secure: bool, usable: impl Fn(Transport) -> bool) -> Vec<(Transport, String)> {
    records.sort_by_key(|record| (record.order, record.preference));
    records
        .into_iter()
        .filter(|record| record.flags.eq_ignore_ascii_case("s") && !record.replacement.is_empty())
        .filter_map(|record| Some((transport(&record.service)?, record.replacement)))
        .filter(|(transport, _)| usable(*transport) && (!secure || is_secure(*transport)))
        .collect()
}

/// Where a domain's SRV records for a transport are, without NAPTR (RFC 3263 §4.1); none: nowhere by convention.
pub fn srv_name(transport: Transport, domain: &str) -> Option<String> {
    let prefix = match transport {
        Transport::Udp => "_sip._udp",
        Transport::Tcp => "_sip._tcp",
        Transport::Tls => "_sips._tcp",
        Transport::Ws | Transport::Wss => return None,
    };
    Some(format!("{prefix}.{domain}"))
}

/// Does TLS carry it?
pub fn is_secure(transport: Transport) -> bool {
    matches!(transport, Transport::Tls | Transport::Wss)
}

/// SRV targets in the order of trial: by priority, within one by weight and chance (RFC 2782).
pub fn order(mut records: Vec<Srv>, random: &mut Random) -> Vec<Srv> {
    records.retain(|record| !record.target.is_empty());
    // Those without weight stand first, so that they are chosen only when the die shows zero.
    records.sort_by_key(|record| (record.priority, record.weight));
    let mut ordered = Vec::with_capacity(records.len());
    while let Some(priority) = records.first().map(|record| record.priority) {
        let same = records.iter().take_while(|record| record.priority == priority);
        let sum: u64 = same.clone().map(|record| u64::from(record.weight)).sum();
        let die = random.below(sum + 1);
        let mut running = 0;
        let chosen = same
            .map(|record| {
                running += u64::from(record.weight);
                running
            })
            .position(|upto| upto >= die)
            .unwrap_or(0);
        ordered.push(records.remove(chosen));
    }
    ordered
}

#[cfg(test)]
mod tests {
    use super::*;

    fn naptr(order: u16, preference: u16, flags: &str, service: &str) -> Naptr {
        let replacement = format!("{}.example", service.to_lowercase());
        Naptr { order, preference, flags: flags.into(), service: service.into(), replacement }
    }

    fn srv(priority: u16, weight: u16, target: &str) -> Srv {
        Srv { priority, weight, port: 5060, target: target.into() }
    }

    #[test]
    fn services_in_the_domains_order_as_far_as_we_speak_them() {
        let records = vec![
            naptr(90, 50, "s", "SIP+D2U"),
            naptr(50, 60, "s", "SIP+D2T"),
            naptr(50, 50, "S", "sips+d2t"),
            naptr(10, 10, "s", "SIP+D2S"),
            naptr(10, 10, "u", "E2U+sip"),
            naptr(10, 10, "a", "SIP+D2U"),
        ];
        let names = |secure, usable: fn(Transport) -> bool| {
            services(records.clone(), secure, usable).into_iter().map(|(t, _)| t).collect::<Vec<_>>()
        };
        assert_eq!(names(false, |_| true), [Transport::Tls, Transport::Tcp, Transport::Udp]);
        assert_eq!(names(false, |t| t != Transport::Tls), [Transport::Tcp, Transport::Udp]);
        assert_eq!(names(true, |_| true), [Transport::Tls]);
        assert_eq!(names(true, |t| t == Transport::Udp), []);
    }

    #[test]
    fn priorities_are_kept_and_weights_shared() {
        let mut random = Random::from_number(7);
        let records =
            vec![srv(20, 0, "spare"), srv(10, 75, "big"), srv(10, 25, "small"), srv(10, 0, "rare"), srv(5, 0, "")];
        let mut first = std::collections::HashMap::new();
        for _ in 0..10_000 {
            let ordered = order(records.clone(), &mut random);
            assert_eq!(ordered.len(), 4, "the one that is not there is left out");
            assert_eq!(ordered[3].target, "spare");
            *first.entry(ordered[0].target.clone()).or_insert(0) += 1;
        }
        assert!((7_000..8_000).contains(&first["big"]), "{first:?}");
        assert!((2_000..3_000).contains(&first["small"]), "{first:?}");
        assert!((1..400).contains(&first["rare"]), "{first:?}");
        assert!(order(Vec::new(), &mut random).is_empty());
    }
}
