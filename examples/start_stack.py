"""Start the stack and leave it running: it answers pings, and says at the end what went by.

Run:     PYTHONPATH=. python3 examples/start_stack.py [INTERFACE]     (default: IFACE in config.py, tap7)
Try:     ping 192.168.2.200          on the computer the bridge is on, or on any other of that network
Prints:  <tipy tap7 192.168.2.200 running> 02:5a:31:c4:0e:77
         Ctrl-C ends it
         arp.in 3
         icmp.echo_requests 4 ...
"""

import sys
import threading

from tipy import tipy
from tipy.address import format_mac


def main(ifname=None):
    with tipy(ifname=ifname) as stack:                 # start() ... stop()
        try:
            print(stack, format_mac(stack.mac))
            print("Ctrl-C ends it", flush=True)
            threading.Event().wait()
        except KeyboardInterrupt:
            print()
        for name, count in sorted(stack.counters.items()):
            print(name, count)


if __name__ == "__main__":
    try:
        main(*sys.argv[1:])
    except OSError as error:                           # one sentence that says what to do
        sys.exit(str(error))
