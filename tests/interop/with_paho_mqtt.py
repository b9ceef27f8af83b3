"""paho-mqtt: two clients, subscribe and publish, through a small broker."""

import queue
import socketserver
import struct
import threading

import paho.mqtt
import paho.mqtt.client as mqtt


class Server(socketserver.ThreadingTCPServer):
    daemon_threads, request_queue_size = True, 100

    def handle_error(self, request, client_address):
        """Clients hang up as they please."""


class Broker(socketserver.StreamRequestHandler):
    """MQTT 3.1.1, quality of service 0."""

    def handle(self):
        while head := self.rfile.read(1):
            size = shift = 0
            while True:
                byte = self.rfile.read(1)[0]
                size |= (byte & 127) << shift
                shift += 7
                if byte < 128:
                    break
            self.packet(head[0] >> 4, head, self.rfile.read(size))

    def packet(self, kind, head, body):
        if kind == 1:
            self.wfile.write(b"\x20\x02\x00\x00")
        elif kind == 8:
            subscribers.append(self.wfile)
            self.wfile.write(b"\x90\x03" + body[:2] + b"\x00")
        elif kind == 3:
            for file in subscribers:
                file.write(head + length(len(body)) + body)
        elif kind == 12:
            self.wfile.write(b"\xd0\x00")


def length(size):
    out = bytearray()
    while True:
        size, low = divmod(size, 128)
        out.append(low | (128 if size else 0))
        if not size:
            return bytes(out)


subscribers, received, ready = [], queue.Queue(), threading.Event()
server = Server(("127.0.0.1", 0), Broker)
threading.Thread(target=server.serve_forever, daemon=True).start()


def client():
    made = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2)
    made.on_connect = lambda client, *rest: client.subscribe("news/#")
    made.on_subscribe = lambda *args: ready.set()
    made.on_message = lambda client, data, message: received.put((message.topic, message.payload))
    made.connect("127.0.0.1", server.server_address[1], keepalive=30)
    made.loop_start()
    return made


listening = client()
assert ready.wait(20)
speaking = client()
sent = [(f"news/{n}", struct.pack("!I", n) * 5000) for n in range(20)]
for topic, payload in sent:
    speaking.publish(topic, payload).wait_for_publish(20)
got = set()
while len(got) < len(sent):
    got.add(received.get(timeout=20))
assert got == set(sent)
for each in (listening, speaking):
    each.disconnect()
    each.loop_stop()
print(paho.mqtt.__version__, "20 messages of 20 kB through a broker")
