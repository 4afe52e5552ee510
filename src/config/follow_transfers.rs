//! The setting `follow-transfers`: whose REFERs are followed.

/// Who may send a call on by REFER.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FollowTransfers {
    /// Those who authenticate as a user of ours.
    pub users: bool,
    /// Those who call by a trunk of ours, or are called by one.
    pub trunks: bool,
    /// Anybody else.
    pub strangers: bool,
}

/// Reads the setting.
pub(super) fn follow_transfers(text: &str) -> Result<FollowTransfers, String> {
    let mut who = FollowTransfers::default();
    for one in text.split(',').map(str::trim).filter(|one| *one != "none") {
        match one {
            "users" => who.users = true,
            "trunks" => who.trunks = true,
            "strangers" => who.strangers = true,
            _ => return Err(format!("{one:?} is none of users, trunks and strangers")),
        }
    }
    Ok(who)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_is_named_or_none_is() {
        let who = |users, trunks, strangers| FollowTransfers { users, trunks, strangers };
        assert_eq!(follow_transfers("none"), Ok(who(false, false, false)));
        assert_eq!(follow_transfers("users, trunks"), Ok(who(true, true, false)));
        assert_eq!(follow_transfers("strangers"), Ok(who(false, false, true)));
        assert!(follow_transfers("everybody").is_err() && follow_transfers("").is_err());
    }
}
