"""Keys outside recognitions: told one by one as they are pressed, and pressed towards the other side."""

from azure.communication.callautomation import DtmfTone, UnknownIdentifier

from application import Application, Phone, refused

app = Application()
phone = Phone("caller")
caller = UnknownIdentifier(phone.uri)
call = app.client.create_call(caller, app.callback).call_connection_id
app.connected(call)
connection = app.client.get_call_connection(call)

connection.start_continuous_dtmf_recognition(caller, operation_context="listening")
for number, (key, way, tone) in enumerate([("1", "event", "one"), ("d", "tone", "d"), ("*", "info", "asterisk")], 1):
    phone.press(keys=key, way=way)
    received = app.expect(call, "ContinuousDtmfRecognitionToneReceived", context="listening")
    assert (received.sequence_id, received.tone) == (number, tone), (received.sequence_id, received.tone)
connection.stop_continuous_dtmf_recognition(caller, operation_context="enough")
app.expect(call, "ContinuousDtmfRecognitionStopped", context="enough", code=200)

tones = [DtmfTone.ONE, DtmfTone.POUND, DtmfTone.A]
result = connection.send_dtmf_tones(tones, caller, operation_context="extension")
assert result.operation_context == "extension"
assert phone.pressed(keys="1#A")["ways"] == ["event"] * 3
app.expect(call, "SendDtmfTonesCompleted", context="extension", code=200, sub_code=0)
refused(400, lambda: connection.send_dtmf_tones([], caller), code="8523")
refused(400, lambda: connection.send_dtmf_tones(["twelve"], caller), code="8523")
connection.hang_up(True)
app.expect(call, "CallDisconnected")

# One that knows no telephone-event hears tones.
deaf = Phone("deaf", deaf=True)
callee = UnknownIdentifier(deaf.uri)
call = app.client.create_call(callee, app.callback).call_connection_id
app.connected(call)
app.client.get_call_connection(call).send_dtmf_tones([DtmfTone.SEVEN, DtmfTone.ASTERISK], callee)
app.expect(call, "SendDtmfTonesCompleted", code=200)
assert deaf.pressed(keys="7*")["ways"] == ["tone"] * 2
deaf.hangUp()
app.expect(call, "CallDisconnected")
app.done()
