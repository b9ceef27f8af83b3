"""A DNS server on a stack in virtual time: what its `script` says, byte for byte. It only acts, tests
judge."""

from tipy.tcp.options import Options
from tipy.wire import dns


class DnsServer:
    """Answers on UDP and TCP port 53 of `stack` at `ip`.

    script(query Message, "udp" or "tcp") gives the reply: a Message, bytes, a list of them, or None. `asked`
    collects (query, remote, transport).
    """

    def __init__(self, stack, ip, script):
        self.stack, self.script = stack, script
        self.asked = []
        with stack.gate:
            self.udp = stack.udp.endpoint()
            self.udp.bind(ip, 53)
            self.udp.readiness = _Call(self._datagrams)
            self.listener = stack.tcp.listen((ip, 53), 5, Options())
            self.listener.readiness = _Call(self._connections)

    def _replies(self, data, remote, transport):
        query = dns.Message.unpack(data)
        self.asked.append((query, remote, transport))
        replies = self.script(query, transport)
        if not isinstance(replies, list):
            replies = [] if replies is None else [replies]
        return [reply if isinstance(reply, bytes) else reply.pack() for reply in replies]

    def _datagrams(self):
        while (datagram := self.udp.receive()) is not None:
            for reply in self._replies(datagram.data, datagram.remote, "udp"):
                self.udp.send(reply, datagram.remote)

    def _connections(self):
        while (tcb := self.listener.accept()) is not None:
            tcb.readiness = _Call(lambda tcb=tcb: self._segments(tcb))
            self._segments(tcb)

    def _segments(self, tcb):
        if tcb.unread < 2:
            return
        data = tcb.read(65537)
        for reply in self._replies(data[2:], tcb.remote, "tcp"):
            tcb.write(memoryview(len(reply).to_bytes(2, "big") + reply))
        tcb.readiness = None
        tcb.close()


class _Call:
    """Stands where a descriptor would be: update() means that something happened."""

    def __init__(self, fn):
        self.update = fn


def reply(query, answers=(), rcode=0, authority=(), flags=0, **changes):
    """A reply to a query Message; answers as Records."""
    made = dns.Message(query.id, dns.QR | dns.RD | dns.RA | flags | rcode, query.questions, tuple(answers),
                       tuple(authority))
    return made._replace(**changes)


def name(text):
    return dns.parse_name(text)


def a(text, ip, ttl=60):
    return dns.Record(name(text), dns.TYPE_A, 1, ttl, bytes(map(int, ip.split("."))))


def cname(text, target, ttl=60):
    return dns.Record(name(text), dns.TYPE_CNAME, 1, ttl, name(target) if isinstance(target, str) else target)


def ptr(text, target, ttl=60):
    return dns.Record(name(text), dns.TYPE_PTR, 1, ttl, name(target) if isinstance(target, str) else target)


def soa(text, minimum, ttl=3600):
    return dns.Record(name(text), dns.TYPE_SOA, 1, ttl, minimum)


class Zone:
    """A script that answers from records; names without records do not exist."""

    def __init__(self, *records, authority=()):
        self.records, self.authority = records, authority

    def __call__(self, query, transport):
        question = query.questions[0]
        own = [r for r in self.records if dns.folded(r.name) == dns.folded(question.name)]
        if not own:
            return reply(query, rcode=dns.NXDOMAIN, authority=self.authority)
        found = [r for r in own if r.type == question.type]
        aliases = [r for r in own if r.type == dns.TYPE_CNAME]
        return reply(query, found or aliases, authority=() if found else self.authority)
