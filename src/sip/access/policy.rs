//! The snapshot: trunks, users and how much must be proved. It is built anew whenever one of them changes, and shared.

use std::collections::HashMap;
use std::net::IpAddr;

use ipnet::IpNet;

use crate::sip::digest::{Algorithm, Secret};
use crate::sip::message::{Host, Uri};
use crate::sip::registrar::RegistrarLimits;

/// Contacts that one user may register, where nothing else is said.
pub const MAX_CONTACTS: usize = 10;

/// What the door goes by.
#[derive(Clone, Debug)]
pub struct Policy {
    /// The realm of our challenges; the HA1s are bound to it.
    pub realm: String,
    /// What we ask for, in this order. Some phones that know only MD5 give up over a challenge that they do not know.
    pub algorithms: Vec<Algorithm>,
    /// Hosts that are ours in a URI; a realm that is a host name is one of them.
    pub hosts: Vec<Host>,
    /// The ports that SIP listens on: an address of ours with another port is somebody else on the same machine. None:
    /// all ports are ours.
    pub ports: Vec<u16>,
    /// Who must prove who it is.
    pub authenticate: Authenticate,
    /// Trunks, in the order in which they are compared.
    pub trunks: Vec<TrunkAccess>,
    /// Users by name.
    pub users: HashMap<String, UserAccess>,
    /// A user's other addresses (numbers, extensions) → his name.
    pub aliases: HashMap<String, String>,
    /// How much may be registered, and for how long.
    pub registrar: RegistrarLimits,
}

impl Default for Policy {
    /// Nobody is known, nobody is asked.
    fn default() -> Self {
        Policy {
            realm: "strowger".to_owned(),
            algorithms: Algorithm::ALL.to_vec(),
            hosts: Vec::new(),
            ports: Vec::new(),
            authenticate: Authenticate::Users,
            trunks: Vec::new(),
            users: HashMap::new(),
            aliases: HashMap::new(),
            registrar: RegistrarLimits::default(),
        }
    }
}

/// Whose INVITE (or other request outside a dialog) is challenged. REGISTER always is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Authenticate {
    /// Whoever claims to be one of our users; strangers go on as strangers.
    #[default]
    Users,
    /// Everybody but trunks.
    All,
}

/// How a trunk is recognised: any one of these is enough.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TrunkAccess {
    /// Its name.
    pub name: String,
    /// Addresses that it sends from.
    pub networks: Vec<IpNet>,
    /// Names in its TLS client certificate (DNS or URI SANs), compared without case.
    pub certificate_names: Vec<String>,
    /// Credentials that it sends when challenged.
    pub digest: Option<TrunkDigest>,
}

/// A trunk's credentials.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TrunkDigest {
    /// Its user name; no user has the same.
    pub username: String,
    /// Its password's HA1s.
    pub secret: Secret,
}

/// A user as the door sees him.
#[derive(Clone, Debug, Default)]
pub struct UserAccess {
    /// His name, which is his digest user name and the user part of his address.
    pub name: String,
    /// His password's HA1s.
    pub secret: Secret,
    /// Neither registers nor calls; his registrations are gone.
    pub disabled: bool,
    /// Contacts that he may have registered at once.
    pub max_contacts: usize,
    /// In which order his devices ring.
    pub forking: Forking,
}

/// In which order a user's devices ring.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Forking {
    /// All at once.
    #[default]
    Parallel,
    /// The most wanted (by q) first, then the next; those of the same q together.
    Sequential,
}

impl Policy {
    /// Is that host ours?
    pub fn is_ours(&self, host: &Host) -> bool {
        self.hosts.contains(host)
    }

    /// Is that host with that port (none: none is written) ours?
    pub fn is_here(&self, host: &Host, port: Option<u16>) -> bool {
        self.is_ours(host) && port.is_none_or(|port| self.ports.is_empty() || self.ports.contains(&port))
    }

    /// The user whose address this is: his name or an alias, at a host of ours; or his number as a `tel` URI.
    pub fn user_at(&self, uri: &Uri) -> Option<&UserAccess> {
        match uri {
            Uri::Sip(sip) if self.is_here(sip.host(), sip.port()) => self.user_called(&sip.user_without_params()?),
            Uri::Tel(tel) => self.user_called(tel.number()),
            _ => None,
        }
    }

    /// The user whose name, number or extension stands in a URI, whatever its domain.
    pub fn user_named(&self, uri: &Uri) -> Option<&UserAccess> {
        match uri {
            Uri::Sip(sip) => self.user_called(&sip.user_without_params()?),
            Uri::Tel(tel) => self.user_called(tel.number()),
            Uri::Other(_) => None,
        }
    }

    /// The user of this name, number or extension (visual separators in numbers do not count).
    pub fn user_called(&self, text: &str) -> Option<&UserAccess> {
        self.users.get(text).or_else(|| {
            let plain: String = text.chars().filter(|c| !matches!(c, '-' | '.' | '(' | ')' | ' ')).collect();
            self.users.get(self.aliases.get(&plain)?)
        })
    }

    /// The first trunk that sends from this address.
    pub fn trunk_from(&self, source: IpAddr) -> Option<&TrunkAccess> {
        let source = source.to_canonical();
        self.trunks.iter().find(|trunk| trunk.networks.iter().any(|network| network.contains(&source)))
    }

    /// The first trunk that has one of these names in its certificate.
    pub fn trunk_certified(&self, names: &[String]) -> Option<&TrunkAccess> {
        let known = |trunk: &&TrunkAccess| {
            trunk.certificate_names.iter().any(|wanted| names.iter().any(|name| name.eq_ignore_ascii_case(wanted)))
        };
        self.trunks.iter().find(known)
    }
}
