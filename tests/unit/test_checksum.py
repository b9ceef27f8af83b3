"""The Internet checksum against the definition in RFC 1071."""

import random

import pytest

from tipy.checksum import checksum, pseudo_header, residue, residue_of, update


def by_definition(data, initial=0):
    """RFC 1071 4.1, word by word with end-around carry."""
    total = initial
    for at in range(0, len(data), 2):
        total += int.from_bytes(data[at:at + 2].ljust(2, b"\0"), "big")
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return total ^ 0xFFFF


def test_example_of_rfc_1071():
    data = bytes.fromhex("0001f203f4f5f6f7")
    assert residue(data) == 0xDDF2
    assert checksum(data) == 0x220D


@pytest.mark.parametrize("length", [1, 2, 3, 19, 20, 699, 701, 1459, 1460, 2047, 2048, 2049, 4097, 9000, 32769, 65535, 70001])
def test_checksum_agrees_with_the_definition(length):
    data = random.Random(length).randbytes(length)
    assert checksum(data) == by_definition(data)


def test_checksum_of_zeros_is_all_ones():
    assert checksum(bytes(8)) == by_definition(bytes(8)) == 0xFFFF
    assert checksum(b"") == 0xFFFF


def test_checksum_that_comes_out_as_zero():
    assert checksum(b"\xff\xff") == by_definition(b"\xff\xff") == 0


def test_odd_length_counts_as_padded_with_zero():
    assert residue(b"\x12") == residue(b"\x12\x00") == 0x1200


@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview])
def test_all_bytes_likes(kind):
    assert residue(kind(b"\x01\x02\x03")) == 0x0402


def test_packet_with_right_checksum_has_residue_zero():
    data = bytearray(random.Random(1).randbytes(40))
    data[10:12] = b"\0\0"
    data[10:12] = checksum(data).to_bytes(2, "big")
    assert residue(data) == 0
    data[3] ^= 1
    assert residue(data) != 0


def test_every_single_bit_error_is_seen():
    data = bytearray(random.Random(2).randbytes(32))
    data[0:2] = b"\0\0"
    data[0:2] = checksum(data).to_bytes(2, "big")
    for bit in range(len(data) * 8):
        data[bit >> 3] ^= 1 << (bit & 7)
        assert residue(data) != 0
        data[bit >> 3] ^= 1 << (bit & 7)


def test_residue_of_parts_with_odd_lengths():
    rng = random.Random(3)
    for _ in range(200):
        parts = [rng.randbytes(rng.randrange(6)) for _ in range(rng.randrange(6))]
        assert residue_of(parts) == residue(b"".join(parts))


def test_pseudo_header_v4():
    src, dst = bytes([192, 168, 2, 200]), bytes([192, 168, 2, 199])
    assert pseudo_header(src, dst, 6, 21) == residue(src + dst + b"\x00\x06" + (21).to_bytes(2, "big"))


def test_pseudo_header_v6():
    src, dst = bytes(range(16)), bytes(range(16, 32))
    laid_out = src + dst + (70000).to_bytes(4, "big") + b"\0\0\0\x3a"
    assert pseudo_header(src, dst, 58, 70000) == residue(laid_out)


def test_update_example_of_rfc_1624():
    assert update(0xDD2F, 0x5555, 0x3285) == 0x0000


def test_update_agrees_with_computing_anew():
    rng = random.Random(4)
    for _ in range(200):
        data = bytearray(rng.randbytes(20))
        before = checksum(data)
        old = int.from_bytes(data[8:10], "big")
        new = rng.randrange(0x10000)
        data[8:10] = new.to_bytes(2, "big")
        assert update(before, old, new) == checksum(data)


def test_update_without_a_change_keeps_either_zero():
    assert update(0xFFFF, 0, 0) == 0xFFFF
    assert update(0, 5, 5) == 0
