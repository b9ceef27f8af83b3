"""DNS messages: what is packed is read again, and nothing but PacketError comes of the rest (NAME:WRECK)."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tipy.errors import PacketError
from tipy.wire import dns

HEADER = bytes(12)
LABELS = st.lists(st.binary(min_size=1, max_size=63), max_size=3).map(tuple)


def message(**counts):
    """A header with these counts."""
    order = ("questions", "answers", "authority", "additional")
    return dns.STRUCT.pack(1, dns.QR, *(counts.get(name, 0) for name in order))


def name_at_12(data):
    return dns.read_name(HEADER + data, 12)


def refused(reason, call, *args):
    with pytest.raises(PacketError) as caught:
        call(*args)
    assert caught.value.reason == reason


@given(LABELS)
def test_a_name_is_read_as_it_was_packed(name):
    packed = dns.pack_name(name)
    assert name_at_12(packed) == (name, 12 + len(packed))


@given(LABELS, st.binary(min_size=4, max_size=4), st.integers(0, 0x7FFFFFFF))
def test_a_message_is_read_as_it_was_packed(name, ip, ttl):
    whole = dns.Message(7, dns.QR | dns.RD, (dns.Question(name, dns.TYPE_A),),
                        (dns.Record(name, dns.TYPE_CNAME, 1, ttl, (b"a", b"b")), dns.Record((), dns.TYPE_A,
                                                                                            1, ttl, ip)),
                        (dns.Record(name, dns.TYPE_SOA, 1, ttl, 300),), (dns.Record(name, 99, 5, ttl,
                                                                                    b"raw"),))
    assert dns.Message.unpack(whole.pack()) == whole


@given(st.binary(max_size=300))
def test_garbage_raises_nothing_but_packet_error(data):
    for candidate in (data, message(questions=1, answers=2, authority=1, additional=1) + data):
        try:
            str(dns.Message.unpack(candidate))
        except PacketError:
            pass


@given(st.data())
def test_a_damaged_reply_raises_nothing_but_packet_error(data):
    whole = bytearray(dns.Message(7, dns.QR, (dns.Question((b"www", b"example"), 1),),
                                  (dns.Record((b"www", b"example"), 5, 1, 9, (b"x",)),
                                   dns.Record((b"x",), 6, 1, 9, 9))).pack())
    for _ in range(data.draw(st.integers(1, 8))):
        whole[data.draw(st.integers(0, len(whole) - 1))] = data.draw(st.integers(0, 255))
    try:
        dns.Message.unpack(whole)
    except PacketError:
        pass


def test_pointers_are_followed_and_the_walk_goes_on_behind_the_first():
    data = HEADER + b"\3com\0" + b"\7example\xc0\x0c" + b"\3www\xc0\x11" + b"rest"
    assert dns.read_name(data, 27) == ((b"www", b"example", b"com"), 33)


@pytest.mark.parametrize("data", [b"\xc0\x0c", b"\xc0\x0e\xc0\x0c", b"\xc0\x20", b"\1a\xc0\x0c", b"\xc0\x00",
                                  b"\xff\xff"])
def test_a_pointer_that_does_not_lead_back_ends_the_walk(data):
    refused("name_pointer", name_at_12, data)


def test_pointers_in_a_circle_end():
    refused("name_pointer", dns.read_name, HEADER + b"\xc0\x0e\xc0\x0c", 14)


def test_a_long_way_of_pointers_ends():
    chain = b"\0" + b"".join((0xC000 | at).to_bytes(2, "big") for at in [12, *range(13, 113, 2)])
    refused("name_pointer", dns.read_name, HEADER + chain, 12 + len(chain) - 2)


@pytest.mark.parametrize("data, reason", [
    (b"", "name_overrun"), (b"\3ab", "name_overrun"), (b"\3abc", "name_overrun"), (b"\xc0", "name_overrun"),
    (b"\x40a\0", "name_label"), (b"\x80a\0", "name_label"), ((b"\x3f" + b"a" * 63) * 4 + b"\0", "name_long")])
def test_a_broken_name_is_refused(data, reason):
    refused(reason, name_at_12, data)


def test_a_name_may_be_255_bytes_long():
    packed = (b"\x3f" + b"a" * 63) * 3 + b"\x3d" + b"a" * 61 + b"\0"
    assert len(packed) == 255 and len(name_at_12(packed)[0]) == 4


@pytest.mark.parametrize("tail, reason", [
    (b"\0\0\1\0\1\0\0\0\0\0\5\1\2\3\4", "record_overrun"), (b"\0\0\1\0\1\0\0\0\0\0\3\1\2\3", "record_length"),
    (b"\0\0\1\0\1\0\0\0\0\0", "record_overrun"), (b"\0\0\5\0\1\0\0\0\0\0\3\1a\0", None),
    (b"\0\0\5\0\1\0\0\0\0\0\4\1a\0x", "record_length"), (b"\0\0\6\0\1\0\0\0\0\0\4\0\0\0\0", "record_length")])
def test_a_broken_record_is_refused(tail, reason):
    if reason is None:
        assert dns.Message.unpack(message(answers=1) + tail).answers[0].data == (b"a",)
    else:
        refused(reason, dns.Message.unpack, message(answers=1) + tail)


def test_counts_that_promise_too_much_are_refused():
    refused("records", dns.Message.unpack, message(answers=65535))
    refused("name_overrun", dns.Message.unpack, message(answers=5))


def test_a_cut_message_keeps_what_is_whole():
    whole = dns.Message(1, dns.QR | dns.TC, (dns.Question((b"a",), 1),),
                        (dns.Record((b"a",), 1, 1, 5, b"\1\2\3\4"),) * 2).pack()
    assert len(dns.Message.unpack(whole[:-3]).answers) == 1


def test_a_ttl_with_the_first_bit_set_is_zero():
    record = dns.Record((b"a",), 1, 1, 0x80000001, b"\1\2\3\4")
    assert dns.Message.unpack(dns.Message(1, 0, answers=(record,)).pack()).answers[0].ttl == 0


@pytest.mark.parametrize("text", ["a..b", ".a", "a" * 64, ".".join(["abc"] * 64), "ä.example"])
def test_what_is_no_name_is_a_value_error(text):
    with pytest.raises(ValueError):
        dns.parse_name(text)


def test_names_as_text():
    assert dns.parse_name("www.Example.org.") == (b"www", b"Example", b"org")
    assert dns.folded((b"WWW",)) == (b"www",)
    assert dns.name_text((b"a.b", b"c\0d")) == "a\\046b.c\\000d"


@pytest.mark.parametrize("name, good", [((b"www", b"a-b_1"), True), ((), False), ((b"a b",), False),
                                        ((b"a\0",), False),
                                        ((b"-rf",), False), ((b"a.b",), False), ((b"<script>",), False)])
def test_only_hostnames_are_hostnames(name, good):
    assert dns.is_hostname(name) is good
