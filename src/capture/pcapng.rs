//! Writing pcap-ng (draft-ietf-opsawg-pcapng): one section, one interface for IP packets (LINKTYPE_RAW) and one for
//! messages without their carrier (LINKTYPE_WIRESHARK_UPPER_PDU), packets in the order of time.

use std::borrow::Cow;
use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use etherparse::PacketBuilder;
use pcap_file::pcapng::PcapNgWriter;
use pcap_file::pcapng::blocks::enhanced_packet::{EnhancedPacketBlock, EnhancedPacketOption};
use pcap_file::pcapng::blocks::interface_description::{
    InterfaceDescriptionBlock, InterfaceDescriptionOption, InterfaceTsResolution,
};
use pcap_file::pcapng::blocks::opt_common::CommonOption;
use pcap_file::pcapng::blocks::section_header::{SectionHeaderBlock, SectionHeaderOption};
use pcap_file::{DataLink, Endianness};

use super::{Carrier, Packet};

/// The interface of IP packets.
const WIRE: u32 = 0;
/// The interface of messages without their carrier.
const MESSAGES: u32 = 1;
/// What UDP over IPv4 can carry.
const MAX_DATAGRAM: usize = 65_507;
/// One piece of a TCP stream.
const MAX_SEGMENT: usize = 32_768;
const TIME_TO_LIVE: u8 = 64;

/// A capture could not be written.
#[derive(Debug, thiserror::Error)]
#[error("the capture cannot be written: {0}")]
pub struct CaptureError(String);

fn failed(error: impl std::fmt::Display) -> CaptureError {
    CaptureError(error.to_string())
}

/// The whole file. Packets are put in the order of time; the order of those of one moment stays.
pub fn write(comment: &str, mut packets: Vec<Packet>) -> Result<Vec<u8>, CaptureError> {
    packets.sort_by_key(|packet| packet.at);
    let section = SectionHeaderBlock {
        endianness: Endianness::Little,
        options: vec![
            SectionHeaderOption::UserApplication(concat!("Strowger ", env!("CARGO_PKG_VERSION")).into()),
            SectionHeaderOption::Common(CommonOption::Comment(comment.into())),
        ],
        ..SectionHeaderBlock::default()
    };
    let mut file = PcapNgWriter::with_section_header(Vec::new(), section).map_err(failed)?;
    for (linktype, name) in [(DataLink::RAW, "wire"), (DataLink::WIRESHARK_UPPER_PDU, "messages")] {
        let options = vec![
            InterfaceDescriptionOption::IfName(name.into()),
            InterfaceDescriptionOption::IfTsResol(InterfaceTsResolution::MICRO),
        ];
        file.write_pcapng_block(InterfaceDescriptionBlock { linktype, snaplen: 0, options }).map_err(failed)?;
    }
    let mut streams = HashMap::new();
    for packet in &packets {
        for (interface, bytes, missing) in frames(packet, &mut streams)? {
            let options = packet.comment.iter();
            let options = options.map(|text| EnhancedPacketOption::Common(CommonOption::Comment(text.as_str().into())));
            let block = EnhancedPacketBlock {
                interface_id: interface,
                timestamp: Duration::from_micros(packet.at.as_micros()),
                original_len: u32::try_from(bytes.len() + missing).unwrap_or(u32::MAX),
                data: Cow::Owned(bytes),
                options: options.collect(),
            };
            file.write_pcapng_block(block).map_err(failed)?;
        }
    }
    Ok(file.into_inner())
}

/// The next byte's number of each way of each TCP connection.
type Streams = HashMap<(SocketAddr, SocketAddr), u32>;

/// A packet as it lies in the file: its interface, its bytes, and how many are not there.
fn frames(packet: &Packet, streams: &mut Streams) -> Result<Vec<(u32, Vec<u8>, usize)>, CaptureError> {
    let (source, destination) = (canonical(packet.source), canonical(packet.destination));
    match packet.carrier {
        Carrier::Inside(dissector) => {
            Ok(vec![(MESSAGES, exported(dissector, source, destination, &packet.payload), 0)])
        }
        Carrier::Udp => {
            let payload = packet.payload.get(..MAX_DATAGRAM).unwrap_or(&packet.payload);
            let mut bytes = Vec::with_capacity(payload.len() + 48);
            ip(source, destination)?
                .udp(source.port(), destination.port())
                .write(&mut bytes, payload)
                .map_err(failed)?;
            Ok(vec![(WIRE, bytes, packet.payload.len() - payload.len())])
        }
        Carrier::Tcp => {
            let mut frames = Vec::new();
            for piece in packet.payload.chunks(MAX_SEGMENT) {
                let acknowledged = streams.get(&(destination, source)).copied().unwrap_or(1);
                let sequence = streams.entry((source, destination)).or_insert(1);
                let mut bytes = Vec::with_capacity(piece.len() + 60);
                ip(source, destination)?
                    .tcp(source.port(), destination.port(), *sequence, u16::MAX)
                    .ack(acknowledged)
                    .psh()
                    .write(&mut bytes, piece)
                    .map_err(failed)?;
                *sequence = sequence.wrapping_add(piece.len() as u32);
                frames.push((WIRE, bytes, 0));
            }
            Ok(frames)
        }
    }
}

fn canonical(address: SocketAddr) -> SocketAddr {
    SocketAddr::new(address.ip().to_canonical(), address.port())
}

fn ip(
    source: SocketAddr,
    destination: SocketAddr,
) -> Result<etherparse::PacketBuilderStep<etherparse::IpHeaders>, CaptureError> {
    match (source.ip(), destination.ip()) {
        (IpAddr::V4(from), IpAddr::V4(to)) => Ok(PacketBuilder::ipv4(from.octets(), to.octets(), TIME_TO_LIVE)),
        // Where the families differ, one of them is not the address that was used; IPv6 can show both.
        (from, to) => Ok(PacketBuilder::ipv6(v6(from), v6(to), TIME_TO_LIVE)),
    }
}

fn v6(ip: IpAddr) -> [u8; 16] {
    match ip {
        IpAddr::V4(ip) => ip.to_ipv6_mapped().octets(),
        IpAddr::V6(ip) => ip.octets(),
    }
}

/// Tags of Wireshark's exported PDUs (`epan/exported_pdu.h`): number, length, value, each in network order.
mod tag {
    pub const DISSECTOR: u16 = 12;
    pub const IPV4_SOURCE: u16 = 20;
    pub const IPV4_DESTINATION: u16 = 21;
    pub const IPV6_SOURCE: u16 = 22;
    pub const IPV6_DESTINATION: u16 = 23;
    pub const PORT_TYPE: u16 = 24;
    pub const SOURCE_PORT: u16 = 25;
    pub const DESTINATION_PORT: u16 = 26;
    pub const END: u16 = 0;
    /// Of [`PORT_TYPE`]: TCP.
    pub const TCP: u32 = 2;
}

fn exported(dissector: &str, source: SocketAddr, destination: SocketAddr, payload: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(payload.len() + 64);
    let mut put = |number: u16, value: &[u8]| {
        // Values are padded to four bytes, and their length counts the padding.
        let length = value.len().next_multiple_of(4);
        out.extend_from_slice(&number.to_be_bytes());
        out.extend_from_slice(&(length as u16).to_be_bytes());
        out.extend_from_slice(value);
        out.resize(out.len() + length - value.len(), 0);
    };
    put(tag::DISSECTOR, dissector.as_bytes());
    for (address, four, six) in
        [(source, tag::IPV4_SOURCE, tag::IPV6_SOURCE), (destination, tag::IPV4_DESTINATION, tag::IPV6_DESTINATION)]
    {
        match address.ip() {
            IpAddr::V4(ip) => put(four, &ip.octets()),
            IpAddr::V6(ip) => put(six, &ip.octets()),
        }
    }
    put(tag::PORT_TYPE, &tag::TCP.to_be_bytes());
    put(tag::SOURCE_PORT, &u32::from(source.port()).to_be_bytes());
    put(tag::DESTINATION_PORT, &u32::from(destination.port()).to_be_bytes());
    put(tag::END, &[]);
    out.extend_from_slice(payload);
    out
}

#[cfg(test)]
mod tests {
    use pcap_file::pcapng::{Block, PcapNgReader};

    use super::*;
    use crate::time::Time;

    fn packet(at: u64, carrier: Carrier, payload: &[u8]) -> Packet {
        Packet {
            at: Time::from_micros(at),
            carrier,
            source: "192.0.2.1:5060".parse().unwrap(),
            destination: "192.0.2.2:5062".parse().unwrap(),
            payload: payload.to_vec(),
            comment: None,
        }
    }

    /// Interface, time and bytes of each packet.
    fn read(file: &[u8]) -> Vec<(u32, u64, Vec<u8>)> {
        let mut reader = PcapNgReader::new(file).unwrap();
        let mut found = Vec::new();
        while let Some(block) = reader.next_block() {
            if let Block::EnhancedPacket(packet) = block.unwrap().0 {
                found.push((packet.interface_id, packet.timestamp.as_micros() as u64, packet.data.to_vec()));
            }
        }
        found
    }

    #[test]
    fn packets_come_in_the_order_of_time_with_their_headers() {
        let file = write("a call", vec![packet(2_000_001, Carrier::Udp, b"second"), packet(7, Carrier::Udp, b"first")])
            .unwrap();
        let found = read(&file);
        assert_eq!(found.iter().map(|(_, at, _)| *at).collect::<Vec<_>>(), [7, 2_000_001]);
        let parsed = etherparse::SlicedPacket::from_ip(&found[0].2).unwrap();
        let Some(etherparse::TransportSlice::Udp(udp)) = parsed.transport else { panic!("{parsed:?}") };
        assert_eq!((udp.source_port(), udp.destination_port(), udp.payload()), (5060, 5062, &b"first"[..]));
    }

    #[test]
    fn the_pieces_of_a_stream_follow_one_another_each_way() {
        let mut back = packet(2, Carrier::Tcp, b"back");
        std::mem::swap(&mut back.source, &mut back.destination);
        let long = vec![b'x'; MAX_SEGMENT + 10];
        let file = write("", vec![packet(1, Carrier::Tcp, &long), back, packet(3, Carrier::Tcp, b"more")]).unwrap();
        let numbers: Vec<_> = read(&file)
            .iter()
            .map(|(_, _, bytes)| {
                let Some(etherparse::TransportSlice::Tcp(tcp)) =
                    etherparse::SlicedPacket::from_ip(bytes).unwrap().transport
                else {
                    panic!("no TCP")
                };
                (tcp.sequence_number(), tcp.acknowledgment_number(), tcp.payload().len())
            })
            .collect();
        let end = long.len() as u32 + 1;
        assert_eq!(numbers, [(1, 1, MAX_SEGMENT), (1 + MAX_SEGMENT as u32, 1, 10), (1, end, 4), (end, 5, 4)]);
    }

    #[test]
    fn what_was_inside_tls_names_its_dissector() {
        let file = write("", vec![packet(1, Carrier::Inside("sip"), b"OPTIONS")]).unwrap();
        let (interface, _, bytes) = read(&file).remove(0);
        assert_eq!(interface, MESSAGES);
        assert_eq!(&bytes[..8], [0, 12, 0, 4, b's', b'i', b'p', 0]);
        assert!(bytes.ends_with(b"\0\0\0\0OPTIONS"));
    }

    #[test]
    fn a_datagram_too_long_for_ip_is_cut() {
        let file = write("", vec![packet(1, Carrier::Udp, &vec![0; MAX_DATAGRAM + 1])]).unwrap();
        assert_eq!(read(&file)[0].2.len(), MAX_DATAGRAM + 28);
    }
}
