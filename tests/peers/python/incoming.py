"""Calls that come in: subscribed to, answered, sent elsewhere, refused for each reason."""

from azure.communication.callautomation import (
    CallConnectionState,
    CallRejectReason,
    FileSource,
    UnknownIdentifier,
)

from application import HEARD, PATIENCE, Application, Phone, refused

app = Application()
app.operator("PUT", "subscriptions/app", {"name": "app", "endpoint": app.url + "/grid"})
app.operator("PUT", "rules/app", {"name": "app", "priority": 1, "action": {"webhook": {"subscription": "app"}}})
phone = Phone("caller")


def incoming():
    phone.dial(number="+15559990000")
    return app.incoming.get(timeout=PATIENCE)


event = incoming()
assert event["to"]["rawId"] == "4:+15559990000" and event["to"]["phoneNumber"]["value"] == "+15559990000", event
caller = UnknownIdentifier(event["from"]["rawId"])
assert caller.raw_id.startswith("sip:phone@127.0.0.1"), event
answered = app.client.answer_call(event["incomingCallContext"], app.callback, operation_context="answered")
call = answered.call_connection_id
assert answered.call_connection_state in (CallConnectionState.CONNECTING, CallConnectionState.CONNECTED)
assert (answered.server_call_id, answered.correlation_id) == (event["serverCallId"], event["correlationId"])
phone.connected()
app.connected(call, context="answered")
refused(400, lambda: app.client.answer_call(event["incomingCallContext"], app.callback), code="8523")
refused(400, lambda: app.client.reject_call(event["incomingCallContext"]))

connection = app.client.get_call_connection(call)
assert connection.get_call_properties().call_connection_state == CallConnectionState.CONNECTED
assert [one.identifier.raw_id for one in connection.list_participants()] == [caller.raw_id]
connection.start_recognizing_media(
    "dtmf", caller, dtmf_max_tones_to_collect=1, initial_silence_timeout=30, play_prompt=FileSource("prompt:welcome")
)
app.expect(call, "PlayStarted")
connection.cancel_all_media_operations()
app.expect(call, "RecognizeCanceled")
# Silence behind it: the last word has been sent when the play is complete, and who hangs up then does not hear it.
connection.play_media([FileSource("prompt:goodbye"), FileSource("prompt:silence/500ms")], [caller])
app.expect(call, "PlayStarted")
app.expect(call, "PlayCompleted")
phone.hangUp()
app.expect(call, "CallDisconnected", code=200)
likeness = phone.over(prompts=["prompt:goodbye"])["likeness"]
assert likeness["prompt:goodbye"] > HEARD, likeness

# Elsewhere.
context = incoming()["incomingCallContext"]
app.client.redirect_call(context, UnknownIdentifier("sip:elsewhere@127.0.0.1:5999"))
assert phone.failed()["status"] == 302
refused(404, lambda: app.client.redirect_call(context, UnknownIdentifier("sip:elsewhere@127.0.0.1:5999")))

# Not at all.
for reason, status in [
    (None, 603),
    (CallRejectReason.NONE, 603),
    (CallRejectReason.BUSY, 486),
    (CallRejectReason.FORBIDDEN, 403),
]:
    app.client.reject_call(incoming()["incomingCallContext"], call_reject_reason=reason)
    assert phone.failed()["status"] == status, reason

# The caller has given up before it was answered.
context = incoming()["incomingCallContext"]
phone.hangUp()
phone.over()
refused(404, lambda: app.client.answer_call(context, app.callback), code="8522")
app.done()
