//! Which refusal is told when nobody answers (RFC 3261 §16.7 step 6), and what a status means for the next round.

use crate::sip::hunt::{HuntLimits, Verdict};

/// The end of one attempt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Refused {
    pub status: u16,
    pub phrase: String,
    pub reason: Option<String>,
    pub local: bool,
}

impl Refused {
    /// Lower is better: any 6xx; else the lowest class, in 4xx those that tell the caller how to mend his request; what
    /// somebody said before what we only think.
    fn rank(&self) -> (u8, u8, bool) {
        let class = match self.status {
            600.. => 0,
            status => u8::try_from(status / 100).unwrap_or(u8::MAX),
        };
        let within = match self.status {
            401 | 407 | 415 | 420 | 484 => 0,
            // Somebody is there, and does not want to or cannot.
            408 | 480 | 487 => 2,
            // "Not to be generated if another is there" (§16.7), and seldom the caller's to mend.
            503 => 2,
            _ => 1,
        };
        // A timeout or a lost way of ours is told only where nobody said anything.
        (class, within, self.local)
    }

    /// The better of two; the first of equals.
    pub fn or_better(self, other: Refused) -> Refused {
        let (mine, others) = (self.local && !other.local, other.local && !self.local);
        match () {
            // 6xx is the callee's last word whoever else was tried.
            () if mine && self.status < 600 => other,
            () if others && other.status < 600 => self,
            () if other.rank() < self.rank() => other,
            () => self,
        }
    }

    /// May somebody else be tried after this?
    pub fn goes_on(&self, limits: &HuntLimits, verdict: Verdict) -> bool {
        match verdict {
            _ if self.status >= 600 => false,
            Verdict::Any => true,
            Verdict::Trouble => {
                (self.local && self.status != 400) || self.status == 408 || limits.trouble.contains(&self.status)
            }
        }
    }
}

/// The text of a status for the timeline.
pub(super) fn in_words(refused: &Refused) -> String {
    let Refused { status, phrase, local, .. } = refused;
    match (local, status) {
        (true, 408) => "no answer in time".to_owned(),
        (true, 503) if phrase == "Service Unavailable" => "no way there".to_owned(),
        (true, _) => format!("failed here: {status} {phrase}"),
        (false, _) => format!("refused: {status} {phrase}"),
    }
}
