"""Measurements: how fast the stack is beside the Linux kernel, and how well TCP does on bad paths.

    python3 -m tests.bench                 the real-time table (`--quick`, `--rows bulk,latency`, `--json`)
    python3 -m tests.bench loss            TCP over lossy paths and bottlenecks, in virtual time: no CPU in it
    python3 -m tests.bench faults          the kernel over a TAP with losses, reordering, wrong bits: every byte compared
    python3 -m tests.bench profile         microseconds per frame in each layer (`--functions`, `--bytecodes`)
    python3 -m tests.bench list            the rows there are

Every real-time figure stands beside the kernel's own from the same run: the same Python client, the same
server program, over a veth pair between two namespaces with offloads off. That is 1.0. Contenders take turns,
repetition by repetition, so that a neighbour's noise hits all of them alike; the table shows medians.

Nothing here is a test: figures are printed, never asserted. What is checked is that the bytes are right.

What measures in real time is the package tipy.bench, so that `python3 -m tipy bench` has it, too. Here are

    __main__.py     all of its rows, with goals
    logs.py         one more row, for which the package is compiled anew
    loss.py path.py bounds.py      virtual time
    faults.py       a bad link between the stack and the kernel
    layers.py       the profile
"""
