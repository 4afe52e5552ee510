//! The settings about calls to numbers: how many each kind of caller may have, and which numbers. What they mean is
//! `trunk::toll`'s.

/// The most calls within an hour that are counted: each is remembered for that long.
const MOST_TOLLS: u32 = 100_000;

/// From `users=10,strangers=1`: applications, users, trunks, strangers; 0 where one is left out.
pub(super) fn tolls(text: &str) -> Result<[u32; 4], String> {
    let mut limits = [0; 4];
    for one in text.split(',').map(str::trim).filter(|one| !matches!(*one, "" | "0")) {
        let wanted = || format!("{one:?} is not users=10 or the like");
        let (who, limit) = one.split_once('=').ok_or_else(wanted)?;
        let at = ["applications", "users", "trunks", "strangers"].iter().position(|kind| *kind == who.trim());
        let limit: u32 = limit.trim().parse().ok().filter(|limit| *limit <= MOST_TOLLS).ok_or_else(wanted)?;
        *at.and_then(|at| limits.get_mut(at)).ok_or_else(wanted)? = limit;
    }
    Ok(limits)
}

/// Beginnings of numbers.
pub(super) fn prefixes(text: &str) -> Result<Vec<String>, String> {
    let number = |text: &str| {
        let digits = text.strip_prefix('+').unwrap_or(text);
        (1..=32).contains(&digits.len()) && digits.bytes().all(|b| b.is_ascii_digit() || b"*#".contains(&b))
    };
    let list: Vec<String> = text.split(',').map(str::trim).filter(|one| !one.is_empty()).map(str::to_owned).collect();
    match list.iter().find(|one| !number(one)) {
        Some(bad) => Err(format!("{bad:?} is not the beginning of a number")),
        None => Ok(list),
    }
}
