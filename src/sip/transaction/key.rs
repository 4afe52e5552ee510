//! How messages find their transaction (RFC 3261 §17.1.3, §17.2.3, §8.2.2.2).

use crate::sip::message::{HeaderError, Method, Request, Response, Via};

/// Names a server transaction. For peers of RFC 2543's time, whose branches are not unique, the branch holds all that
/// §17.2.3 compares instead.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ServerKey {
    branch: String,
    sent_by: String,
    /// ACK counts as INVITE.
    method: Method,
}

impl ServerKey {
    /// The transaction that a request begins, repeats or (ACK) ends.
    pub fn of(request: &Request, via: &Via) -> Result<Self, HeaderError> {
        let method = match &request.method {
            Method::Ack => Method::Invite,
            other => other.clone(),
        };
        Self::with_method(request, via, method)
    }

    /// The INVITE transaction that a CANCEL means.
    pub fn cancelled_by(request: &Request, via: &Via) -> Result<Self, HeaderError> {
        Self::with_method(request, via, Method::Invite)
    }

    fn with_method(request: &Request, via: &Via, method: Method) -> Result<Self, HeaderError> {
        let sent_by = format!("{}:{}", via.host, via.sent_by_port());
        let branch = match via.unique_branch() {
            Some(branch) => branch.to_ascii_lowercase(),
            None => format!(
                "rfc2543 {} {} {} {} {}",
                request.uri,
                request.headers.from()?.tag().unwrap_or_default(),
                request.headers.call_id()?,
                request.headers.cseq()?.number,
                via.branch().unwrap_or_default(),
            ),
        };
        Ok(ServerKey { branch, sent_by, method })
    }
}

/// Names a client transaction: our branch, which nobody can guess, and the method (a CANCEL shares its INVITE's branch).
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ClientKey {
    branch: String,
    method: Method,
}

impl ClientKey {
    /// The transaction of a request of ours.
    pub fn new(branch: &str, method: &Method) -> Self {
        ClientKey { branch: branch.to_owned(), method: method.clone() }
    }

    /// Our branch.
    pub fn branch(&self) -> &str {
        &self.branch
    }

    /// The transaction that a response answers.
    pub fn of(response: &Response, via: &Via) -> Result<Option<Self>, HeaderError> {
        let method = response.headers.cseq()?.method;
        Ok(via.branch().map(|branch| ClientKey { branch: branch.to_owned(), method }))
    }
}

/// Tells the same request that came by two ways (RFC 3261 §8.2.2.2).
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct MergeKey {
    call_id: String,
    from_tag: String,
    number: u32,
}

impl MergeKey {
    /// Of an INVITE without a tag in To.
    pub fn of(request: &Request) -> Result<Self, HeaderError> {
        Ok(MergeKey {
            call_id: request.headers.call_id()?,
            from_tag: request.headers.from()?.tag().unwrap_or_default().to_owned(),
            number: request.headers.cseq()?.number,
        })
    }
}
