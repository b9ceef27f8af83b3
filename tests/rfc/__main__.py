"""python -m tests.rfc: print the table of RFC 9293's requirements."""

from tests.rfc.rfc9293 import text

print(text())
