"""Where tipy does not do what the kernel does, and why. Every line is checked: a difference that is not here
fails its script, and so does one that is here and does not show any more.

An entry is (script names, as fnmatch patterns; the lines of differ_compare.differences; the reason).
"""

# The table was made on this release. Other kernels differ from this one in places of their own.
KERNEL = "6.18"

SYN = "< S 0:0(0) win 64240 <mss 1460,sackOK,TS ecr 0,nop,ws 7>"

EXPLAINED = [
    # -- opening --
    (["in SYN-SENT: [R.S]* wrong", "in SYN-SENT: *of the ISS", "in SYN-SENT: data, ack wrong"],
     [f"- {SYN}"],
     "A wrong ACK in SYN-SENT makes Linux send its SYN again within two ticks; tipy answers with the RST of "
     "RFC 9293 3.10.7.3 and leaves the SYN to its timer."),
    (["in SYN-SENT: SF."],
     ["- < . 1:1(0) ack 1", "+ < . 1:1(0) ack 2", "- < . 1:1(0) ack 1", "+ < . 1:1(0) ack 2",
      "- < . 1:1(0) ack 11",
      "- c.recv(1000) = 10", "- c.send(10) = 10", "- < P. 1:11(10) ack 11", "+ < R 1:1(0)",
      "+ c.recv(1000) = 0",
      "+ c.send(10) = EPIPE", "- c.info(state) = state 1", "+ c.info(state) = state 7"],
     "Linux ignores what a SYN-ACK carries; tipy takes the FIN (RFC 9293 3.10.7.3: continue with the segment "
     "text), so "
     "what follows comes after the end."),
    (["in SYN-SENT: S. with data"],
     ["- < . 1:1(0) ack 1", "+ < . 1:1(0) ack 101", "- < . 1:1(0) ack 1", "+ < . 1:1(0) ack 101",
      "- < . 1:1(0) ack 11", "- c.recv(1000) = 10", "+ < . 1:1(0) ack 101",
      "+ c.recv(1000) = 100 crc be59350a",
      "- < P. 1:11(10) ack 11", "+ < P. 1:11(10) ack 101"],
     "Linux ignores what a SYN-ACK carries, tipy takes the data (RFC 9293 3.10.7.3)."),
    (["active ECN, setting 1, answered S.EW"],
     ["- < .W 1:1(0) ack 1 tos 0x2", "+ < . 1:1(0) ack 1", "- < .E 1:1001(1000) ack 1 tos 0x2",
      "- < .E 1001:2001(1000) ack 1 tos 0x2", "- < P.E 2001:3001(1000) ack 1 tos 0x2",
      "+ < . 1:1001(1000) ack 1",
      "+ < . 1001:2001(1000) ack 1", "+ < P. 2001:3001(1000) ack 1", "- < .E 3001:4001(1000) ack 1 tos 0x2",
      "- < .E 4001:5001(1000) ack 1 tos 0x2", "- < P.E 5001:6001(1000) ack 1 tos 0x2",
      "- c.info(snd_cwnd, ca_state) = snd_cwnd 4 ca_state 2", "+ < . 3001:4001(1000) ack 1",
      "+ < . 4001:5001(1000) ack 1", "+ < P. 5001:6001(1000) ack 1",
      "+ c.info(snd_cwnd, ca_state) = snd_cwnd 10 ca_state 0"],
     "A SYN-ACK with ECE and CWR is no agreement under RFC 3168 6.1.1; this kernel knows Accurate ECN (RFC "
     "9768)."),

    # -- ACKs of FINs --
    (["the handshake's last ACK carries data and a FIN"], ["~ < . 1:1(0) ack 102 (sooner)"],
     "Linux delays the ACK of a FIN that comes after data; tipy acknowledges a FIN at once."),
    (["in ESTABLISHED: data and FIN"], ["~ < . 1:1(0) ack 102 (sooner)"], "The same."),
    (["a FIN in order, although text came early behind it"], ["~ < . 1:1(0) ack 102 (sooner)"], "The same."),
    (["a reset after a FIN"], ["~ < . 1:1(0) ack 12 (sooner)"], "The same."),
    (["shutdown(0), then data"], ["~ < . 11:11(0) ack 22 (sooner)"], "The same."),
    (["in a conversation an ACK is due at once: FIN"], ["~ < . 101:101(0) ack 102 (sooner)"], "The same."),
    (["shutdown: the peer's FIN overtakes its data"],
     ["- < . 2:2(0) ack 202 <nop,nop,sack 101:202>", "+ < . 2:2(0) ack 202"],
     "Linux sends the ACK of this FIN before it forgets the SACK blocks; what they report is acknowledged "
     "already."),

    # -- odd segments --
    (["in ESTABLISHED: ACK old"], ["- < . 1:1(0) ack 1"],
     "Linux challenges an ACK that is older than all it has sent bytes for; tipy, as RFC 5961 5.2 has it, "
     "one that is "
     "older by more than the largest window."),
    (["in CLOSE-WAIT: ACK old", "in CLOSE-WAIT: data, ACK old"], ["- < . 1:1(0) ack 2"], "The same."),
    (["in ESTABLISHED: data, ACK old"],
     ["- < . 1:1(0) ack 1", "+ < . 1:1(0) ack 101", "- c.recv(1000) = EAGAIN", "+ c.recv(1000) = 100",
      "- < . 1:1(0) ack 21", "- c.recv(1000) = 20", "+ < . 1:1(0) ack 101 <nop,nop,sack 1:21>",
      "+ c.recv(1000) = EAGAIN", "- < P. 1:11(10) ack 21", "+ < P. 1:11(10) ack 101"],
     "The same; so its data is taken."),
    (["in ESTABLISHED with time stamps: bare ACK below, from the past"],
     ["+ < . 1:1(0) ack 1 <nop,nop,TS ecr 1054>"],
     "Linux drops a bare ACK with an old stamp and an old number without a word, for it may be its own "
     "network card "
     "that swapped them; RFC 7323 5.3 R1 wants an ACK."),
    (["in FIN-WAIT-2 with time stamps: bare ACK below, from the past"],
     ["+ < . 2:2(0) ack 1 <nop,nop,TS ecr 1118>"], "The same."),
    (["in CLOSE-WAIT with time stamps: bare ACK below, from the past"],
     ["+ < . 1:1(0) ack 2 <nop,nop,TS ecr 1058>"], "The same."),
    (["no time stamp although agreed: P. 100"],
     ["- < . 1:1(0) ack 101 <nop,nop,TS ecr 1014>", "- c.recv(1000) = 100", "+ c.recv(1000) = EAGAIN"],
     "A segment without the time stamp that was agreed on: RFC 7323 3.2 wants it dropped, Linux takes it."),
    (["no time stamp although agreed: F. 0"],
     ["- < . 1:1(0) ack 2 <nop,nop,TS ecr 1014>", "- c.recv(1000) = 0", "+ c.recv(1000) = EAGAIN"],
     "The same."),

    # -- ICMP --
    (["icmp 3/0 in ESTABLISHED"], ["- c.error() = ENETUNREACH", "+ c.error() = 0"],
     "Linux's SO_ERROR also tells of errors that may pass; tipy's only of those that ended the connection."),
    (["icmp 3/1 in ESTABLISHED", "icmp 3/13 in ESTABLISHED", "icmp 11/0 in ESTABLISHED"],
     ["- c.error() = EHOSTUNREACH", "+ c.error() = 0"], "The same."),
    (["icmp 3/2 in ESTABLISHED"], ["- c.error() = ENOPROTOOPT", "+ c.error() = 0"], "The same."),
    (["icmp 3/3 in ESTABLISHED"], ["- c.error() = ECONNREFUSED", "+ c.error() = 0"], "The same."),
    (["icmp 12/0 in ESTABLISHED"], ["- c.error() = EPROTO", "+ c.error() = 0"], "The same."),
    (["icmp 3/3 in SYN-SENT about segment 1"],
     ["- c.error() = ECONNREFUSED", "+ c.error() = 0", "- < R 1:1(0)", "+ < . 1:1(0) ack 1"],
     "RFC 5927 4: only SND.UNA <= SEG.SEQ < SND.NXT can be about a segment of ours; Linux takes SND.NXT as "
     "well."),
    (["fragmentation needed about segment 4381"],
     ["- < . 1:961(960) ack 1", "- < . 961:1461(500) ack 1", "- < . 1461:2421(960) ack 1",
      "- < . 2421:2921(500) ack 1",
      "- < . 2921:3881(960) ack 1", "- < P. 3881:4381(500) ack 1",
      "- c.info(ca_state, snd_mss, lost, retrans) = ca_state 4 snd_mss 960 lost 6 retrans 6",
      "+ c.info(ca_state, snd_mss, lost, retrans) = ca_state 0 snd_mss 1460 lost 0 retrans 0"], "The same."),

    # -- sending --
    (["PSH when a write waited for the window"],
     ["- < P. 1001:2001(1000) ack 1", "+ < . 1001:2001(1000) ack 1"],
     "Linux sets PSH also where more than half the peer's largest window was written since the last."),
    (["the first write"], ["- c.send(100000) = 26000", "+ c.send(100000) = 20000"],
     "Buffers: Linux counts the memory its packets take, tipy bytes."),
    (["in a conversation every second full segment is acknowledged"], ["~ < . 101:101(0) ack 6101 (sooner)"],
     "While a program does not read, Linux acknowledges every second segment only if the window moves on "
     "with it "
     "(tcp_ack_snd_check); tipy does in any case (RFC 5681 4.2)."),
    (["in a conversation two small segments wait"],
     ["+ < . 101:101(0) ack 701", "+ < . 101:101(0) ack 1301", "~ < . 101:101(0) ack 1601 (later)"],
     "The same."),
    (["the window fills, and opens as the program reads"],
     ["+ < . 1:1(0) ack 5001", "~ < . 1:1(0) ack 7001 (sooner)"], "The same."),
    (["probes of a closed window"],
     ["+ < . 1:1(0) ack 3001", "- < . 1:1(0) ack 3001"]
     + ["- < . 1:1(0) ack 3001 <nop,nop,sack 4001:5001>", "+ < . 1:1(0) ack 4001"] * 6
     + ["- c.recv(5000) = 1900", "+ c.recv(5000) = 2900", "+ < . 1:1(0) ack 4001"],
     "Buffers: Linux has no memory left for the fourth segment, tipy's buffer just holds it; both then "
     "refuse."),
    (["a FIN at our closed window"],
     ["+ < . 1:1(0) ack 3001", "- < . 1:1(0) ack 3001"]
     + ["- < . 1:1(0) ack 3001 <nop,nop,sack 4001:5001>", "+ < . 1:1(0) ack 4001"] * 2, "The same."),
]
