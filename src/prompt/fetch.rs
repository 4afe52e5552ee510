//! Fetching a prompt over http(s): bounded in size, in time and in redirects. Every hop is checked anew, and the check
//! of the address is made on the very addresses that are connected to, so a name that resolves to one thing when it is
//! looked at and to another when it is used gets nowhere. Decoding is `decode`'s, caching is the room's front.

use std::error::Error as StdError;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use bytes::Bytes;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use reqwest::header::LOCATION;
use reqwest::redirect::Policy;
use reqwest::{Certificate, Client, Response, StatusCode};
use url::{Host, Url};

use super::PromptError;
use super::address::is_public;
use super::source::shown;

/// Idle connections kept for the next fetch from the same host.
const IDLE_PER_HOST: usize = 4;

/// Settings of fetching.
#[derive(Clone, Debug)]
pub struct FetchConfig {
    /// The longest one fetch may take, with all its redirects.
    pub timeout: Duration,
    /// The longest connecting (TCP and TLS) may take.
    pub connect_timeout: Duration,
    /// The most redirects that are followed.
    pub max_redirects: usize,
    /// May prompts come from private, loopback, link-local and other special addresses?
    pub allow_private: bool,
    /// Certificate authorities that are trusted besides the system's, PEM; empty: none.
    pub extra_authorities: Vec<u8>,
}

impl Default for FetchConfig {
    fn default() -> Self {
        FetchConfig {
            timeout: Duration::from_secs(15),
            connect_timeout: Duration::from_secs(5),
            max_redirects: 5,
            allow_private: false,
            extra_authorities: Vec::new(),
        }
    }
}

/// Fetches prompts.
pub struct Fetcher {
    config: FetchConfig,
    max_bytes: usize,
    resolver: Arc<dyn Resolve>,
    /// Built on first use, so that an engine that fetches nothing needs no certificates on the system.
    client: OnceLock<Result<Client, String>>,
}

impl Fetcher {
    /// A fetcher of files of at most `max_bytes`. Names are resolved as the operating system does it.
    pub fn new(config: FetchConfig, max_bytes: usize) -> Self {
        Fetcher::with_resolver(config, max_bytes, Arc::new(SystemResolver))
    }

    /// The same with another way to resolve names; the check of the addresses stays.
    pub fn with_resolver(config: FetchConfig, max_bytes: usize, resolver: Arc<dyn Resolve>) -> Self {
        Fetcher { config, max_bytes, resolver, client: OnceLock::new() }
    }

    /// Fetches `url` whole.
    pub async fn fetch(&self, url: &Url) -> Result<Bytes, PromptError> {
        match tokio::time::timeout(self.config.timeout, self.follow(url)).await {
            Ok(outcome) => outcome,
            Err(_) => Err(PromptError::Timeout { place: shown(url), seconds: self.config.timeout.as_secs() }),
        }
    }

    async fn follow(&self, first: &Url) -> Result<Bytes, PromptError> {
        let mut url = first.clone();
        for _ in 0..=self.config.max_redirects {
            let response = self.get(&url).await?;
            let status = response.status();
            if status == StatusCode::OK {
                return self.read(&url, response).await;
            }
            match redirect(&url, &response)? {
                Some(next) => url = next,
                None => return Err(PromptError::Status { place: shown(&url), status: status.as_u16() }),
            }
        }
        Err(PromptError::Redirects { place: shown(first), limit: self.config.max_redirects })
    }

    async fn get(&self, url: &Url) -> Result<Response, PromptError> {
        // Literal addresses pass no resolver.
        let literal = match url.host() {
            Some(Host::Ipv4(v4)) => Some(IpAddr::V4(v4)),
            Some(Host::Ipv6(v6)) => Some(IpAddr::V6(v6)),
            Some(Host::Domain(_)) | None => None,
        };
        if let Some(address) = literal.filter(|address| !self.config.allow_private && !is_public(*address)) {
            return Err(PromptError::PrivateAddress { place: shown(url), address });
        }
        let client = self
            .client
            .get_or_init(|| self.build())
            .as_ref()
            .map_err(|problem| PromptError::Fetch { place: shown(url), problem: problem.clone() })?;
        client.get(url.clone()).send().await.map_err(|e| self.explain(url, &e))
    }

    async fn read(&self, url: &Url, mut response: Response) -> Result<Bytes, PromptError> {
        let too_big = || PromptError::TooBig { place: shown(url), limit: self.max_bytes };
        let announced = response.content_length().unwrap_or(0);
        if announced > self.max_bytes as u64 {
            return Err(too_big());
        }
        let mut audio: Vec<u8> = Vec::new();
        while let Some(piece) = response.chunk().await.map_err(|e| self.explain(url, &e))? {
            if audio.len() + piece.len() > self.max_bytes {
                return Err(too_big());
            }
            audio.extend_from_slice(&piece);
        }
        Ok(audio.into())
    }

    fn build(&self) -> Result<Client, String> {
        // The process may have chosen a provider already; any will do.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let addresses = CheckedResolver { inner: self.resolver.clone(), allow_private: self.config.allow_private };
        let mut builder = Client::builder()
            .user_agent(concat!("strowger/", env!("CARGO_PKG_VERSION")))
            .redirect(Policy::none())
            // A proxy would resolve and connect in our place, past the check.
            .no_proxy()
            .referer(false)
            .dns_resolver(addresses)
            .connect_timeout(self.config.connect_timeout)
            .pool_max_idle_per_host(IDLE_PER_HOST);
        if !self.config.extra_authorities.is_empty() {
            let more = Certificate::from_pem_bundle(&self.config.extra_authorities)
                .map_err(|e| format!("the extra certificate authorities cannot be read ({})", causes(&e)))?;
            builder = builder.tls_certs_merge(more);
        }
        builder.build().map_err(|e| format!("TLS cannot be set up ({})", causes(&e)))
    }

    fn explain(&self, url: &Url, error: &reqwest::Error) -> PromptError {
        let mut cause: Option<&(dyn StdError + 'static)> = Some(error);
        while let Some(e) = cause {
            if let Some(private) = e.downcast_ref::<Private>() {
                return PromptError::PrivateAddress { place: shown(url), address: private.0 };
            }
            cause = e.source();
        }
        if error.is_timeout() {
            return PromptError::Timeout { place: shown(url), seconds: self.config.connect_timeout.as_secs() };
        }
        PromptError::Fetch { place: shown(url), problem: causes(error) }
    }
}

/// Where a response redirects to; none: it is no redirect.
fn redirect(url: &Url, response: &Response) -> Result<Option<Url>, PromptError> {
    if !matches!(response.status().as_u16(), 301 | 302 | 303 | 307 | 308) {
        return Ok(None);
    }
    let Some(location) = response.headers().get(LOCATION) else { return Ok(None) };
    let bad = |problem: &str| PromptError::Fetch { place: shown(url), problem: problem.to_owned() };
    let location = location.to_str().map_err(|_| bad("it redirects to something that is not a URL"))?;
    let next = url.join(location).map_err(|_| bad("it redirects to something that is not a URL"))?;
    if !matches!(next.scheme(), "http" | "https") {
        return Err(bad(&format!("it redirects to {}:, which is not fetched", next.scheme())));
    }
    Ok(Some(next))
}

/// The causes of an error in one line, without the URL (it may hold secrets).
fn causes(error: &reqwest::Error) -> String {
    let mut said: Vec<String> = Vec::new();
    let mut cause = error.source();
    while let Some(e) = cause {
        let text = e.to_string();
        if said.last() != Some(&text) {
            said.push(text);
        }
        cause = e.source();
    }
    if said.is_empty() { "the connection broke".to_owned() } else { said.join(": ") }
}

/// A name that leads to none but special addresses; one of them.
#[derive(Debug, thiserror::Error)]
#[error("{0} is a private or special address")]
struct Private(IpAddr);

/// Resolves, and lets only allowed addresses through to the connection.
struct CheckedResolver {
    inner: Arc<dyn Resolve>,
    allow_private: bool,
}

impl Resolve for CheckedResolver {
    fn resolve(&self, name: Name) -> Resolving {
        let (found, allow_private) = (self.inner.resolve(name), self.allow_private);
        Box::pin(async move {
            let found: Vec<SocketAddr> = found.await?.collect();
            if allow_private {
                return Ok(Box::new(found.into_iter()) as Addrs);
            }
            let (public, refused): (Vec<SocketAddr>, Vec<SocketAddr>) =
                found.into_iter().partition(|address| is_public(address.ip()));
            match refused.first() {
                Some(address) if public.is_empty() => Err(Private(address.ip()).into()),
                _ => Ok(Box::new(public.into_iter()) as Addrs),
            }
        })
    }
}

/// The operating system's resolver.
struct SystemResolver;

impl Resolve for SystemResolver {
    fn resolve(&self, name: Name) -> Resolving {
        Box::pin(async move {
            let found: Vec<SocketAddr> = tokio::net::lookup_host((name.as_str(), 0)).await?.collect();
            Ok(Box::new(found.into_iter()) as Addrs)
        })
    }
}

#[cfg(test)]
pub(super) mod tests;
