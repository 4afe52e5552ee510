//! `POST /calling/callConnections/{id}:recognize`: collect digits or a choice. Speech comes with a later release.

use std::time::Duration;

use axum::http::{Method, StatusCode};
use serde::Deserialize;
use utoipa::ToSchema;

use super::source::{PlaySource, uri, uris};
use super::{context, operation_callback, tone, tones};
use crate::api::endpoint::{Answer, Endpoint, Shape, schema};
use crate::api::identifier::{Identifier, wanted};
use crate::api::problem::Problem;
use crate::call::{Choice, Command, MAX_TONES, Recognize, RecognizeInput};

#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct RecognizeRequest {
    /// `dtmf` or `choices`; `speech` and `speechOrDtmf` come with a later release.
    #[schema(required)]
    recognize_input_type: Option<String>,
    /// The prompt, where it is one source.
    play_prompt: Option<PlaySource>,
    /// The prompt, at most 10 sources; wins over `playPrompt`.
    play_prompts: Option<Vec<PlaySource>>,
    /// Cancel what plays and waits, instead of waiting behind it.
    interrupt_call_media_operation: Option<bool>,
    #[schema(required)]
    recognize_options: Option<RecognizeOptions>,
    /// Comes back in the recognition's events, at most 5000 bytes.
    operation_context: Option<String>,
    /// Where the recognition's events go, where not to the call's callback.
    operation_callback_uri: Option<String>,
}

#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct RecognizeOptions {
    /// Who is listened to.
    #[schema(required)]
    target_participant: Option<Identifier>,
    /// A key stops the prompt and counts. Default true.
    interrupt_prompt: Option<bool>,
    /// 0 to 300 (choices: 20), from the end of the prompt. Default 5.
    #[schema(minimum = 0, maximum = 300)]
    initial_silence_timeout_in_seconds: Option<i64>,
    dtmf_options: Option<DtmfOptions>,
    /// For `choices`.
    choices: Option<Vec<ChoiceModel>>,
}

#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct DtmfOptions {
    /// 1 to 60. Default 2.
    #[schema(minimum = 1, maximum = 60)]
    inter_tone_timeout_in_seconds: Option<i64>,
    /// 1 to 512. Left out: until a stop tone or the inter-tone timeout, at most 512.
    #[schema(minimum = 1, maximum = 512)]
    max_tones_to_collect: Option<i64>,
    /// Each of these ends the recognition and is not collected.
    stop_tones: Option<Vec<String>>,
}

#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = Choice)]
struct ChoiceModel {
    /// What comes back when it is chosen.
    #[schema(required)]
    label: Option<String>,
    /// What may be said for it (speech comes with a later release).
    phrases: Option<Vec<String>>,
    /// The key for it.
    tone: Option<String>,
}

const INITIAL_SILENCE: i64 = 5;
const INTER_TONE: i64 = 2;
/// The most choices, and the most phrases of one.
const MAX_CHOICES: usize = 100;

impl RecognizeRequest {
    fn into_command(self) -> Result<Command, Problem> {
        let options = self.recognize_options.ok_or_else(|| Problem::bad("recognizeOptions", "is required"))?;
        let party = wanted(options.target_participant.as_ref(), "recognizeOptions.targetParticipant")?;
        let kind = self.recognize_input_type.as_deref().map(str::to_ascii_lowercase);
        let (input, longest_silence) = match kind.as_deref() {
            Some("dtmf") => (digits(options.dtmf_options.unwrap_or_default())?, 300),
            Some("choices") => (RecognizeInput::Choices(choices(options.choices.unwrap_or_default())?), 20),
            Some("speech" | "speechordtmf") => {
                return Err(Problem::later("recognizeInputType", "recognition of speech"));
            }
            _ => return Err(Problem::bad("recognizeInputType", "is required: dtmf or choices")),
        };
        let silence = options.initial_silence_timeout_in_seconds.unwrap_or(INITIAL_SILENCE);
        let field = "recognizeOptions.initialSilenceTimeoutInSeconds";
        let prompts = self.play_prompts.filter(|prompts| !prompts.is_empty());
        let sources = match (prompts, self.play_prompt) {
            (Some(prompts), _) => uris(prompts, "playPrompts")?,
            (None, Some(prompt)) => vec![uri(prompt, "playPrompt")?],
            (None, None) => Vec::new(),
        };
        Ok(Command::Recognize(Recognize {
            party,
            sources,
            interrupt_prompt: options.interrupt_prompt.unwrap_or(true),
            interrupt: self.interrupt_call_media_operation.unwrap_or(false),
            initial_silence: seconds(silence, 0, longest_silence, field)?,
            input,
            context: context(self.operation_context)?,
            callback: operation_callback(self.operation_callback_uri)?,
        }))
    }
}

fn seconds(given: i64, least: i64, most: i64, field: &str) -> Result<Duration, Problem> {
    match u64::try_from(given) {
        Ok(seconds) if (least..=most).contains(&given) => Ok(Duration::from_secs(seconds)),
        _ => Err(Problem::bad(field, format!("is {given}; {least} to {most} seconds are allowed"))),
    }
}

fn digits(options: DtmfOptions) -> Result<RecognizeInput, Problem> {
    let field = "recognizeOptions.dtmfOptions.maxTonesToCollect";
    let max_tones = match options.max_tones_to_collect {
        None => MAX_TONES,
        Some(given) => usize::try_from(given)
            .ok()
            .filter(|tones| (1..=MAX_TONES).contains(tones))
            .ok_or_else(|| Problem::bad(field, format!("is {given}; 1 to {MAX_TONES} are allowed")))?,
    };
    let stop_tones = options.stop_tones.unwrap_or_default();
    if stop_tones.len() > MAX_TONES {
        return Err(Problem::bad("recognizeOptions.dtmfOptions.stopTones", "names more than 512 tones"));
    }
    let inter_tone = options.inter_tone_timeout_in_seconds.unwrap_or(INTER_TONE);
    Ok(RecognizeInput::Dtmf {
        max_tones,
        stop_tones: tones(&stop_tones, "recognizeOptions.dtmfOptions.stopTones")?,
        inter_tone: seconds(inter_tone, 1, 60, "recognizeOptions.dtmfOptions.interToneTimeoutInSeconds")?,
    })
}

fn choices(models: Vec<ChoiceModel>) -> Result<Vec<Choice>, Problem> {
    if models.is_empty() || models.len() > MAX_CHOICES {
        return Err(Problem::bad("recognizeOptions.choices", "is required for choices: 1 to 100 of them"));
    }
    let mut choices: Vec<Choice> = Vec::with_capacity(models.len());
    for (index, model) in models.into_iter().enumerate() {
        let field = |name: &str| format!("recognizeOptions.choices[{index}].{name}");
        let label = model.label.filter(|label| !label.is_empty());
        let label = label.ok_or_else(|| Problem::bad(&field("label"), "is required"))?;
        let phrases = model.phrases.unwrap_or_default();
        if phrases.len() > MAX_CHOICES {
            return Err(Problem::bad(&field("phrases"), "names more than 100 phrases"));
        }
        let tone = model.tone.map(|name| tone(&name, &field("tone"))).transpose()?;
        if tone.is_some() && choices.iter().any(|other| other.tone == tone) {
            return Err(Problem::bad(&field("tone"), "stands for another choice already"));
        }
        choices.push(Choice { label, phrases, tone });
    }
    if choices.iter().all(|choice| choice.tone.is_none()) {
        return Err(Problem::later("recognizeOptions.choices", "choices that have no tone, and can only be spoken"));
    }
    Ok(choices)
}

pub(super) fn endpoint() -> Endpoint {
    let path = "/calling/callConnections/{callConnectionId}:recognize";
    Endpoint::calling(Method::POST, path, "Collect digits or a choice", |api, request| {
        Box::pin(async move {
            let command = request.json::<RecognizeRequest>()?.into_command()?;
            api.calls.command(request.call(), command).await?;
            Ok(Answer::empty(StatusCode::ACCEPTED))
        })
    })
    .takes(Shape::Json(schema::<RecognizeRequest>))
    .answers(202, Shape::Empty)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::call::Party;
    use crate::dtmf::Digit;

    fn read(json: &str) -> Result<Recognize, Problem> {
        match serde_json::from_str::<RecognizeRequest>(json).unwrap().into_command()? {
            Command::Recognize(recognize) => Ok(recognize),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn what_is_left_out_has_the_contracts_defaults() {
        let json = r#"{"recognizeInputType":"DTMF","recognizeOptions":{"targetParticipant":{"rawId":"4:+1"}}}"#;
        let input = RecognizeInput::Dtmf { max_tones: 512, stop_tones: vec![], inter_tone: Duration::from_secs(2) };
        let wanted = Recognize {
            party: Party::Phone("+1".into()),
            sources: vec![],
            interrupt_prompt: true,
            interrupt: false,
            initial_silence: Duration::from_secs(5),
            input,
            context: None,
            callback: None,
        };
        assert_eq!(read(json).unwrap(), wanted);
    }

    #[test]
    fn each_limit_is_named() {
        let with = |options: &str| {
            format!(
                r#"{{"recognizeInputType":"dtmf","recognizeOptions":{{"targetParticipant":{{"rawId":"4:+1"}},{options}}}}}"#
            )
        };
        for (options, field) in [
            (r#""initialSilenceTimeoutInSeconds":301"#, "recognizeOptions.initialSilenceTimeoutInSeconds"),
            (r#""initialSilenceTimeoutInSeconds":-1"#, "recognizeOptions.initialSilenceTimeoutInSeconds"),
            (
                r#""dtmfOptions":{"interToneTimeoutInSeconds":0}"#,
                "recognizeOptions.dtmfOptions.interToneTimeoutInSeconds",
            ),
            (r#""dtmfOptions":{"maxTonesToCollect":0}"#, "recognizeOptions.dtmfOptions.maxTonesToCollect"),
            (r#""dtmfOptions":{"stopTones":["pound","5"]}"#, "recognizeOptions.dtmfOptions.stopTones[1]"),
        ] {
            let problem = read(&with(options)).unwrap_err();
            assert_eq!((problem.status.as_u16(), problem.body.target.as_deref()), (400, Some(field)), "{options}");
        }
        assert!(read(&with(r#""initialSilenceTimeoutInSeconds":300"#)).is_ok());
    }

    #[test]
    fn choices_need_keys_of_their_own() {
        let with = |choices: &str| {
            format!(
                r#"{{"recognizeInputType":"choices","recognizeOptions":{{"targetParticipant":{{"rawId":"4:+1"}},"choices":{choices}}}}}"#
            )
        };
        let two = read(&with(r#"[{"label":"Yes","phrases":["yes"],"tone":"ONE"},{"label":"No"}]"#)).unwrap();
        let RecognizeInput::Choices(choices) = two.input else { panic!() };
        assert_eq!((choices[0].tone, choices[1].tone), (Some(Digit::One), None));
        let status = |choices: &str| read(&with(choices)).unwrap_err().status.as_u16();
        assert_eq!(status("[]"), 400);
        assert_eq!(status(r#"[{"label":"Yes","phrases":["yes"]}]"#), 501);
        assert_eq!(status(r#"[{"label":"a","tone":"one"},{"label":"b","tone":"one"}]"#), 400);
    }
}
