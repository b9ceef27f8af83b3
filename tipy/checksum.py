"""The Internet checksum (RFC 1071), its pseudo-header and its incremental update (RFC 1624).

Theory. The checksum is the ones'-complement sum of 16-bit words. Since 2**16 = 1 modulo 0xFFFF, that sum is
the whole buffer, read as one big-endian number, modulo 0xFFFF: one C-speed division instead of a loop. (A long
number is folded first, its parts added until it is short: additions cost less than the division.) What is lost
is the difference between the two zeros of ones' complement (0x0000 and 0xFFFF), so a received packet is verified
by "the residue of everything, checksum field included, is 0", never by comparing with a freshly computed field.

Residues add up: the sum of two buffers is the sum of their residues, as long as the first has even length.
Nothing here knows a protocol; UDP's rule that 0 is sent as 0xFFFF (RFC 768) belongs to UDP.
"""

_LONG = 700                    # bytes; longer numbers are folded
_SHORT = 400                   # bytes; so short they become
_MASKS = [(1 << 512 * count) - 1 for count in range(17)]           # of so many times 64 bytes
_LARGE = [(size, (1 << size * 8) - 1) for size in (1 << 15, 1 << 14, 1 << 13, 1 << 12, 1 << 11)]


def residue(data) -> int:
    """Ones'-complement sum of a bytes-like, 0..0xFFFE, odd length padded with a zero byte.

    0 means "sums to zero": that is how a packet with a right checksum looks.
    """
    length = len(data)
    value = int.from_bytes(data, "big")
    if length > _LONG:
        value = _fold(value, length)
    return (value % 0xFFFF << 8) % 0xFFFF if length & 1 else value % 0xFFFF


def _fold(value, length):
    """A number of `length` bytes, made short without changing its residue: parts of whole words are added."""
    if length > 2048:
        for size, mask in _LARGE:
            while length > size:
                value = (value >> size * 8) + (value & mask)
                length = max(length - size, size)
    while length > _SHORT:
        half = length + 127 >> 7                                   # in units of 64 bytes
        value = (value >> 512 * half) + (value & _MASKS[half])
        length = half * 64
    return value


def residue_of(parts) -> int:
    """Residue of a sequence of bytes-likes as if they were joined (odd lengths in the middle included)."""
    total = offset = 0
    for part in parts:
        length = len(part)
        offset += length
        value = int.from_bytes(part, "big")
        if length > _LONG:
            value = _fold(value, length)
        value %= 0xFFFF
        # What follows shifts this part left by whole words, which changes nothing, or by a word and a half.
        total += value << 8 if offset & 1 else value
    return total % 0xFFFF


def checksum(data, initial: int = 0) -> int:
    """Checksum field for `data`, its own field zero, plus the residue `initial` (of a pseudo-header)."""
    value = -(residue(data) + initial) % 0xFFFF
    if value == 0 and initial == 0 and not int.from_bytes(data, "big"):
        return 0xFFFF              # nothing but zeros: the other zero, or receivers see a bad sum
    return value


def pseudo_header(src: bytes, dst: bytes, protocol: int, length: int) -> int:
    """Residue of the pseudo-header of IPv4 (RFC 9293 3.1) or IPv6 (RFC 8200 8.1).

    Zeros aside both are the addresses, the protocol and the upper-layer length in bytes.
    """
    return (int.from_bytes(src, "big") + int.from_bytes(dst, "big") + protocol + length) % 0xFFFF


def update(checksum: int, old: int, new: int) -> int:
    """New checksum field after one covered 16-bit word changed from `old` to `new` (RFC 1624 eqn. 3)."""
    if old == new:
        return checksum
    return (checksum + old - new) % 0xFFFF
