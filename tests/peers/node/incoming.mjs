// Calls that come in: subscribed to, answered, sent elsewhere, refused for each reason.

import assert from "node:assert/strict";

import { Application, HEARD, file, phone as start, refused } from "./application.mjs";

const app = await Application.start();
await app.operator("PUT", "subscriptions/app", { name: "app", endpoint: app.url + "/grid" });
await app.operator("PUT", "rules/app", { name: "app", priority: 1, action: { webhook: { subscription: "app" } } });
const phone = await start("caller");

async function incoming() {
  await phone.dial({ number: "+15559990000" });
  return app.incoming.take("IncomingCall");
}

const event = await incoming();
assert.equal(event.to.rawId, "4:+15559990000");
assert.equal(event.to.phoneNumber.value, "+15559990000");
const caller = { id: event.from.rawId };
assert.ok(caller.id.startsWith("sip:phone@127.0.0.1"), caller.id);
const options = { operationContext: "answered" };
const answered = await app.client.answerCall(event.incomingCallContext, app.callback, options);
const properties = answered.callConnectionProperties;
const call = properties.callConnectionId;
assert.ok(["connecting", "connected"].includes(properties.callConnectionState), properties.callConnectionState);
assert.deepEqual([properties.serverCallId, properties.correlationId], [event.serverCallId, event.correlationId]);
await phone.connected();
await app.connected(call, "answered");
await refused(400, () => app.client.answerCall(event.incomingCallContext, app.callback), "8523");
await refused(400, () => app.client.rejectCall(event.incomingCallContext));

const connection = answered.callConnection;
assert.equal((await connection.getCallConnectionProperties()).callConnectionState, "connected");
assert.deepEqual((await connection.listParticipants()).values.map((one) => one.identifier), [caller]);
const media = connection.getCallMedia();
await media.startRecognizing(caller, {
  kind: "callMediaRecognizeDtmfOptions",
  maxTonesToCollect: 1,
  initialSilenceTimeoutInSeconds: 30,
  playPrompt: file("prompt:welcome"),
});
await app.expect(call, "PlayStarted");
await media.cancelAllOperations();
await app.expect(call, "RecognizeCanceled");
// Silence behind it: the last word has been sent when the play is complete, and who hangs up then does not hear it.
await media.play([file("prompt:goodbye"), file("prompt:silence/500ms")], [caller]);
await app.expect(call, "PlayStarted");
await app.expect(call, "PlayCompleted");
await phone.hangUp();
await app.expect(call, "CallDisconnected", { code: 200 });
const { likeness } = await phone.over({ prompts: ["prompt:goodbye"] });
assert.ok(likeness["prompt:goodbye"] > HEARD, JSON.stringify(likeness));

// Elsewhere.
const elsewhere = { targetParticipant: { id: "sip:elsewhere@127.0.0.1:5999" } };
let context = (await incoming()).incomingCallContext;
await app.client.redirectCall(context, elsewhere);
assert.equal((await phone.failed()).status, 302);
await refused(404, () => app.client.redirectCall(context, elsewhere));

// Not at all.
for (const [callRejectReason, status] of [[undefined, 603], ["none", 603], ["busy", 486], ["forbidden", 403]]) {
  await app.client.rejectCall((await incoming()).incomingCallContext, { callRejectReason });
  assert.equal((await phone.failed()).status, status, callRejectReason);
}

// The caller has given up before it was answered.
context = (await incoming()).incomingCallContext;
await phone.hangUp();
await phone.over();
await refused(404, () => app.client.answerCall(context, app.callback), "8522");
app.done();
