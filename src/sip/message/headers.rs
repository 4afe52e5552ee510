//! The ordered list of header fields of a message (RFC 3261 §7.3): names without case, compact names equal to the
//! long ones, values as the bytes that came. What a value means is `typed`'s.

use std::borrow::Cow;
use std::fmt;
use std::hash::{Hash, Hasher};

use super::error::BuildError;
use super::{MAX_LINE, lex};

macro_rules! names {
    ($($variant:ident $text:literal $($compact:literal)?;)*) => {
        /// A header field name. Two names are equal without regard to case, and a compact name is the long one.
        #[derive(Clone, Debug)]
        pub enum Name {
            $(#[doc = $text] $variant,)*
            /// A name that is none of the above, spelled as it came. Made by [`Name::parse`] only.
            Other(OtherName),
        }

        const KNOWN: &[(&str, Option<u8>, Name)] = &[$(($text, names!(@compact $($compact)?), Name::$variant),)*];

        impl Name {
            /// The long name, spelled as the RFC does (or as it came, for others).
            pub fn as_str(&self) -> &str {
                match self {
                    $(Name::$variant => $text,)*
                    Name::Other(name) => &name.0,
                }
            }
        }
    };
    (@compact $compact:literal) => { Some($compact) };
    (@compact) => { None };
}

names! {
    Accept "Accept";
    AcceptContact "Accept-Contact" b'a';
    AcceptEncoding "Accept-Encoding";
    AcceptLanguage "Accept-Language";
    AlertInfo "Alert-Info";
    Allow "Allow";
    AllowEvents "Allow-Events" b'u';
    AuthenticationInfo "Authentication-Info";
    Authorization "Authorization";
    CallId "Call-ID" b'i';
    CallInfo "Call-Info";
    Contact "Contact" b'm';
    ContentDisposition "Content-Disposition";
    ContentEncoding "Content-Encoding" b'e';
    ContentLanguage "Content-Language";
    ContentLength "Content-Length" b'l';
    ContentType "Content-Type" b'c';
    CSeq "CSeq";
    Date "Date";
    Diversion "Diversion";
    ErrorInfo "Error-Info";
    Event "Event" b'o';
    Expires "Expires";
    From "From" b'f';
    HistoryInfo "History-Info";
    Identity "Identity" b'y';
    InfoPackage "Info-Package";
    InReplyTo "In-Reply-To";
    MaxForwards "Max-Forwards";
    MimeVersion "MIME-Version";
    MinExpires "Min-Expires";
    MinSe "Min-SE";
    Organization "Organization";
    PAssertedIdentity "P-Asserted-Identity";
    PPreferredIdentity "P-Preferred-Identity";
    Path "Path";
    Priority "Priority";
    Privacy "Privacy";
    ProxyAuthenticate "Proxy-Authenticate";
    ProxyAuthorization "Proxy-Authorization";
    ProxyRequire "Proxy-Require";
    RAck "RAck";
    Reason "Reason";
    RecordRoute "Record-Route";
    RecvInfo "Recv-Info";
    ReferSub "Refer-Sub";
    ReferTo "Refer-To" b'r';
    ReferredBy "Referred-By" b'b';
    RejectContact "Reject-Contact" b'j';
    RemotePartyId "Remote-Party-ID";
    Replaces "Replaces";
    ReplyTo "Reply-To";
    RequestDisposition "Request-Disposition" b'd';
    Require "Require";
    RetryAfter "Retry-After";
    Route "Route";
    RSeq "RSeq";
    Server "Server";
    ServiceRoute "Service-Route";
    SessionExpires "Session-Expires" b'x';
    Subject "Subject" b's';
    SubscriptionState "Subscription-State";
    Supported "Supported" b'k';
    Timestamp "Timestamp";
    To "To" b't';
    Unsupported "Unsupported";
    UserAgent "User-Agent";
    Via "Via" b'v';
    Warning "Warning";
    WwwAuthenticate "WWW-Authenticate";
}

/// The spelling of a header name that this engine does not know.
#[derive(Clone, Debug)]
pub struct OtherName(Box<str>);

impl Name {
    /// Reads a header name, long or compact; `None` where it is not a token.
    pub fn parse(bytes: &[u8]) -> Option<Name> {
        if let [one] = bytes {
            let one = one.to_ascii_lowercase();
            if let Some((_, _, name)) = KNOWN.iter().find(|(_, compact, _)| *compact == Some(one)) {
                return Some(name.clone());
            }
        }
        if let Some((_, _, name)) = KNOWN.iter().find(|(text, _, _)| text.as_bytes().eq_ignore_ascii_case(bytes)) {
            return Some(name.clone());
        }
        if !lex::is_token(bytes) {
            return None;
        }
        Some(Name::Other(OtherName(std::str::from_utf8(bytes).ok()?.into())))
    }
}

impl PartialEq for Name {
    fn eq(&self, other: &Name) -> bool {
        match (self, other) {
            (Name::Other(a), Name::Other(b)) => a.0.eq_ignore_ascii_case(&b.0),
            _ => std::mem::discriminant(self) == std::mem::discriminant(other),
        }
    }
}

impl Eq for Name {}

impl Hash for Name {
    fn hash<H: Hasher>(&self, state: &mut H) {
        std::mem::discriminant(self).hash(state);
        if let Name::Other(name) = self {
            name.0.to_ascii_lowercase().hash(state);
        }
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl std::str::FromStr for Name {
    type Err = BuildError;
    fn from_str(text: &str) -> Result<Self, BuildError> {
        Name::parse(text.as_bytes()).ok_or(BuildError::NotAToken)
    }
}

/// One header field: a name and the value as it came, unfolded and without the white space around it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Header {
    name: Name,
    value: Box<[u8]>,
}

impl Header {
    pub fn name(&self) -> &Name {
        &self.name
    }

    /// The value's bytes; they need not be UTF-8. Never holds CR or LF.
    pub fn value(&self) -> &[u8] {
        &self.value
    }

    /// The value as text; bytes that are not UTF-8 are taken for Latin-1.
    pub fn text(&self) -> Cow<'_, str> {
        lex::text(&self.value)
    }
}

/// A value that writes itself safely: whatever its fields hold, it cannot bring in a line end.
pub trait HeaderValue {
    /// The value as it stands on the wire.
    fn header_value(&self) -> String;
}

impl HeaderValue for u32 {
    fn header_value(&self) -> String {
        self.to_string()
    }
}

impl HeaderValue for super::Method {
    fn header_value(&self) -> String {
        self.as_str().to_owned()
    }
}

/// Constant text. Its line ends, if a programmer left some in, become spaces.
impl HeaderValue for &'static str {
    fn header_value(&self) -> String {
        (*self).to_owned()
    }
}

/// Header fields in the order of the message.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Headers {
    list: Vec<Header>,
}

impl Headers {
    pub fn new() -> Self {
        Headers::default()
    }

    /// The first value of that name.
    pub fn get(&self, name: &Name) -> Option<&[u8]> {
        self.list.iter().find(|h| h.name == *name).map(Header::value)
    }

    /// The first value of that name as text; bytes that are not UTF-8 are taken for Latin-1.
    pub fn text(&self, name: &Name) -> Option<Cow<'_, str>> {
        self.get(name).map(lex::text)
    }

    /// All values of that name, one for each line (a line may hold several, separated by commas).
    pub fn get_all<'a>(&'a self, name: &'a Name) -> impl Iterator<Item = &'a [u8]> {
        self.list.iter().filter(move |h| h.name == *name).map(Header::value)
    }

    /// Is there such a header?
    pub fn contains(&self, name: &Name) -> bool {
        self.get(name).is_some()
    }

    /// All header fields in order.
    pub fn iter(&self) -> impl Iterator<Item = &Header> {
        self.list.iter()
    }

    /// The number of header fields (lines).
    pub fn len(&self) -> usize {
        self.list.len()
    }

    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// Adds a header at the end. Refused: control characters (but tab), values over [`MAX_LINE`] bytes.
    pub fn push(&mut self, name: Name, value: impl AsRef<[u8]>) -> Result<(), BuildError> {
        let value = checked(value.as_ref())?;
        self.list.push(Header { name, value });
        Ok(())
    }

    /// Adds a header before all others. Refused as by [`Headers::push`].
    pub fn insert_first(&mut self, name: Name, value: impl AsRef<[u8]>) -> Result<(), BuildError> {
        let value = checked(value.as_ref())?;
        self.list.insert(0, Header { name, value });
        Ok(())
    }

    /// Replaces all headers of that name by one, at the place of the first (or at the end). Refused as by
    /// [`Headers::push`].
    pub fn set(&mut self, name: Name, value: impl AsRef<[u8]>) -> Result<(), BuildError> {
        let value = checked(value.as_ref())?;
        self.replace(name, value);
        Ok(())
    }

    /// Adds a typed value at the end; cannot fail, since such values write themselves safely.
    pub fn push_value(&mut self, name: Name, value: &impl HeaderValue) {
        self.list.push(Header { name, value: safe(value.header_value()) });
    }

    /// Adds a typed value before all other headers (a Via on the way out).
    pub fn insert_first_value(&mut self, name: Name, value: &impl HeaderValue) {
        self.list.insert(0, Header { name, value: safe(value.header_value()) });
    }

    /// Replaces all headers of that name by one typed value.
    pub fn set_value(&mut self, name: Name, value: &impl HeaderValue) {
        self.replace(name, safe(value.header_value()));
    }

    /// Adds copies of all headers of that name, byte for byte, at the end.
    pub fn copy_all(&mut self, name: &Name, from: &Headers) {
        self.list.extend(from.list.iter().filter(|h| h.name == *name).cloned());
    }

    /// Removes all headers of that name; how many there were.
    pub fn remove(&mut self, name: &Name) -> usize {
        let before = self.list.len();
        self.list.retain(|h| h.name != *name);
        before - self.list.len()
    }

    fn replace(&mut self, name: Name, value: Box<[u8]>) {
        match self.list.iter().position(|h| h.name == name) {
            Some(at) => {
                let mut index = 0;
                self.list.retain(|h| {
                    let keep = index <= at || h.name != name;
                    index += 1;
                    keep
                });
                if let Some(header) = self.list.get_mut(at) {
                    header.value = value;
                }
            }
            None => self.list.push(Header { name, value }),
        }
    }

    /// For the parser and the typed editors of this room: the value has been checked for CR and LF by them.
    pub(super) fn push_raw(&mut self, name: Name, value: Box<[u8]>) {
        self.list.push(Header { name, value });
    }

    /// Replaces the value of the first header of that name, byte for byte.
    pub(super) fn set_first_raw(&mut self, name: &Name, value: Box<[u8]>) {
        if let Some(header) = self.list.iter_mut().find(|h| h.name == *name) {
            header.value = value;
        }
    }

    pub(super) fn remove_first(&mut self, name: &Name) {
        if let Some(at) = self.list.iter().position(|h| h.name == *name) {
            self.list.remove(at);
        }
    }

    pub(super) fn write(&self, out: &mut Vec<u8>) {
        for header in &self.list {
            if header.name == Name::ContentLength {
                continue; // written last, from the body that is really there
            }
            out.extend_from_slice(header.name.as_str().as_bytes());
            out.extend_from_slice(b": ");
            out.extend_from_slice(&header.value);
            out.extend_from_slice(b"\r\n");
        }
    }
}

fn checked(value: &[u8]) -> Result<Box<[u8]>, BuildError> {
    if value.len() > MAX_LINE {
        return Err(BuildError::TooLong);
    }
    if value.iter().any(|&b| (b < 0x20 && b != b'\t') || b == 0x7f) {
        return Err(BuildError::ControlCharacter);
    }
    Ok(lex::trim(value).into())
}

/// Line ends and other control characters (but tab) become spaces: no reader must see another header in it.
fn safe(value: String) -> Box<[u8]> {
    let mut bytes = value.into_bytes();
    for byte in &mut bytes {
        if (*byte < b' ' && *byte != b'\t') || *byte == 0x7f {
            *byte = b' ';
        }
    }
    bytes.into()
}
