"""What the caller presses: by all three ways, to a maximum, to a stop tone, as a choice, over a prompt, or not at all."""

from azure.communication.callautomation import (
    DtmfTone,
    FileSource,
    RecognitionChoice,
    RecognizeInputType,
    UnknownIdentifier,
)

from application import Application, Phone, refused

app = Application()
phone = Phone("caller")
caller = UnknownIdentifier(phone.uri)
call = app.client.create_call(caller, app.callback).call_connection_id
app.connected(call)
connection = app.client.get_call_connection(call)


def recognize(kind=RecognizeInputType.DTMF, **options):
    options = {"dtmf_max_tones_to_collect": 3, "initial_silence_timeout": 30, **options}
    connection.start_recognizing_media(kind, caller, **options)


# To a maximum, by each way. Other keys each time: the same key by another way at once would count as the same press.
for way, keys, tones in [
    ("event", "1#5", [DtmfTone.ONE, DtmfTone.POUND, DtmfTone.FIVE]),
    ("tone", "27b", [DtmfTone.TWO, DtmfTone.SEVEN, DtmfTone.B]),
    ("info", "*09", [DtmfTone.ASTERISK, DtmfTone.ZERO, DtmfTone.NINE]),
]:
    recognize(operation_context=way)
    phone.press(keys=keys, way=way)
    completed = app.expect(call, "RecognizeCompleted", context=way, code=200, sub_code=8531)
    assert completed.recognition_type == "dtmf"
    assert completed.dtmf_result.tones == tones, completed.dtmf_result.tones

# A stop tone is not collected; a prompt is stopped by the first key.
recognize(
    dtmf_max_tones_to_collect=10,
    dtmf_stop_tones=[DtmfTone.POUND, DtmfTone.ASTERISK],
    dtmf_inter_tone_timeout=30,
    play_prompt=[FileSource("prompt:beep"), FileSource("prompt:demo-menu")],
    interrupt_prompt=True,
    operation_context="pin",
)
app.expect(call, "PlayStarted", context="pin")
phone.press(keys="27*", way="event")
completed = app.expect(call, "RecognizeCompleted", context="pin", code=200, sub_code=8514)
assert completed.dtmf_result.tones == [DtmfTone.TWO, DtmfTone.SEVEN]

# Nothing is pressed; not enough is pressed.
recognize(initial_silence_timeout=1, play_prompt=FileSource("prompt:beep"), operation_context="silence")
app.expect(call, "PlayStarted", context="silence")
app.expect(call, "RecognizeFailed", context="silence", code=400, sub_code=8510)
recognize(dtmf_inter_tone_timeout=1, operation_context="pause")
phone.press(keys="4", way="event")
app.expect(call, "RecognizeFailed", context="pause", code=400, sub_code=8532)

# Choices by key.
choices = [
    RecognitionChoice(label="yes", phrases=["yes", "sure"], tone=DtmfTone.ONE),
    RecognitionChoice(label="no", phrases=["no"], tone=DtmfTone.TWO),
]
for keys, label in [("2", "no"), ("9", None)]:
    silence = {"initial_silence_timeout": 20, "dtmf_max_tones_to_collect": None}
    recognize(RecognizeInputType.CHOICES, choices=choices, operation_context=keys, **silence)
    phone.press(keys=keys, way="event")
    if label:
        completed = app.expect(call, "RecognizeCompleted", context=keys, code=200, sub_code=8533)
        assert completed.recognition_type == "choices"
        assert completed.choice_result.label == label and not completed.choice_result.recognized_phrase
    else:
        app.expect(call, "RecognizeFailed", context=keys, code=400, sub_code=8534)

# Canceled; with a prompt that is not to be had.
recognize(operation_context="canceled")
connection.cancel_all_media_operations()
app.expect(call, "RecognizeCanceled", context="canceled", code=400, sub_code=8508)
recognize(play_prompt=FileSource("prompt:no-such-prompt"), operation_context="no prompt")
failed = app.expect(call, "RecognizeFailed", context="no prompt", code=400, sub_code=8511)
assert failed.failed_play_source_index == 0

refused(400, lambda: recognize(initial_silence_timeout=301), code="8523")
refused(400, lambda: recognize(dtmf_inter_tone_timeout=61), code="8523")
refused(400, lambda: recognize(RecognizeInputType.CHOICES), code="8523")
speech = {"speech_language": "en-US", "end_silence_timeout": 1}
refused(501, lambda: recognize(RecognizeInputType.SPEECH, **speech), code="NotImplemented")
refused(501, lambda: recognize(RecognizeInputType.SPEECH_OR_DTMF, **speech), code="NotImplemented")

# A call that ends takes what runs with it.
recognize(operation_context="last")
phone.hangUp()
app.expect(call, "RecognizeCanceled", context="last")
app.expect(call, "CallDisconnected", code=200)
app.done()
