//! What the transport layer counts, for metrics.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::sip::peer::Transport;

macro_rules! counted {
    ($($variant:ident $name:literal $doc:literal;)*) => {
        /// Something that is counted.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Counted {
            $(#[doc = $doc] $variant,)*
        }

        impl Counted {
            /// All of them, for an export.
            pub const ALL: &[Counted] = &[$(Counted::$variant,)*];

            /// The name that a metric carries.
            pub fn name(self) -> &'static str {
                match self {
                    $(Counted::$variant => $name,)*
                }
            }
        }

        /// Counters, from zero at start.
        #[derive(Debug)]
        pub struct Counts([AtomicU64; Counted::ALL.len()]);
    };
}

counted! {
    DatagramsReceived "datagrams_received" "Datagrams that came, keep-alives included.";
    DatagramsSent "datagrams_sent" "Datagrams that left.";
    DatagramsDropped "datagrams_dropped" "Datagrams that came and were dropped: the inbound queue was full.";
    DatagramsBanned "datagrams_banned" "Datagrams that were dropped unread: their source is banned.";
    DatagramsBeyondShare "datagrams_beyond_share" "Datagrams dropped: their source had its share of the inbound queue.";
    DatagramsUnsent "datagrams_unsent" "Datagrams that the socket did not take at once.";
    KeepAlives "keep_alives" "Keep-alives, on UDP and on streams.";
    SendFailed "send_failed" "Messages that could not be handed to the network.";
    ConnectionsAccepted "connections_accepted" "Incoming connections that were taken.";
    ConnectionsRefused "connections_refused" "Incoming connections that were closed at once: too many.";
    ConnectionsBanned "connections_banned" "Connections closed because their source is banned.";
    ConnectionsOpened "connections_opened" "Connections opened by us.";
    ConnectionsFailed "connections_failed" "Connections that could not be opened.";
    ConnectionsClosed "connections_closed" "Connections that ended, whoever closed them.";
    SlowPeers "slow_peers" "Connections closed because a message came or went too slowly.";
    BrokenStreams "broken_streams" "Connections closed because their framing was lost.";
    MessagesReceived "stream_messages_received" "Messages that came on streams.";
    MessagesSent "stream_messages_sent" "Messages that left on streams.";
    HandshakesFailed "handshakes_failed" "TLS or WebSocket handshakes that came to nothing, both ways.";
    CertificatesReloaded "certificates_reloaded" "Times that a changed certificate was taken into use.";
    CertificatesRefused "certificates_refused" "Times that a changed certificate could not be used.";
    UdpReceived "udp_messages_received" "Messages that came by UDP.";
    UdpSent "udp_messages_sent" "Messages that left by UDP.";
    TcpReceived "tcp_messages_received" "Messages that came by TCP.";
    TcpSent "tcp_messages_sent" "Messages that left by TCP.";
    TlsReceived "tls_messages_received" "Messages that came by TLS.";
    TlsSent "tls_messages_sent" "Messages that left by TLS.";
    WsReceived "ws_messages_received" "Messages that came by WebSocket.";
    WsSent "ws_messages_sent" "Messages that left by WebSocket.";
    WssReceived "wss_messages_received" "Messages that came by secure WebSocket.";
    WssSent "wss_messages_sent" "Messages that left by secure WebSocket.";
}

impl Default for Counts {
    fn default() -> Self {
        Counts(std::array::from_fn(|_| AtomicU64::new(0)))
    }
}

impl Counts {
    pub(super) fn add(&self, counted: Counted) {
        if let Some(counter) = self.0.get(counted as usize) {
            counter.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// A message came.
    pub(super) fn received(&self, transport: Transport) {
        self.add(match transport {
            Transport::Udp => Counted::UdpReceived,
            Transport::Tcp => Counted::TcpReceived,
            Transport::Tls => Counted::TlsReceived,
            Transport::Ws => Counted::WsReceived,
            Transport::Wss => Counted::WssReceived,
        });
    }

    /// A message left.
    pub(super) fn sent(&self, transport: Transport) {
        self.add(match transport {
            Transport::Udp => Counted::UdpSent,
            Transport::Tcp => Counted::TcpSent,
            Transport::Tls => Counted::TlsSent,
            Transport::Ws => Counted::WsSent,
            Transport::Wss => Counted::WssSent,
        });
    }

    /// How often so far.
    pub fn get(&self, counted: Counted) -> u64 {
        self.0.get(counted as usize).map_or(0, |counter| counter.load(Ordering::Relaxed))
    }
}
