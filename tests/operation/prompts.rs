//! Prompts of one's own: uploaded, listed, heard, deleted.

use serde_json::json;

use super::{answering, connected, dial, list, over, phone, share_heard};
use crate::support::{Engine, http_client};

#[tokio::test]
async fn an_uploaded_prompt_is_heard() {
    let engine = Engine::start(&[]);
    let url = |name: &str| format!("http://{}/v1/prompts/{name}", engine.address("http"));
    let client = http_client();
    let put = async |name: &str, body: Vec<u8>| {
        let request = client.put(url(name)).bearer_auth(engine.key()).header("content-type", "audio/wav").body(body);
        let answer = request.send().await.expect("an answer");
        (answer.status().as_u16(), answer.text().await.expect("a body"))
    };
    let folder = tempfile::tempdir().expect("a folder");
    // Two seconds of noise: nothing else sounds like it.
    let mut random = strowger::random::Random::from_number(11);
    let samples: Vec<i16> = (0..16_000).map(|_| random.below(16_000) as i16 - 8_000).collect();
    let file = folder.path().join("mine.wav");
    strowger::phone::write_wav(&file, &samples).expect("a WAV file");
    let bytes = std::fs::read(&file).expect("the file");

    let (status, answer) = put("mine", bytes.clone()).await;
    assert_eq!(status, 201, "{answer}");
    assert_eq!(put("mine", bytes.clone()).await.0, 200, "replaced");
    let prompts = list(&engine, "/v1/prompts?top=1000").await;
    let mine = prompts.iter().find(|prompt| prompt["name"] == "mine").expect("in the list");
    assert_eq!((&mine["builtIn"], &mine["sizeBytes"]), (&json!(false), &json!(bytes.len())));
    assert!(prompts.iter().any(|prompt| prompt["name"] == "welcome" && prompt["builtIn"] == true));
    let got = client.get(url("mine")).bearer_auth(engine.key()).send().await.expect("an answer");
    assert_eq!(got.bytes().await.expect("a body"), bytes);
    let (status, answer) = put("broken", b"this is no audio".to_vec()).await;
    assert_eq!(status, 400, "{answer}");
    assert!(answer.contains("body"), "{answer}");

    engine.rule(answering(&["prompt:mine"])).await;
    let mut phone = phone().await;
    dial(&engine, &phone, "100").await;
    connected(&mut phone).await;
    let (by_engine, heard) = over(&mut phone).await;
    assert!(by_engine, "the rule hangs up after the prompt");
    let share = share_heard(&samples, &heard);
    assert!(share > 0.5, "{share} of the prompt was heard");

    assert_eq!(engine.request("DELETE", "/v1/prompts/mine", None).await.0, 204);
    assert_eq!(engine.request("GET", "/v1/prompts/mine", None).await.0, 404);
    let (status, answer) = engine.request("DELETE", "/v1/prompts/welcome", None).await;
    assert!((400..500).contains(&status), "what ships stays: {status} {answer}");
}
