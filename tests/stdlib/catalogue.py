"""Which of CPython's test modules have to do with the network, and which of their tests."""

import re
from fnmatch import fnmatchcase
from pathlib import Path

NOT_PASSING = Path(__file__).with_name("NOT_PASSING.md")

# the slow ones first, so that they do not end last
MODULES = """
test_ssl test_asyncio.test_events test_socket test_multiprocessing_spawn test_multiprocessing_fork test_ftplib
test_asyncio.test_sendfile test_asyncio.test_ssl test_asyncio.test_sslproto test_asyncio.test_base_events
test_asyncio.test_streams test_asyncio.test_server test_asyncio.test_sock_lowlevel
test_asyncio.test_unix_events test_asyncio.test_selector_events test_asyncio.test_buffered_proto
test_asyncio.test_pep492 test_httpservers test_httplib test_urllib2_localnet test_urllib2 test_urllib
test_logging test_smtplib test_smtpd test_imaplib test_poplib test_nntplib test_telnetlib test_asyncore
test_asynchat test_socketserver test_xmlrpc test_docxmlrpc test_wsgiref test_robotparser test_selectors
test_select test_poll test_epoll test_timeout test_signal test_os """.split()

# of these only the tests whose id matches
_PARTS = {
    "test_urllib": "Http|HTTP|urlopen|ThisHost|Localhost",
    "test_multiprocessing_fork": r"Listener|ClientAuth|Manager\b|Authentication|TestWait\.|OtherTest"
                                 r"|PicklingConn",
    "test_multiprocessing_spawn": r"TestListener|TestWait\.|OtherTest",
    "test_logging": "SocketHandler|DatagramHandler|SysLog|HTTPHandler|SMTPHandler|UnixS|UnixD|IPv6Sys",
    "test_signal": "Wakeup",
    "test_os": "Sendfile|Blocking|FDInherit",
}
# here a test is about the module itself, even if it opens no socket
ABOUT_THE_MODULE = "test.test_socket."


def modules(patterns):
    """The module names (without "test.") that patterns may select; all of them without patterns."""
    if not patterns:
        return MODULES
    return [name for name in MODULES
            if any(pattern in f"test.{name}" or pattern.startswith(f"test.{name}.")
                   or pattern.startswith(f"{name}.") for pattern in patterns)] or MODULES


def wanted(test, module, patterns):
    """Is the test with this id one of ours, and selected?"""
    part = _PARTS.get(module)
    if part is not None and not re.search(part, test):
        return False
    return not patterns or any(pattern in test for pattern in patterns)


def not_passing():
    """{test id, or pattern with *: reason} of NOT_PASSING.md, from its lines "- `id`: reason"."""
    text = NOT_PASSING.read_text(encoding="utf-8")
    return dict(re.findall(r"^- `(test\.[\w.*]+)`: (.+)$", text, re.MULTILINE))


def reason_for(test, known):
    """Why the test cannot pass, by the result of not_passing(), or None."""
    return next((reason for pattern, reason in known.items() if fnmatchcase(test, pattern)), None)
