// Keys outside recognitions: told one by one as they are pressed, and pressed towards the other side.

import assert from "node:assert/strict";

import { DtmfTone } from "@azure/communication-call-automation";

import { Application, phone as start, refused } from "./application.mjs";

const app = await Application.start();
const phone = await start("caller");
const caller = { id: phone.uri };
const created = await app.client.createCall({ targetParticipant: caller }, app.callback);
let call = created.callConnectionProperties.callConnectionId;
await app.connected(call);
const media = created.callConnection.getCallMedia();

await media.startContinuousDtmfRecognition(caller, { operationContext: "listening" });
let number = 0;
for (const [keys, way, tone] of [["1", "event", "one"], ["d", "tone", "d"], ["*", "info", "asterisk"]]) {
  await phone.press({ keys, way });
  const received = await app.expect(call, "ContinuousDtmfRecognitionToneReceived", { context: "listening" });
  number += 1;
  assert.deepEqual([received.sequenceId, received.tone], [number, tone]);
}
await media.stopContinuousDtmfRecognition(caller, { operationContext: "enough" });
await app.expect(call, "ContinuousDtmfRecognitionStopped", { context: "enough", code: 200 });

const tones = [DtmfTone.One, DtmfTone.Pound, DtmfTone.A];
const result = await media.sendDtmfTones(tones, caller, { operationContext: "extension" });
assert.equal(result.operationContext, "extension");
assert.deepEqual((await phone.pressed({ keys: "1#A" })).ways, ["event", "event", "event"]);
await app.expect(call, "SendDtmfTonesCompleted", { context: "extension", code: 200, subCode: 0 });
await refused(400, () => media.sendDtmfTones([], caller), "8523");
await refused(400, () => media.sendDtmfTones(["twelve"], caller), "8523");
await created.callConnection.hangUp(true);
await app.expect(call, "CallDisconnected");

// One that knows no telephone-event hears tones.
const deaf = await start("deaf", { deaf: true });
const callee = { id: deaf.uri };
const second = await app.client.createCall({ targetParticipant: callee }, app.callback);
call = second.callConnectionProperties.callConnectionId;
await app.connected(call);
await second.callConnection.getCallMedia().sendDtmfTones([DtmfTone.Seven, DtmfTone.Asterisk], callee);
await app.expect(call, "SendDtmfTonesCompleted", { code: 200 });
assert.deepEqual((await deaf.pressed({ keys: "7*" })).ways, ["tone", "tone"]);
await deaf.hangUp();
await app.expect(call, "CallDisconnected");
app.done();
