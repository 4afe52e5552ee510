//! What we can: the one place of our methods (Allow) and extensions (Supported, and which Require we welcome; RFC 3261
//! §8.2.2.3, §20.5, §20.37). What stands here is served; a feature adds its words when it is.

/// The methods that we serve, for Allow.
pub(super) const ALLOW: &str = "INVITE, ACK, BYE, CANCEL, OPTIONS, INFO, PRACK, UPDATE, REFER, NOTIFY";

/// The same where users may register with us.
pub(super) const ALLOW_AND_REGISTER: &str =
    "INVITE, ACK, BYE, CANCEL, OPTIONS, INFO, PRACK, UPDATE, REFER, NOTIFY, REGISTER";

/// The extensions that we understand, for Supported.
pub(super) const SUPPORTED: &str = "100rel, timer, replaces, norefersub";

/// Those of `wanted` that are not ours, for Unsupported; none: all is well.
pub(super) fn not_ours(wanted: Vec<String>) -> Vec<String> {
    wanted.into_iter().filter(|option| !lists(SUPPORTED, option)).collect()
}

/// Is `word` in a list of ours?
pub(super) fn lists(list: &str, word: &str) -> bool {
    list.split(',').any(|known| known.trim().eq_ignore_ascii_case(word))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_listed_is_not_ours() {
        assert!(lists(ALLOW, "invite") && !lists(ALLOW, "PUBLISH"));
        assert_eq!(ALLOW_AND_REGISTER.strip_prefix(ALLOW), Some(", REGISTER"));
        let strange = vec!["quantum".to_owned()];
        assert_eq!(not_ours(strange.clone()), strange);
        assert_eq!(not_ours(SUPPORTED.split(", ").filter(|o| !o.is_empty()).map(str::to_uppercase).collect()), [""; 0]);
    }
}
