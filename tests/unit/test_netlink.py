"""The parts of rtnetlink that need no kernel: framing, attributes, error texts."""

import errno
import struct

import pytest

from tipy import netlink
from tipy.netlink import _ADDRESS, _LINK, _MESSAGE, _attribute, _check, _messages, _text, _u32


def message(kind, body, sequence=1, flags=0):
    length = _MESSAGE.size + len(body)
    return _MESSAGE.pack(length, kind, flags, sequence, 0) + body + bytes(-length % 4)


def test_attributes_are_padded_to_four_and_read_back():
    packed = _attribute(1, b"abcde") + _attribute(2, b"") + _attribute(3, b"wxyz")
    assert len(packed) == 12 + 4 + 8
    assert list(netlink.attributes(packed, 0)) == [(1, b"abcde"), (2, b""), (3, b"wxyz")]


def test_attribute_type_without_its_flag_bits():
    assert list(netlink.attributes(struct.pack("=HH", 4, 0x8000 | 7), 0)) == [(7, b"")]


@pytest.mark.parametrize("length", [0, 1, 3, 9, 0xFFFF])
def test_attribute_of_absurd_length_ends_the_list(length):
    packed = _attribute(1, b"ab") + struct.pack("=HH", length, 2) + b"cdef"
    assert list(netlink.attributes(packed, 0)) == [(1, b"ab")]


def test_several_messages_in_one_datagram():
    data = message(16, b"x" * 5) + message(3, b"")
    assert [(kind, body) for kind, _, _, body in _messages(data)] == [(16, b"x" * 5), (3, b"")]


def test_message_shorter_than_its_header_ends_the_datagram():
    assert list(_messages(_MESSAGE.pack(4, 16, 0, 1, 0) * 2)) == []


def test_zero_is_an_acknowledgement():
    _check(struct.pack("=i", 0), 0, "anything")


def test_error_is_an_oserror_of_its_subclass_that_names_the_request():
    body = struct.pack("=i", -errno.EEXIST) + _MESSAGE.pack(64, 16, 0, 1, 0)
    with pytest.raises(FileExistsError, match="create bridge br0: File exists"):
        _check(body, 0x100, "create bridge br0")


@pytest.mark.parametrize("capped", [True, False])
def test_error_carries_the_sentence_of_the_kernel(capped):
    request = b"" if capped else b"r" * 48
    body = struct.pack("=i", -errno.EINVAL) + _MESSAGE.pack(64, 16, 0, 1, 0) + request
    body += _attribute(1, b"mtu less than device minimum\0")
    with pytest.raises(OSError, match=r"change b: Invalid argument \(mtu less than device minimum\)"):
        _check(body, 0x200 | (0x100 if capped else 0), "change b")


def test_link_info_of_a_bridge_port():
    body = _LINK.pack(0, 1, 7, 0x1 | 0x40, 0) + _text(3, "tap7") + _attribute(1, b"\xfe" + bytes(5))
    body += _attribute(4, _u32(1400)) + _attribute(10, _u32(2)) + _attribute(18, _text(1, "tun"))
    info = netlink._link_info(body)
    assert info == netlink.LinkInfo(7, "tap7", b"\xfe" + bytes(5), 1400, True, True, False, 2, "tun")


def test_link_info_with_nothing_told():
    assert netlink._link_info(_LINK.pack(0, 0, 3, 0, 0)) == (3, "", b"", 0, False, False, False, 0, "")


def test_address_info_prefers_the_local_end():
    body = _ADDRESS.pack(2, 24, 0, 0, 5)
    body += _attribute(1, bytes((10, 0, 0, 2))) + _attribute(2, bytes((10, 0, 0, 1)))
    assert netlink._address_info(body) == (5, bytes((10, 0, 0, 1)), 24)
