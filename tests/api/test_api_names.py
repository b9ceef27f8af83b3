"""getaddrinfo and its relatives, as far as no name server is needed."""

import pytest


def test_a_numeric_address_needs_no_resolver(net):
    assert net.getaddrinfo("192.0.2.1", 80, type=net.SOCK_STREAM) == [
        (net.AF_INET, net.SOCK_STREAM, 6, "", ("192.0.2.1", 80))]


def test_without_a_type_there_is_an_answer_for_each(net):
    found = net.getaddrinfo("192.0.2.1", 80)
    assert [(kind, proto) for _, kind, proto, _, _ in found] == [(1, 6), (2, 17), (3, 0)]


def test_localhost_is_the_loopback_address(net):
    assert net.gethostbyname("localhost") == "127.0.0.1"
    assert net.getaddrinfo("localhost", 80, net.AF_INET, net.SOCK_STREAM)[0][4] == ("127.0.0.1", 80)


def test_no_host_is_this_host_or_any(net):
    assert net.getaddrinfo(None, 80, net.AF_INET, net.SOCK_STREAM)[0][4] == ("127.0.0.1", 80)
    assert net.getaddrinfo(None, 80, net.AF_INET, net.SOCK_STREAM, 0, net.AI_PASSIVE)[0][4] == ("0.0.0.0", 80)


def test_services_have_names(net):
    assert net.getaddrinfo("127.0.0.1", "http", type=net.SOCK_STREAM)[0][4] == ("127.0.0.1", 80)
    assert net.getnameinfo(("127.0.0.1", 80), net.NI_NUMERICHOST) == ("127.0.0.1", "http")


def test_nothing_asked_is_an_error(net):
    with pytest.raises(net.gaierror) as error:
        net.getaddrinfo(None, None)
    assert error.value.args == (net.EAI_NONAME, "Name or service not known")


@pytest.mark.parametrize("arguments, code", [
    (("127.0.0.1", 80, 0, 1, 17), "EAI_SOCKTYPE"), (("127.0.0.1", "nosuchservice"), "EAI_SERVICE"),
    (("127.0.0.1", 80, 77), "EAI_FAMILY"), (("127.0.0.1", 80, 10), "EAI_ADDRFAMILY"),
    (("name", 80, 0, 0, 0, 4), "EAI_NONAME"), (("127.0.0.1", "http", 0, 0, 0, 1024), "EAI_NONAME"),
    ((None, 80, 0, 0, 0, 2), "EAI_BADFLAGS"), (("", 80), "EAI_NONAME"), (("::1", 80, 2), "EAI_ADDRFAMILY")])
def test_what_does_not_fit_has_the_c_librarys_code(net, arguments, code):
    with pytest.raises(net.gaierror) as error:
        net.getaddrinfo(*arguments)
    assert error.value.errno == getattr(net, code)


@pytest.mark.parametrize("text, ip", [("127.1", "127.0.0.1"), ("0x7f.0.0.2", "127.0.0.2"),
                                      ("2130706433", "127.0.0.1")])
def test_old_spellings_of_addresses_are_understood(net, text, ip):
    assert net.gethostbyname(text) == ip


def test_an_address_has_its_name_in_the_hosts_file(net):
    assert net.gethostbyaddr("127.0.0.1")[2] == ["127.0.0.1"]


def test_getnameinfo_can_insist_on_numbers(net):
    flags = net.NI_NUMERICHOST | net.NI_NUMERICSERV
    assert net.getnameinfo(("192.0.2.1", 80), flags) == ("192.0.2.1", "80")


def test_a_name_nobody_knows_is_a_gaierror(ours):
    for call in (ours.gethostbyname, lambda name: ours.getaddrinfo(name, 80)):
        with pytest.raises(ours.gaierror) as error:
            call("nowhere.invalid")
        assert error.value.errno == ours.EAI_NONAME


def test_no_ipv6_is_offered(ours):
    assert ours.has_ipv6 is False
    assert {family for family, *_ in ours.getaddrinfo("localhost", 80)} == {ours.AF_INET}
    with pytest.raises(OSError) as error:
        ours.socket(ours.AF_INET6)
    assert error.value.errno == 97


def test_a_hosts_file_gives_names_and_aliases(tmp_path):
    from tipy.sockets.names import Hosts
    path = tmp_path / "hosts"
    path.write_text("# comment\n192.0.2.7 server.example server # it\n::1 six\nbad\n192.0.2.8 server\n")
    hosts = Hosts(str(path))
    seven, eight = bytes([192, 0, 2, 7]), bytes([192, 0, 2, 8])
    assert hosts.addresses("SERVER") == ("server.example", ["server"], [seven, eight])
    assert hosts.name(seven) == ("server.example", ["server"])
    assert hosts.addresses("six") is None


def test_audit_hooks_hear_of_questions(net):
    import sys
    heard, listening = [], [True]
    sys.addaudithook(lambda event, args: heard.append((event, args)) if listening and event.startswith("socket.get")
                     else None)
    net.getaddrinfo("127.0.0.1", 80, net.AF_INET, net.SOCK_STREAM, 6)
    net.gethostbyname("127.0.0.1")
    net.getnameinfo(("127.0.0.1", 80), net.NI_NUMERICHOST | net.NI_NUMERICSERV)
    listening.clear()
    assert heard == [("socket.getaddrinfo", ("127.0.0.1", 80, net.AF_INET, net.SOCK_STREAM, 6)),
                     ("socket.gethostbyname", ("127.0.0.1",)), ("socket.getnameinfo", (("127.0.0.1", 80),))]


@pytest.mark.parametrize("port", [-1, 65535, 65536, 2 ** 31, 2 ** 32 + 80, 2 ** 63 - 1, -2 ** 31 - 1, "65536", "080",
                                  "4294967295", "18446744073709551696", "9" * 40])
def test_port_numbers_are_taken_as_the_c_library_takes_them(net, port):
    import socket as kernel

    def ask(module):
        try:
            return module.getaddrinfo("127.0.0.1", port, type=module.SOCK_STREAM)[0][4]
        except module.gaierror as error:
            return error.errno
    assert ask(net) == ask(kernel)
