//! `/v1`, for operators: rules, subscriptions, trunks, users, prompts, calls and dead events, with an access key as the
//! bearer token. What the documents mean is their rooms' business; here they are named, listed, taken and shown.

mod bans;
mod calls;
mod documents;
mod explain;
mod prompts;
pub(super) mod schemas;
mod users;
mod validate;

use super::endpoint::Endpoint;
use super::problem::Problem;

/// Every operation under `/v1`.
pub(super) fn endpoints() -> Vec<Endpoint> {
    let mut all = documents::endpoints();
    all.push(explain::endpoint());
    all.push(explain::routes());
    all.push(validate::endpoint());
    all.extend(prompts::endpoints());
    all.extend(calls::endpoints());
    all.extend(bans::endpoints());
    all.extend(users::endpoints());
    all
}

/// A name: 1 to 64 of `A–Z a–z 0–9 . _ -`.
fn check_name(name: &str) -> Result<(), Problem> {
    let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    if (1..=64).contains(&name.len()) && name.chars().all(fits) {
        Ok(())
    } else {
        Err(Problem::bad("name", "is 1 to 64 of A-Z a-z 0-9 . _ -"))
    }
}
