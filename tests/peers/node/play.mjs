// Prompts: to all and to one, several, by URL, over and over, in another's stead, and ones that cannot be had.

import assert from "node:assert/strict";

import { Application, HEARD, file, phone as start, refused } from "./application.mjs";

const app = await Application.start();
const phone = await start("listener");
const listener = { id: phone.uri };
const created = await app.client.createCall({ targetParticipant: listener }, app.callback);
const call = created.callConnectionProperties.callConnectionId;
await app.connected(call);
const media = created.callConnection.getCallMedia();

async function played(context, path) {
  await app.expect(call, "PlayStarted", { context, path });
  await app.expect(call, "PlayCompleted", { context, path, code: 200, subCode: 0 });
}

await media.playToAll([file("prompt:welcome")], { operationContext: "all" });
await played("all");
await media.play([file("prompt:thank-you")], [listener], { operationContext: "one" });
await played("one");
const several = [file("prompt:digits/1"), file("prompt:digits/2", { playSourceCacheId: "two" })];
await media.playToAll(several, { operationContext: "several", operationCallbackUrl: app.url + "/elsewhere" });
await played("several", "/elsewhere");
await media.playToAll([file(app.url + "/pcm-s16-16k.wav")], { operationContext: "by URL" });
await played("by URL");

// One behind the other.
await media.playToAll([file("prompt:beep")], { operationContext: "first in line" });
await media.playToAll([file("prompt:beep")], { operationContext: "second in line" });
await played("first in line");
await played("second in line");

// Over and over, until it is canceled.
await media.playToAll([file("prompt:beep")], { loop: true, operationContext: "endless" });
await app.expect(call, "PlayStarted", { context: "endless" });
await media.cancelAllOperations();
await app.expect(call, "PlayCanceled", { context: "endless", code: 400, subCode: 8508 });

// In another's stead.
await media.playToAll([file("prompt:beep")], { loop: true, operationContext: "cut off" });
await app.expect(call, "PlayStarted", { context: "cut off" });
const interrupt = { interruptCallMediaOperation: true, operationContext: "barges in" };
await media.playToAll([file("prompt:goodbye"), file("prompt:silence/500ms")], interrupt);
await app.expect(call, "PlayCanceled", { context: "cut off" });
await played("barges in");

// What cannot be played is named.
for (const [uri, subCode] of [["/nowhere.wav", 8536], ["/text.wav", 8535]]) {
  await media.playToAll([file("prompt:beep"), file(app.url + uri)], { operationContext: uri });
  const failed = await app.expect(call, "PlayFailed", { context: uri, code: 400, subCode });
  assert.equal(failed.failedPlaySourceIndex, 1);
}
await refused(400, () => media.playToAll([file("ftp://host/file.wav")]), "8523");
await refused(400, () => media.playToAll([]), "8523");
await refused(400, () => media.play([file("prompt:beep")], [{ id: "sip:nobody@127.0.0.1" }]), "8523");

await created.callConnection.hangUp(true);
await app.expect(call, "CallDisconnected");
const prompts = ["prompt:welcome", "prompt:thank-you", "prompt:digits/2", "prompt:goodbye"];
const { likeness } = await phone.over({ prompts });
assert.ok(prompts.every((prompt) => likeness[prompt] > HEARD), JSON.stringify(likeness));
app.done();
