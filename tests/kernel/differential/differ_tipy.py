"""Scripts against tipy: a memory link and a manual clock, stepped to the times at which the kernel's run did
the same steps, so that both see the same round trips."""

from differ_run import PREFIX_LENGTH, UNDER_TEST, Place, Run

from tipy import log
from tipy.address import parse_mac
from tipy.clock import ManualClock
from tipy.link.memory import MemoryLink
from tipy.settings import Settings
from tipy.stack import Stack
from tipy.wire.ethernet import TYPE_IPV4, EthernetHeader
from tipy.wire.ipv4 import PROTOCOL_TCP, IPv4Header

MAC, PEER_MAC = "02:00:00:00:09:01", "02:00:00:00:09:02"


def run_script(number, script, times):
    """Run a script as its kernel run went, `times` being those of its steps; [Event, ...]."""
    log.choose(())
    clock = ManualClock(1000.0 + times[0])
    link = MemoryLink()
    settings = Settings.load(use_user_files=False, acd=False, address=f"{UNDER_TEST}/{PREFIX_LENGTH}",
                             mac=MAC,
                             **script.tipy_settings)
    ethernet = EthernetHeader(parse_mac(MAC), parse_mac(PEER_MAC), TYPE_IPV4).pack()
    with Stack(link=link, clock=clock, seed=number, settings=settings) as stack:
        place = Place(number)
        stack.arp.add(place.peer, PEER_MAC)
        run = Run(script, place, stack.socket, lambda packet: link.deliver(ethernet + packet))

        def transmit(frame):
            if EthernetHeader.unpack(frame, 0, len(frame)).type == TYPE_IPV4:
                packet = bytes(frame[14:])
                ip = IPv4Header.unpack(packet, 0, len(packet))
                if ip.protocol == PROTOCOL_TCP:
                    run.arrived(packet, ip, clock.now() - 1000.0)

        link.transmit = transmit
        for when in times:
            clock.advance(max(when - (clock.now() - 1000.0), 0.0))
            run.perform(when)
        run.over = True
        run.calls.close_all()
        if stack.counters["stack.exceptions"]:
            raise AssertionError(f"the stack contained {stack.errors!r}") from stack.errors[-1]
    return run.events
