//! All bindings, what a REGISTER does to them (RFC 3261 §10.3), and their clock.

use std::collections::{BTreeSet, HashMap};
use std::time::Duration;

use super::binding::{Binding, listed, public_gruu};
use super::request::{Listing, RegisterError, Wanted, Wish};
use crate::sip::access::{Policy, UserAccess};
use crate::sip::message::{Request, Uri};
use crate::sip::peer::Peer;
use crate::time::Time;

/// How much is kept, and for how long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RegistrarLimits {
    /// The shortest time that a binding is made for, in seconds; shorter: 423. At most an hour (§10.3 step 7).
    pub least: u32,
    /// The longest, in seconds; longer is cut.
    pub most: u32,
    /// Where the phone says nothing, in seconds.
    pub default: u32,
    /// Bindings of all users together; more: 503.
    pub total: usize,
}

impl Default for RegistrarLimits {
    fn default() -> Self {
        RegistrarLimits { least: 60, most: 3_600, default: 3_600, total: 20_000 }
    }
}

/// The bindings of all users.
#[derive(Debug, Default)]
pub struct Registrar {
    limits: RegistrarLimits,
    /// By user. Bounds: `limits.total` in all, [`UserAccess::max_contacts`] a user. Nobody is there with none.
    users: HashMap<String, Vec<Binding>>,
    total: usize,
    /// When each user's next binding ends.
    ends: BTreeSet<(Time, String)>,
}

impl Registrar {
    /// A user's bindings, in the order in which they were first made.
    pub fn bindings(&self, user: &str) -> &[Binding] {
        self.users.get(user).map(Vec::as_slice).unwrap_or_default()
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.total
    }

    /// None at all?
    pub fn is_empty(&self) -> bool {
        self.total == 0
    }

    /// Carries out a REGISTER of a user who has proved to be himself: wholly, or not at all.
    pub fn register(
        &mut self,
        user: &UserAccess,
        request: &Request,
        flow: Peer,
        now: Time,
    ) -> Result<Listing, RegisterError> {
        let wanted = Wanted::read(request, &self.limits)?;
        let before = self.bindings(&user.name);
        let mut after: Vec<Binding> = before.iter().filter(|b| b.expires > now).cloned().collect();
        let path: Vec<String> = wanted.path.iter().map(ToString::to_string).collect();
        // One Call-ID's requests count up; what comes late changes nothing.
        let late = |binding: &Binding| binding.call_id == wanted.call_id && binding.cseq >= wanted.cseq;
        match &wanted.wish {
            Wish::Fetch => {}
            Wish::RemoveAll => {
                if after.iter().any(late) {
                    return Err(RegisterError::OutOfOrder);
                }
                after.clear();
            }
            Wish::Update(updates) => {
                let old = after.clone();
                for update in updates {
                    let same = |b: &Binding| b.is_same(&update.contact, update.instance.as_deref(), update.reg_id);
                    if old.iter().any(|binding| same(binding) && late(binding)) {
                        return Err(RegisterError::OutOfOrder);
                    }
                    let place = after.iter().position(same);
                    if update.expires == 0 {
                        place.map(|at| after.remove(at));
                        continue;
                    }
                    let binding = Binding {
                        contact: update.contact.clone(),
                        q: update.q,
                        call_id: wanted.call_id.clone(),
                        cseq: wanted.cseq,
                        expires: now + Duration::from_secs(update.expires.into()),
                        refreshed: now,
                        flow,
                        path: path.clone(),
                        instance: update.instance.clone(),
                        reg_id: update.reg_id,
                        user_agent: wanted.user_agent.clone(),
                    };
                    match place.and_then(|at| after.get_mut(at)) {
                        Some(place) => *place = binding,
                        None => after.push(binding),
                    }
                }
            }
        }
        let grown = after.len() > before.len();
        if grown && after.len() > user.max_contacts {
            return Err(RegisterError::TooMany);
        }
        if grown && self.total - before.len() + after.len() > self.limits.total {
            return Err(RegisterError::Full);
        }
        let address = address_of_record(request);
        let gruu = |binding: &Binding| {
            let instance = binding.instance.as_ref().filter(|_| wanted.gruu)?;
            Some(public_gruu(&address, instance))
        };
        let contacts = after.iter().map(|binding| listed(binding, gruu(binding), now)).collect();
        let changed = before != after.as_slice();
        if changed {
            self.set(&user.name, after);
        }
        Ok(Listing { contacts, path: wanted.path, outbound: wanted.outbound, changed })
    }

    /// Puts bindings back that were kept over a restart. What has ended, lives on a connection, or belongs to nobody, is
    /// left out.
    pub fn restore(&mut self, user: &UserAccess, bindings: Vec<Binding>, now: Time) {
        let mut kept: Vec<Binding> =
            bindings.into_iter().filter(|b| b.expires > now && b.flow.connection.is_none()).collect();
        kept.truncate(user.max_contacts.min(self.limits.total.saturating_sub(self.total)));
        if !user.disabled && self.bindings(&user.name).is_empty() && !kept.is_empty() {
            self.set(&user.name, kept);
        }
    }

    /// Removes the bindings of a user with this [`Binding::id`], or all of his; whether there were any.
    pub fn remove(&mut self, user: &str, id: Option<&str>) -> bool {
        let keep = |binding: &Binding| id.is_some_and(|id| binding.id() != id);
        self.retain(user, keep)
    }

    /// A connection is gone, and what lived on it (RFC 5626 §5.4): whose bindings those were.
    pub fn lost(&mut self, connection: u64) -> Vec<String> {
        let affected = |bindings: &Vec<Binding>| bindings.iter().any(|binding| binding.is_on(connection));
        let mut users: Vec<String> =
            self.users.iter().filter(|(_, b)| affected(b)).map(|(user, _)| user.clone()).collect();
        users.sort();
        for user in &users {
            self.retain(user, |binding| !binding.is_on(connection));
        }
        users
    }

    /// Other people are known now, and other limits hold for what comes: who lost his bindings by that.
    pub fn set_policy(&mut self, policy: &Policy) -> Vec<String> {
        self.limits = policy.registrar;
        let gone = |user: &&String| policy.users.get(*user).is_none_or(|access| access.disabled);
        let mut users: Vec<String> = self.users.keys().filter(gone).cloned().collect();
        users.sort();
        users.iter().for_each(|user| self.set(user, Vec::new()));
        users
    }

    /// When [`Registrar::timeout`] wants to be called.
    pub fn deadline(&self) -> Option<Time> {
        self.ends.first().map(|(at, _)| *at)
    }

    /// Time has moved on: whose bindings have ended.
    pub fn timeout(&mut self, now: Time) -> Vec<String> {
        let mut users = Vec::new();
        while let Some((at, user)) = self.ends.first().cloned() {
            if at > now {
                break;
            }
            self.retain(&user, |binding| binding.expires > now);
            users.push(user);
        }
        users
    }

    fn retain(&mut self, user: &str, keep: impl Fn(&Binding) -> bool) -> bool {
        let before = self.bindings(user);
        let after: Vec<Binding> = before.iter().filter(|binding| keep(binding)).cloned().collect();
        let changed = after.len() != before.len();
        if changed {
            self.set(user, after);
        }
        changed
    }

    fn set(&mut self, user: &str, bindings: Vec<Binding>) {
        let next = |bindings: &[Binding]| bindings.iter().map(|binding| binding.expires).min();
        if let Some(old) = self.users.remove(user) {
            self.total -= old.len();
            if let Some(at) = next(&old) {
                self.ends.remove(&(at, user.to_owned()));
            }
        }
        if let Some(at) = next(&bindings) {
            self.total += bindings.len();
            self.ends.insert((at, user.to_owned()));
            self.users.insert(user.to_owned(), bindings);
        }
    }
}

/// To, without what is no part of an address of record (§10.3 step 5).
fn address_of_record(request: &Request) -> Uri {
    let to = request.headers.to().map_or_else(|_| request.uri.clone(), |to| to.uri);
    match to.as_sip() {
        Some(sip) => Uri::sip(sip.user_without_params().as_deref(), sip.host().clone(), sip.port()),
        None => to,
    }
}
