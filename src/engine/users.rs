//! Users: what an operator writes becomes a document with HA1s and without password; where a user is reached is asked of
//! the stack; what phones registered is kept over a restart.

use std::collections::HashMap;
use std::sync::Arc;

use serde::Deserialize;
use serde_json::{Map, Value};
use tokio::sync::oneshot;

use super::administration::{invalid, to_json};
use super::signalling::Signal;
use super::{Engine, Hub};
use crate::api::service::{AdminError, Existing, Registration, Stored};
use crate::line::is_one_line;
use crate::rules::normalise;
use crate::session::SrtpPolicy;
use crate::sip::access::{Forking, MAX_CONTACTS, UserAccess};
use crate::sip::digest::Secret;
use crate::sip::hunt::Round;
use crate::sip::registrar::{self, Binding};
use crate::store::{StoreError, User, WriteOp};

/// Users there may be.
const MAX_USERS: usize = 100_000;
/// Numbers a user may have.
const MAX_NUMBERS: usize = 20;
/// The most contacts that a user may be allowed.
const MOST_CONTACTS: u32 = 100;

/// A user as he is written.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Written {
    name: String,
    password: Option<String>,
    ha1: Option<WrittenSecret>,
    display_name: Option<String>,
    #[serde(default)]
    numbers: Vec<String>,
    max_contacts: Option<u32>,
    forking: Option<String>,
    srtp: Option<String>,
    #[serde(default)]
    disabled: bool,
    /// Shown, and taken back without effect.
    #[serde(rename = "realm")]
    _realm: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenSecret {
    md5: Option<String>,
    sha256: Option<String>,
}

impl Engine {
    /// Keeps a user. One without password or HA1s that replaces one with keeps those.
    pub(super) async fn put_user(&self, name: &str, document: Value, existing: Existing) -> Result<Stored, AdminError> {
        let written: Written = serde_json::from_value(document).map_err(|error| invalid("body", error.to_string()))?;
        let before = self.hub.store.user(name).await?;
        if before.is_some() && existing == Existing::Keep {
            return Err(AdminError::Exists(format!("user {name}")));
        }
        let all = self.hub.store.users().await?;
        if before.is_none() && all.len() >= MAX_USERS {
            return Err(invalid("name", format!("there are {MAX_USERS} users already, which is the most")));
        }
        let user = checked(written, &self.hub.config.realm, before.as_ref())?;
        for (at, number) in user.numbers.iter().enumerate() {
            if let Some(other) =
                all.iter().find(|u| u.name != user.name && (u.name == *number || u.numbers.contains(number)))
            {
                return Err(invalid(&format!("numbers[{at}]"), format!("{number} is {}'s already", other.name)));
            }
        }
        if let Some(other) = all.iter().find(|u| u.name != user.name && u.numbers.contains(&user.name)) {
            return Err(invalid("name", format!("{} is a number of {}'s", user.name, other.name)));
        }
        match &before {
            Some(_) => self.hub.store.replace_user(&user).await.map(|_| ())?,
            None => self.hub.store.create_user(&user).await?,
        }
        self.hub.reload_users().await?;
        Ok(Stored { document: shown(&user), created: before.is_none() })
    }

    /// Where a user is reached.
    pub(super) async fn registrations_of(&self, name: &str) -> Result<Vec<Registration>, AdminError> {
        self.known_user(name).await?;
        let now = self.hub.clock.now();
        let bindings = self.hub.bindings(name).await;
        Ok(bindings.iter().filter(|binding| binding.expires > now).map(registration).collect())
    }

    /// Removes one of a user's registrations, or all.
    pub(super) async fn forget_registrations(&self, name: &str, id: Option<String>) -> Result<(), AdminError> {
        self.known_user(name).await?;
        let (reply, done) = oneshot::channel();
        let missing = id.as_ref().map(|id| AdminError::NotFound(format!("registration {id} of user {name}")));
        self.hub.signal(Signal::Unregister(name.to_owned(), id, reply));
        match (done.await.unwrap_or(false), missing) {
            (false, Some(missing)) => Err(missing),
            _ => Ok(()),
        }
    }

    async fn known_user(&self, name: &str) -> Result<(), AdminError> {
        let found = self.hub.store.user(name).await?;
        found.map(|_| ()).ok_or_else(|| AdminError::NotFound(format!("user {name}")))
    }
}

impl Hub {
    /// Reads the users anew and tells the stack.
    pub async fn reload_users(&self) -> Result<(), StoreError> {
        let users = self.store.users().await?;
        self.users.store(Arc::new(users.into_iter().map(|user| (user.name.clone(), user)).collect()));
        self.tell_policy();
        Ok(())
    }

    /// A user's bindings as they are now.
    pub async fn bindings(&self, user: &str) -> Vec<Binding> {
        let (reply, bindings) = oneshot::channel();
        self.signal(Signal::Registrations(user.to_owned(), reply));
        bindings.await.unwrap_or_default()
    }

    /// The rounds in which a user's devices are rung; none where he has none. With an instance: that device only.
    pub async fn rounds_of(&self, user: &UserAccess, instance: Option<&str>) -> Vec<Round> {
        let mut bindings = self.bindings(&user.name).await;
        let bare = |text: &str| text.trim_start_matches('<').trim_end_matches('>').to_ascii_lowercase();
        if let Some(wanted) = instance.filter(|instance| !instance.is_empty()) {
            bindings.retain(|binding| binding.instance.as_deref().is_some_and(|have| bare(have) == bare(wanted)));
        }
        let policy = self.users.load().get(&user.name).and_then(super::encryption::of_user);
        let mut rounds = registrar::rounds(&user.name, &bindings, user.forking, self.clock.now());
        rounds.iter_mut().flat_map(|round| &mut round.branches).for_each(|branch| branch.srtp = policy);
        rounds
    }

    /// Keeps what a user has registered over a restart. Where the queue to the database is full that is lost at worst:
    /// phones register again.
    pub fn keep_registrations(&self, user: String, bindings: &[Binding]) {
        let document = (!bindings.is_empty()).then(|| serde_json::to_string(bindings).unwrap_or_default());
        if self.writer.try_submit(WriteOp::Registrations { name: user, document }, None).is_err() {
            super::count(&self.metrics.failures, "registration not kept");
        }
    }
}

/// Users as the door sees them, and whose their numbers are. Those of another realm can prove nothing.
pub(super) fn access(
    users: &HashMap<String, User>,
    realm: &str,
) -> (HashMap<String, UserAccess>, HashMap<String, String>) {
    let mut aliases = HashMap::new();
    let mut known = HashMap::new();
    for user in users.values() {
        aliases.extend(user.numbers.iter().map(|number| (number.clone(), user.name.clone())));
        let secret = match user.realm == realm {
            true => Secret { md5: user.ha1_md5.clone(), sha256: user.ha1_sha256.clone() },
            false => Secret::default(),
        };
        let access = UserAccess {
            name: user.name.clone(),
            secret,
            disabled: user.disabled,
            max_contacts: user.max_contacts as usize,
            forking: if user.forking == "sequential" { Forking::Sequential } else { Forking::Parallel },
        };
        known.insert(user.name.clone(), access);
    }
    (known, aliases)
}

/// A user without his secrets.
pub(super) fn shown(user: &User) -> Value {
    let mut shown = match to_json(user) {
        Value::Object(members) => members,
        _ => Map::new(),
    };
    shown.retain(|name, _| !name.starts_with("ha1"));
    Value::Object(shown)
}

fn registration(binding: &Binding) -> Registration {
    Registration {
        id: binding.id(),
        contact: binding.contact.to_string(),
        q: binding.q.map_or(1.0, registrar::Q::as_f64),
        expires_at: binding.expires.to_rfc3339(),
        refreshed_at: binding.refreshed.to_rfc3339(),
        transport: binding.flow.transport.uri_name().to_owned(),
        source: binding.flow.remote.to_string(),
        path: binding.path.clone(),
        instance: binding.instance.clone(),
        reg_id: binding.reg_id,
        user_agent: binding.user_agent.clone(),
    }
}

fn checked(written: Written, realm: &str, before: Option<&User>) -> Result<User, AdminError> {
    let one_of = |field: &str, value: Option<String>, allowed: &[&'static str]| -> Result<String, AdminError> {
        let value = value.unwrap_or_else(|| allowed.first().copied().unwrap_or_default().to_owned());
        match allowed.contains(&value.as_str()) {
            true => Ok(value),
            false => Err(invalid(field, format!("{value:?} is not one of {}", allowed.join(", ")))),
        }
    };
    let (ha1_md5, ha1_sha256) = match (&written.password, &written.ha1) {
        (Some(_), Some(_)) => return Err(invalid("ha1", "give the password or its HA1s, not both".to_owned())),
        (Some(password), None) => {
            if password.is_empty() || password.len() > 256 || !is_one_line(password) {
                return Err(invalid("password", "1 to 256 bytes without control characters are possible".to_owned()));
            }
            let secret = Secret::of_password(&written.name, realm, password);
            (secret.md5, secret.sha256)
        }
        (None, Some(given)) => {
            let hex = |field: &str, value: &Option<String>, digits: usize| match value {
                None => Ok(None),
                Some(text) if text.len() == digits && text.bytes().all(|b| b.is_ascii_hexdigit()) => {
                    Ok(Some(text.to_ascii_lowercase()))
                }
                Some(_) => {
                    Err(invalid(field, format!("{digits} hexadecimal digits of name:{realm}:password are needed")))
                }
            };
            let both = (hex("ha1.md5", &given.md5, 32)?, hex("ha1.sha256", &given.sha256, 64)?);
            if both == (None, None) {
                return Err(invalid("ha1", "md5 or sha256 is needed, and both are better".to_owned()));
            }
            both
        }
        (None, None) => match before.filter(|before| before.realm == realm) {
            Some(before) => (before.ha1_md5.clone(), before.ha1_sha256.clone()),
            None => return Err(invalid("password", format!("a password, or its HA1s for realm {realm:?}, is needed"))),
        },
    };
    let max_contacts = written.max_contacts.unwrap_or(MAX_CONTACTS as u32);
    if !(1..=MOST_CONTACTS).contains(&max_contacts) {
        return Err(invalid("maxContacts", format!("{max_contacts} is not 1 to {MOST_CONTACTS}")));
    }
    let display_name = written.display_name.filter(|name| !name.is_empty());
    if display_name.as_ref().is_some_and(|name| name.len() > 256 || !is_one_line(name)) {
        return Err(invalid("displayName", "at most 256 bytes without control characters are possible".to_owned()));
    }
    if written.numbers.len() > MAX_NUMBERS {
        return Err(invalid("numbers", format!("at most {MAX_NUMBERS} are possible")));
    }
    let mut numbers = Vec::new();
    for (at, text) in written.numbers.iter().enumerate() {
        let number = normalise(text);
        let digits = number.strip_prefix('+').unwrap_or(&number);
        if digits.is_empty() || digits.len() > 32 || !digits.bytes().all(|b| b.is_ascii_digit() || b"*#".contains(&b)) {
            let problem = format!("{text:?} is not a number; write +15551230001, or an extension such as 7042");
            return Err(invalid(&format!("numbers[{at}]"), problem));
        }
        if !numbers.contains(&number) {
            numbers.push(number);
        }
    }
    Ok(User {
        forking: one_of("forking", written.forking, &["parallel", "sequential"])?,
        srtp: match written.srtp {
            Some(text) => Some(text.parse().map(|_: SrtpPolicy| text).map_err(|problem| invalid("srtp", problem))?),
            None => None,
        },
        name: written.name,
        realm: realm.to_owned(),
        ha1_md5,
        ha1_sha256,
        display_name,
        numbers,
        max_contacts,
        disabled: written.disabled,
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::engine::encryption::of_user;

    fn read(document: Value, before: Option<&User>) -> Result<User, AdminError> {
        checked(serde_json::from_value(document).unwrap(), "strowger", before)
    }

    #[test]
    fn a_password_comes_in_and_ha1s_are_kept() {
        let user =
            read(json!({"name": "alice", "password": "wonder", "numbers": ["tel:+1-555-123-0001", "7042"]}), None)
                .unwrap();
        let secret = Secret::of_password("alice", "strowger", "wonder");
        assert_eq!((user.ha1_md5.clone(), user.ha1_sha256.clone()), (secret.md5.clone(), secret.sha256.clone()));
        assert_eq!(user.numbers, ["+15551230001", "7042"]);
        assert_eq!((user.max_contacts, user.forking.as_str(), &user.srtp), (10, "parallel", &None));
        let kept = serde_json::to_string(&user).unwrap() + &format!("{user:?}");
        assert!(!kept.contains("wonder"), "{kept}");
        let shown = shown(&user).to_string();
        assert!(!shown.to_lowercase().contains("ha1") && !shown.contains(&secret.md5.unwrap()), "{shown}");
        assert_eq!(
            serde_json::from_value::<Written>(super::shown(&user)).map(|w| w.name).unwrap(),
            "alice",
            "round trip"
        );
        for policy in [SrtpPolicy::Off, SrtpPolicy::Offered, SrtpPolicy::Required] {
            let user = read(json!({"name": "bob", "password": "x", "srtp": policy.name()}), None).unwrap();
            assert_eq!(of_user(&user), Some(policy), "off is a word, not its absence");
            assert_eq!(of_user(&serde_json::from_value(to_json(&user)).unwrap()), Some(policy));
        }
        // What is shown can be put back, and the secret stays.
        let again = read(super::shown(&user), Some(&user)).unwrap();
        assert_eq!(again, user);
        let (known, aliases) = access(&HashMap::from([("alice".to_owned(), user.clone())]), "strowger");
        assert!(!known["alice"].secret.is_empty() && aliases["7042"] == "alice");
        let (elsewhere, _) = access(&HashMap::from([("alice".to_owned(), user)]), "other");
        assert!(elsewhere["alice"].secret.is_empty(), "HA1s are bound to their realm");
    }

    #[test]
    fn what_is_wrong_is_named() {
        for (document, field) in [
            (json!({"name": "a"}), "password"),
            (json!({"name": "a", "password": ""}), "password"),
            (json!({"name": "a", "password": "x\ny"}), "password"),
            (json!({"name": "a", "password": "x", "ha1": {"md5": "0"}}), "ha1"),
            (json!({"name": "a", "ha1": {}}), "ha1"),
            (json!({"name": "a", "ha1": {"md5": "xyz"}}), "ha1.md5"),
            (json!({"name": "a", "ha1": {"sha256": "00"}}), "ha1.sha256"),
            (json!({"name": "a", "password": "x", "maxContacts": 0}), "maxContacts"),
            (json!({"name": "a", "password": "x", "maxContacts": 101}), "maxContacts"),
            (json!({"name": "a", "password": "x", "numbers": ["+1", "bob"]}), "numbers[1]"),
            (json!({"name": "a", "password": "x", "forking": "loud"}), "forking"),
            (json!({"name": "a", "password": "x", "srtp": "maybe"}), "srtp"),
            (json!({"name": "a", "password": "x", "displayName": "a\r\nVia: x"}), "displayName"),
        ] {
            match read(document.clone(), None) {
                Err(AdminError::Invalid(problems)) => assert_eq!(problems[0].field, field, "{document}"),
                other => panic!("{document}: {other:?}"),
            }
        }
    }
}
