"""Twisted: a web server and its client, datagrams, TLS by memory buffers."""

import twisted
from twisted.internet import defer, protocol, reactor, ssl, task
from twisted.internet.endpoints import TCP4ClientEndpoint, connectProtocol
from twisted.web import client, resource, server

BIG = bytes(range(256)) * 2000


class Page(resource.Resource):
    isLeaf = True

    def render_POST(self, request):
        return request.content.read()[::-1]


class EchoDatagrams(protocol.DatagramProtocol):
    def datagramReceived(self, data, address):
        self.transport.write(data.upper(), address)


class Ask(protocol.DatagramProtocol):
    def __init__(self, port):
        self.port, self.answer = port, defer.Deferred()

    def startProtocol(self):
        self.transport.connect("127.0.0.1", self.port)
        self.transport.write(b"hello")

    def datagramReceived(self, data, address):
        self.answer.callback(data)


class Echo(protocol.Protocol):
    def dataReceived(self, data):
        self.transport.write(data)


class Line(protocol.Protocol):
    def connectionMade(self):
        self.said, self.done = b"", defer.Deferred()
        self.transport.write(BIG)

    def dataReceived(self, data):
        self.said += data
        if len(self.said) == len(BIG):
            self.done.callback(self.said)


def tls_server():
    """A certificate made on the spot."""
    from OpenSSL import crypto
    key = crypto.PKey()
    key.generate_key(crypto.TYPE_RSA, 2048)
    certificate = crypto.X509()
    certificate.get_subject().CN = "localhost"
    certificate.set_issuer(certificate.get_subject())
    certificate.gmtime_adj_notBefore(0)
    certificate.gmtime_adj_notAfter(86400)
    certificate.set_pubkey(key)
    certificate.sign(key, "sha256")
    return ssl.CertificateOptions(privateKey=key, certificate=certificate)


@defer.inlineCallbacks
def main(reactor):
    web = reactor.listenTCP(0, server.Site(Page()), interface="127.0.0.1")
    url = b"http://127.0.0.1:%d/" % web.getHost().port
    agent = client.Agent(reactor)
    for _ in range(3):
        from io import BytesIO
        answer = yield agent.request(b"POST", url, bodyProducer=client.FileBodyProducer(BytesIO(BIG)))
        body = yield client.readBody(answer)
        assert body == BIG[::-1]
    udp = reactor.listenUDP(0, EchoDatagrams(), interface="127.0.0.1")
    ask = Ask(udp.getHost().port)
    reactor.listenUDP(0, ask)
    assert (yield ask.answer) == b"HELLO"
    factory = protocol.Factory.forProtocol(Echo)
    secure = reactor.listenSSL(0, factory, tls_server(), interface="127.0.0.1")
    line = Line()
    reactor.connectSSL("127.0.0.1", secure.getHost().port, OneProtocol(line), ssl.ClientContextFactory())
    yield task.deferLater(reactor, 0.01, lambda: None)
    while not hasattr(line, "done"):
        yield task.deferLater(reactor, 0.01, lambda: None)
    assert (yield line.done) == BIG
    plain = reactor.listenTCP(0, factory, interface="127.0.0.1")
    line = Line()
    yield connectProtocol(TCP4ClientEndpoint(reactor, "127.0.0.1", plain.getHost().port), line)
    assert (yield line.done) == BIG
    line.transport.loseConnection()


class OneProtocol(protocol.ClientFactory):
    def __init__(self, line):
        self.line = line

    def buildProtocol(self, address):
        return self.line


def run():
    failed = []
    main(reactor).addErrback(failed.append).addBoth(lambda _: reactor.stop())
    reactor.callLater(60, reactor.stop)
    reactor.run()
    if failed:
        failed[0].raiseException()


run()
print(twisted.__version__, f"web client and server, UDP, TLS, TCP on {type(reactor).__name__}")
