"""Calls that are sent on to somebody else, who answers or does not, and headers that go with them."""

from azure.communication.callautomation import PhoneNumberIdentifier, UnknownIdentifier

from application import Application, Phone, refused

app = Application()
first = Phone("first")
second = Phone("second")
callee, target = UnknownIdentifier(first.uri), UnknownIdentifier(second.uri)

# The party that is sent on calls the target, and leaves.
call = app.client.create_call(callee, app.callback).call_connection_id
app.connected(call)
connection = app.client.get_call_connection(call)
result = connection.transfer_call_to_participant(
    target,
    transferee=callee,
    operation_context="on",
    sip_headers={"User-To-User": "abc", "X-MS-Custom-a": "1"},
)
assert result.operation_context == "on"
second.called()
second.connected()
accepted = app.expect(call, "CallTransferAccepted", context="on", code=200, sub_code=0)
assert accepted.transfer_target.raw_id == second.uri, accepted.transfer_target
assert accepted.transferee.raw_id == first.uri, accepted.transferee
app.expect(call, "CallDisconnected", code=200, sub_code=7000)
# Those two talk now: who hangs up ends their call, which is none of ours.
second.hangUp()
second.over()
first.over()

# A target that nobody finds the way to: the call goes on.
call = app.client.create_call(callee, app.callback).call_connection_id
app.connected(call)
connection = app.client.get_call_connection(call)
connection.transfer_call_to_participant(UnknownIdentifier("sip:nobody@phones.example"), operation_context="lost")
app.expect(call, "CallTransferFailed", context="lost", code=404)

# What cannot be asked.
for headers in [{"Via": "x"}, {"X-A": "1\r\nVia: SIP/2.0/UDP evil"}, {"X-A\r\nVia": "1"}, {"X-A": "1" * 257}]:
    refused(400, lambda: connection.transfer_call_to_participant(target, sip_headers=headers), code="8523")
refused(400, lambda: connection.transfer_call_to_participant(target, transferee=target), code="8523")
refused(400, lambda: connection.transfer_call_to_participant(PhoneNumberIdentifier("me")), code="8523")
connection.hang_up(True)
app.expect(call, "CallDisconnected")
app.done()
