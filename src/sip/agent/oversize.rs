//! Requests that are too large for a datagram (RFC 3261 §18.1.1): they go by TCP, with a Via that says so, and come back
//! to UDP where the other end does not take TCP. Responses never change: they go the way that the request came.

use std::net::SocketAddr;

use bytes::Bytes;

use super::user_agent::{ClientMachine, UserAgent};
use crate::sip::message::{Method, Request};
use crate::sip::peer::{Peer, Transport};
use crate::sip::transaction::{Client, InviteClient};
use crate::time::Time;

/// The most places that are known not to take TCP. Full: all are forgotten, and tried again.
const MAX_WITHOUT_TCP: usize = 4096;

/// How long a place is taken to be one of them.
const WITHOUT_TCP: std::time::Duration = std::time::Duration::from_secs(600);

impl UserAgent {
    /// The way by TCP for a request of `length` bytes that would leave as a datagram; none: it may.
    pub(super) fn way_for_large(&self, peer: Peer, length: usize, now: Time) -> Option<Peer> {
        let limit = self.config.limits.datagram;
        if peer.transport != Transport::Udp || limit == 0 || length <= limit {
            return None;
        }
        if self.without_tcp.get(&peer.remote).is_some_and(|until| now < *until) {
            return None;
        }
        let local = self.contact(Transport::Tcp, peer.remote.ip())?.address.local;
        Some(Peer { transport: Transport::Tcp, local, connection: None, ..peer })
    }

    /// A request that left by TCP only because of its size finds no connection: it goes as a datagram after all, in the
    /// same transaction. False: that is not what it is, and the way is lost.
    pub(super) fn back_to_udp(&mut self, id: u64, now: Time) -> bool {
        let Some(transaction) = self.clients.get_mut(&id) else { return false };
        let Some(peer) = transaction.datagram.take() else { return false };
        let (old, request) = (transaction.peer, transaction.request.clone());
        let (branch, leg) = (transaction.key.branch().to_owned(), transaction.leg);
        self.remember_without_tcp(peer.remote, now);
        let Some(bytes) = self.by(request.clone(), peer, &branch) else { return false };
        let timers = self.config.timers;
        let Some(transaction) = self.clients.get_mut(&id) else { return false };
        transaction.machine = match request.method {
            Method::Invite => ClientMachine::Invite(InviteClient::new(false, &timers, now)),
            _ => ClientMachine::Other(Client::new(false, &timers, now)),
        };
        (transaction.peer, transaction.bytes) = (peer, bytes.clone());
        self.moved_to(id, old, peer);
        self.send(peer, bytes, Some(leg), false);
        true
    }

    fn by(&mut self, request: Request, peer: Peer, branch: &str) -> Option<Bytes> {
        Some(Bytes::from(self.with_via(request, peer, branch)?.to_bytes()))
    }

    fn remember_without_tcp(&mut self, remote: SocketAddr, now: Time) {
        if self.without_tcp.len() >= MAX_WITHOUT_TCP {
            self.without_tcp.clear();
        }
        self.without_tcp.insert(remote, now + WITHOUT_TCP);
    }
}
