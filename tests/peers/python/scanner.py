"""One of sipvicious' tools, `scanner.py svwar FLAG…`, as it is; `scanner.py --hidden svwar FLAG…` leaves out the names by
which it is known, as attackers do."""

import importlib
import sys

import sipvicious.libs.svhelper as helper

KNOWN = [("friendly-scanner", "Yealink SIP-T46U"), ("sipvicious", "Bob"), ("1.1.1.1", "127.0.0.6")]

arguments = sys.argv[1:]
if arguments[0] == "--hidden":
    arguments.pop(0)
    make = helper.makeRequest

    def hidden(*given, **named):
        request = make(*given, **named)
        for name, other in KNOWN:
            if isinstance(request, bytes):
                request = request.replace(name.encode(), other.encode())
            else:
                request = request.replace(name, other)
        return request

    helper.makeRequest = hidden

tool = importlib.import_module(f"sipvicious.{arguments[0]}")
sys.argv = arguments
tool.main()
