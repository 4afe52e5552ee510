"""A request that is sent again acts once."""

import uuid
from email.utils import formatdate
from threading import Thread

from azure.communication.callautomation import FileSource, UnknownIdentifier
from azure.core.exceptions import HttpResponseError

from application import Application, Phone, refused, told

app = Application()
phone = Phone("callee")
callee = UnknownIdentifier(phone.uri)


def repeatable():
    identity = {"Repeatability-Request-ID": str(uuid.uuid4()), "Repeatability-First-Sent": formatdate(usegmt=True)}
    results = []

    def kept(response):
        told(response)
        results.append(response.http_response.headers.get("Repeatability-Result"))

    # The SDK adds to the headers it is given, so each request gets its own.
    return lambda: {"headers": dict(identity), "raw_response_hook": kept}, results


once, results = repeatable()
first = app.client.create_call(callee, app.callback, operation_context="once", **once())
again = app.client.create_call(callee, app.callback, operation_context="once", **once())
call = first.call_connection_id
assert again.call_connection_id == call and again.correlation_id == first.correlation_id
assert results == ["accepted", "accepted"], results
error = refused(400, lambda: app.client.create_call(callee, app.callback, operation_context="other", **once()))
assert "Repeatability-Request-ID" in str(error), error
app.connected(call, context="once")

# Even when they cross.
once, results = repeatable()
answers = []


def create():
    try:
        answers.append(app.client.create_call(callee, app.callback, **once()).call_connection_id)
    except HttpResponseError as problem:
        answers.append(problem)


threads = [Thread(target=create) for _ in range(8)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
assert len(answers) == 8 and len(set(answers)) == 1, answers
# The phone has one line, which is taken.
app.expect(answers[0], "CreateCallFailed", code=486)

# Tones are pressed once, and the same answer comes when the call is over.
connection = app.client.get_call_connection(call)
once, results = repeatable()
for _ in range(2):
    connection.send_dtmf_tones(["five"], callee, operation_context="five", **once())
app.expect(call, "SendDtmfTonesCompleted", context="five")
phone.pressed(keys="5")
connection.play_media(FileSource("prompt:beep"))
app.expect(call, "PlayStarted")
app.expect(call, "PlayCompleted")
once, results = repeatable()
connection.hang_up(True, **once())
connection.hang_up(True, **once())
app.expect(call, "CallDisconnected", code=200)

# Two calls were placed, and no more.
calls = app.operator("GET", "calls")["value"]
assert sorted(one["id"] for one in calls) == sorted([call, answers[0]]), calls
app.done()
