"""Codecs: bytes to header and back, one small module per protocol, the header diagram on top of each.

A header is a NamedTuple over one module-level `struct.Struct`: `unpack(frame, start, end)` reads it from the
part of `frame` between the two offsets and raises PacketError, never struct.error or IndexError; `pack()`
gives its bytes; `str()` is one readable line. No state, no policy, no I/O; src and dst are words of this
package only.
"""
