"""Calls that the application places: to a SIP address, to a number through a trunk, to somebody who is busy."""

from azure.communication.callautomation import (
    CallConnectionClient,
    CallConnectionState,
    PhoneNumberIdentifier,
    UnknownIdentifier,
)

from application import Application, Phone, refused

app = Application()
phone = Phone("callee")
callee = UnknownIdentifier(phone.uri)

# To a SIP address.
created = app.client.create_call(
    callee,
    app.callback,
    source_caller_id_number=PhoneNumberIdentifier("+15550100"),
    source_display_name="Front desk",
    operation_context="first",
)
assert created.call_connection_state == CallConnectionState.CONNECTING, created.call_connection_state
assert [target.raw_id for target in created.targets] == [phone.uri]
assert created.callback_url == app.callback
call = created.call_connection_id
assert "+15550100@" in phone.called()["from"]
phone.connected()
connected = app.expect(call, "CallConnected", context="first", code=200)
assert (connected.server_call_id, connected.correlation_id) == (created.server_call_id, created.correlation_id)
updated = app.expect(call, "ParticipantsUpdated")
assert [one.identifier.raw_id for one in updated.participants] == [phone.uri]

connection = app.client.get_call_connection(call)
properties = connection.get_call_properties()
assert properties.call_connection_state == CallConnectionState.CONNECTED
assert properties.server_call_id == created.server_call_id
assert properties.source_caller_id_number.properties["value"] == "+15550100"
participants = list(connection.list_participants())
assert [one.identifier.raw_id for one in participants] == [phone.uri]
participant = connection.get_participant(callee)
assert participant.identifier.raw_id == phone.uri and not participant.is_muted and not participant.is_on_hold
refused(404, lambda: connection.get_participant(UnknownIdentifier("sip:nobody@127.0.0.1")), code="8522")

connection.hang_up(is_for_everyone=True)
app.expect(call, "CallDisconnected", code=200)
assert phone.over()["byPeer"]
refused(404, connection.get_call_properties, code="8522")
refused(404, lambda: connection.hang_up(True), code="8522")

# To a number: there is no way before there is a trunk.
number = PhoneNumberIdentifier("+15551230001")
refused(400, lambda: app.client.create_call(number, app.callback), code="8523")
carrier = f"sip:{phone.address['host']}:{phone.address['port']}"
app.operator("PUT", "trunks/carrier", {"name": "carrier", "uri": carrier})
created = app.client.create_call(number, app.callback, source_caller_id_number=PhoneNumberIdentifier("+15550100"))
call = created.call_connection_id
app.connected(call)
phone.connected()
# A client of its own for one connection works as well.
connection = CallConnectionClient.from_connection_string(app.connection_string, call)
assert [one.identifier.raw_id for one in connection.list_participants()] == ["4:+15551230001"]
assert connection.get_participant(number).identifier.properties["value"] == "+15551230001"
# Leaving ends a call with one other party, too.
app.client.get_call_connection(call).hang_up(is_for_everyone=False)
app.expect(call, "CallDisconnected", code=200)
assert phone.over()["byPeer"]

# The other side hangs up; meanwhile it is busy to others.
call = app.client.create_call(callee, app.callback).call_connection_id
app.connected(call)
other = app.client.create_call(callee, app.callback, operation_context="second line").call_connection_id
failed = app.expect(other, "CreateCallFailed", context="second line", code=486, sub_code=8539)
assert failed.result_information.sip_details.code == 486
phone.hangUp()
app.expect(call, "CallDisconnected", code=200)
assert not phone.over()["byPeer"]
app.done()
