// A request that is sent again acts once.

import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";

import { Application, file, phone as start, refused } from "./application.mjs";

const app = await Application.start();
const phone = await start("callee");
const callee = { id: phone.uri };
const invite = { targetParticipant: callee };

// Options that give a request an identity of our own, and keep what was said of it.
function repeatable() {
  const results = [];
  const customHeaders = {
    "Repeatability-Request-ID": randomUUID(),
    "Repeatability-First-Sent": new Date().toUTCString(),
  };
  const onResponse = (response) => results.push(response.headers.get("repeatability-result"));
  return [{ requestOptions: { customHeaders }, onResponse }, results];
}

let [once, results] = repeatable();
const first = await app.client.createCall(invite, app.callback, { operationContext: "once", ...once });
const again = await app.client.createCall(invite, app.callback, { operationContext: "once", ...once });
const call = first.callConnectionProperties.callConnectionId;
assert.equal(again.callConnectionProperties.callConnectionId, call);
assert.equal(again.callConnectionProperties.correlationId, first.callConnectionProperties.correlationId);
assert.deepEqual(results, ["accepted", "accepted"]);
const other = { operationContext: "other", ...once };
const error = await refused(400, () => app.client.createCall(invite, app.callback, other));
assert.match(error.message, /Repeatability-Request-ID/);
await app.connected(call, "once");

// Even when they cross.
[once, results] = repeatable();
const crossing = Array.from({ length: 8 }, () => app.client.createCall(invite, app.callback, once));
const answers = (await Promise.all(crossing)).map((one) => one.callConnectionProperties.callConnectionId);
assert.equal(new Set(answers).size, 1, answers);
// The phone has one line, which is taken.
await app.expect(answers[0], "CreateCallFailed", { code: 486 });

// Tones are pressed once, and the same answer comes when the call is over.
const media = first.callConnection.getCallMedia();
[once, results] = repeatable();
for (let i = 0; i < 2; i += 1) await media.sendDtmfTones(["five"], callee, { operationContext: "five", ...once });
await app.expect(call, "SendDtmfTonesCompleted", { context: "five" });
await phone.pressed({ keys: "5" });
await media.playToAll([file("prompt:beep")]);
await app.expect(call, "PlayStarted");
await app.expect(call, "PlayCompleted");
[once, results] = repeatable();
await first.callConnection.hangUp(true, once);
await first.callConnection.hangUp(true, once);
await app.expect(call, "CallDisconnected", { code: 200 });

// Two calls were placed, and no more.
const calls = (await app.operator("GET", "calls")).value;
assert.deepEqual(calls.map((one) => one.id).sort(), [call, answers[0]].sort());
app.done();
