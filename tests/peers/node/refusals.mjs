// What is not possible: by a wrong key, on a call that is not there, in a release that does not have it yet.

import assert from "node:assert/strict";

import { CallAutomationClient } from "@azure/communication-call-automation";

import { Application, file, phone as start, refused } from "./application.mjs";

const app = await Application.start();
const phone = await start("callee");
const callee = { id: phone.uri };
const invite = { targetParticipant: callee };

// A wrong key.
const wrong = Buffer.alloc(64).toString("base64");
const stranger = Application.clientWith(`endpoint=${app.endpoint}/;accesskey=${wrong}`);
for (const operation of [
  () => stranger.createCall(invite, app.callback),
  () => stranger.getCallConnection("0").getCallConnectionProperties(),
  () => stranger.rejectCall("context"),
]) {
  await refused(401, operation, "7509");
}

// The second key is as good as the first, and plain http as https.
const { SECOND_KEY, HTTP_ENDPOINT } = process.env;
for (const other of [
  Application.clientWith(`endpoint=${app.endpoint}/;accesskey=${SECOND_KEY}`),
  new CallAutomationClient(HTTP_ENDPOINT, { key: app.key }, { allowInsecureConnection: true }),
]) {
  await refused(404, () => other.getCallConnection("0").getCallConnectionProperties(), "8522");
}

// No such call.
const nowhere = app.client.getCallConnection("00000000-0000-4000-8000-000000000000");
const silent = nowhere.getCallMedia();
const dtmf = { kind: "callMediaRecognizeDtmfOptions", maxTonesToCollect: 1 };
for (const operation of [
  () => nowhere.getCallConnectionProperties(),
  () => nowhere.listParticipants(),
  () => nowhere.getParticipant(callee),
  () => nowhere.hangUp(true),
  () => nowhere.hangUp(false),
  () => silent.playToAll([file("prompt:beep")]),
  () => silent.startRecognizing(callee, dtmf),
  () => silent.cancelAllOperations(),
  () => silent.startContinuousDtmfRecognition(callee),
  () => silent.stopContinuousDtmfRecognition(callee),
  () => silent.sendDtmfTones(["one"], callee),
]) {
  await refused(404, operation, "8522");
}

// Values that cannot be.
const number = { phoneNumber: "+15551230001" };
for (const operation of [
  () => app.client.createCall(invite, "no-url"),
  () => app.client.createCall({ targetParticipant: { id: "sip:" } }, app.callback),
  () => app.client.createCall({ targetParticipant: number }, app.callback),
  () => app.client.answerCall("no-such-context", app.callback),
  () => app.client.redirectCall("no-such-context", invite),
  () => app.client.rejectCall("no-such-context"),
]) {
  await refused(400, operation, "8523");
}

// A call that rings already knows its state, and is not yet one to play to.
const nobody = { targetParticipant: { id: "sip:nobody@127.0.0.1:9" } };
const ringing = await app.client.createCall(nobody, app.callback);
const { callConnectionState } = await ringing.callConnection.getCallConnectionProperties();
if (callConnectionState === "connecting") {
  await refused(400, () => ringing.callConnection.getCallMedia().playToAll([file("prompt:beep")]), "8501");
}
await ringing.callConnection.hangUp(true);
await app.expect(ringing.callConnectionProperties.callConnectionId, "CreateCallFailed", { code: 487 });

// What a later release brings.
const created = await app.client.createCall(invite, app.callback);
const call = created.callConnectionProperties.callConnectionId;
await app.connected(call);
const connection = created.callConnection;
const media = connection.getCallMedia();
const recording = app.client.getCallRecording();
for (const operation of [
  () => app.client.createGroupCall([callee, number], app.callback),
  () => app.client.connectCall({ kind: "serverCallLocator", id: "abc" }, app.callback),
  () => app.client.connectCall({ kind: "roomCallLocator", id: "abc" }, app.callback),
  () => connection.addParticipant({ targetParticipant: number }),
  () => connection.removeParticipant(callee),
  () => connection.muteParticipant(callee),
  () => connection.cancelAddParticipantOperation("abc"),
  () => connection.moveParticipants([callee], "abc"),
  () => media.hold(callee),
  () => media.unhold(callee),
  () => media.startMediaStreaming(),
  () => media.stopMediaStreaming(),
  () => media.startTranscription({ locale: "en-US" }),
  () => media.stopTranscription(),
  () => media.updateTranscription("en-US"),
  () => media.playToAll([{ kind: "textSource", text: "Good morning", voiceName: "en-US-NancyNeural" }]),
  () => recording.start({ callConnectionId: call }),
  () => recording.getState("abc"),
  () => recording.pause("abc"),
  () => recording.resume("abc"),
  () => recording.stop("abc"),
]) {
  await refused(501, operation, "NotImplemented");
}

// None of it has touched the call.
assert.equal((await connection.getCallConnectionProperties()).callConnectionState, "connected");
await connection.hangUp(true);
await app.expect(call, "CallDisconnected", { code: 200 });
app.done();
