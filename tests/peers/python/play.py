"""Prompts: to all and to one, several, by URL, over and over, in another's stead, and ones that cannot be had."""

from azure.communication.callautomation import FileSource, UnknownIdentifier

from application import HEARD, Application, Phone, refused

app = Application()
phone = Phone("listener")
listener = UnknownIdentifier(phone.uri)
call = app.client.create_call(listener, app.callback).call_connection_id
app.connected(call)
connection = app.client.get_call_connection(call)


def played(context, path="/events"):
    app.expect(call, "PlayStarted", context=context, path=path)
    app.expect(call, "PlayCompleted", context=context, code=200, sub_code=0, path=path)


connection.play_media_to_all(FileSource("prompt:welcome"), operation_context="all")
played("all")
connection.play_media(FileSource("prompt:thank-you"), [listener], operation_context="one")
played("one")
several = [FileSource("prompt:digits/1"), FileSource("prompt:digits/2", play_source_cache_id="two")]
connection.play_media(several, operation_context="several", operation_callback_url=app.url + "/elsewhere")
played("several", path="/elsewhere")
connection.play_media(FileSource(app.url + "/pcm-s16-16k.wav"), operation_context="by URL")
played("by URL")

# One behind the other.
connection.play_media(FileSource("prompt:beep"), operation_context="first in line")
connection.play_media(FileSource("prompt:beep"), operation_context="second in line")
played("first in line")
played("second in line")

# Over and over, until it is canceled.
connection.play_media(FileSource("prompt:beep"), loop=True, operation_context="endless")
app.expect(call, "PlayStarted", context="endless")
connection.cancel_all_media_operations()
app.expect(call, "PlayCanceled", context="endless", code=400, sub_code=8508)

# In another's stead.
connection.play_media_to_all(FileSource("prompt:beep"), loop=True, operation_context="cut off")
app.expect(call, "PlayStarted", context="cut off")
connection.play_media_to_all(
    [FileSource("prompt:goodbye"), FileSource("prompt:silence/500ms")],
    interrupt_call_media_operation=True,
    operation_context="barges in",
)
app.expect(call, "PlayCanceled", context="cut off")
played("barges in")

# What cannot be played is named.
for uri, sub_code in [("/nowhere.wav", 8536), ("/text.wav", 8535)]:
    connection.play_media([FileSource("prompt:beep"), FileSource(app.url + uri)], operation_context=uri)
    failed = app.expect(call, "PlayFailed", context=uri, code=400, sub_code=sub_code)
    assert failed.failed_play_source_index == 1, failed
refused(400, lambda: connection.play_media(FileSource("ftp://host/file.wav")), code="8523")
refused(400, lambda: connection.play_media([]), code="8523")
stranger = UnknownIdentifier("sip:nobody@127.0.0.1")
refused(400, lambda: connection.play_media(FileSource("prompt:beep"), [stranger]), code="8523")

connection.hang_up(True)
app.expect(call, "CallDisconnected")
prompts = ["prompt:welcome", "prompt:thank-you", "prompt:digits/2", "prompt:goodbye"]
likeness = phone.over(prompts=prompts)["likeness"]
assert all(likeness[prompt] > HEARD for prompt in prompts), likeness
app.done()
