//! SIP over WebSocket (RFC 7118): the handshake with its subprotocol and origin, one message a frame. Framing itself is
//! tungstenite's; time limits are `connection`'s.

use std::net::SocketAddr;

use tokio_tungstenite::tungstenite::Error;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::handshake::server::{ErrorResponse, Request, Response};
use tokio_tungstenite::tungstenite::http::{HeaderValue, StatusCode, header};
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::{WebSocketStream, accept_hdr_async_with_config, client_async_with_config};

use super::stream::Stream;
use crate::sip::message::MAX_MESSAGE;

/// The subprotocol (RFC 7118 §4.1).
const SIP: &str = "sip";

/// What one connection may make us hold.
fn bounds() -> WebSocketConfig {
    WebSocketConfig::default()
        .read_buffer_size(8192)
        .write_buffer_size(0)
        .max_write_buffer_size(4 * MAX_MESSAGE)
        .max_message_size(Some(MAX_MESSAGE))
        .max_frame_size(Some(MAX_MESSAGE))
}

/// Answers a browser's handshake: 400 without the subprotocol, 403 from an origin that is not in the list; an empty
/// list takes all.
pub(super) async fn accept(stream: Stream, origins: &[String]) -> Result<WebSocketStream<Stream>, Error> {
    #[expect(clippy::result_large_err, reason = "the library's signature")]
    let check = |request: &Request, mut response: Response| {
        let headers = request.headers();
        let speaks_sip = headers
            .get_all(header::SEC_WEBSOCKET_PROTOCOL)
            .iter()
            .filter_map(|value| value.to_str().ok())
            .flat_map(|value| value.split(','))
            .any(|name| name.trim().eq_ignore_ascii_case(SIP));
        if !speaks_sip {
            return Err(refusal(StatusCode::BAD_REQUEST, "the subprotocol \"sip\" is needed (RFC 7118)"));
        }
        let origin = headers.get(header::ORIGIN).and_then(|value| value.to_str().ok());
        if !origins.is_empty() && !origin.is_some_and(|o| origins.iter().any(|known| known.eq_ignore_ascii_case(o))) {
            return Err(refusal(StatusCode::FORBIDDEN, "this origin may not connect"));
        }
        response.headers_mut().insert(header::SEC_WEBSOCKET_PROTOCOL, HeaderValue::from_static(SIP));
        Ok(response)
    };
    accept_hdr_async_with_config(stream, check, Some(bounds())).await
}

fn refusal(status: StatusCode, why: &str) -> ErrorResponse {
    let mut response = ErrorResponse::new(Some(why.to_owned()));
    *response.status_mut() = status;
    response
}

/// Opens our side of a WebSocket to a SIP server.
pub(super) async fn connect(
    stream: Stream,
    name: &str,
    remote: SocketAddr,
    secure: bool,
) -> Result<WebSocketStream<Stream>, Error> {
    let scheme = if secure { "wss" } else { "ws" };
    let host = match name.parse::<std::net::IpAddr>() {
        Ok(ip) => SocketAddr::new(ip, remote.port()).to_string(),
        Err(_) => format!("{name}:{}", remote.port()),
    };
    let mut request = format!("{scheme}://{host}/").into_client_request()?;
    request.headers_mut().insert(header::SEC_WEBSOCKET_PROTOCOL, HeaderValue::from_static(SIP));
    let (socket, _) = client_async_with_config(request, stream, Some(bounds())).await?;
    Ok(socket)
}
