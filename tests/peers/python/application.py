"""What the stories share: the SDK's client, a webhook that keeps events call by call, and phones at the far end.

Requests are told on standard output as they leave; phones are worked over standard output and input. See sdk.rs.
"""

import base64
import json
import os
import queue
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlparse

import requests
from azure.communication.callautomation import CallAutomationClient
from azure.communication.callautomation._generated import models
from azure.core.exceptions import HttpResponseError
from azure.core.messaging import CloudEvent

# The longest that anything is waited for, in seconds.
PATIENCE = 60

# How alike a prompt and what a phone heard must be: 1 is the same, another prompt comes to 0.4 at the most, and a frame
# that slips on a busy machine costs up to 0.3.
HEARD = 0.6

_output = threading.Lock()


def tell(line):
    with _output:
        print(json.dumps(line), flush=True)


def ask(**wish):
    with _output:
        print(json.dumps(wish), flush=True)
        answer = json.loads(sys.stdin.readline())
    assert "ok" in answer, answer
    return answer["ok"]


def told(response):
    """Tells of a request; a hook that the SDK calls with each response."""
    request = response.http_request
    tell({"request": f"{request.method} {urlparse(request.url).path}"})


class Phone:
    """A phone at the far end."""

    def __init__(self, name, **kind):
        self.name = name
        self.address = ask(do="start", phone=name, **kind)
        self.uri = self.address["uri"]

    def __getattr__(self, do):
        return lambda **details: ask(do=do, phone=self.name, **details)


class Application:
    """A client, its webhook, and what the webhook was told."""

    def __init__(self):
        self.connection_string = os.environ["CONNECTION_STRING"]
        parts = dict(part.split("=", 1) for part in self.connection_string.split(";") if part)
        self.endpoint, self.key = parts["endpoint"].rstrip("/"), parts["accesskey"]
        assert self.endpoint.startswith("https://") and base64.b64decode(self.key)
        self.client = self.client_with(self.connection_string)
        self.incoming = queue.Queue()
        self._calls = {}
        self._lock = threading.Lock()
        handler = type("Handler", (Handler,), {"application": self})
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        self.callback = self.url + "/events"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    @staticmethod
    def client_with(connection_string):
        return CallAutomationClient.from_connection_string(connection_string, raw_response_hook=told)

    def operator(self, method, path, document=None):
        """An operator's request under /v1."""
        headers = {"Authorization": f"Bearer {self.key}"}
        response = requests.request(method, f"{self.endpoint}/v1/{path}", json=document, headers=headers, timeout=30)
        assert response.ok, response.text
        return response.json() if response.content else None

    def events_of(self, call):
        with self._lock:
            return self._calls.setdefault(call, queue.Queue())

    def expect(self, call, kind, context=None, code=None, sub_code=None, path="/events"):
        """The call's next event, as the SDK's own model; it must be of this kind."""
        came_to, event = self.events_of(call).get(timeout=PATIENCE)
        found = event.type.rsplit(".", 1)[1]
        assert found == kind, f"{found} came instead of {kind}: {event.data}"
        assert came_to == path, f"{kind} came to {came_to}"
        assert event.source == event.subject == f"calling/callConnections/{call}", event
        model = getattr(models, kind).deserialize(event.data)
        assert model.call_connection_id == call and model.server_call_id and model.correlation_id, event.data
        result = model.result_information
        if context is not None:
            assert model.operation_context == context, event.data
        if code is not None:
            assert result.code == code, event.data
        if sub_code is not None:
            assert result.sub_code == sub_code, event.data
        return model

    def connected(self, call, context=None):
        """The two events with which a call begins."""
        self.expect(call, "CallConnected", context=context, code=200)
        return self.expect(call, "ParticipantsUpdated")

    def done(self):
        """No event is left that the story did not speak of."""
        for call, events in self._calls.items():
            assert events.empty(), (call, events.get())


class Handler(BaseHTTPRequestHandler):
    """Takes events, answers the handshake of a subscription, and serves audio."""

    application = None

    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        reply = {}
        for event in body:
            if event.get("eventType") == "Microsoft.EventGrid.SubscriptionValidationEvent":
                reply = {"validationResponse": event["data"]["validationCode"]}
            elif event.get("eventType") == "Microsoft.Communication.IncomingCall":
                self.application.incoming.put(event["data"])
            else:
                event = CloudEvent.from_dict(event)
                self.application.events_of(event.data["callConnectionId"]).put((self.path, event))
        self._answer(200, "application/json", json.dumps(reply).encode())

    def do_GET(self):
        audio = os.path.join(os.environ["CHECKOUT"], "tests/data/audio", os.path.basename(self.path))
        if os.path.exists(audio):
            with open(audio, "rb") as file:
                self._answer(200, "audio/wav", file.read())
        elif self.path == "/text.wav":
            self._answer(200, "audio/wav", b"this is no audio")
        else:
            self._answer(404, "text/plain", b"not here")

    def _answer(self, status, kind, body):
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


def refused(status, operation, code=None):
    """The operation must fail with this status, and an error that says something."""
    try:
        operation()
    except HttpResponseError as error:
        assert error.status_code == status, f"{error.status_code}, not {status}: {error}"
        body = json.loads(error.response.text())["error"]
        assert body["code"] and body["message"], body
        assert code is None or body["code"] == code, body
        return error
    raise AssertionError(f"it was not refused with {status}")
