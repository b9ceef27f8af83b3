"""What the tests of TCP start from: a stack, a hand-driven peer; each test runs with small sequence numbers, with both
ends' near 2^32, and on a link that cuts super-segments."""

import pytest

from tipy.link.memory import MemoryLink
from tipy.testing.bed import Bed, CuttingLink
from tipy.testing.peer import Peer

LOW, WRAP, CUT = "low", "wrap", "cut"


def pytest_configure(config):
    config.addinivalue_line("markers", "tb(*sections): sections of the list of TCP behaviours a test proves")


@pytest.fixture(params=[LOW, WRAP, CUT])
def make(request):
    """make(**settings) -> Peer at a running stack. Under "wrap" both ends' sequence numbers wrap within the
    first 300 bytes. Under "cut" the link takes super-segments: on the wire that must make no difference."""
    beds = []

    def maker(**settings):
        iss, peer_iss = (0xFFFFFF00, 0xFFFFFEF0) if request.param == WRAP else (None, 10000)
        bed = Bed(iss=iss, link=CuttingLink if request.param == CUT else MemoryLink, **settings)
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
