// What the caller presses: by all three ways, to a maximum, to a stop tone, as a choice, over a prompt, or not at all.

import assert from "node:assert/strict";

import { DtmfTone } from "@azure/communication-call-automation";

import { Application, file, phone as start, refused } from "./application.mjs";

const app = await Application.start();
const phone = await start("caller");
const caller = { id: phone.uri };
const created = await app.client.createCall({ targetParticipant: caller }, app.callback);
const call = created.callConnectionProperties.callConnectionId;
await app.connected(call);
const media = created.callConnection.getCallMedia();

const DTMF = { kind: "callMediaRecognizeDtmfOptions", maxTonesToCollect: 3, initialSilenceTimeoutInSeconds: 30 };
const recognize = (options) => media.startRecognizing(caller, { ...DTMF, ...options });

// To a maximum, by each way. Other keys each time: the same key by another way at once would count as the same press.
for (const [way, keys, tones] of [
  ["event", "1#5", [DtmfTone.One, DtmfTone.Pound, DtmfTone.Five]],
  ["tone", "27b", [DtmfTone.Two, DtmfTone.Seven, DtmfTone.B]],
  ["info", "*09", [DtmfTone.Asterisk, DtmfTone.Zero, DtmfTone.Nine]],
]) {
  await recognize({ operationContext: way });
  await phone.press({ keys, way });
  const completed = await app.expect(call, "RecognizeCompleted", { context: way, code: 200, subCode: 8531 });
  assert.equal(completed.recognitionType, "dtmf");
  assert.deepEqual(completed.dtmfResult.tones, tones);
}

// A stop tone is not collected; a prompt is stopped by the first key, which this SDK need not ask for.
await recognize({
  maxTonesToCollect: 10,
  stopDtmfTones: [DtmfTone.Pound, DtmfTone.Asterisk],
  interToneTimeoutInSeconds: 30,
  playPrompts: [file("prompt:beep"), file("prompt:demo-menu")],
  operationContext: "pin",
});
await app.expect(call, "PlayStarted", { context: "pin" });
await phone.press({ keys: "27*", way: "event" });
const pin = await app.expect(call, "RecognizeCompleted", { context: "pin", code: 200, subCode: 8514 });
assert.deepEqual(pin.dtmfResult.tones, [DtmfTone.Two, DtmfTone.Seven]);

// Nothing is pressed; not enough is pressed.
const silence = { initialSilenceTimeoutInSeconds: 1, playPrompt: file("prompt:beep"), operationContext: "silence" };
await recognize(silence);
await app.expect(call, "PlayStarted", { context: "silence" });
await app.expect(call, "RecognizeFailed", { context: "silence", code: 400, subCode: 8510 });
await recognize({ interToneTimeoutInSeconds: 1, operationContext: "pause" });
await phone.press({ keys: "4", way: "event" });
await app.expect(call, "RecognizeFailed", { context: "pause", code: 400, subCode: 8532 });

// The older form, with the number of tones for itself.
await media.startRecognizing(caller, 1, { ...DTMF, maxTonesToCollect: undefined, operationContext: "older" });
await phone.press({ keys: "8", way: "event" });
const older = await app.expect(call, "RecognizeCompleted", { context: "older", subCode: 8531 });
assert.deepEqual(older.dtmfResult.tones, [DtmfTone.Eight]);

// Choices by key.
const CHOICES = {
  kind: "callMediaRecognizeChoiceOptions",
  initialSilenceTimeoutInSeconds: 20,
  choices: [
    { label: "yes", phrases: ["yes", "sure"], tone: DtmfTone.One },
    { label: "no", phrases: ["no"], tone: DtmfTone.Two },
  ],
};
for (const [keys, label] of [["2", "no"], ["9", undefined]]) {
  await media.startRecognizing(caller, { ...CHOICES, operationContext: keys });
  await phone.press({ keys, way: "event" });
  if (label) {
    const completed = await app.expect(call, "RecognizeCompleted", { context: keys, code: 200, subCode: 8533 });
    assert.equal(completed.recognitionType, "choices");
    assert.equal(completed.choiceResult.label, label);
    assert.ok(!completed.choiceResult.recognizedPhrase);
  } else {
    await app.expect(call, "RecognizeFailed", { context: keys, code: 400, subCode: 8534 });
  }
}

// Canceled; with a prompt that is not to be had.
await recognize({ operationContext: "canceled" });
await media.cancelAllOperations();
await app.expect(call, "RecognizeCanceled", { context: "canceled", code: 400, subCode: 8508 });
await recognize({ playPrompt: file("prompt:no-such-prompt"), operationContext: "no prompt" });
const failed = await app.expect(call, "RecognizeFailed", { context: "no prompt", code: 400, subCode: 8511 });
assert.equal(failed.failedPlaySourceIndex, 0);

await refused(400, () => recognize({ initialSilenceTimeoutInSeconds: 301 }), "8523");
await refused(400, () => recognize({ interToneTimeoutInSeconds: 61 }), "8523");
await refused(400, () => media.startRecognizing(caller, { ...CHOICES, choices: [] }), "8523");
for (const kind of ["callMediaRecognizeSpeechOptions", "callMediaRecognizeSpeechOrDtmfOptions"]) {
  await refused(501, () => media.startRecognizing(caller, { kind, speechLanguage: "en-US" }), "NotImplemented");
}

// A call that ends takes what runs with it.
await recognize({ operationContext: "last" });
await phone.hangUp();
await app.expect(call, "RecognizeCanceled", { context: "last" });
await app.expect(call, "CallDisconnected", { code: 200 });
app.done();
