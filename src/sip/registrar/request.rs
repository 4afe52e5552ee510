//! What a REGISTER asks for (RFC 3261 §10.3 steps 6 and 7, RFC 3327 §5.3, RFC 5626 §6), read whole before anything is
//! changed.

use crate::sip::message::{Contacts, HeaderError, Headers, Name, NameAddr, Request, Uri};

use super::binding::Q;
use super::table::RegistrarLimits;

/// Contacts in one REGISTER; more are refused.
const MAX_IN_REQUEST: usize = 50;
/// Proxies on a path; more are refused.
const MAX_PATH: usize = 16;
/// The longest contact URI, instance or path entry that is kept, in bytes.
const MAX_KEPT: usize = 1_024;
/// The longest User-Agent that is kept, in bytes.
const MAX_PRODUCT: usize = 200;

/// Why a REGISTER is refused; nothing has changed then.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RegisterError {
    /// 400: something in it cannot be read.
    #[error("{0}")]
    Bad(String),
    /// 423: it wants to be bound for a shorter time than we take.
    #[error("Interval Too Brief")]
    TooBrief {
        /// Seconds, for Min-Expires.
        least: u32,
    },
    /// 500: it came before one that came before it (§10.3 step 7).
    #[error("Out Of Order")]
    OutOfOrder,
    /// 403: that would be more contacts than the user may have.
    #[error("Too Many Contacts")]
    TooMany,
    /// 503: that would be more than we keep.
    #[error("Registrar Full")]
    Full,
    /// 439: it asks for outbound through a proxy that knows nothing of it.
    #[error("First Hop Lacks Outbound Support")]
    NoOutbound,
}

impl RegisterError {
    /// The status that it is answered with.
    pub fn status(&self) -> u16 {
        match self {
            RegisterError::Bad(_) => 400,
            RegisterError::TooBrief { .. } => 423,
            RegisterError::OutOfOrder => 500,
            RegisterError::TooMany => 403,
            RegisterError::Full => 503,
            RegisterError::NoOutbound => 439,
        }
    }
}

impl From<HeaderError> for RegisterError {
    fn from(error: HeaderError) -> Self {
        RegisterError::Bad(error.reason())
    }
}

/// What the 200 says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Listing {
    /// All bindings there are now.
    pub contacts: Vec<NameAddr>,
    /// The path that was taken over, as it came.
    pub path: Vec<NameAddr>,
    /// Outbound was asked for and is done.
    pub outbound: bool,
    /// Anything changed.
    pub changed: bool,
}

/// What is wanted.
#[derive(Debug)]
pub(super) enum Wish {
    /// No Contact: say what there is.
    Fetch,
    /// `Contact: *`: remove all.
    RemoveAll,
    /// Add, refresh or remove these.
    Update(Vec<Update>),
}

/// One contact of a request.
#[derive(Debug)]
pub(super) struct Update {
    pub contact: Uri,
    pub q: Option<Q>,
    /// Seconds; 0: remove.
    pub expires: u32,
    pub instance: Option<String>,
    pub reg_id: Option<u32>,
}

/// A REGISTER that can be carried out.
#[derive(Debug)]
pub(super) struct Wanted {
    pub wish: Wish,
    pub call_id: String,
    pub cseq: u32,
    pub path: Vec<NameAddr>,
    pub outbound: bool,
    pub gruu: bool,
    pub user_agent: Option<String>,
}

impl Wanted {
    pub fn read(request: &Request, limits: &RegistrarLimits) -> Result<Wanted, RegisterError> {
        let headers = &request.headers;
        let supported = headers.supported()?;
        let required = headers.require()?;
        let says = |word: &str| supported.iter().chain(&required).any(|option| option.eq_ignore_ascii_case(word));
        let path = headers.list(Name::Path, NameAddr::parse)?;
        if path.len() > MAX_PATH || path.iter().any(|hop| hop.to_string().len() > MAX_KEPT) {
            return Err(RegisterError::Bad("Bad Path header: too long".to_owned()));
        }
        let by_proxy = headers.via()?.len() > 1;
        let (wish, outbound) = match headers.contacts()? {
            Contacts::Star if seconds(headers)? == Some(0) => (Wish::RemoveAll, false),
            Contacts::Star => return Err(RegisterError::Bad("Bad Contact header: * wants Expires: 0".to_owned())),
            Contacts::List(list) if list.is_empty() => (Wish::Fetch, false),
            Contacts::List(list) => {
                let updates = updates(&list, seconds(headers)?, says("outbound"), limits)?;
                let outbound = updates.iter().any(|update| update.reg_id.is_some());
                (Wish::Update(updates), outbound)
            }
        };
        // The last entry is the proxy next to the phone.
        if outbound && by_proxy && path.last().is_none_or(|first_hop| first_hop.uri.param("ob").is_none()) {
            return Err(RegisterError::NoOutbound);
        }
        let product = headers.text(&Name::UserAgent).map(|text| {
            let end = (0..=text.len().min(MAX_PRODUCT)).rev().find(|&at| text.is_char_boundary(at)).unwrap_or(0);
            text.get(..end).unwrap_or_default().to_owned()
        });
        Ok(Wanted {
            wish,
            call_id: headers.call_id()?,
            cseq: headers.cseq()?.number,
            path,
            outbound,
            gruu: says("gruu"),
            user_agent: product.filter(|text| !text.is_empty()),
        })
    }
}

/// Expires; what cannot be read counts as not there (§10.2.1.1: such values are equivalent to the default).
fn seconds(headers: &Headers) -> Result<Option<u32>, RegisterError> {
    Ok(headers.expires().ok().flatten())
}

fn updates(
    list: &[NameAddr],
    expires: Option<u32>,
    outbound: bool,
    limits: &RegistrarLimits,
) -> Result<Vec<Update>, RegisterError> {
    let bad = |what: &str| RegisterError::Bad(format!("Bad Contact header: {what}"));
    if list.len() > MAX_IN_REQUEST {
        return Err(bad("too many"));
    }
    let mut updates = Vec::with_capacity(list.len());
    for contact in list {
        let text = contact.uri.to_string();
        if contact.uri.as_sip().is_none() {
            return Err(bad("not a SIP address"));
        }
        let instance = contact.params.get("+sip.instance").filter(|instance| !instance.is_empty());
        if text.len() > MAX_KEPT || instance.is_some_and(|i| i.len() > MAX_KEPT || i.contains(char::is_control)) {
            return Err(bad("too long"));
        }
        let q = contact.params.get("q").map(|q| Q::parse(q).ok_or_else(|| bad("q is not 0 to 1"))).transpose()?;
        let own = contact.params.get("expires").map(|text| text.parse::<u32>().unwrap_or(limits.default));
        let wanted = own.or(expires).unwrap_or(limits.default);
        // Less than we take is refused, more is cut (§10.3 step 7).
        if wanted > 0 && wanted < limits.least {
            return Err(RegisterError::TooBrief { least: limits.least });
        }
        let reg_id = match contact.params.get("reg-id").filter(|_| outbound && instance.is_some()) {
            None => None,
            Some(text) => {
                let number = text.parse::<u32>().ok().filter(|number| (1..1 << 31).contains(number));
                Some(number.ok_or_else(|| bad("reg-id is not a number above 0"))?)
            }
        };
        updates.push(Update {
            contact: contact.uri.clone(),
            q,
            expires: wanted.min(limits.most),
            instance: instance.map(str::to_owned),
            reg_id,
        });
    }
    // RFC 5626 §4.2.1: one flow a request.
    if updates.iter().filter(|update| update.reg_id.is_some() && update.expires > 0).count() > 1 {
        return Err(bad("more than one with a reg-id"));
    }
    Ok(updates)
}
