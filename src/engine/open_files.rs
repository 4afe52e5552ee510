//! How many files the process may have open, and what share of them strangers may take: a socket that anybody can open
//! must not be the one that a call lacks. The limit itself is the system's; it is raised as far as the system allows.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Below this many files a warning is logged: two a call, and what connections take besides.
const PLENTY: u64 = 16_384;

/// How many connections from outside each listener may hold: see [`Share::of`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Share {
    /// Of each HTTP listener.
    pub http: usize,
    /// Of SIP over TCP, both ways.
    pub sip: usize,
    /// Of SIP over TCP from one address.
    pub sip_per_source: usize,
}

impl Share {
    /// At most an eighth of all files for each of the three listeners; five eighths stay for calls, webhooks and the
    /// database. The numbers given are what is wanted where there are files enough.
    pub fn of(files: u64, http: usize, sip: usize, sip_per_source: usize) -> Share {
        let eighth = usize::try_from(files / 8).unwrap_or(usize::MAX).max(1);
        let sip = sip.min(eighth);
        Share { http: http.min(eighth), sip, sip_per_source: sip_per_source.min(sip.div_ceil(2)) }
    }
}

/// Raises the limit as far as this process may; what it then is.
pub fn raise() -> u64 {
    let before = getrlimit(Resource::Nofile);
    // Where it cannot be raised, it stays what it was.
    let _ = setrlimit(Resource::Nofile, Rlimit { current: before.maximum, maximum: before.maximum });
    let files = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
    if files < PLENTY {
        tracing::warn!(files, "this process may open few files; each call takes two (see ulimit -n)");
    }
    files
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strangers_never_take_more_than_three_eighths() {
        let wanted = |files| Share::of(files, 4096, 1024, 128);
        assert_eq!(wanted(u64::MAX), Share { http: 4096, sip: 1024, sip_per_source: 128 });
        assert_eq!(wanted(1024), Share { http: 128, sip: 128, sip_per_source: 64 });
        for files in [8, 100, 256, 1024, 5000, 20_000] {
            let share = wanted(files);
            assert!((2 * share.http + share.sip) as u64 <= files / 8 * 3, "{files}: {share:?}");
            assert!(share.sip_per_source >= 1);
        }
        assert_eq!(wanted(0), Share { http: 1, sip: 1, sip_per_source: 1 });
    }

    #[test]
    fn the_limit_can_be_had() {
        assert!(raise() > 0);
    }
}
