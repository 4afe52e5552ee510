//! Messages to and from the types of the crate `rsip` (feature `rsip`), through bytes. That crate reads less than this
//! layer does, and keeps no body that is not UTF-8 whole; what it does not take is an error here.

use ::rsip;

use super::{Message, ParseError};

/// A message that `rsip` does not read.
#[derive(Debug, thiserror::Error)]
#[error("rsip: {0}")]
pub struct NotForRsip(rsip::Error);

impl TryFrom<&Message> for rsip::SipMessage {
    type Error = NotForRsip;
    fn try_from(message: &Message) -> Result<Self, NotForRsip> {
        rsip::SipMessage::try_from(message.to_bytes()).map_err(NotForRsip)
    }
}

impl TryFrom<rsip::SipMessage> for Message {
    type Error = ParseError;
    fn try_from(message: rsip::SipMessage) -> Result<Self, ParseError> {
        let bytes: Vec<u8> = message.into();
        Message::parse(&bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_and_back() {
        let text = "INVITE sip:bob@biloxi.com SIP/2.0\r\nVia: SIP/2.0/UDP pc33.atlanta.com;branch=z9hG4bK776\r\n\
            Max-Forwards: 70\r\nTo: Bob <sip:bob@biloxi.com>\r\nFrom: Alice <sip:alice@atlanta.com>;tag=19\r\n\
            Call-ID: a84b4c76e66710\r\nCSeq: 1 INVITE\r\nContent-Length: 4\r\n\r\nbody";
        let ours = Message::parse(text.as_bytes()).unwrap();
        let theirs = rsip::SipMessage::try_from(&ours).unwrap();
        assert_eq!(Message::try_from(theirs).unwrap(), ours);
    }

    #[test]
    fn what_rsip_does_not_read_is_an_error() {
        let text = "FROB sip:bob@biloxi.com SIP/2.0\r\nCSeq: 1 FROB\r\n\r\n";
        assert!(rsip::SipMessage::try_from(&Message::parse(text.as_bytes()).unwrap()).is_err());
    }
}
