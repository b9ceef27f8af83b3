"""One arriving packet, as it climbs from the link to the transport.

Every layer fills in what it has read and narrows `start:end` to what the next one may look at.
The bytes themselves are never copied on the way: `frame` is one memoryview over what the link read,
and the payload is cut from it once, by the transport.
"""


class Packet:
    """What is known so far about a packet on its way up.

    frame       memoryview of everything the link delivered (or of a reassembled datagram)
    network     offset of the IP header in `frame`
    start, end  what the current layer may look at: after IP input, the transport header and payload
    interface   where it came in
    link_group  came as link-level broadcast or multicast
    checked     the transport checksum is known good (offload, loopback)
    gso_size    0, or the payload bytes per wire segment of a super-segment put together by the link
    src, dst    IP addresses as bytes; protocol, tos, ttl as in the header
    options     memoryview of the IP options, or None
    to_group    dst is a broadcast or multicast address
    """

    __slots__ = ("frame", "network", "start", "end", "interface", "link_group", "checked", "gso_size",
                 "src", "dst", "protocol", "tos", "ttl", "options", "to_group")

    def __init__(self, frame, start, end, interface, link_group=False, checked=False, gso_size=0):
        self.frame = frame
        self.network = start
        self.start = start
        self.end = end
        self.interface = interface
        self.link_group = link_group
        self.checked = checked
        self.gso_size = gso_size
        self.options = None
        self.to_group = False
