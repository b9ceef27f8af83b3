"""When small segments leave: Nagle, TCP_NODELAY, TCP_CORK, MSG_MORE, PSH (RFC 9293 3.7.4, 3.9.1). TB 3.2,
3.3."""

MORE = 0x8000


def option(peer, sock, name, value):
    """setsockopt(IPPROTO_TCP, TCP_name, value)."""
    module = peer.bed.socket
    sock.setsockopt(module.IPPROTO_TCP, getattr(module, "TCP_" + name), value)


def test_first_small_write_goes_at_once(peer):
    """TB 3.2: nothing is outstanding."""
    sock = peer.established()
    sock.send(b"a")
    peer.expect("P.", 1, 1, payload=b"a")


def test_second_small_write_waits_for_the_ack(peer):
    """TB 3.2; what waits is sent as one segment."""
    sock = peer.established()
    sock.send(b"a")
    peer.expect("P.", 1, 1)
    sock.send(b"b")
    sock.send(b"c")
    peer.expect_nothing(0.1)
    peer.send(".")
    peer.expect("P.", 2, 1, payload=b"bc")


def test_full_segment_does_not_wait(peer):
    """TB 3.2: enough collected for a full segment: it goes; the rest waits."""
    sock = peer.established()
    sock.send(b"a")
    peer.expect("P.", 1, 1)
    sock.send(bytes(600))
    peer.expect_nothing()
    sock.send(bytes(600))
    peer.expect_data(2, 1000)
    peer.expect_nothing()
    peer.send(".")
    peer.expect("P.", 1002, length=200)


def test_tail_of_a_large_write_goes_when_no_small_one_is_out(peer):
    """TB 3.2 as Linux (Minshall): only an unacknowledged small segment holds the next one back."""
    sock = peer.established()
    sock.send(bytes(1500))
    peer.expect_data(1, 1000)
    peer.expect("P.", 1001, length=500)
    sock.send(bytes(100))
    peer.expect_nothing(0.1)
    peer.send(".")
    peer.expect("P.", 1501, length=100)


def test_nodelay_sends_at_once(peer):
    """TB 3.2 (RFC 9293 MUST-17: Nagle can be switched off)."""
    sock = peer.established()
    option(peer, sock, "NODELAY", 1)
    for number in range(4):
        sock.send(b"x")
        peer.expect("P.", 1 + number, 1, payload=b"x")


def test_setting_nodelay_pushes_what_waits(peer):
    """TB 3.2."""
    sock = peer.established()
    sock.send(b"a")
    peer.expect("P.", 1, 1)
    sock.send(b"b")
    peer.expect_nothing()
    option(peer, sock, "NODELAY", 1)
    peer.expect("P.", 2, 1, payload=b"b")


def test_cork_holds_a_partial_segment(peer):
    """TB 3.2: until uncorked."""
    sock = peer.established()
    option(peer, sock, "CORK", 1)
    sock.send(b"a")
    sock.send(b"b")
    peer.expect_nothing(0.1)
    option(peer, sock, "CORK", 0)
    peer.expect("P.", 1, 1, payload=b"ab")


def test_cork_lets_full_segments_through(peer):
    """TB 3.2."""
    sock = peer.established()
    option(peer, sock, "CORK", 1)
    sock.send(bytes(2500))
    peer.expect_data(1, 1000)
    peer.expect_data(1001, 1000)
    peer.expect_nothing(0.1)
    option(peer, sock, "CORK", 0)
    peer.expect("P.", 2001, length=500)


def test_cork_ends_after_200_ms(peer):
    """TB 3.2."""
    sock = peer.established(rtt=0)
    option(peer, sock, "CORK", 1)
    sock.send(b"a")
    peer.expect("P.", 1, 1, payload=b"a", after=0.2)


def test_nodelay_pushes_a_corked_segment(peer):
    """TB 3.2: CORK ... until NODELAY is set."""
    sock = peer.established()
    option(peer, sock, "CORK", 1)
    sock.send(b"a")
    peer.expect_nothing()
    option(peer, sock, "NODELAY", 1)
    peer.expect("P.", 1, 1, payload=b"a")


def test_corked_segment_goes_with_the_fin(peer):
    """TB 3.2, 2.1."""
    sock = peer.established()
    option(peer, sock, "CORK", 1)
    sock.send(b"a")
    sock.close()
    peer.expect("FP.", 1, 1, payload=b"a")


def test_msg_more_holds_the_tail(peer):
    """TB 3.2: the next plain write flushes."""
    sock = peer.established()
    sock.send(b"head ", MORE)
    peer.expect_nothing(0.1)
    sock.send(b"body")
    peer.expect("P.", 1, 1, payload=b"head body")


def test_msg_more_lets_full_segments_through(peer):
    """TB 3.2."""
    sock = peer.established()
    sock.send(bytes(1500), MORE)
    peer.expect_data(1, 1000)
    peer.expect_nothing(0.1)
    sock.send(b"x")
    peer.expect("P.", 1001, length=501)


def test_msg_more_with_nodelay_still_holds(peer):
    """TB 3.2: MSG_MORE is per call and counts with TCP_NODELAY as well."""
    sock = peer.established()
    option(peer, sock, "NODELAY", 1)
    sock.send(b"a", MORE)
    peer.expect_nothing(0.1)
    sock.send(b"b")
    peer.expect("P.", 1, 1, payload=b"ab")


def test_msg_more_ends_after_200_ms(peer):
    """TB 3.2."""
    sock = peer.established(rtt=0)
    sock.send(b"a", MORE)
    peer.expect("P.", 1, 1, payload=b"a", after=0.2)


def test_cork_and_mss_split(peer):
    """TB 12: corked writes of odd sizes leave in full segments."""
    sock = peer.established()
    option(peer, sock, "CORK", 1)
    for _ in range(7):
        sock.send(bytes(300))
    peer.expect_data(1, 1000)
    peer.expect_data(1001, 1000)
    peer.expect_nothing()
    option(peer, sock, "CORK", 0)
    peer.expect("P.", 2001, length=100)


def test_psh_on_the_last_segment_of_a_write(peer):
    """TB 3.3 (RFC 9293 MUST-61)."""
    sock = peer.established()
    sock.send(bytes(2500))
    peer.expect(".", 1, 1, length=1000)
    peer.expect(".", 1001, 1, length=1000)
    peer.expect("P.", 2001, 1, length=500)


def test_psh_on_the_last_segment_when_it_is_full(peer):
    """TB 3.3."""
    sock = peer.established()
    sock.send(bytes(2000))
    peer.expect(".", 1, 1, length=1000)
    peer.expect("P.", 1001, 1, length=1000)


def test_empty_write_sends_nothing(peer):
    """TB 3.3."""
    sock = peer.established()
    assert sock.send(b"") == 0
    peer.expect_nothing(1)


def test_empty_buffers_are_skipped(peer):
    """TB 3.3, 11: zero-length iovecs."""
    sock = peer.established()
    assert sock.sendmsg([b"", b"ab", b"", b"c", b""]) == 3
    peer.expect("P.", 1, 1, payload=b"abc")


def test_retransmission_keeps_psh(peer):
    """TB 3.3."""
    sock = peer.established()
    sock.send(b"abc")
    peer.expect("P.", 1, 1)
    peer.expect("P.", 1, 1, payload=b"abc", within=2)


def test_ack_of_another_segment_does_not_release(peer):
    """TB 3.2: only the ACK of the small segment does."""
    sock = peer.established()
    sock.send(bytes(1000))
    peer.expect("P.", 1, length=1000)
    sock.send(b"a")
    peer.expect("P.", 1001, payload=b"a")
    sock.send(b"b")
    peer.expect_nothing()
    peer.send(".", ack=1001)
    peer.expect_nothing()
    peer.send(".", ack=1002)
    peer.expect("P.", 1002, payload=b"b")


# -- records (MSG_EOR) ------------------------------------------------------------------------------------

def test_nothing_is_added_to_a_finished_record(peer):
    """TB 3.3: what is written after it begins a segment of its own."""
    sock = peer.established()
    module = peer.bed.socket
    sock.send(bytes(10400))
    peer.expect_flight(*range(1, 10001, 1000))
    sock.send(bytes(400), module.MSG_EOR)
    sock.send(bytes(1500))
    peer.send(".")
    peer.expect("P.", 10001, length=800)
    peer.expect(".", 10801, length=1000)
    peer.expect_nothing()                              # the tail: Nagle
    peer.send(".")
    peer.expect("P.", 11801, length=500)


def test_each_small_record_is_a_segment(peer):
    """TB 3.3."""
    sock = peer.established()
    module = peer.bed.socket
    sock.setsockopt(module.IPPROTO_TCP, module.TCP_CORK, 1)
    for _ in range(3):
        sock.send(bytes(100), module.MSG_EOR)
    sock.send(bytes(100))
    peer.expect("P.", 1, length=100)                   # a cork holds the last one only
    peer.expect("P.", 101, length=100)
    peer.expect("P.", 201, length=100)
    peer.expect_nothing(0.1)
    sock.setsockopt(module.IPPROTO_TCP, module.TCP_CORK, 0)
    peer.send(".")
    peer.expect("P.", 301, length=100)


def test_records_stay_apart_when_they_are_sent_again(peer):
    """TB 3.3: also on retransmission, where small segments may otherwise be joined."""
    sock = peer.established()
    module = peer.bed.socket
    sock.setsockopt(module.IPPROTO_TCP, module.TCP_NODELAY, 1)
    for flags in (0, module.MSG_EOR, 0, 0):
        sock.send(bytes(100), flags)
    for seq in (1, 101, 201, 301):
        peer.expect("P.", seq, length=100)
    lost = peer.expect("P.", within=2)
    while lost.seq != 1:                               # the tail probe
        lost = peer.expect("P.", within=2)
    assert lost.length == 200
    peer.send(".", ack=201)
    assert peer.expect("P.", 201).length == 200


def test_a_tail_probe_ends_with_its_record(peer):
    """TB 3.3, RFC 8985 7.3: a probe with new text is a segment like others."""
    sock = peer.established()
    module = peer.bed.socket
    sock.send(bytes(10000))
    peer.expect_flight(*range(1, 10001, 1000))
    sock.send(bytes(100), module.MSG_EOR)
    sock.send(bytes(100))
    peer.expect("P.", 10001, length=100, within=1)
