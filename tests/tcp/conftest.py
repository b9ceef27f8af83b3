"""What the tests of TCP start from: a stack, a hand-driven peer, and both ends' numbers near 2^32 in half of
the runs."""

import pytest

from tipy.testing.bed import Bed
from tipy.testing.peer import Peer

LOW, WRAP = "low", "wrap"


def pytest_configure(config):
    config.addinivalue_line("markers", "tb(*sections): sections of the list of TCP behaviours a test proves")


@pytest.fixture(params=[LOW, WRAP])
def make(request):
    """make(**settings) -> Peer at a running stack. Under "wrap" both ends' sequence numbers wrap within the
    first 300 bytes."""
    beds = []

    def maker(**settings):
        iss, peer_iss = (None, 10000) if request.param == LOW else (0xFFFFFF00, 0xFFFFFEF0)
        bed = Bed(iss=iss, **settings)
        beds.append(bed)
        return Peer(bed, iss=peer_iss)

    yield maker
    known = request.node.get_closest_marker("xfail") is not None
    for bed in beds:
        try:
            bed.stop()
        except AssertionError:
            if not known:
                raise


@pytest.fixture
def peer(make):
    """A peer at a stack with the default settings."""
    return make()
