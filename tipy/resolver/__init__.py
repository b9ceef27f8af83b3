"""Names and addresses from the Domain Name System (RFC 1034, 1035), asked through the stack itself.

    config      which servers, which search list: settings, else resolv.conf
    cache       answers, for as long as their TTL allows
    transport   one question to one server: UDP, and TCP if the answer was cut
    answer      what of a reply answers the question

A stub resolver: it asks a server that does the work (recursion), in the order and with the patience of glibc.
What keeps an attacker who cannot see our packets from answering in the server's place (RFC 5452): a random
port for each question, a random id, and a reply counts only if it comes from where the question went, repeats
it, and arrives in time; a wrong one is counted and waited past. Of a reply only the records on the way from
the name that was asked, by aliases, to its address are believed, and only for that question.

`Resolver` is what sockets/names.py calls `resolver`. Its methods block as socket calls do: they must not be
called inside the gate.
"""

from tipy.address import is_loopback
from tipy.errors import PacketError
from tipy.log import channel
from tipy.resolver.answer import MAX_CHAIN, Answer, evaluate
from tipy.resolver.cache import Cache
from tipy.resolver.config import Config
from tipy.resolver.transport import ask
from tipy.sockets.names import gai_error, host_error
from tipy.wire import dns

_NOT_IN_DNS = {b"invalid", b"onion"}       # RFC 6761, RFC 7686: no such names there, do not ask
_log = channel("dns")


class _Failure(Exception):
    """No server could say. `silent`: none even answered."""

    def __init__(self, silent):
        super().__init__(silent)
        self.silent = silent


class Resolver:
    """The resolver of one stack."""

    def __init__(self, stack):
        self._stack = stack
        self.cache = Cache(stack.clock)

    # -- what names.py asks ---------------------------------------------------------------------------

    def addresses(self, text):
        """(canonical name, aliases, [ip]) of a host name; gaierror EAI_NONAME (no such name), EAI_NODATA (no
        address), EAI_AGAIN (no server knew), EAI_FAIL (an answer without sense)."""
        try:
            config = Config.load(self._stack.settings)
            candidates = config.candidates(text)
        except ValueError:
            raise gai_error("EAI_NONAME") from None
        verdict = "EAI_NONAME"
        for name in candidates:
            try:
                answer = self._follow(name, dns.TYPE_A, config)
            except _Failure as failure:
                if failure.silent:
                    raise gai_error("EAI_AGAIN") from None
                verdict = "EAI_AGAIN"
                continue
            if answer.data:
                return self._host(answer)
            if answer.exists and verdict == "EAI_NONAME":
                verdict = "EAI_NODATA"
        raise gai_error(verdict)

    def _host(self, answer):
        *aliases, canonical = answer.names
        if not all(map(dns.is_hostname, answer.names[1:])):
            raise gai_error("EAI_FAIL")                # a name that no host has: not for programs to see
        return dns.name_text(canonical), [dns.name_text(name) for name in aliases], list(answer.data)

    def name(self, ip):
        """(name, aliases) of an address, or None if it has none; herror if no server knew."""
        if is_loopback(ip) or self._stack.settings.nameservers is None and self._stack.ipv4.is_local(ip):
            return None                                # the machine's servers know nothing of the stack
        reverse = dns.parse_name(".".join(map(str, reversed(ip))) + ".in-addr.arpa")
        try:
            answer = self._follow(reverse, dns.TYPE_PTR, Config.load(self._stack.settings))
        except _Failure:
            raise host_error("TRY_AGAIN") from None
        names = [dns.name_text(name) for name in answer.data if dns.is_hostname(name)]
        return (names[0], names[1:]) if names else None

    # -- questions --------------------------------------------------------------------------------------

    def _follow(self, name, type, config):
        """The Answer to a question, also if an alias leads to names that the first reply does not explain."""
        answer = self._answer(name, type, config)
        names = answer.names
        while answer.exists and not answer.data and len(answer.names) > 1:
            if len(names) > MAX_CHAIN:
                raise _Failure(False)
            answer = self._answer(names[-1], type, config)
            names += answer.names[1:]
        return answer._replace(names=names)

    def _answer(self, name, type, config):
        """The Answer of the cache or of a server."""
        key = dns.folded(name), type
        if key[0] and key[0][-1] in _NOT_IN_DNS:
            return Answer((name,), (), False, 0)
        with self._stack.gate:
            answer = self.cache.get(key)
            self._stack.counters["dns.cached" if answer is not None else "dns.asked"] += 1
        if answer is None:
            answer = self._ask_servers(dns.Question(name, type), config)
            with self._stack.gate:
                self.cache.put(key, answer)
        return answer._replace(names=(name, *answer.names[1:]))        # spelt as it was asked this time

    def _ask_servers(self, question, config):
        """Each server in turn, as often as the configuration says, until one gives an answer."""
        stack, silent = self._stack, True
        for attempt in range(config.attempts):
            for server in config.servers:
                deadline = stack.clock.now() + config.patience(attempt)
                try:
                    return evaluate(ask(stack, server, question, deadline), question)
                except TimeoutError:
                    reason = "timeout"
                except OSError:
                    if stack.gate.down is not None:
                        raise                          # the stack is gone, not the server
                    reason = "unreachable"
                except PacketError as error:           # SERVFAIL, REFUSED, or no sense in it
                    reason, silent = error.reason, False
                if __debug__ and _log.on:
                    _log("%s: %s", dns.name_text(question.name), reason)
                with stack.gate:
                    stack.counters["dns.failed_" + reason] += 1
        raise _Failure(silent)
