"""CLOSED (RFC 9293 3.10.7.1): a segment for which there is no connection and no listener. TB 1.7."""

import pytest


@pytest.mark.parametrize("flags,payload,length", [("S", 0, 1), ("S", 100, 101), ("F", 0, 1), ("FP", 50, 51),
                                                  ("SF", 0, 2), ("P", 10, 10), ("", 0, 0)])
def test_segment_without_ack_is_reset_with_ack_of_its_length(peer, flags, payload, length):
    """TB 1.7: no ACK flag: <SEQ=0><ACK=SEG.SEQ+SEG.LEN><CTL=RST,ACK>."""
    peer.send(flags, payload=payload)
    peer.expect("R.", 0, length, win=0)
    peer.expect_nothing(10)


@pytest.mark.parametrize("flags", [".", "S.", "F.", "P.", "SF.", "PU."])
def test_segment_with_ack_is_reset_at_its_ack(peer, flags):
    """TB 1.7: ACK flag: <SEQ=SEG.ACK><CTL=RST>, a bare RST."""
    peer.send(flags, ack=123456)
    peer.expect("R", 123456, 0, win=0)
    peer.expect_nothing(10)


def test_data_with_ack_is_reset_at_its_ack(peer):
    """TB 1.7."""
    peer.send("P.", ack=77, payload=300)
    peer.expect("R", 77)


@pytest.mark.parametrize("flags", ["R", "R.", "SR", "SR.", "FR.", "SFPR.U"])
def test_rst_is_not_answered(peer, flags):
    """TB 1.7 (RFC 9293 3.5.2: never a reset in answer to a reset)."""
    peer.send(flags, ack=99 if "." in flags else None)
    peer.expect_nothing(10)


def test_reset_has_no_options(peer):
    """TB 1.7: nothing was agreed, so the RST carries no option."""
    peer.send("S", mss=1460, ws=7, sack_ok=True, ts=(5, 0))
    peer.expect("R.", 0, 1, raw_options=b"")


def test_wrong_checksum_is_not_answered(peer):
    """RFC 9293 MUST-3: the checksum is checked before anything else."""
    peer.send("S", spoil=True)
    peer.expect_nothing(1)
    assert sum(count for name, count in peer.bed.stack.counters.items() if name.startswith("tcp.drop")) == 1


def test_other_port_of_a_connection_is_reset(peer):
    """TB 1.7: the four numbers name a connection; another remote port is nobody."""
    from tipy.testing.peer import Peer
    peer.established()
    stranger = Peer(peer.bed, port=50001)
    stranger.send("P.", 5, ack=900, payload=10)
    stranger.expect("R", 900)
    peer.expect_nothing()


def test_broadcast_syn_is_dropped(peer):
    """RFC 9293 MUST-57: a SYN to a broadcast address is silently discarded."""
    peer.bed.listener()
    peer.bed.local = bytes([192, 168, 2, 255])
    peer.syn()
    peer.expect_nothing(1)


def test_multicast_syn_is_dropped(peer):
    """RFC 9293 MUST-57."""
    peer.bed.listener()
    peer.bed.local = bytes([224, 0, 0, 1])
    peer.syn()
    peer.expect_nothing(1)


@pytest.mark.parametrize("source", [(255, 255, 255, 255), (224, 0, 0, 5), (192, 168, 2, 255)])
def test_syn_from_an_impossible_source_is_dropped(peer, source):
    """RFC 9293 MUST-63: a SYN from a broadcast or multicast source is ignored."""
    peer.bed.listener()
    peer.address = bytes(source)
    peer.syn()
    peer.expect_nothing(1)
