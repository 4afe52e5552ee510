//! Who may come in as whom (RFC 3261 §22.1–22.3, RFC 3325 §5): credentials where there are some, a trunk's network or
//! certificate, a claim that must be proved. It says what is to be answered; `agent` answers.
//!
//! Whoever writes an address of ours into From claims to be a user of ours, whether there is such a user or not: so
//! nobody learns who there is. Where no users are kept, nobody is asked. Anybody else's address is a stranger's, whatever
//! it is called there; with two exceptions, for INVITEs alone:
//! - It comes on the flow that a user of that name has registered on: phones are set to domains that we do not know.
//! - It has the name of a trunk's account: carriers write their own domain. That tells who asks that there is such an
//!   account, so [`Admission::Challenge`] says `probe`, and the guard counts those who have no credentials to follow.

use super::{Authenticate, Identity, Policy, UserAccess};
use crate::random::Random;
use crate::sip::digest::{Asked, Challenger, Verdict};
use crate::sip::message::{AuthParams, Method, Request, Uri};
use crate::sip::peer::Peer;
use crate::time::Time;

/// What the entrance keeps: the nonces' key and counts.
pub struct Entrance {
    challenger: Challenger,
}

/// What the entrance says about a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Admission {
    /// It comes from there.
    As(Identity),
    /// It must be proved first: 401, or 407 where we stand in for somebody else.
    Challenge {
        /// The values of the header, one each.
        challenges: Vec<AuthParams>,
        /// Proxy-Authenticate and 407.
        proxy: bool,
        /// It was asked for because its From has the name of a trunk's account.
        probe: bool,
        /// Credentials came and were wrong.
        failed: Option<Failure>,
    },
    /// It is refused with this status and phrase.
    Refuse(u16, String),
}

/// Wrong credentials: for us, never for the sender.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Failure {
    /// There is such a user.
    pub known: bool,
    /// They were made with a nonce that we sent to that address: it is not forged.
    pub proven: bool,
}

impl Entrance {
    /// With a key of its own.
    pub fn new(random: &mut Random) -> Self {
        Entrance { challenger: Challenger::new(random) }
    }

    /// Who sends a request outside of dialogs; `certificate` has the names that its connection has proved, `registered`
    /// is the user whom its From names, where he has registered on the flow that it came on. For REGISTER credentials
    /// are always wanted.
    pub fn admit(
        &mut self,
        policy: &Policy,
        request: &Request,
        peer: &Peer,
        certificate: &[String],
        registered: Option<&UserAccess>,
        now: Time,
    ) -> Admission {
        let source = peer.remote.ip();
        let asked = Asked { realm: &policy.realm, method: request.method.as_str(), source, now };
        let presented = match (request.headers.authorization(), request.headers.proxy_authorization()) {
            (Ok(mut direct), Ok(by_proxy)) => {
                direct.extend(by_proxy);
                direct
            }
            (Err(error), _) | (_, Err(error)) => return Admission::Refuse(400, error.reason()),
        };
        let secret_of = |name: &str| {
            let user = policy.users.get(name).filter(|user| !user.disabled).map(|user| &user.secret);
            let trunk = || policy.trunks.iter().filter_map(|t| t.digest.as_ref()).find(|d| d.username == name);
            user.or_else(|| trunk().map(|digest| &digest.secret))
        };
        let register = request.method == Method::Register;
        let proxy = !register && !request.uri.host().is_none_or(|host| policy.hosts.is_empty() || policy.is_ours(host));
        let registered = registered.filter(|_| request.method == Method::Invite);
        let ours = registered.is_some() || claims_to_be_ours(policy, request);
        let account = !ours && claims_an_account(policy, request);
        let challenge = |challenger: &mut Challenger, stale, failed| Admission::Challenge {
            challenges: challenger.challenges(&policy.realm, &policy.algorithms, source, stale, now),
            proxy,
            probe: account && !stale && policy.authenticate != Authenticate::All,
            failed,
        };
        match self.challenger.check(&presented, &asked, |uri| is_meant(uri, &request.uri, policy), secret_of) {
            Verdict::Proved(name) => return proved(policy, request, registered, name),
            Verdict::Stale => return challenge(&mut self.challenger, true, None),
            Verdict::Wrong { known, proven, .. } => {
                return challenge(&mut self.challenger, false, Some(Failure { known, proven }));
            }
            Verdict::Malformed(what) => return Admission::Refuse(400, format!("Bad Authorization header: {what}")),
            Verdict::Absent if register => return challenge(&mut self.challenger, false, None),
            Verdict::Absent => {}
        }
        let trunk = policy.trunk_certified(certificate).or_else(|| policy.trunk_from(source));
        if let Some(trunk) = trunk {
            return Admission::As(Identity::Trunk(trunk.name.clone()));
        }
        if policy.authenticate == Authenticate::All || ours || account {
            return challenge(&mut self.challenger, false, None);
        }
        Admission::As(Identity::Stranger)
    }
}

/// Credentials were right: they must also be those of whom From names.
fn proved(policy: &Policy, request: &Request, registered: Option<&UserAccess>, name: String) -> Admission {
    if !policy.users.contains_key(&name) {
        let trunk = policy.trunks.iter().find(|t| t.digest.as_ref().is_some_and(|d| d.username == name));
        return match trunk {
            Some(trunk) => Admission::As(Identity::Trunk(trunk.name.clone())),
            None => Admission::Refuse(403, "Forbidden".to_owned()),
        };
    }
    // From of a REGISTER is whoever registers for somebody; whom he may register for is the registrar's to say.
    if request.method != Method::Register
        && let Ok(from) = request.headers.from()
        && let Some(user) = policy.user_at(&from.uri).or(registered)
        && user.name != name
    {
        return Admission::Refuse(403, "From names somebody else".to_owned());
    }
    Admission::As(Identity::User(name))
}

/// Does From have an address of ours, where there is somebody to guard?
fn claims_to_be_ours(policy: &Policy, request: &Request) -> bool {
    let Ok(from) = request.headers.from() else { return false };
    let Some(sip) = from.uri.as_sip() else { return false };
    let to_guard = !policy.users.is_empty() || policy.trunks.iter().any(|trunk| trunk.digest.is_some());
    to_guard && sip.user_without_params().is_some() && policy.is_here(sip.host(), sip.port())
}

/// Is it an INVITE whose From has the name of a trunk's account?
fn claims_an_account(policy: &Policy, request: &Request) -> bool {
    let Ok(from) = request.headers.from() else { return false };
    let Some(user) = from.uri.as_sip().and_then(|sip| sip.user_without_params()) else { return false };
    let mut accounts = policy.trunks.iter().filter_map(|trunk| trunk.digest.as_ref());
    request.method == Method::Invite && accounts.any(|digest| digest.username == user)
}

/// Is the `uri` of credentials what the request asks for? Proxies change a Request-URI's parameters and, towards us, its
/// host; they do not change whom it names.
pub(super) fn is_meant(written: &str, asked: &Uri, policy: &Policy) -> bool {
    if written == asked.to_string() {
        return true;
    }
    let Ok(written) = Uri::parse(written.as_bytes()) else { return false };
    let near = |uri: &Uri| uri.host().is_some_and(|host| policy.hosts.is_empty() || policy.is_ours(host));
    written.user() == asked.user() && (written.host() == asked.host() || (near(&written) && near(asked)))
}
