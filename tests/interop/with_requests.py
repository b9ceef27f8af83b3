"""requests: sessions, streams, a POST, a redirect, an error, against http.server."""

import http.server
import threading

import requests

BIG = bytes(range(256)) * 8000


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        if self.path == "/moved":
            self.send_response(302)
            self.send_header("Location", "/big")
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        self.send_response(200 if self.path == "/big" else 404)
        self.send_header("Content-Length", str(len(BIG)))
        self.end_headers()
        self.wfile.write(BIG)

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body[::-1])

    def log_message(self, *args):
        pass


server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
threading.Thread(target=server.serve_forever, daemon=True).start()
url = f"http://127.0.0.1:{server.server_port}"
with requests.Session() as session:
    for _ in range(5):
        assert session.get(url + "/big", timeout=20).content == BIG
    assert session.get(url + "/moved", timeout=20).url == url + "/big"
    assert session.get(url + "/none", timeout=20).status_code == 404
    assert session.post(url, data=BIG, timeout=20).content == BIG[::-1]
    with session.get(url + "/big", stream=True, timeout=20) as answer:
        assert b"".join(answer.iter_content(1000)) == BIG
server.shutdown()
try:
    server.server_close()
    requests.get(url, timeout=5)
except requests.exceptions.ConnectionError:
    pass
print(requests.__version__, "GET, POST, redirect, stream, keep-alive, refused")
