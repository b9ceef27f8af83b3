"""A private lab with the real Linux kernel in it. Tests run on each rung this machine permits."""

import pytest

from tipy.lab import Lab


def _lab(rung):
    try:
        return Lab(rung)
    except OSError as error:
        pytest.skip(f"no lab on the rung {rung!r} here: {error}")


@pytest.fixture(scope="module", params=["tap", "packet"])
def lab(request):
    """A lab, made once per module and rung."""
    with _lab(request.param) as lab:
        yield lab


@pytest.fixture(scope="module")
def tap_lab():
    """A lab on the rung "tap"."""
    with _lab("tap") as lab:
        yield lab


@pytest.fixture
def fresh_lab():
    """A lab on the rung "tap" of this test alone, to break things in."""
    with _lab("tap") as lab:
        yield lab


@pytest.fixture
def fresh_packet_lab():
    """The same on the rung "packet"."""
    with _lab("packet") as lab:
        yield lab
