// Calls that the application places: to a SIP address, to a number through a trunk, to somebody who is busy.

import assert from "node:assert/strict";

import { Application, phone as start, refused } from "./application.mjs";

const app = await Application.start();
const phone = await start("callee");
const callee = { id: phone.uri };

// To a SIP address.
const shown = { sourceCallIdNumber: { phoneNumber: "+15550100" }, sourceDisplayName: "Front desk" };
const first = { targetParticipant: callee, ...shown };
let created = await app.client.createCall(first, app.callback, { operationContext: "first" });
const placed = created.callConnectionProperties;
assert.equal(placed.callConnectionState, "connecting");
assert.deepEqual(placed.targetParticipants, [{ id: phone.uri }]);
// Typed as callbackUrl; this release of the SDK hands it on as it came.
assert.equal(placed.callbackUrl ?? placed.callbackUri, app.callback);
let call = placed.callConnectionId;
assert.match((await phone.called()).from, /\+15550100@/);
await phone.connected();
const connected = await app.expect(call, "CallConnected", { context: "first", code: 200 });
assert.equal(connected.serverCallId, placed.serverCallId);
assert.equal(connected.correlationId, placed.correlationId);
const updated = await app.expect(call, "ParticipantsUpdated");
assert.deepEqual(updated.participants.map((one) => one.identifier.id), [phone.uri]);

let connection = created.callConnection;
const properties = await connection.getCallConnectionProperties();
assert.equal(properties.callConnectionState, "connected");
assert.equal(properties.serverCallId, placed.serverCallId);
assert.equal(properties.sourceCallerIdNumber.phoneNumber, "+15550100");
const { values } = await connection.listParticipants();
assert.deepEqual(values.map((one) => one.identifier.id), [phone.uri]);
const participant = await connection.getParticipant(callee);
assert.equal(participant.identifier.id, phone.uri);
assert.ok(!participant.isMuted && !participant.isOnHold);
await refused(404, () => connection.getParticipant({ id: "sip:nobody@127.0.0.1" }), "8522");

await connection.hangUp(true);
await app.expect(call, "CallDisconnected", { code: 200 });
assert.ok((await phone.over()).byPeer);
await refused(404, () => connection.getCallConnectionProperties(), "8522");
await refused(404, () => connection.hangUp(true), "8522");

// To a number: there is no way before there is a trunk.
const number = { phoneNumber: "+15551230001" };
const invite = { targetParticipant: number, ...shown };
await refused(400, () => app.client.createCall(invite, app.callback), "8523");
await app.operator("PUT", "trunks/carrier", { name: "carrier", uri: `sip:${phone.host}:${phone.port}` });
created = await app.client.createCall(invite, app.callback);
call = created.callConnectionProperties.callConnectionId;
await app.connected(call);
await phone.connected();
connection = app.client.getCallConnection(call);
const listed = await connection.listParticipants();
assert.deepEqual(listed.values.map((one) => one.identifier.phoneNumber), ["+15551230001"]);
assert.equal((await connection.getParticipant(number)).identifier.phoneNumber, "+15551230001");
// Leaving ends a call with one other party, too.
await connection.hangUp(false);
await app.expect(call, "CallDisconnected", { code: 200 });
assert.ok((await phone.over()).byPeer);

// The other side hangs up; meanwhile it is busy to others.
created = await app.client.createCall({ targetParticipant: callee }, app.callback);
call = created.callConnectionProperties.callConnectionId;
await app.connected(call);
const second = await app.client.createCall({ targetParticipant: callee }, app.callback, { operationContext: "second" });
const other = second.callConnectionProperties.callConnectionId;
const failed = await app.expect(other, "CreateCallFailed", { context: "second", code: 486, subCode: 8539 });
assert.equal(failed.resultInformation.sipDetails.code, 486);
await phone.hangUp();
await app.expect(call, "CallDisconnected", { code: 200 });
assert.ok(!(await phone.over()).byPeer);
app.done();
