// Calls that are sent on to somebody else, who answers or does not, and headers that go with them.

import assert from "node:assert/strict";

import { Application, phone as start, refused } from "./application.mjs";

const app = await Application.start();
const first = await start("first");
const second = await start("second");
const [callee, target] = [{ id: first.uri }, { id: second.uri }];

// The party that is sent on calls the target, and leaves.
let created = await app.client.createCall({ targetParticipant: callee }, app.callback);
let call = created.callConnectionProperties.callConnectionId;
await app.connected(call);
let connection = created.callConnection;
const result = await connection.transferCallToParticipant(target, {
  transferee: callee,
  operationContext: "on",
  customCallingContext: [
    { kind: "sipuui", key: "User-To-User", value: "abc" },
    { kind: "sipx", key: "a", value: "1" },
  ],
});
assert.equal(result.operationContext, "on");
await second.called();
await second.connected();
const accepted = await app.expect(call, "CallTransferAccepted", { context: "on", code: 200, subCode: 0 });
// Typed as identifiers of the SDK; this release of it hands them on as they came.
assert.equal(accepted.transferTarget.id ?? accepted.transferTarget.rawId, second.uri);
assert.equal(accepted.transferee.id ?? accepted.transferee.rawId, first.uri);
await app.expect(call, "CallDisconnected", { code: 200, subCode: 7000 });
// Those two talk now: who hangs up ends their call, which is none of ours.
await second.hangUp();
await second.over();
await first.over();

// A target that nobody finds the way to: the call goes on.
created = await app.client.createCall({ targetParticipant: callee }, app.callback);
call = created.callConnectionProperties.callConnectionId;
await app.connected(call);
connection = created.callConnection;
await connection.transferCallToParticipant({ id: "sip:nobody@phones.example" }, { operationContext: "lost" });
await app.expect(call, "CallTransferFailed", { context: "lost", code: 404 });

// What cannot be asked.
for (const value of ["1\r\nVia: SIP/2.0/UDP evil", "1".repeat(257)]) {
  const customCallingContext = [{ kind: "sipx", key: "a", value }];
  await refused(400, () => connection.transferCallToParticipant(target, { customCallingContext }), "8523");
}
await refused(400, () => connection.transferCallToParticipant(target, { transferee: target }), "8523");
await refused(400, () => connection.transferCallToParticipant({ phoneNumber: "me" }), "8523");
await connection.hangUp(true);
await app.expect(call, "CallDisconnected");
app.done();
