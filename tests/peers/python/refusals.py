"""What is not possible: by a wrong key, on a call that is not there, in a release that does not have it yet."""

import base64
import os

from azure.communication.callautomation import (
    CallAutomationClient,
    CallConnectionState,
    FileSource,
    PhoneNumberIdentifier,
    TextSource,
    UnknownIdentifier,
)
from azure.core.credentials import AzureKeyCredential
from azure.core.exceptions import ClientAuthenticationError, ResourceNotFoundError

from application import Application, Phone, refused

app = Application()
phone = Phone("callee")
callee = UnknownIdentifier(phone.uri)

# A wrong key.
wrong = base64.b64encode(bytes(64)).decode()
stranger = app.client_with(f"endpoint={app.endpoint}/;accesskey={wrong}")
for operation in [
    lambda: stranger.create_call(callee, app.callback),
    stranger.get_call_connection("0").get_call_properties,
    lambda: stranger.reject_call("context"),
]:
    assert isinstance(refused(401, operation, code="7509"), ClientAuthenticationError)

# The second key is as good as the first, and plain http as https.
for other in [
    app.client_with(f"endpoint={app.endpoint}/;accesskey={os.environ['SECOND_KEY']}"),
    CallAutomationClient(os.environ["HTTP_ENDPOINT"], AzureKeyCredential(app.key)),
]:
    refused(404, other.get_call_connection("0").get_call_properties, code="8522")

# No such call.
nowhere = app.client.get_call_connection("00000000-0000-4000-8000-000000000000")
for operation in [
    nowhere.get_call_properties,
    lambda: list(nowhere.list_participants()),
    lambda: nowhere.get_participant(callee),
    lambda: nowhere.hang_up(True),
    lambda: nowhere.hang_up(False),
    lambda: nowhere.play_media(FileSource("prompt:beep")),
    lambda: nowhere.start_recognizing_media("dtmf", callee, dtmf_max_tones_to_collect=1),
    nowhere.cancel_all_media_operations,
    lambda: nowhere.start_continuous_dtmf_recognition(callee),
    lambda: nowhere.stop_continuous_dtmf_recognition(callee),
    lambda: nowhere.send_dtmf_tones(["one"], callee),
]:
    assert isinstance(refused(404, operation, code="8522"), ResourceNotFoundError)

# Values that cannot be.
for operation in [
    lambda: app.client.create_call(callee, "no-url"),
    lambda: app.client.create_call(UnknownIdentifier("sip:"), app.callback),
    lambda: app.client.create_call(PhoneNumberIdentifier("+15550000"), app.callback),
    lambda: app.client.answer_call("no-such-context", app.callback),
    lambda: app.client.redirect_call("no-such-context", callee),
    lambda: app.client.reject_call("no-such-context"),
]:
    refused(400, operation, code="8523")

# A call that rings already knows its state, and is not yet one to play to.
call = app.client.create_call(UnknownIdentifier("sip:nobody@127.0.0.1:9"), app.callback).call_connection_id
ringing = app.client.get_call_connection(call)
if ringing.get_call_properties().call_connection_state == CallConnectionState.CONNECTING:
    refused(400, lambda: ringing.play_media(FileSource("prompt:beep")), code="8501")
ringing.hang_up(True)
app.expect(call, "CreateCallFailed", code=487)

# What a later release brings.
call = app.client.create_call(callee, app.callback).call_connection_id
app.connected(call)
connection = app.client.get_call_connection(call)
number = PhoneNumberIdentifier("+15551230001")
for operation in [
    lambda: app.client.create_group_call([callee, number], app.callback),
    lambda: app.client.connect_call(app.callback, server_call_id="abc"),
    lambda: app.client.connect_call(app.callback, room_id="abc"),
    lambda: connection.add_participant(number),
    lambda: connection.remove_participant(callee),
    lambda: connection.mute_participant(callee),
    lambda: connection.cancel_add_participant_operation("abc"),
    lambda: connection.move_participants([callee], "abc"),
    lambda: connection.hold(callee),
    lambda: connection.unhold(callee),
    connection.start_media_streaming,
    connection.stop_media_streaming,
    lambda: connection.start_transcription(locale="en-US"),
    connection.stop_transcription,
    lambda: connection.update_transcription(locale="en-US"),
    lambda: connection.play_media(TextSource(text="Good morning", voice_name="en-US-NancyNeural")),
    lambda: app.client.start_recording(call_connection_id=call),
    lambda: app.client.get_recording_properties("abc"),
    lambda: app.client.pause_recording("abc"),
    lambda: app.client.resume_recording("abc"),
    lambda: app.client.stop_recording("abc"),
]:
    refused(501, operation, code="NotImplemented")

# None of it has touched the call.
assert connection.get_call_properties().call_connection_state == CallConnectionState.CONNECTED
connection.hang_up(True)
app.expect(call, "CallDisconnected", code=200)
app.done()
