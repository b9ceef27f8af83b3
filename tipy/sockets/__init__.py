"""Sockets: what a program sees of a connection, between the transports below and the socket module above.

    base        what every internet socket has: the gate, waiting with a deadline, close, the poll state
    stream      SOCK_STREAM over a Tcb or a Listener
    datagram    SOCK_DGRAM and SOCK_RAW over their endpoints
    options     setsockopt and getsockopt, one table with the kernel's layouts
    ip_options  the part of it that is about the IP level, groups and datagrams
    ancillary   what sendmsg and recvmsg carry beside the data
    readiness   a real file descriptor for select, poll, epoll, asyncio (edge: os, select, _socket)
    arguments   addresses, buffers and timeouts as programs write them
    names       getaddrinfo and its relatives
    handle      what a socket object is besides its channel: descriptor, timeout, creation and end
    api         the class programs get: every call, checked as CPython's `_socket` checks it

A *channel* is what a file description is to the kernel: the thing that several Python socket objects
(dup, fromfd) may share. The socket object owns its timeout and its file descriptor; everything else is the
channel's. Nothing here starts a thread or knows a global stack.
"""
