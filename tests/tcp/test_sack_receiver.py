"""The SACK option of what we acknowledge (RFC 2018, DSACK: RFC 2883). TB 4.3."""

import itertools

import pytest

from tipy.testing.peer import ANY, pattern


def got(peer, start, end, **expected):
    """The peer sends [start, end); returns the blocks of the ACK that comes at once."""
    peer.send("P.", start, ack=1, payload=end - start)
    segment = peer.expect(".", 1, sack=ANY, **expected)
    peer.expect_nothing()
    return list(segment.options.sack)


def test_one_block(peer):
    """TB 4.3."""
    peer.established()
    assert got(peer, 1001, 2001, ack=1) == [(1001, 2001)]


def test_block_grows_with_adjacent_data(peer):
    """TB 4.3: adjacent merge, at either end."""
    peer.established()
    got(peer, 2001, 3001)
    assert got(peer, 3001, 4001) == [(2001, 4001)]
    assert got(peer, 1001, 2001) == [(1001, 4001)]


def test_newest_block_first(peer):
    """TB 4.3 (RFC 2018 4): the first block holds the segment that caused the ACK."""
    peer.established()
    got(peer, 1001, 2001)
    assert got(peer, 3001, 4001) == [(3001, 4001), (1001, 2001)]
    assert got(peer, 5001, 6001) == [(5001, 6001), (3001, 4001), (1001, 2001)]


def test_grown_block_moves_to_the_front(peer):
    """TB 4.3: most recently reported first."""
    peer.established()
    got(peer, 1001, 2001)
    got(peer, 3001, 4001)
    assert got(peer, 2001, 2501) == [(1001, 2501), (3001, 4001)]


def test_at_most_four_blocks(peer):
    """TB 4.3: four without timestamps: the newest."""
    peer.established()
    for number in range(1, 6):
        blocks = got(peer, 1 + 2000 * number, 1001 + 2000 * number)
    assert blocks == [(10001, 11001), (8001, 9001), (6001, 7001), (4001, 5001)]


def test_at_most_three_blocks_with_timestamps(peer):
    """TB 4.3."""
    peer.established(ts=True)
    for number in range(1, 6):
        blocks = got(peer, 1 + 2000 * number, 1001 + 2000 * number)
    assert blocks == [(10001, 11001), (8001, 9001), (6001, 7001)]


def test_joining_two_blocks(peer):
    """TB 4.3: the hole between them filled."""
    peer.established()
    got(peer, 1001, 2001)
    got(peer, 3001, 4001)
    assert got(peer, 2001, 3001) == [(1001, 4001)]


def test_blocks_vanish_when_filled(peer):
    """TB 4.3."""
    peer.established()
    got(peer, 1001, 2001)
    assert got(peer, 1, 1001, ack=2001) == []


def test_part_of_the_hole_filled(peer):
    """TB 4.3: ACK moves, the block stays."""
    peer.established()
    got(peer, 2001, 3001)
    assert got(peer, 1, 1001, ack=1001) == [(2001, 3001)]


def test_first_of_several_holes_filled(peer):
    """TB 4.3: blocks above the next hole stay, in their order."""
    peer.established()
    got(peer, 1001, 2001)
    got(peer, 3001, 4001)
    got(peer, 5001, 6001)
    assert got(peer, 1, 1001, ack=2001) == [(5001, 6001), (3001, 4001)]


def test_no_blocks_without_agreement(peer):
    """RFC 2018 2: not unless the peer's SYN permitted it."""
    peer.established(sack=False)
    peer.send("P.", 1001, ack=1, payload=1000)
    peer.expect(".", 1, 1, raw_options=b"")


def test_no_blocks_when_switched_off(make):
    """TB 14."""
    peer = make(sack=False)
    peer.bed.listener()
    peer.syn(sack=True)
    peer.expect("S.", 0, 1, sack_ok=False)
    peer.send(".")
    peer.send("P.", 1001, ack=1, payload=1000)
    peer.expect(".", 1, 1, raw_options=b"")


def test_blocks_on_data_segments(peer):
    """RFC 2018 4: every ACK while there are holes, also one on data."""
    sock = peer.established()
    got(peer, 1001, 2001)
    sock.send(b"x")
    peer.expect("P.", 1, 1, sack=[(1001, 2001)])


# -- DSACK ------------------------------------------------------------------------------------------------

def test_dsack_of_a_whole_old_segment(peer):
    """TB 4.3 (RFC 2883 4): the duplicate first."""
    peer.established()
    peer.send_data(1000)
    peer.take()
    assert got(peer, 1, 1001, ack=1001) == [(1, 1001)]


def test_dsack_of_an_old_part(peer):
    """RFC 2883 4.1.1."""
    peer.established()
    peer.send_data(1000)
    peer.take()
    assert got(peer, 501, 801, ack=1001) == [(501, 801)]


def test_dsack_of_a_segment_half_new(peer):
    """RFC 2883 4.2 as Linux: the part below RCV.NXT."""
    peer.established()
    peer.send_data(1000)
    peer.take()
    assert got(peer, 501, 1501, ack=1501) == [(501, 1001)]


def test_dsack_with_a_hole_open(peer):
    """RFC 2883 4.1.2: the duplicate, then the blocks."""
    peer.established()
    peer.send_data(1000)
    peer.take()
    got(peer, 2001, 3001)
    assert got(peer, 1, 1001, ack=1001) == [(1, 1001), (2001, 3001)]


def test_dsack_inside_a_block(peer):
    """TB 4.3 (RFC 2883 4.1.3): a duplicate of queued data: the duplicate, then the block that holds it."""
    peer.established()
    got(peer, 1001, 2001)
    assert got(peer, 1001, 2001, ack=1) == [(1001, 2001), (1001, 2001)]


def test_dsack_of_a_part_of_a_block(peer):
    """RFC 2883 4.1.3."""
    peer.established()
    got(peer, 1001, 3001 - 1000)
    got(peer, 2001, 3001)
    assert got(peer, 1501, 2501, ack=1) == [(1501, 2501), (1001, 3001)]


def test_dsack_takes_a_place_among_the_blocks(peer):
    """TB 4.3: with four blocks queued the oldest gives way."""
    peer.established()
    for number in range(1, 5):
        got(peer, 1 + 2000 * number, 1001 + 2000 * number)
    assert got(peer, 2001, 3001) == [(2001, 3001), (2001, 3001), (8001, 9001), (6001, 7001)]


def test_dsack_is_said_once(peer):
    """RFC 2883 4: in one ACK only."""
    peer.established()
    peer.send_data(1000)
    peer.take()
    got(peer, 1, 1001)
    assert got(peer, 2001, 3001) == [(2001, 3001)]


def test_no_dsack_when_switched_off(make):
    """The setting dsack."""
    peer = make(dsack=False)
    peer.established()
    peer.send_data(1000)
    peer.take()
    assert got(peer, 1, 1001, ack=1001) == []


def test_no_dsack_for_a_keepalive_probe_without_data(peer):
    """TB 4.3: zero ranges: an empty old segment has nothing that was duplicated."""
    peer.established()
    peer.send_data(1000)
    peer.take()
    peer.send(".", 1000, ack=1)
    segment = peer.expect(".", 1, 1001, sack=ANY)
    assert all(left < right for left, right in segment.options.sack)


def test_dsack_far_below(peer):
    """TB 4.3: an old segment far below RCV.NXT."""
    peer.established()
    for _ in range(5):
        peer.send_data(1000)
        peer.bed.advance(0.05)
    peer.take()
    assert got(peer, 1, 501, ack=5001) == [(1, 501)]


GEOMETRIES = sorted({(a, b, c, d) for a, b, c, d in itertools.product(range(0, 6), repeat=4) if a < b
                     and c < d})


@pytest.mark.parametrize("a,b,c,d", GEOMETRIES)
def test_overlap_geometries(peer, a, b, c, d):
    """TB 4.3: two segments beyond a hole, in units of 100 bytes: [a,b), then [c,d). The ACK of the second
    reports what of it was queued already (first, if anything), then the block it is part of, then the other
    one, if they do not touch; the stream comes out right."""
    sock = peer.established()
    left, right, start, end = (1001 + 100 * number for number in (a, b, c, d))
    assert got(peer, left, right) == [(left, right)]
    blocks = got(peer, start, end)
    overlap = (max(left, start), min(right, end))
    if overlap[0] < overlap[1]:
        assert blocks[0] == overlap
        blocks = blocks[1:]
        assert blocks == [(min(left, start), max(right, end))]
    elif overlap[0] == overlap[1]:
        assert blocks == [(min(left, start), max(right, end))]
    else:
        assert blocks == [(start, end), (left, right)]
    peer.send("P.", 1, ack=1, payload=1000)
    peer.send("P.", 1001, ack=1, payload=600)
    assert sock.recv(10000) == pattern(1, 1600)


@pytest.mark.parametrize("start,end", [(1, 1001), (501, 1501), (401, 1801), (1, 1401), (501, 1001), (801,
                                                                                                     2201)])
def test_overlap_of_the_hole_and_a_block(peer, start, end):
    """TB 4.3: 1..1001 is in order or missing, 1501..2001 queued; a segment over the edges. What is below
    RCV.NXT is the duplicate that counts."""
    peer.established()
    peer.send_data(500)
    peer.take()
    got(peer, 1501, 2001)
    blocks = got(peer, start, end)
    if start < 501:
        assert blocks[0] == (start, 501)
    for left, right in blocks[1 if start < 501 else 0:]:
        assert left >= 501 and right <= 2501


def test_dsack_for_a_fin_in_the_middle(peer):
    """RFC 2883, as Linux: the number of an early FIN that was none comes again with the text."""
    peer.established()
    peer.send("F.", 11)
    peer.expect(".", 1, 1, sack=[(11, 12)])
    peer.send("P.", 1, payload=20)
    peer.expect(".", 1, 21, sack=[(11, 12)], within=0.05)


def test_dsack_on_the_last_ack(peer):
    """RFC 2883, as Linux: the ACK that enters TIME-WAIT reports what came again with the FIN."""
    peer.fin_wait_2()
    peer.send("P.", 1, payload=10)
    peer.expect(".", 2, 11)
    peer.send("F.", 1, payload=20)
    peer.expect(".", 2, 22, sack=[(1, 11)])


def test_dsack_on_the_ack_that_enters_closing(peer):
    """The same in FIN-WAIT-1."""
    peer.fin_wait_1()
    peer.send("P.", 1, ack=1, payload=10)
    peer.expect(".", 2, 11)
    peer.send("F.", 1, ack=1, payload=20)
    peer.expect(".", 2, 22, sack=[(1, 11)])
    peer.expect_nothing()
