"""flask on werkzeug's threaded server, urllib as the client."""

import importlib.metadata
import logging
import threading
import urllib.request

import flask
from werkzeug.serving import make_server

app = flask.Flask("interop")
logging.getLogger("werkzeug").disabled = True


@app.post("/upper")
def upper():
    return flask.request.get_data().upper()


server = make_server("127.0.0.1", 0, app, threaded=True)
threading.Thread(target=server.serve_forever, daemon=True).start()
data = b"abc" * 100000
for _ in range(10):
    with urllib.request.urlopen(f"http://127.0.0.1:{server.server_port}/upper", data, timeout=20) as answer:
        assert answer.read() == data.upper()
server.shutdown()
print(importlib.metadata.version("flask"), "10 POSTs of 300 kB")
