//! How things end: the table of codes and sub-codes that applications switch on, and how SIP statuses and Q.850
//! causes (RFC 3326) become one. The shape is [`Outcome`]; spelling it as JSON is the API's.
//!
//! A failure that SIP caused carries the SIP status in `sip`; unless it is one of the cases with a sub-code of their
//! own, its code is that status and its sub-code [`SIP_BASE`] + status.

use super::Outcome;
use crate::sip::leg::EndCause;
use crate::sip::message::reason::{self, Reason};

/// Sub-code 0: success.
pub const SUCCESS: u32 = 0;
/// A call ended as calls do.
pub const NORMAL_END: u32 = 7000;
/// A failure of ours.
pub const INTERNAL: u32 = 8500;
/// The call is not established.
pub const NOT_ESTABLISHED: u32 = 8501;
/// A media operation was canceled.
pub const OPERATION_CANCELED: u32 = 8508;
/// Nothing was pressed in time.
pub const INITIAL_SILENCE: u32 = 8510;
/// The prompt of a recognition could not be played.
pub const PROMPT_FAILED: u32 = 8511;
/// A stop tone was pressed.
pub const STOP_TONE: u32 = 8514;
/// There is no such call.
pub const CALL_NOT_FOUND: u32 = 8522;
/// A value is outside what is allowed.
pub const BAD_ARGUMENT: u32 = 8523;
/// The call ended meanwhile.
pub const CALL_TERMINATED: u32 = 8528;
/// As many digits as were wanted.
pub const MAX_DIGITS: u32 = 8531;
/// The next digit did not come in time.
pub const INTER_DIGIT: u32 = 8532;
/// The key of a choice was pressed.
pub const DTMF_OPTION: u32 = 8533;
/// A key was pressed that stands for no choice.
pub const WRONG_TONE: u32 = 8534;
/// A source is no audio that we read.
pub const BAD_FORMAT: u32 = 8535;
/// A source could not be had.
pub const DOWNLOAD_FAILED: u32 = 8536;
/// The called one declined.
pub const DECLINED: u32 = 8538;
/// The called one is busy.
pub const BUSY: u32 = 8539;
/// The call was given up before it was answered.
pub const CALL_CANCELED: u32 = 8542;
/// The two sides have no media in common.
pub const INCOMPATIBLE_MEDIA: u32 = 8583;
/// The peer's audio stopped coming.
pub const MEDIA_LOST: u32 = 301_005;
/// A SIP status without a sub-code of its own is this plus the status.
pub const SIP_BASE: u32 = 560_000;

impl Outcome {
    /// An outcome without SIP or Q.850 details.
    pub fn new(code: u16, sub_code: u32, message: impl Into<String>) -> Self {
        Outcome { code, sub_code, message: message.into(), sip: None, q850: None }
    }

    /// Did it end well?
    pub fn is_success(&self) -> bool {
        (200..300).contains(&self.code)
    }

    /// Nothing to say.
    pub fn success() -> Self {
        Outcome::new(200, SUCCESS, "")
    }

    /// All of it was done.
    pub fn completed() -> Self {
        Outcome::new(200, SUCCESS, "Action completed successfully.")
    }

    /// A media operation was canceled by the application.
    pub fn canceled() -> Self {
        Outcome::new(400, OPERATION_CANCELED, "Action failed, the operation was canceled.")
    }

    /// A media operation was canceled by the call's end.
    pub fn canceled_by_end() -> Self {
        Outcome::new(400, OPERATION_CANCELED, "Action failed, the operation was canceled: the call ended.")
    }

    /// An operation that cannot be canceled was cut off by the call's end.
    pub fn terminated() -> Self {
        Outcome::new(400, CALL_TERMINATED, "Action failed, the call was terminated.")
    }

    /// A source is no audio that we read.
    pub fn bad_format(detail: &str) -> Self {
        Outcome::new(400, BAD_FORMAT, with_detail("Action failed, file format is invalid.", detail))
    }

    /// A source could not be had.
    pub fn download_failed(detail: &str) -> Self {
        Outcome::new(400, DOWNLOAD_FAILED, with_detail("Action failed, file could not be downloaded.", detail))
    }

    /// A recognition's prompt could not be played.
    pub fn prompt_failed(detail: &str) -> Self {
        let text = "Action failed, encountered failure while trying to play the prompt.";
        Outcome::new(400, PROMPT_FAILED, with_detail(text, detail))
    }

    /// As many digits as were wanted.
    pub fn max_digits() -> Self {
        Outcome::new(200, MAX_DIGITS, "Action completed, max digits received.")
    }

    /// A stop tone was pressed.
    pub fn stop_tone() -> Self {
        Outcome::new(200, STOP_TONE, "Action completed, stop tone received.")
    }

    /// The key of a choice was pressed.
    pub fn dtmf_option() -> Self {
        Outcome::new(200, DTMF_OPTION, "Action completed, DTMF option matched.")
    }

    /// Nothing was pressed in time.
    pub fn initial_silence() -> Self {
        Outcome::new(400, INITIAL_SILENCE, "Action failed, initial silence timeout reached.")
    }

    /// The next digit did not come in time.
    pub fn inter_digit() -> Self {
        Outcome::new(400, INTER_DIGIT, "Action failed, inter-digit silence timeout reached.")
    }

    /// A key was pressed that stands for no choice.
    pub fn wrong_tone() -> Self {
        Outcome::new(400, WRONG_TONE, "Action failed, incorrect tone detected.")
    }

    /// Media would not send the tones.
    pub fn tones_failed(detail: &str) -> Self {
        Outcome::new(400, INTERNAL, with_detail("Action failed, the tones could not be sent.", detail))
    }

    /// The application hung up, or gave up a call that was not yet there ([`Outcome::call_canceled`]).
    pub fn ended_by_application() -> Self {
        Outcome::new(200, NORMAL_END, "The call was ended by the application.")
    }

    /// The peer hung up. `reason`: the value of its `Reason` header.
    pub fn ended_by_peer(reason: Option<&str>) -> Self {
        Outcome::new(200, NORMAL_END, "The call was ended by the other party.").with_reason(reason)
    }

    /// The other party was transferred.
    pub fn transferred() -> Self {
        Outcome::new(200, NORMAL_END, "The call was transferred.")
    }

    /// Nothing was heard of a transfer's outcome in time.
    pub fn transfer_lost() -> Self {
        let message = "The other side did not tell in time whether the transfer came about.";
        Outcome { message: message.to_owned(), ..Outcome::from_sip(408, "Request Timeout", None, true) }
    }

    /// The engine is being shut down.
    pub fn shut_down() -> Self {
        Outcome::new(200, NORMAL_END, "The call was ended by the service, which is shutting down.")
    }

    /// The call was given up before it was answered. `reason`: the value of a `Reason` header.
    pub fn call_canceled(reason: Option<&str>) -> Self {
        Outcome::new(487, CALL_CANCELED, "The call was canceled before it was answered.").with_reason(reason)
    }

    /// Nobody answered an incoming call in time.
    pub fn not_answered() -> Self {
        Outcome::from_sip(480, "Temporarily Unavailable", None, true)
    }

    /// Media could not give the call a port pair.
    pub fn no_media(detail: &str) -> Self {
        Outcome {
            message: with_detail("The call has no media.", detail),
            ..Outcome::from_sip(503, "Service Unavailable", None, true)
        }
    }

    /// The stream of a connected call failed, or nothing came from the peer for too long.
    pub fn media_lost(detail: &str) -> Self {
        Outcome::new(410, MEDIA_LOST, with_detail("The call was ended because its media was lost.", detail))
    }

    /// What a SIP failure amounts to. `phrase` may be empty; `reason` is the value of a `Reason` header; `local`: the
    /// status is ours, not an answer of the peer's.
    pub fn from_sip(status: u16, phrase: &str, reason: Option<&str>, local: bool) -> Self {
        let (code, sub_code, words) = match status {
            486 | 600 => (status, BUSY, "The called party is busy."),
            603 => (status, DECLINED, "The called party declined."),
            487 => (487, CALL_CANCELED, "The call was canceled before it was answered."),
            415 | 488 | 606 => (412, INCOMPATIBLE_MEDIA, "The two sides have no media in common."),
            408 | 480 => (status, SIP_BASE + u32::from(status), "The call was not answered."),
            404 | 410 | 484 | 604 => (status, SIP_BASE + u32::from(status), "The called party is not known there."),
            401 | 407 => (status, SIP_BASE + u32::from(status), "The other side did not accept our credentials."),
            _ => (status, SIP_BASE + u32::from(status), "The call failed."),
        };
        let whose = if local { "" } else { "SIP " };
        let message = format!("{words} ({})", format!("{whose}{status} {phrase}").trim_end());
        Outcome { code, sub_code, message, sip: Some((status, phrase.to_owned())), q850: None }.with_reason(reason)
    }

    /// How a leg's end reads when the call was connected. `reason`: the value of the peer's `Reason` header.
    pub fn from_end(by_peer: bool, cause: EndCause, reason: Option<&str>) -> Self {
        match cause {
            EndCause::Bye | EndCause::Cancelled if by_peer => Outcome::ended_by_peer(reason),
            EndCause::Bye | EndCause::Cancelled => Outcome::shut_down(),
            _ => Outcome::from_end_unconnected(cause, reason),
        }
    }

    /// How a leg's end reads when the call never was connected: always a failure.
    pub fn from_end_unconnected(cause: EndCause, reason: Option<&str>) -> Self {
        match cause {
            EndCause::Bye | EndCause::Cancelled => Outcome::call_canceled(reason),
            EndCause::Refused(status) => Outcome::from_sip(status, "", reason, true),
            EndCause::AckTimeout => Outcome::from_sip(408, "No ACK", reason, true),
            EndCause::DialogLost(status) => Outcome::from_sip(status, "Dialog lost", reason, false),
            EndCause::BadAnswer => Outcome::from_sip(488, "Unusable SDP answer", reason, true),
            EndCause::SessionExpired => Outcome::from_sip(408, "Session timer expired", reason, true),
        }
    }

    /// The same, with the causes that a `Reason` header names: the first Q.850 one, and the first SIP one where no SIP
    /// status is known otherwise.
    #[must_use]
    pub fn with_reason(mut self, reason: Option<&str>) -> Self {
        let reasons = reason.map(reason::read).unwrap_or_default();
        let first = |wanted: fn(&Reason) -> bool| reasons.iter().find(|r| wanted(r)).map(|r| (r.cause, r.text.clone()));
        self.q850 = first(Reason::is_q850);
        self.sip = self.sip.or_else(|| first(Reason::is_sip));
        self
    }
}

fn with_detail(words: &str, detail: &str) -> String {
    if detail.is_empty() { words.to_owned() } else { format!("{words} {detail}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sip_statuses_become_codes_and_keep_their_details() {
        for (status, code, sub_code) in [
            (486, 486, BUSY),
            (600, 600, BUSY),
            (603, 603, DECLINED),
            (487, 487, CALL_CANCELED),
            (488, 412, INCOMPATIBLE_MEDIA),
            (404, 404, 560_404),
            (408, 408, 560_408),
            (480, 480, 560_480),
            (500, 500, 560_500),
            (699, 699, 560_699),
        ] {
            let outcome = Outcome::from_sip(status, "Words", Some("Q.850;cause=17"), false);
            assert_eq!((outcome.code, outcome.sub_code), (code, sub_code), "{status}");
            assert_eq!(outcome.sip, Some((status, "Words".to_owned())));
            assert_eq!(outcome.q850, Some((17, String::new())));
            assert!(!outcome.is_success());
        }
    }

    #[test]
    fn the_causes_are_found_wherever_they_stand() {
        let told = |text: &str| Outcome::ended_by_peer(Some(text));
        for (reason, expected) in [
            ("Q.850;cause=16;text=\"Normal call clearing\"", Some((16, "Normal call clearing"))),
            ("Q.850 ;cause=16 ; text=bye", Some((16, "bye"))),
            ("SIP;cause=200;text=\"a, b; Q.850;cause=1\", q.850;text=\"x \\\"y\\\"\";cause=31", Some((31, "x \"y\""))),
            ("SIP;cause=487", None),
            ("Q.850", None),
            ("Q.850;cause=", None),
            ("Q.850;cause=999", None),
            ("Q.850;cause=-1", None),
            ("", None),
        ] {
            assert_eq!(told(reason).q850, expected.map(|(cause, text)| (cause, text.to_owned())), "{reason}");
        }
        assert_eq!(told("SIP;cause=480;text=gone, Q.850;cause=20").sip, Some((480, "gone".to_owned())));
        let refused = Outcome::from_sip(486, "Busy Here", Some("SIP;cause=480"), false);
        assert_eq!(refused.sip, Some((486, "Busy Here".to_owned())), "the status itself comes first");
    }

    #[test]
    fn an_unconnected_end_is_never_a_success() {
        for cause in [
            EndCause::Bye,
            EndCause::Refused(488),
            EndCause::Cancelled,
            EndCause::AckTimeout,
            EndCause::DialogLost(481),
            EndCause::BadAnswer,
            EndCause::SessionExpired,
        ] {
            assert!(!Outcome::from_end_unconnected(cause, None).is_success());
        }
        assert_eq!(Outcome::from_end(true, EndCause::Bye, None).sub_code, NORMAL_END);
    }
}
