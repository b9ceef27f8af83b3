# tipy config
"""The user's network. A stack that is told nothing else takes its settings from here; tipy reads this file
when a program runs in this directory (because of the first line), or from elsewhere with TIPY_CONFIG=.../config.py.
Every other setting of tipy/settings.py may stand here too, in capitals."""

IFACE = "tap7"                         # the TAP the stack attaches to, a port of the bridge
IP_ADDRESS = "192.168.2.200"           # the stack's own address, free in this network
MASK = "255.255.255.0"                 # the netmask; IP_ADDRESS = "192.168.2.200/24" says both
ROUTER = "192.168.2.1"                 # the default gateway; None: only this network can be reached
MAC_ADDRESS = None                     # the stack's MAC, never the TAP's own; None: a stable one, 02:...
MTU = None                             # largest packet in bytes; None: the TAP's
LOG_CHANNELS = ["stack"]               # what is told on stderr: stack, arp, icmp, tcp ..., or "all"
