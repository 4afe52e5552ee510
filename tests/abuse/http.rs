//! On the HTTP and HTTPS ports: noise, slowness, size, and bodies that nobody meant.

use serde_json::Value;
use strowger::random::Random;
use strowger::sip::peer::Transport;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::*;
use crate::support::{Client, http_client};

/// Says this and takes what comes; the first line of the answer, empty where there is none.
async fn say(engine: &Engine, listener: &str, bytes: &[u8]) -> String {
    let mut stream = TcpStream::connect(engine.address(listener)).await.expect("a connection");
    // The other side may have had enough before all is said.
    let _ = stream.write_all(bytes).await;
    let mut answer = Vec::new();
    let mut buffer = [0; 4096];
    let heard = tokio::time::timeout(PATIENCE, async {
        while let Ok(length @ 1..) = stream.read(&mut buffer).await {
            answer.extend_from_slice(&buffer[..length]);
            if answer.windows(2).any(|two| two == b"\r\n") {
                return;
            }
        }
    });
    heard.await.expect("an answer, or the end of the connection");
    String::from_utf8_lossy(&answer).lines().next().unwrap_or_default().to_owned()
}

#[tokio::test]
async fn noise_size_and_slowness_hold_up_nobody() {
    let engine = Engine::start(&[]);
    menu_for_all(&engine).await;
    let friend = Bystander::call(&engine, Transport::Udp).await;
    // Connections that begin something and never end it; each is held open to the end of the test.
    let mut slow = Vec::new();
    let beginnings: [&[u8]; 5] = [
        b"",
        b"GET /healthz HT",
        b"POST /v1/rules HTTP/1.1\r\nHost: x\r\nContent-Length: 100000\r\n\r\n{\"name\":",
        b"POST /v1/rules HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n{\"a\":",
        b"\x16\x03\x01\x02\x00\x01",
    ];
    for number in 0..300 {
        let listener = if number % 2 == 0 { "http" } else { "https" };
        let mut stream = TcpStream::connect(engine.address(listener)).await.expect("a connection");
        let _ = stream.write_all(beginnings[number % beginnings.len()]).await;
        slow.push(stream);
    }
    let mut random = Random::from_number(9110);
    for round in 0..200 {
        let mut noise: Vec<u8> = (0..1 + random.below(300)).map(|_| random.u32() as u8).collect();
        noise.extend_from_slice(b"\r\n\r\n");
        let listener = if round % 2 == 0 { "http" } else { "https" };
        let mut stream = TcpStream::connect(engine.address(listener)).await.expect("a connection");
        let _ = stream.write_all(&noise).await;
    }
    let long_line = [b"GET /", &[b'a'; 200_000][..], b" HTTP/1.1\r\nHost: x\r\n\r\n"].concat();
    let answer = say(&engine, "http", &long_line).await;
    assert!(answer.is_empty() || answer.contains(" 4"), "{answer}");
    let long_header = [b"GET /healthz HTTP/1.1\r\nHost: x\r\nX: ", &[b'a'; 200_000][..], b"\r\n\r\n"].concat();
    let answer = say(&engine, "http", &long_header).await;
    assert!(answer.is_empty() || answer.contains(" 4"), "{answer}");
    let header =
        "PUT /v1/prompts/a HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer KEY\r\nContent-Length: 999999999999\r\n\r\n";
    let answer = say(&engine, "http", header.replace("KEY", engine.key()).as_bytes()).await;
    assert!(answer.contains(" 413"), "{answer}");
    assert!(say(&engine, "http", b"\r\n\r\nNOT HTTP\r\n\r\n").await.contains(" 400"));
    assert!(say(&engine, "http", b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n").await.contains(" 200"));
    Bystander::visit(&engine, Transport::Udp).await;
    friend.press_and_leave().await;
    drop(slow);
    nothing_failed(&engine).await;
}

#[tokio::test]
async fn bad_bodies_are_told_so_everywhere() {
    let engine = Engine::start(&["--log", "error"]);
    menu_for_all(&engine).await;
    let friend = Bystander::call(&engine, Transport::Udp).await;
    let client = Client::new(&engine);
    let http = http_client();
    let (_, description) = engine.request("GET", "/openapi.json", None).await;
    let deep = "[".repeat(100_000);
    let deeper = format!("{{\"targets\":{}", "[{\"a\":".repeat(50_000));
    let bodies: [&[u8]; 12] = [
        b"",
        b"{",
        b"[]",
        b"null",
        b"\"text\"",
        b"{\"a\":1e999}",
        b"{\"name\":\"\\ud800\"}",
        b"\xff\xfe{}",
        b"{\"targets\":[{\"rawId\":\"4:\"}],\"callbackUri\":\"not a url\"}",
        b"{\"name\":\"x\",\"priority\":99999999999999999999,\"match\":{\"to\":{\"regex\":\"(((((\"}},\"action\":{}}",
        deep.as_bytes(),
        deeper.as_bytes(),
    ];
    let paths = description["paths"].as_object().expect("paths");
    let mut asked = 0;
    for (path, operations) in paths {
        let path = path.split('/').map(|part| match part.find('{').zip(part.find('}')) {
            Some((from, to)) => format!("{}nobody{}", &part[..from], &part[to + 1..]),
            None => part.to_owned(),
        });
        let path = path.collect::<Vec<_>>().join("/");
        for method in operations.as_object().expect("operations").keys().map(|name| name.to_uppercase()) {
            if method == "GET" || method == "DELETE" {
                continue;
            }
            for body in bodies {
                let (status, text) = if path.starts_with("/v1/") {
                    let url = format!("http://{}{path}", engine.address("http"));
                    let request = http.request(method.parse().expect("a method"), url).bearer_auth(engine.key());
                    let answer = request.body(body.to_vec()).send().await.expect("an answer");
                    (answer.status().as_u16(), answer.text().await.expect("a body"))
                } else {
                    client.bytes(&method, &path, body.to_vec()).await
                };
                asked += 1;
                assert!((400..500).contains(&status) || status == 501, "{method} {path} {status}: {text}");
                let error: Value = serde_json::from_str(&text).expect("an error as JSON");
                let message = error["error"]["message"].as_str().unwrap_or_default();
                assert!(!message.is_empty(), "{method} {path} {status}: {text}");
            }
        }
    }
    assert!(asked > 300, "{asked}");
    friend.press_and_leave().await;
    nothing_failed(&engine).await;
}
