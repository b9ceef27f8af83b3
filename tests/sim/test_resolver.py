"""Names from a DNS server on a second stack, in virtual time: answers, failures, lies, patience, the
cache."""

import socket as stdlib

import pytest
from dns_server import DnsServer, Zone, a, cname, name, ptr, reply, soa

from tipy import log
from tipy.clock import ManualClock
from tipy.link.memory import Wire
from tipy.resolver import cache, config
from tipy.resolver.answer import Answer
from tipy.settings import Settings
from tipy.stack import Stack
from tipy.wire import dns

_running = []
US, SERVER, SECOND = "10.0.0.1", "10.0.0.2", "10.0.0.3"


def stack_on(wire, clock, address, seed, **settings):
    log.choose(())
    values = Settings.load(use_user_files=False, acd=False, address=f"{address}/24",
                           mac=f"02:00:00:00:00:0{seed}",
                           **settings)
    stack = Stack(link=wire.port(), clock=clock, seed=seed, settings=values)
    stack.start()
    _running.append(stack)
    return stack


@pytest.fixture(autouse=True)
def stopped_afterwards():
    """No stack outlives its test: the next one would take it for the default."""
    yield
    while _running:
        _running.pop().stop()


class Net:
    """Our stack, and one or two servers with their scripts."""

    def __init__(self, *scripts, **settings):
        self.clock, wire = ManualClock(auto=True), Wire()
        settings.setdefault("nameservers", (SERVER, SECOND)[:max(len(scripts), 1)])
        settings.setdefault("search", ())
        self.stack = stack_on(wire, self.clock, US, 1, **settings)
        self.socket = self.stack.socket
        self.servers = [DnsServer(stack_on(wire, self.clock, ip, seed), bytes(map(int, ip.split("."))),
                                  script)
                        for seed, ip, script in zip((2, 3), (SERVER, SECOND), scripts)]

    @property
    def asked(self):
        """The questions the first server has heard, as text."""
        return [dns.name_text(query.questions[0].name) for query, _, _ in self.servers[0].asked]

    def fails(self, text, code):
        with pytest.raises(self.socket.gaierror) as caught:
            self.socket.gethostbyname(text)
        assert caught.value.errno == getattr(stdlib, code)


WWW = Zone(a("www.example", "192.0.2.1"), a("www.example", "192.0.2.2"))


# -- answers ----------------------------------------------------------------------------------------------


def test_a_name_has_its_addresses():
    net = Net(WWW)
    assert net.socket.gethostbyname_ex("www.example") == ("www.example", [], ["192.0.2.1", "192.0.2.2"])
    found = net.socket.getaddrinfo("WWW.example", "http", type=stdlib.SOCK_STREAM, flags=stdlib.AI_CANONNAME)
    assert found == [(2, 1, 6, "WWW.example", ("192.0.2.1", 80)), (2, 1, 6, "", ("192.0.2.2", 80))]


def test_aliases_are_followed_within_a_reply():
    net = Net(lambda query, _: reply(query, [cname("www.example", "web.example"),
                                             cname("web.example", "host.example"),
                                             a("host.example", "192.0.2.9")]))
    assert net.socket.gethostbyname_ex("www.example") == ("host.example", ["www.example", "web.example"],
                                                          ["192.0.2.9"])


def test_an_alias_without_an_address_is_asked_for():
    net = Net(Zone(cname("www.example", "host.example"), a("host.example", "192.0.2.9")))
    assert net.socket.gethostbyname_ex("www.example")[::2] == ("host.example", ["192.0.2.9"])
    assert net.asked == ["www.example", "host.example"]


def test_an_address_has_its_name():
    net = Net(Zone(ptr("9.2.0.192.in-addr.arpa", "host.example")))
    assert net.socket.gethostbyaddr("192.0.2.9") == ("host.example", [], ["192.0.2.9"])
    assert net.socket.getnameinfo(("192.0.2.9", 80), 0) == ("host.example", "http")


def test_an_address_may_be_delegated_by_alias():
    net = Net(lambda query, _: reply(query, [cname("9.2.0.192.in-addr.arpa", (b"9", b"0/25", b"example")),
                                             dns.Record((b"9", b"0/25", b"example"), 12, 1, 60,
                                                        name("host.example"))]))
    assert net.socket.gethostbyaddr("192.0.2.9")[0] == "host.example"


def test_an_address_without_a_name():
    net = Net(Zone())
    with pytest.raises(net.socket.herror) as caught:
        net.socket.gethostbyaddr("192.0.2.9")
    assert caught.value.args == (1, "Unknown host")
    assert net.socket.getnameinfo(("192.0.2.9", 1), 0)[0] == "192.0.2.9"
    with pytest.raises(net.socket.gaierror) as caught:
        net.socket.getnameinfo(("192.0.2.9", 1), stdlib.NI_NAMEREQD)
    assert caught.value.errno == stdlib.EAI_NONAME


def test_a_socket_call_takes_a_name():
    net = Net(Zone(a("server.example", SERVER)))
    sock = net.socket.socket(type=stdlib.SOCK_DGRAM)
    sock.connect(("server.example", 53))
    assert sock.getpeername() == (SERVER, 53)
    sock.close()


def test_a_cut_reply_is_asked_for_again_over_tcp():
    many = [a("many.example", f"192.0.2.{n}") for n in range(1, 100)]
    net = Net(lambda query, by: reply(query, many) if by == "tcp" else reply(query, many[:3], flags=dns.TC))
    assert len(net.socket.gethostbyname_ex("many.example")[2]) == 99
    assert [by for _, _, by in net.servers[0].asked] == ["udp", "tcp"]


# -- failures ---------------------------------------------------------------------------------------------


def test_no_such_name():
    Net(WWW).fails("nowhere.example", "EAI_NONAME")


def test_a_name_without_an_address():
    Net(Zone(dns.Record(name("mail.example"), 99, 1, 60, b"x"))).fails("mail.example", "EAI_NODATA")


@pytest.mark.parametrize("rcode", [dns.FORMERR, dns.SERVFAIL, dns.NOTIMP, dns.REFUSED, 11])
def test_a_server_that_fails_is_a_temporary_failure(rcode):
    net = Net(lambda query, _: reply(query, rcode=rcode))
    net.fails("www.example", "EAI_AGAIN")
    assert len(net.asked) == 2                         # dns_attempts


def test_a_server_that_fails_is_passed_over():
    net = Net(lambda query, _: reply(query, rcode=dns.SERVFAIL), WWW)
    assert net.socket.gethostbyname("www.example") == "192.0.2.1"
    assert net.clock.now() < 1


def test_silence_is_a_temporary_failure_after_glibcs_patience():
    net = Net(lambda query, _: None)
    net.fails("www.example", "EAI_AGAIN")
    assert net.clock.now() == pytest.approx(5 + 10)
    assert len({query.id for query, _, _ in net.servers[0].asked}) == 2


def test_patience_is_a_setting():
    net = Net(lambda query, _: None, dns_timeout=1, dns_attempts=3)
    net.fails("www.example", "EAI_AGAIN")
    assert net.clock.now() == pytest.approx(1 + 2 + 4)


def test_a_silent_server_is_passed_over():
    net = Net(lambda query, _: None, WWW)
    assert net.socket.gethostbyname("www.example") == "192.0.2.1"
    assert net.clock.now() == pytest.approx(5, abs=0.1)


def test_a_server_that_is_not_there_is_passed_over():
    net = Net(WWW, nameservers=("10.0.0.77", SERVER))
    assert net.socket.gethostbyname("www.example") == "192.0.2.1"


def test_without_servers_a_name_is_a_temporary_failure():
    Net(nameservers=()).fails("www.example", "EAI_AGAIN")


def test_a_reverse_question_nobody_answers_is_a_temporary_failure():
    net = Net(lambda query, _: None)
    with pytest.raises(net.socket.herror) as caught:
        net.socket.gethostbyaddr("192.0.2.9")
    assert caught.value.args == (2, "Host name lookup failure")
    with pytest.raises(net.socket.gaierror) as caught:
        net.socket.getnameinfo(("192.0.2.9", 1), stdlib.NI_NAMEREQD)
    assert caught.value.errno == stdlib.EAI_AGAIN


@pytest.mark.parametrize("text", ["nowhere.invalid", "hidden.onion", "a..b", "x" * 254, "y" * 64])
def test_what_cannot_be_there_is_not_asked_for(text):
    net = Net(WWW)
    net.fails(text, "EAI_NONAME")
    assert net.asked == []


# -- the search list --------------------------------------------------------------------------------------


def test_a_short_name_is_searched_for():
    net = Net(Zone(a("www.two.example", "192.0.2.5")), search=("one.example", "two.example"))
    assert net.socket.gethostbyname_ex("www") == ("www.two.example", [], ["192.0.2.5"])
    assert net.asked == ["www.one.example", "www.two.example"]


def test_a_name_with_dots_is_tried_first_as_it_is():
    net = Net(Zone(a("a.b.one.example", "192.0.2.5")), search=("one.example",))
    assert net.socket.gethostbyname("a.b") == "192.0.2.5"
    assert net.asked == ["a.b", "a.b.one.example"]


def test_ndots_says_how_many_dots():
    net = Net(Zone(), search=("one.example",), ndots=2)
    net.fails("a.b", "EAI_NONAME")
    assert net.asked == ["a.b.one.example", "a.b"]


def test_a_dot_at_the_end_means_no_search():
    net = Net(WWW, search=("one.example",))
    net.fails("www.", "EAI_NONAME")
    assert net.asked == ["www"]


def test_a_search_name_that_makes_the_name_too_long_is_left_out():
    long = ".".join(["x" * 60] * 4)
    net = Net(Zone(a(long, "192.0.2.5")), search=("one.example",), ndots=9)
    assert net.socket.gethostbyname(long) == "192.0.2.5"


# -- lies -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("lie", [
    lambda query, good: good._replace(id=query.id ^ 1), lambda query,
    good: good._replace(flags=good.flags & ~dns.QR),
    lambda query, good: good._replace(questions=()), lambda query,
    good: good._replace(flags=good.flags | 0x0800),
    lambda query, good: good._replace(questions=good.questions * 2),
    lambda query, good: good._replace(questions=(dns.Question(name("other.example"), 1),)),
    lambda query, good: good._replace(questions=(good.questions[0]._replace(type=28),)),
    lambda query, good: good.pack()[:-1], lambda query, good: b"", lambda query, good: good.pack()[:12],
    lambda query, good: good.pack()[:2] + b"\x81\x80" + b"\0\1\xff\xff\xff\xff\xff\xff" + b"\xc0\x0c" * 40,
    lambda query, good: query.pack()[:2] + b"\x81\x80\0\1\0\1\0\0\0\0" + b"\3www\xc0\x0c\0\1\0\1"])
def test_a_reply_that_is_none_is_waited_past(lie):
    def script(query, _):
        good = reply(query, [a("www.example", "192.0.2.1")])
        return [lie(query, reply(query, [a("www.example", "6.6.6.6")])), good]
    net = Net(script)
    assert net.socket.gethostbyname("www.example") == "192.0.2.1"
    assert net.stack.counters["dns.drop_reply"] == 1


def test_another_host_cannot_answer():
    def script(query, _):
        port = net.servers[0].asked[-1][1][1]
        net.servers[1].udp.send(reply(query, [a("www.example", "6.6.6.6")]).pack(), (net.stack.address, port))
        return reply(query, [a("www.example", "192.0.2.1")])
    net = Net(script, WWW)
    assert net.socket.gethostbyname("www.example") == "192.0.2.1"


def test_ids_and_ports_are_not_guessable_from_the_last_ones():
    net = Net(WWW)
    for number in range(40):
        net.fails(f"n{number}.example", "EAI_NONAME")
    asked = net.servers[0].asked
    assert len({query.id for query, _, _ in asked}) > 38
    assert len({remote[1] for _, remote, _ in asked}) > 38


def test_records_beside_the_question_are_not_believed():
    def script(query, _):
        if query.questions[0].name == name("bank.example"):
            return reply(query, [a("bank.example", "192.0.2.7")])
        return reply(query, [a("www.example", "192.0.2.1"), a("bank.example", "6.6.6.6")],
                     authority=[a("bank.example", "6.6.6.6")], additional=(a("bank.example", "6.6.6.6"),))
    net = Net(script)
    assert net.socket.gethostbyname_ex("www.example")[2] == ["192.0.2.1"]
    assert net.socket.gethostbyname("bank.example") == "192.0.2.7"


@pytest.mark.parametrize("records", [
    [cname("www.example", "www.example")],
    [cname("www.example", "b.example"), cname("b.example", "www.EXAMPLE")],
    [cname("www.example", "n0.example")] + [cname(f"n{n}.example", f"n{n + 1}.example") for n in range(40)]])
def test_aliases_in_a_circle_end(records):
    Net(lambda query, _: reply(query, records)).fails("www.example", "EAI_AGAIN")


def test_aliases_that_never_end_end():
    def script(query, _):
        number = int(query.questions[0].name[0][1:])
        return reply(query, [cname(f"n{number}.example", f"n{number + 1}.example")])
    net = Net(script)
    net.fails("n0.example", "EAI_AGAIN")
    assert len(net.asked) < 40


@pytest.mark.parametrize("target", [(b"a\0b",), (b"a b", b"example"), (b"$(reboot)",), (b"www.example",), ()])
def test_a_name_no_host_has_does_not_reach_the_program(target):
    net = Net(lambda query, _: reply(query, [cname("www.example", target),
                                             dns.Record(target, 1, 1, 60, b"\6\6\6\6")]))
    net.fails("www.example", "EAI_FAIL")
    net = Net(Zone(ptr("9.2.0.192.in-addr.arpa", target)))
    assert net.socket.getnameinfo(("192.0.2.9", 1), 0)[0] == "192.0.2.9"


def test_a_tcp_server_that_hangs_up_is_a_failure():
    net = Net(lambda query, by: None if by == "tcp" else reply(query, flags=dns.TC))
    net.fails("www.example", "EAI_AGAIN")


def test_a_wrong_reply_over_tcp_is_a_failure():
    net = Net(lambda query, by: reply(query, id=query.id ^ 1) if by == "tcp" else reply(query, flags=dns.TC))
    net.fails("www.example", "EAI_AGAIN")


# -- the cache --------------------------------------------------------------------------------------------


def test_an_answer_is_kept_for_its_ttl():
    net = Net(Zone(a("www.example", "192.0.2.1", ttl=30)))
    for seconds, questions in ((0, 1), (29, 1), (2, 2)):
        net.clock.advance(seconds)
        assert net.socket.gethostbyname("WWW.example") == "192.0.2.1"
        assert len(net.asked) == questions


def test_the_shortest_ttl_of_the_way_counts():
    net = Net(lambda query, _: reply(query, [cname("www.example", "h.example", 5),
                                             a("h.example", "192.0.2.1", 3000)]))
    for seconds, questions in ((0, 1), (6, 2)):
        net.clock.advance(seconds)
        net.socket.gethostbyname("www.example")
        assert len(net.asked) == questions


def test_nothing_is_believed_for_longer_than_a_day():
    net = Net(Zone(a("www.example", "192.0.2.1", ttl=2 ** 31 - 1)))
    net.socket.gethostbyname("www.example")
    net.clock.advance(86401)
    net.socket.gethostbyname("www.example")
    assert len(net.asked) == 2


def test_a_ttl_of_zero_is_not_kept():
    net = Net(Zone(a("www.example", "192.0.2.1", ttl=0)))
    net.socket.gethostbyname("www.example")
    net.socket.gethostbyname("www.example")
    assert len(net.asked) == 2 and len(net.stack.resolver.cache) == 0


@pytest.mark.parametrize("zone, kept", [("example", True), ("other", False), ("deep.nowhere.example", False)])
def test_that_there_is_no_such_name_is_kept_as_its_own_zone_says(zone, kept):
    net = Net(Zone(authority=[soa(zone, 20)]))
    net.fails("nowhere.example", "EAI_NONAME")
    net.clock.advance(10)
    net.fails("nowhere.example", "EAI_NONAME")
    assert len(net.asked) == (1 if kept else 2)
    net.clock.advance(11)
    net.fails("nowhere.example", "EAI_NONAME")
    assert len(net.asked) == (2 if kept else 3)


def test_failures_are_not_kept():
    net = Net(lambda query, _: reply(query, rcode=dns.SERVFAIL) if len(net.servers[0].asked) < 3
              else reply(query, [a("www.example", "192.0.2.1")]))
    net.fails("www.example", "EAI_AGAIN")
    assert net.socket.gethostbyname("www.example") == "192.0.2.1"


def test_the_cache_is_bounded():
    store = cache.Cache(ManualClock(), cap=3)
    for number in range(10):
        store.put(number, Answer((), (), True, 60))
        store.get(0)
    assert len(store) == 3 and store.get(0) is not None and store.get(9) is not None


# -- configuration ----------------------------------------------------------------------------------------


def test_resolv_conf_is_read(tmp_path):
    path = tmp_path / "resolv.conf"
    path.write_text("# nameserver 9.9.9.9\nnameserver 192.0.2.1\nnameserver ::1\nnameserver 127.0.0.53\n"
                    "nameserver bad\nnameserver\ndomain old.example\nsearch one.example bad..name "
                    "two.example\n"
                    "options ndots:3 timeout:2 attempts:99 rotate timeout:x\n")
    assert config.read(str(path)) == ((bytes([192, 0, 2, 1]),), (name("one.example"), name("two.example")),
                                      {"ndots": 3, "timeout": 2, "attempts": 5})
    assert config.read(str(tmp_path / "none")) == ((), (), {})


def test_settings_come_before_resolv_conf(tmp_path, monkeypatch):
    path = tmp_path / "resolv.conf"
    path.write_text("nameserver 192.0.2.1\nsearch one.example\noptions ndots:3\n")
    monkeypatch.setattr(config, "RESOLV_CONF", str(path))
    read = config.Config.load(Settings())
    assert (read.servers, read.search, read.ndots, read.timeout) == ((bytes([192, 0, 2, 1]),),
                                                                     (name("one.example"),), 3, 5)
    chosen = config.Config.load(Settings(nameservers="192.0.2.8, 192.0.2.9", ndots=1, search=""))
    assert (len(chosen.servers), chosen.search, chosen.ndots) == (2, (), 1)


def test_where_resolv_conf_names_the_machines_own_server_systemds_list_counts(tmp_path, monkeypatch):
    for attribute, text in (("RESOLV_CONF", "nameserver 127.0.0.53\nsearch one.example"),
                            ("SYSTEMD_CONF", "nameserver 192.0.2.4\n")):
        path = tmp_path / attribute
        path.write_text(text)
        monkeypatch.setattr(config, attribute, str(path))
    read = config.Config.load(Settings())
    assert (read.servers, read.search) == ((bytes([192, 0, 2, 4]),), (name("one.example"),))


@pytest.mark.parametrize("keyword, value", [("nameservers", "300.1.1.1"), ("nameservers", "::1"),
                                            ("nameservers", 5),
                                            ("nameservers", "224.0.0.1"), ("search", "a..b"), ("search", 5)])
def test_settings_without_sense_are_refused(keyword, value):
    with pytest.raises(ValueError):
        Settings(**{keyword: value})
