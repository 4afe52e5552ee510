//! A dialog (RFC 3261 §12): who is whom, the route set and the remote target, and the requests made from them. When a
//! dialog begins and ends is the leg's; names of hosts are resolved by nobody here (see [`Dialog::next_hop`]).

use std::net::{IpAddr, SocketAddr};

use serde::{Deserialize, Serialize};

use crate::sip::message::{CSeq, HeaderError, Host, Method, Name, NameAddr, Request, Response, Uri};
use crate::sip::peer::{Peer, Transport};

/// What we write into Max-Forwards.
pub const MAX_FORWARDS: u32 = 70;

/// A peer-to-peer relation within a call.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Dialog {
    call_id: String,
    local: NameAddr,
    remote: NameAddr,
    target: Uri,
    /// Next hop first.
    routes: Vec<NameAddr>,
    local_cseq: u32,
    remote_cseq: Option<u32>,
    /// Where the peer (or its proxy) was last heard from.
    pub peer: Peer,
    /// The address that it then took for its own, where its request came from another one: a NAT is between.
    mapped: Option<IpAddr>,
}

/// A request came out of order (RFC 3261 §12.2.2): 500.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the request is older than one that was seen")]
pub struct OutOfOrder;

impl Dialog {
    /// Our side of a dialog that the peer's INVITE begins (§12.1.1). `local_cseq`: where our own count starts.
    pub fn incoming(invite: &Request, local_tag: &str, local_cseq: u32, peer: Peer) -> Result<Self, HeaderError> {
        let mut local = invite.headers.to()?;
        local.set_tag(local_tag);
        let target = invite.headers.contact()?.ok_or(HeaderError::new(Name::Contact, "missing"))?.uri;
        Ok(Dialog {
            call_id: invite.headers.call_id()?,
            local,
            remote: invite.headers.from()?,
            target,
            routes: invite.headers.record_route()?,
            local_cseq,
            remote_cseq: Some(invite.headers.cseq()?.number),
            peer,
            mapped: mapped(invite, peer),
        })
    }

    /// Our side of a dialog that a response to our INVITE begins (§12.1.2). Without Contact, which is the peer's
    /// error, the dialog's target stays the INVITE's.
    pub fn outgoing(invite: &Request, response: &Response, peer: Peer) -> Result<Self, HeaderError> {
        let mut routes = response.headers.record_route()?;
        routes.reverse();
        Ok(Dialog {
            call_id: invite.headers.call_id()?,
            local: invite.headers.from()?,
            remote: response.headers.to()?,
            target: response.headers.contact()?.map_or_else(|| invite.uri.clone(), |c| c.uri),
            routes,
            local_cseq: invite.headers.cseq()?.number,
            remote_cseq: None,
            peer,
            mapped: None,
        })
    }

    /// The 2xx to our INVITE came within a dialog that was early: route set and target are its (§13.2.2.4).
    pub fn confirm(&mut self, response: &Response, peer: Peer) -> Result<(), HeaderError> {
        let mut routes = response.headers.record_route()?;
        routes.reverse();
        self.routes = routes;
        self.remote = response.headers.to()?;
        self.refresh_target(response.headers.contact()?);
        self.peer = peer;
        Ok(())
    }

    /// The Call-ID.
    pub fn call_id(&self) -> &str {
        &self.call_id
    }

    /// Our own address, with our tag.
    pub fn local_party(&self) -> &NameAddr {
        &self.local
    }

    /// The peer's address, with its tag.
    pub fn remote_party(&self) -> &NameAddr {
        &self.remote
    }

    /// Is `tag` the peer's? A peer of RFC 2543's time has none.
    pub fn is_with(&self, tag: Option<&str>) -> bool {
        self.remote.tag() == tag
    }

    /// The number of the last request of ours.
    pub fn local_cseq(&self) -> u32 {
        self.local_cseq
    }

    /// Takes note of a request's number (neither ACK nor CANCEL).
    pub fn check_order(&mut self, number: u32) -> Result<(), OutOfOrder> {
        if self.remote_cseq.is_some_and(|last| number <= last) {
            return Err(OutOfOrder);
        }
        self.remote_cseq = Some(number);
        Ok(())
    }

    /// Takes note of where a request of the peer's came from: a peer that has moved is followed there.
    pub fn hear(&mut self, request: &Request, peer: Peer) {
        self.peer = peer;
        self.mapped = mapped(request, peer);
    }

    /// A target refresh: the Contact of a re-INVITE or of a 2xx to ours (§12.2).
    pub fn refresh_target(&mut self, contact: Option<NameAddr>) {
        if let Some(contact) = contact {
            self.target = contact.uri;
        }
    }

    /// The number of the next request of ours.
    pub fn next_cseq(&mut self) -> u32 {
        self.local_cseq = self.local_cseq.wrapping_add(1) & 0x7fff_ffff;
        self.local_cseq
    }

    /// The next request of ours within the dialog (§12.2.1.1), without Via and Contact.
    pub fn request(&mut self, method: Method) -> Request {
        let number = self.next_cseq();
        self.numbered(method, number)
    }

    /// The ACK of a 2xx to the INVITE with this number (§13.2.2.4), without Via.
    pub fn ack(&self, number: u32) -> Request {
        self.numbered(Method::Ack, number)
    }

    fn numbered(&self, method: Method, number: u32) -> Request {
        let (uri, routes) = self.request_line();
        let mut request = Request::new(method.clone(), uri);
        if !routes.is_empty() {
            request.headers.push_value(Name::Route, &routes);
        }
        request.headers.push_value(Name::MaxForwards, &MAX_FORWARDS);
        request.headers.push_value(Name::From, &self.local);
        request.headers.push_value(Name::To, &self.remote);
        // A Call-ID comes from a header line or from our own generator, so it holds nothing that could be refused.
        let _ = request.headers.push(Name::CallId, &self.call_id);
        request.headers.push_value(Name::CSeq, &CSeq { number, method });
        request
    }

    /// Request-URI and Route; a first hop without `lr` is a strict router and gets what it expects.
    fn request_line(&self) -> (Uri, Vec<NameAddr>) {
        match self.routes.split_first() {
            Some((strict, rest)) if !strict.uri.is_loose_router() => {
                let mut routes = rest.to_vec();
                routes.push(NameAddr::new(self.target.clone()));
                (strict.uri.clone().for_request_line(), routes)
            }
            _ => (self.target.clone().for_request_line(), self.routes.clone()),
        }
    }

    /// Where requests within the dialog go: the first route, else the target, when it is an address. The connection
    /// that the peer uses is used for as long as it leads there. Where the peer was last heard from serves instead
    /// when there is only a name, or an address behind a NAT that the peer does not know of: a private one behind a
    /// public one, or the very one that its requests claim to come from and do not.
    pub fn next_hop(&self) -> Peer {
        let uri = self.routes.first().map_or(&self.target, |route| &route.uri);
        let named = uri.param("transport").and_then(Transport::from_name);
        let transport = named.unwrap_or(self.peer.transport);
        let maddr = uri.param("maddr").and_then(|m| Host::parse(m.as_bytes()));
        let Some(ip) = maddr.as_ref().or(uri.host()).and_then(Host::ip) else { return self.peer };
        let behind_nat = self.mapped == Some(ip) || (is_private(ip) && !is_private(self.peer.remote.ip()));
        let behind_nat = self.routes.is_empty() && behind_nat;
        if ip.is_unspecified() || behind_nat {
            return self.peer;
        }
        if transport == self.peer.transport && self.peer.connection.is_some() && ip == self.peer.remote.ip() {
            return self.peer;
        }
        let remote = SocketAddr::new(ip, uri.port().unwrap_or(transport.default_port()));
        Peer { transport, remote, local: self.peer.local, connection: None }
    }
}

/// The sender's address as its top Via has it, where the request came from another one (§18.2.1).
fn mapped(request: &Request, peer: Peer) -> Option<IpAddr> {
    let claimed = request.headers.top_via().ok()?.host.ip()?;
    (claimed != peer.remote.ip().to_canonical()).then_some(claimed)
}

/// Addresses that mean nothing outside their own network.
fn is_private(ip: IpAddr) -> bool {
    match ip.to_canonical() {
        IpAddr::V4(v4) => {
            let [a, b, ..] = v4.octets();
            v4.is_private() || v4.is_loopback() || v4.is_link_local() || (a == 100 && (64..128).contains(&b))
        }
        IpAddr::V6(v6) => v6.is_loopback() || v6.is_unique_local() || v6.is_unicast_link_local(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sip::message::Message;

    fn peer(remote: &str, transport: Transport, connection: Option<u64>) -> Peer {
        Peer { transport, remote: remote.parse().unwrap(), local: "192.0.2.1:5060".parse().unwrap(), connection }
    }

    fn invite(extra: &str) -> Request {
        let text = format!(
            "INVITE sip:us@192.0.2.1 SIP/2.0\r\nVia: SIP/2.0/UDP 198.51.100.1;branch=z9hG4bKx\r\nFrom: <sip:a@a.example>;tag=aa\r\n\
             To: <sip:us@192.0.2.1>\r\nCall-ID: c1\r\nCSeq: 7 INVITE\r\n{extra}\r\n"
        );
        let Ok(Message::Request(request)) = Message::parse(text.as_bytes()) else { panic!() };
        request
    }

    #[test]
    fn loose_and_strict_routes() {
        let loose = "Record-Route: <sip:198.51.100.1;lr>, <sip:p2.example;lr>\r\nContact: <sip:a@203.0.113.5:5080>\r\n";
        let mut dialog =
            Dialog::incoming(&invite(loose), "us", 100, peer("198.51.100.1:5060", Transport::Udp, None)).unwrap();
        let bye = dialog.request(Method::Bye);
        assert_eq!(bye.uri.to_string(), "sip:a@203.0.113.5:5080");
        assert_eq!(bye.headers.text(&Name::Route).unwrap(), "<sip:198.51.100.1;lr>, <sip:p2.example;lr>");
        assert_eq!(bye.headers.cseq().unwrap().number, 101);
        assert_eq!(bye.headers.from().unwrap().tag(), Some("us"));
        assert_eq!(bye.headers.to().unwrap().tag(), Some("aa"));
        assert_eq!(dialog.next_hop().remote, "198.51.100.1:5060".parse().unwrap());

        let strict = loose.replacen(";lr", "", 1);
        let mut dialog =
            Dialog::incoming(&invite(&strict), "us", 100, peer("198.51.100.1:5060", Transport::Udp, None)).unwrap();
        let bye = dialog.request(Method::Bye);
        assert_eq!(bye.uri.to_string(), "sip:198.51.100.1");
        assert_eq!(bye.headers.text(&Name::Route).unwrap(), "<sip:p2.example;lr>, <sip:a@203.0.113.5:5080>");
    }

    #[test]
    fn next_hops() {
        let hop = |contact: &str, from: Peer| {
            Dialog::incoming(&invite(&format!("Contact: <{contact}>\r\n")), "us", 1, from).unwrap().next_hop()
        };
        let udp = peer("203.0.113.5:40000", Transport::Udp, None);
        let tcp = peer("203.0.113.5:40000", Transport::Tcp, Some(3));
        assert_eq!(hop("sip:a@203.0.113.5:5080", udp).remote, "203.0.113.5:5080".parse().unwrap());
        assert_eq!(hop("sip:a@203.0.113.5", udp).remote, "203.0.113.5:5060".parse().unwrap());
        assert_eq!(hop("sip:a@10.0.0.9:5080", udp), udp, "behind a NAT");
        assert_eq!(hop("sip:a@phone.example", udp), udp, "a name is not resolved");
        assert_eq!(hop("sip:a@203.0.113.5:5080;transport=tcp", tcp), tcp, "the connection is used again");
        assert_eq!(hop("sip:a@10.0.0.9;transport=tcp", tcp), tcp);
        let other = hop("sip:a@198.51.100.77;transport=tcp", tcp);
        assert_eq!((other.remote, other.connection), ("198.51.100.77:5060".parse().unwrap(), None));
        assert_eq!(hop("sip:a@203.0.113.5;transport=tcp", udp).transport, Transport::Tcp);
    }

    #[test]
    fn an_address_that_requests_only_claim_to_come_from() {
        let from = |remote: &str| peer(remote, Transport::Udp, None);
        let hop = |extra: &str, from: Peer| Dialog::incoming(&invite(extra), "us", 1, from).unwrap().next_hop();
        let contact = "Contact: <sip:a@198.51.100.1:5080>\r\n";
        let nat = from("10.0.0.1:40000");
        assert_eq!(hop(contact, nat), nat);
        assert_eq!(hop(contact, from("198.51.100.1:40000")).remote, "198.51.100.1:5080".parse().unwrap(), "no NAT");
        let other = "Contact: <sip:a@198.51.100.2:5080>\r\n";
        assert_eq!(hop(other, nat).remote, "198.51.100.2:5080".parse().unwrap(), "a proxy was between");
        let routed = format!("Record-Route: <sip:198.51.100.1;lr>\r\n{contact}");
        assert_eq!(hop(&routed, nat).remote, "198.51.100.1:5060".parse().unwrap(), "a route is a route");

        // Or seen later.
        let mut dialog = Dialog::incoming(&invite(contact), "us", 1, from("198.51.100.1:5080")).unwrap();
        dialog.hear(&invite(contact), nat);
        assert_eq!(dialog.next_hop(), nat);
    }

    #[test]
    fn old_requests_are_out_of_order() {
        let mut dialog = Dialog::incoming(
            &invite("Contact: <sip:a@203.0.113.5>\r\n"),
            "us",
            1,
            peer("203.0.113.5:5060", Transport::Udp, None),
        )
        .unwrap();
        assert_eq!(dialog.check_order(7), Err(OutOfOrder));
        assert_eq!(dialog.check_order(9), Ok(()));
        assert_eq!(dialog.check_order(8), Err(OutOfOrder));
        assert!(dialog.is_with(Some("aa")) && !dialog.is_with(None));
        assert!(Dialog::incoming(&invite(""), "us", 1, peer("203.0.113.5:5060", Transport::Udp, None)).is_err());
    }
}
