"""What of a reply answers the question.

A reply may carry any records; an attacker's will. Read are only those that lie on the way from the name that
was asked, by CNAME records, to records of the wanted type; whatever else it holds (addresses of other names,
other servers) is not looked at, so it cannot get into the cache. How long "there is no such name" may be
believed is read from an SOA record, if it is one of a zone above the name (RFC 2308).
"""

from typing import NamedTuple

from tipy.errors import PacketError
from tipy.wire import dns

MAX_CHAIN = 16             # aliases from one name to its address
MAX_TTL = 86400            # s; nothing is believed for longer
MAX_NEGATIVE_TTL = 3600

_RCODES = {dns.FORMERR: "formerr", dns.SERVFAIL: "servfail", dns.NOTIMP: "notimp", dns.REFUSED: "refused"}


class Answer(NamedTuple):
    """names: the name asked and what it is an alias of, one after the other; data: addresses or names, empty
    if there are none; exists: False if there is no such name at all; ttl: seconds it may be kept."""
    names: tuple
    data: tuple
    exists: bool
    ttl: int


def evaluate(message, question):
    """The Answer in a reply to `question`; PacketError if the server did not answer it."""
    if message.rcode not in (dns.NOERROR, dns.NXDOMAIN):
        raise PacketError(_RCODES.get(message.rcode, "rcode"))
    names, ttl = _aliases(message, question)
    wanted = _records(message.answers, names[-1], question.type)
    if wanted:
        ttl = min(ttl, *(record.ttl for record in wanted))
        return Answer(names, tuple(dict.fromkeys(record.data for record in wanted)), True, ttl)
    return Answer(names, (), message.rcode == dns.NOERROR, min(ttl, _negative_ttl(message, names[-1])))


def _aliases(message, question):
    """((asked name, what it is an alias of ...), seconds the aliases hold); PacketError if they go in
    circles."""
    names, ttl = [question.name], MAX_TTL
    while True:
        if _records(message.answers, names[-1], question.type):
            return tuple(names), ttl
        aliases = _records(message.answers, names[-1], dns.TYPE_CNAME)
        if not aliases:
            return tuple(names), ttl
        target = aliases[0].data
        if len(names) > MAX_CHAIN or dns.folded(target) in map(dns.folded, names):
            raise PacketError("alias_loop")
        names.append(target)
        ttl = min(ttl, aliases[0].ttl)


def _records(records, name, type):
    name = dns.folded(name)
    return [record for record in records if record.type == type and record.cls == dns.CLASS_IN
            and dns.folded(record.name) == name]


def _negative_ttl(message, name):
    name = dns.folded(name)
    for record in message.authority:
        zone = dns.folded(record.name)
        above = len(zone) <= len(name) and name[len(name) - len(zone):] == zone
        if above and record.type == dns.TYPE_SOA and record.cls == dns.CLASS_IN:
            return min(record.ttl, record.data, MAX_NEGATIVE_TTL)
    return 0
