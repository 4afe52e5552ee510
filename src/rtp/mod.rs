//! RTP and RTCP (RFC 3550) as pure data: reading and writing packets, putting them in order, counting them.
//! No sockets and no clocks; which source is listened to, and audio, are `media`'s.

pub mod delay;
pub mod emodel;
pub mod jitter;
pub mod packet;
pub mod rtcp;
pub mod sequence;
pub mod srtp;
pub mod statistics;
