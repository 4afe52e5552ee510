//! A call's capture file: its SIP messages from its timeline, and what was kept of its RTP.

use std::net::SocketAddr;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;

use super::Hub;
use crate::api::service::{AdminError, Timeline, TimelineEntry};
use crate::capture::{self, Carrier, Packet};
use crate::media::tap;
use crate::time::Time;

/// Makes the file. It is as large as what was kept, so it is made away from the engine's own tasks.
pub async fn of_call(hub: &Hub, timeline: Timeline) -> Result<Bytes, AdminError> {
    let id = &timeline.call_id;
    let rtp = hub.captures.read(id).await.map_err(|error| AdminError::Internal(format!("capture of {id}: {error}")))?;
    let ours = hub.advertised;
    let made = tokio::task::spawn_blocking(move || {
        let mut packets: Vec<Packet> = timeline.entries.iter().filter_map(message).collect();
        let left_out = match timeline.dropped {
            0 => String::new(),
            dropped => format!(" {dropped} timeline entries were left out, and the messages among them."),
        };
        let comment = format!("Call {}. Credentials are blanked.{left_out}", timeline.call_id);
        packets.extend(tap::packets(&rtp).map(|packet| {
            let ours = SocketAddr::new(ours, packet.local_port);
            let (source, destination) = if packet.sent { (ours, packet.remote) } else { (packet.remote, ours) };
            let payload = packet.bytes.to_vec();
            Packet { at: packet.at, carrier: Carrier::Udp, source, destination, payload, comment: None }
        }));
        capture::write(&comment, packets)
    });
    let file = made.await.map_err(|error| AdminError::Internal(error.to_string()))?;
    file.map(Bytes::from).map_err(|error| AdminError::Internal(error.to_string()))
}

/// The SIP message of an entry, where it is of one.
fn message(entry: &TimelineEntry) -> Option<Packet> {
    let wire = entry.wire.as_ref()?;
    let payload = match &wire.bytes {
        Some(bytes) => STANDARD.decode(bytes).ok()?,
        None => entry.detail.as_str()?.as_bytes().to_vec(),
    };
    let carrier = match wire.transport.as_str() {
        "udp" => Carrier::Udp,
        "tcp" => Carrier::Tcp,
        _ => Carrier::Inside("sip"),
    };
    let comment = match carrier {
        Carrier::Inside(_) => Some(format!("over {}", wire.transport.to_uppercase())),
        _ => None,
    };
    let at = Time::from_rfc3339(&entry.at)?;
    Some(Packet { at, carrier, source: wire.source, destination: wire.destination, payload, comment })
}
