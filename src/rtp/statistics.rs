//! What a stream counted: shown to operators, stored with a call's record, and the source of RTCP reports.
//! Interarrival jitter is RFC 3550 appendix A.8.

use std::net::SocketAddr;

use serde::{Deserialize, Serialize};

use super::emodel::Rating;
use crate::session::Codec;

/// The figures of one leg's stream, from its first packet to its end. Totals never go backwards.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct StreamStatistics {
    /// RTP packets sent.
    pub packets_sent: u64,
    /// RTP payload bytes sent.
    pub octets_sent: u64,
    /// RTP packets accepted from the peer, duplicates included.
    pub packets_received: u64,
    /// RTP payload bytes accepted from the peer.
    pub octets_received: u64,
    /// Packets of the peer that never came (RFC 3550 appendix A.3; duplicates and late ones count as come).
    pub packets_lost: u64,
    /// Packets that came again.
    pub duplicates: u64,
    /// Packets that came after a later one.
    pub reordered: u64,
    /// Packets that came too late to be played.
    pub late: u64,
    /// Frames' worth of audio that was made up because its packets were lost or late.
    pub concealed_frames: u64,
    /// Milliseconds played since the first packet, pauses included.
    pub played_ms: f64,
    /// Of these, made up because packets were lost or late.
    pub concealed_ms: f64,
    /// Of these, recovered from the packet after a lost one (Opus).
    pub recovered_ms: f64,
    /// Milliseconds won and lost by playing slower or faster, so that the delay fits the network.
    pub stretched_ms: f64,
    /// Milliseconds passed over because far too much had piled up.
    pub skipped_ms: f64,
    /// Holes in what was played, however long each.
    pub holes: u64,
    /// How long what is played now waited beyond what the fastest packet of late would have, milliseconds.
    pub playout_delay_ms: f64,
    /// The same, mean of the whole stream.
    pub mean_playout_delay_ms: f64,
    /// The delay that the network's jitter asks for now, milliseconds.
    pub target_delay_ms: f64,
    /// Times that the peer's stream began anew: another SSRC, or a jump in sequence or time.
    pub restarts: u64,
    /// Packets from addresses that are not the peer's; ignored.
    pub strangers: u64,
    /// Packets that are not RTP or RTCP, or not well-formed; ignored.
    pub malformed: u64,
    /// SRTP and SRTCP packets that could not be authenticated; ignored.
    pub undecrypted: u64,
    /// SRTP and SRTCP packets that came before, or too late to tell; ignored.
    pub replayed: u64,
    /// Packets whose payload is not what their type says; concealed as if lost.
    pub undecodable: u64,
    /// Well-formed packets of the peer with a payload type that was not agreed; ignored.
    pub unknown_payload: u64,
    /// Frames that were not sent because the machine was late.
    pub skipped_frames: u64,
    /// Frames sent that a bridged leg heard.
    pub bridged_frames: u64,
    /// Frames of a bridged leg that were left out, because too many waited.
    pub bridge_dropped: u64,
    /// Frames made up because a bridged leg had none ready.
    pub bridge_made_up: u64,
    /// Interarrival jitter at the end, milliseconds.
    pub jitter_ms: f64,
    /// Highest interarrival jitter seen, milliseconds.
    pub max_jitter_ms: f64,
    /// Round trip in milliseconds, from the peer's last RTCP report on us.
    pub round_trip_ms: Option<f64>,
    /// Of what we sent, what the peer's last RTCP report says it lost (packets).
    pub remote_lost: Option<i32>,
    /// The jitter that the peer's last RTCP report gives, milliseconds.
    pub remote_jitter_ms: Option<f64>,
    /// RTCP packets accepted.
    pub rtcp_received: u64,
    /// RTCP packets sent.
    pub rtcp_sent: u64,
    /// What was sent last.
    pub codec: Option<Codec>,
    /// How what we heard sounded; none: nothing was heard.
    pub heard: Option<Rating>,
    /// How what we sent sounded to the peer; none: it never reported by RTCP.
    pub sent: Option<Rating>,
    /// The source that was listened to last.
    pub source: Option<SocketAddr>,
}
