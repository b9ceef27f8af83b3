"""Which class `ssl.SSLSocket` is: how the standard library's `ssl` comes to use our sockets.

The C code behind `SSLContext.wrap_socket` wants a kernel descriptor. So one method is replaced, the one
through which Python code gets at it, `SSLContext._wrap_socket`: for a socket of ours it returns an `Engine`
(tls.py). And SSLSocket must inherit from our socket class. There are two ways to that:

    install     `ssl`, whose `socket` is ours by now, gets an SSLSocket on our base: for a patched program
    support     ssl.SSLSocket stays the kernel's, and a socket of ours that is wrapped gets a class of its
                own, with the same body on our base: for programs that import `socket` from tipy

The module `ssl` is handed in: nothing here imports it, so that who does not use it does not load it.
"""

import builtins
import functools
import types

from tipy.sockets.handle import Handle


def install(ssl, socket_module):
    """Make `ssl` work with the sockets of `socket_module`, which is what `socket` is by now. Idempotent."""
    _replace_method(ssl)
    if not issubclass(ssl.SSLSocket, socket_module.socket):
        ssl.socket = socket_module.socket      # `ssl` was imported before: its SSLSocket has the wrong base
        ssl.SSLContext.sslsocket_class = _run_class_body(ssl, vars(ssl))


def support(ssl, socket_module):
    """Let `SSLContext.wrap_socket` take our sockets also where `socket` is the kernel's."""
    _replace_method(ssl)
    original = ssl.SSLSocket._create.__func__

    @functools.cache
    def ours():
        return _run_class_body(ssl, dict(vars(ssl), socket=socket_module.socket))

    def _create(cls, sock, *args, **keywords):
        if isinstance(sock, Handle) and sock._channel is not None and not issubclass(cls, Handle):
            return ours()._create(sock, *args, **keywords)
        return original(cls, sock, *args, **keywords)

    ssl.SSLSocket._create = classmethod(_create)


def _replace_method(ssl):
    context_class = ssl.SSLContext
    original = context_class._wrap_socket
    if hasattr(original, "tipy"):
        return

    def _wrap_socket(self, sock, server_side, server_hostname=None, *, owner=None, session=None):
        if getattr(sock, "_channel", None) is None:
            return original(self, sock, server_side, server_hostname, owner=owner, session=session)
        from tipy.tls import Engine
        return Engine(self, sock, server_side, server_hostname, owner, session)

    _wrap_socket.tipy = True
    context_class._wrap_socket = _wrap_socket


def _run_class_body(ssl, namespace):
    """Run the body of SSLSocket again, with the names of `namespace`; it is then called so there."""
    code = ssl.__spec__.loader.get_code("ssl")
    body = next(each for each in code.co_consts
                if isinstance(each, types.CodeType) and each.co_name == "SSLSocket")
    namespace["SSLSocket"] = builtins.__build_class__(types.FunctionType(body, namespace), "SSLSocket",
                                                      namespace["socket"])
    return namespace["SSLSocket"]
