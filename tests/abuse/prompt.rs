//! Prompts from a server that means no good.

use serde_json::json;
use strowger::sip::peer::Transport;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use super::*;
use crate::support::{Client, Webhook};

/// Answers `/endless` with audio that has no end, `/large` with a length beyond every limit, `/loop` with a redirect to
/// itself, `/noise` with no audio, and `/hang` not at all.
async fn serve(mut stream: TcpStream) {
    let mut asked = vec![0; 4096];
    let length = stream.read(&mut asked).await.unwrap_or(0);
    let asked = String::from_utf8_lossy(&asked[..length]).into_owned();
    let path = asked.split(' ').nth(1).unwrap_or_default();
    let head: &[u8] = match path {
        "/endless" => b"HTTP/1.1 200 OK\r\nContent-Type: audio/wav\r\n\r\n",
        "/large" => b"HTTP/1.1 200 OK\r\nContent-Type: audio/wav\r\nContent-Length: 99999999999\r\n\r\n",
        "/loop" => b"HTTP/1.1 302 Found\r\nLocation: /loop\r\nContent-Length: 0\r\n\r\n",
        "/noise" => b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nnoise",
        _ => b"",
    };
    let _ = stream.write_all(head).await;
    if matches!(path, "/endless" | "/large") {
        while stream.write_all(&[0x55; 4096]).await.is_ok() {}
    } else if path == "/hang" {
        // Until the other side has had enough.
        while matches!(stream.read(&mut [0; 64]).await, Ok(1..)) {}
    }
}

async fn bad_server() -> SocketAddr {
    let listener = TcpListener::bind((HERE, 0)).await.expect("a port");
    let address = listener.local_addr().expect("an address");
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(serve(stream));
        }
    });
    address
}

/// Plays a beep and then each of these; each fails as this sub-code says, and the call lives on.
async fn each_fails(engine: &Engine, urls: &[(String, u64)]) {
    let client = Client::new(engine);
    let mut webhook = Webhook::start().await;
    let mut callee = phone(HERE).await;
    let targets = json!([{"kind": "unknown", "rawId": callee.uri()}]);
    let wish = json!({"targets": targets, "callbackUri": webhook.url});
    let call = client.call("/calling/callConnections", wish).await;
    assert_eq!(outcome(&mut callee).await, Ok(()));
    webhook.expect("CallConnected").await;
    for (url, sub_code) in urls {
        let sources = ["prompt:beep", url].map(|uri| json!({"kind": "file", "file": {"uri": uri}}));
        client.post(&format!("{call}:play"), json!({"playSources": sources, "playTo": []})).await;
        let failed = webhook.expect("PlayFailed").await;
        assert_eq!(failed["failedPlaySourceIndex"], 1, "{url}: {failed}");
        assert_eq!(failed["resultInformation"]["subCode"], *sub_code, "{url}: {failed}");
    }
    let sources = json!([{"kind": "file", "file": {"uri": "prompt:beep"}}]);
    client.post(&format!("{call}:play"), json!({"playSources": sources, "playTo": []})).await;
    webhook.expect("PlayCompleted").await;
}

#[tokio::test]
async fn bad_servers_cost_one_prompt_each() {
    let flags = ["--prompt-allow-private", "true", "--prompt-fetch-seconds", "2", "--prompt-max-bytes", "100000"];
    let engine = Engine::start(&flags);
    menu_for_all(&engine).await;
    let friend = Bystander::call(&engine, Transport::Udp).await;
    let server = bad_server().await;
    let at = |path: &str| format!("http://{server}{path}");
    let urls = ["/endless", "/large", "/loop", "/hang"].map(|path| (at(path), 8536));
    each_fails(&engine, &urls).await;
    // Who gets no audio was not let down by the network: another sub-code.
    each_fails(&engine, &[(at("/noise"), 8535)]).await;
    Bystander::visit(&engine, Transport::Udp).await;
    friend.press_and_leave().await;
    nothing_failed(&engine).await;
}

#[tokio::test]
async fn private_addresses_are_not_asked() {
    let engine = Engine::start(&[]);
    let listener = TcpListener::bind((HERE, 0)).await.expect("a port");
    let address = listener.local_addr().expect("an address");
    let port = address.port();
    let urls = ["127.0.0.1", "localhost", "[::ffff:127.0.0.1]", "0.0.0.0", "2130706433"];
    let urls = urls.map(|host| (format!("http://{host}:{port}/a.wav"), 8536));
    each_fails(&engine, &urls).await;
    listener
        .into_std()
        .and_then(|listener| {
            listener.set_nonblocking(true)?;
            assert!(listener.accept().is_err(), "somebody came");
            Ok(())
        })
        .expect("a listener");
    nothing_failed(&engine).await;
}
