"""TapLink and PacketLink against the real kernel, frame by frame."""

import errno
import os
import socket

import pytest
from bare_host import (IP, BareHost, tcp_super_segment, transport_checksum_is_good, udp_datagram,
                       udp_payload)

from tipy.address import parse_ip, parse_mac
from tipy.errors import SetupError
from tipy.lab import HOST, OTHER, network
from tipy.link import tap
from tipy.link.base import BIG_TCP_PAYLOAD, LARGEST_PAYLOAD
from tipy.link.packet import PacketLink
from tipy.link.tap import TapLink, create_tap, delete_tap
from tipy.netlink import Netlink

HOST_MAC, OTHER_MAC = parse_mac(network.HOST_MAC), parse_mac(network.OTHER_MAC)
PORT = 4000


@pytest.fixture(params=[True, False], ids=["offload", "plain"])
def host(lab, request):
    link = lab.link(offload=request.param)
    yield BareHost(link)
    link.close()


@pytest.fixture
def offload_host(lab):
    link = lab.link(offload=True)
    yield BareHost(link)
    link.close()


# -- run inside the lab ---------------------------------------------------------------------------


def send_datagram(payload, address):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.sendto(payload, address)


def receive_datagram():
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind(("", PORT))
        sock.settimeout(5)
        yield "ready"
        return sock.recvfrom(70000)


def receive_segments(count):
    """`count` TCP frames as they come off the wire."""
    with socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(0x0800)) as sock:
        sock.settimeout(5)
        yield "ready"
        frames = []
        while len(frames) < count:
            frame = sock.recv(300_000)
            if frame[23] == 6:
                frames.append(frame)
        return frames


def interface(name):
    with Netlink() as netlink:
        return netlink.link(name)


def change(name, **what):
    with Netlink() as netlink:
        netlink.set(name, **what)


def delete(name):
    with Netlink() as netlink:
        netlink.delete(name)


def open_fails(kind, *args):
    """(errno, text) of what opening kind(*args) raises."""
    try:
        link = kind(*args)
        link.open()
    except SetupError as error:
        return error.errno, str(error)
    link.close()
    return None, "it opened"


def make_tap(name):
    create_tap(name)
    return interface(name)


def remove_tap(name):
    delete_tap(name)
    with Netlink() as netlink:
        return [info.name for info in netlink.links()]


def make_tun_and_open(name):
    """A TUN (no Ethernet) called `name`, opened as if it were a TAP."""
    from tipy.link import ioctl
    fd = os.open(tap.DEVICE, os.O_RDWR)
    ioctl.ioctl(fd, ioctl.TUNSETIFF, ioctl.request(name, (0x0001 | 0x1000).to_bytes(2, "little")))
    change(name, up=True)
    return open_fails(TapLink, name)


def open_by_name_and_describe(name, **options):
    link = TapLink(name, **options)
    link.open()
    try:
        return link.name, link.mac, link.mtu, link.tx_checksum, link.tso_max
    finally:
        link.close()


# -- frames ---------------------------------------------------------------------------------------


def test_kernel_answers_an_arp_request(host):
    assert host.mac_of(parse_ip(HOST)) == HOST_MAC


def test_second_bridge_port_answers_too(host):
    assert host.mac_of(parse_ip(OTHER)) == OTHER_MAC


def test_datagram_of_the_kernel_arrives_with_its_checksum_accounted_for(host, lab):
    lab.kernel.call(send_datagram, b"from the kernel", (network.STACK, PORT))
    frame, checked, gso_size = host.until(lambda frame: udp_payload(frame) == b"from the kernel")
    assert checked or transport_checksum_is_good(bytes(frame))
    assert gso_size == 0


def test_datagram_with_complete_checksum_reaches_the_kernel(host, lab):
    with lab.kernel.start(receive_datagram) as job:
        job.next()
        parts, offload = udp_datagram(IP, parse_ip(HOST), 9, PORT, b"complete", partial=False)
        host.send_ipv4(HOST_MAC, IP, parse_ip(HOST), 17, parts, offload)
        assert job.result(5) == (b"complete", (network.STACK, 9))


def test_datagram_with_open_checksum_reaches_the_kernel(offload_host, lab):
    with lab.other.start(receive_datagram) as job:
        job.next()
        parts, offload = udp_datagram(IP, parse_ip(OTHER), 9, PORT, b"open", partial=True)
        offload_host.send_ipv4(OTHER_MAC, IP, parse_ip(OTHER), 17, parts, offload)
        assert job.result(5) == (b"open", (network.STACK, 9))


def test_super_segment_reaches_the_kernel_with_its_size(offload_host, lab):
    mss, payload = 1460, bytes(range(256)) * 16
    with lab.other.start(receive_segments, 1) as job:
        job.next()
        parts, offload = tcp_super_segment(IP, parse_ip(OTHER), payload, mss)
        offload_host.send_ipv4(OTHER_MAC, IP, parse_ip(OTHER), 6, parts, offload)
        assert job.result(5)[0][54:] == payload


@pytest.mark.skipif(not tap._takes_big_tcp(), reason="this kernel takes no super-segments above 64 KB; Linux 6.6 does")
def test_super_segment_above_64_kb_reaches_the_kernel(tap_lab):
    link = tap_lab.link(offload=True)
    host = BareHost(link)
    mss, payload = 1460, bytes(range(250)) * 800
    with tap_lab.kernel.start(receive_segments, 1) as job:
        job.next()
        host.mac_of(parse_ip(HOST))
        parts, offload = tcp_super_segment(IP, parse_ip(HOST), payload, mss)
        host.send_ipv4(HOST_MAC, IP, parse_ip(HOST), 6, parts, offload)
        frame = job.result(5)[0]
    link.close()
    assert not host.counters
    assert link.tso_max > 65535
    assert frame[16:18] == b"\0\0" and frame[54:] == payload


def test_more_parts_than_one_writev_takes(host, lab):
    with lab.kernel.start(receive_datagram) as job:
        job.next()
        parts, _ = udp_datagram(IP, parse_ip(HOST), 9, PORT, bytes(1400), partial=False)
        host.send_ipv4(HOST_MAC, IP, parse_ip(HOST), 17, [parts[0], *[b"\x00"] * 1400])
        assert job.result(5)[0] == bytes(1400)


def test_refused_frame_is_a_counted_drop(host):
    host.link.send([b"short"])
    assert sum(count for name, count in host.counters.items() if name.startswith("link.drop_")) == 1
    assert not host.failures


def test_empty_link_gives_an_empty_batch(host):
    host.mac_of(parse_ip(HOST))
    while host.link.receive_batch():
        pass
    assert host.link.receive_batch() == []


def test_offload_of_a_former_user_is_switched_off(tap_lab):
    first = tap_lab.link(offload=True)
    first.open()
    first.close()
    second = BareHost(tap_lab.link(offload=False))
    tap_lab.kernel.call(send_datagram, b"whole", (network.STACK, PORT))
    frame, checked, _ = second.until(lambda frame: udp_payload(frame) == b"whole")
    second.link.close()
    assert not checked and transport_checksum_is_good(bytes(frame))


# -- the two MACs ---------------------------------------------------------------------------------


def test_kernel_side_with_the_stacks_mac_is_moved_away(fresh_lab):
    link = fresh_lab.link()
    fresh_lab.kernel.call(change_mac, network.TAP, "02:00:00:00:02:00")
    host = BareHost(link)
    assert link.mac == parse_mac("fe:00:00:00:02:00") == fresh_lab.kernel.call(interface, network.TAP).mac
    assert host.mac_of(parse_ip(OTHER)) == OTHER_MAC       # what the clash breaks
    link.close()


def change_mac(name, mac):
    change(name, mac=mac)


def test_other_kernel_side_mac_is_left_alone(fresh_lab):
    before = fresh_lab.kernel.call(interface, network.TAP).mac
    host = BareHost(fresh_lab.link())
    assert host.link.mac == before == fresh_lab.kernel.call(interface, network.TAP).mac
    host.link.close()


# -- by name --------------------------------------------------------------------------------------


def test_open_by_name_takes_the_interfaces_mtu_and_mac(fresh_lab):
    fresh_lab.kernel.call(change_mtu, network.TAP, 1400)
    name, mac, mtu, tx_checksum, tso_max = fresh_lab.kernel.call(open_by_name_and_describe, network.TAP)
    assert (name, mtu) == (network.TAP, 1400)
    assert mac == fresh_lab.kernel.call(interface, network.TAP).mac
    assert tx_checksum and tso_max in (LARGEST_PAYLOAD, BIG_TCP_PAYLOAD)


def change_mtu(name, mtu):
    change(name, mtu=mtu)


def test_persistent_tap_is_made_and_removed(fresh_lab):
    assert fresh_lab.kernel.call(make_tap, "tap8").kind == "tun"
    assert "tap8" not in fresh_lab.kernel.call(remove_tap, "tap8")


@pytest.mark.parametrize("kind, name, code, text", [
    (TapLink, "tap-with-a-name-too-long", errno.ENAMETOOLONG, "use 1 to 15 bytes"),
    (TapLink, "", errno.EINVAL, "use 1 to 15 bytes"),
    (TapLink, "tap99", errno.ENODEV, "there is no interface tap99: make it with 'sudo ip tuntap add"),
    (TapLink, "br0", errno.EINVAL, "br0 is not a TAP (it is a bridge interface)"),
    (TapLink, "lo", errno.EINVAL, "lo is not a TAP"),
    (PacketLink, "veth99", errno.ENODEV, "there is no interface veth99"),
    (PacketLink, "lo", errno.EINVAL, "not an Ethernet interface"),
])
def test_wrong_interface_is_one_sentence(tap_lab, kind, name, code, text):
    found, said = tap_lab.kernel.call(open_fails, kind, name)
    assert found == code and text in said and "\n" not in said


def test_tun_is_not_a_tap(tap_lab):
    code, text = tap_lab.kernel.call(make_tun_and_open, "tun3")
    assert code == errno.EINVAL and "tun3 is not a TAP" in text


def test_tap_in_use_says_so(tap_lab):
    with_it = tap_lab.link()
    code, text = tap_lab.kernel.call(open_fails, TapLink, network.TAP)
    with_it.close()
    assert code == errno.EBUSY and "in use by another program" in text


def test_mtu_beyond_the_interfaces_says_how_to_raise_it(tap_lab):
    code, text = tap_lab.kernel.call(open_fails, TapLink, network.TAP, 9000)
    assert code == errno.EMSGSIZE and "sudo ip link set tap7 mtu 9000" in text


@pytest.mark.parametrize("kind, name", [(TapLink, network.TAP), (PacketLink, "port50")])
def test_interface_that_is_down_says_so_when_opened(fresh_lab, kind, name):
    fresh_lab.kernel.call(change_state, name, False)
    code, text = fresh_lab.kernel.call(open_fails, kind, name)
    assert code == errno.ENETDOWN and f"sudo ip link set {name} up" in text


def change_state(name, up):
    change(name, up=up)


@pytest.mark.parametrize("device, code, text", [
    ("/dev/net/no-such-node", errno.ENOENT, "sudo modprobe tun"),
    ("/dev/null", errno.ENOTTY, "cannot be attached"),
])
def test_device_node_that_will_not_do(tap_lab, device, code, text):
    found, said = tap_lab.kernel.call(attach_with_device, device)
    assert found == code and text in said


def attach_with_device(device):
    tap.DEVICE = device                  # in this process only
    return open_fails(TapLink, network.TAP)


def attach_as_nobody():
    """What a user without rights over this network is told."""
    create_tap("tap9", owner=0)
    change("tap9", up=True)
    drop_capabilities()
    return open_fails(TapLink, "tap9"), open_fails(PacketLink, "br0")


def drop_capabilities():
    """No capability from here on, as root in a bare container."""
    import ctypes
    libc = ctypes.CDLL(None, use_errno=True)
    header = (ctypes.c_uint32 * 2)(0x20080522, 0)
    if libc.capset(header, (ctypes.c_uint32 * 6)()) < 0:
        raise OSError(ctypes.get_errno(), "capset")


def test_without_rights_the_sentence_says_so(tap_lab):
    tap_says, packet_says = tap_lab.kernel.call(attach_as_nobody)
    assert tap_says[0] is None or "no permission" in tap_says[1]      # the owner needs no capability
    assert packet_says[0] == errno.EPERM and "run this with sudo" in packet_says[1]


# -- under way ------------------------------------------------------------------------------------


def test_tap_that_goes_down_is_reported_once_and_heals(fresh_lab):
    host = BareHost(fresh_lab.link())
    fresh_lab.kernel.call(change_state, network.TAP, False)
    for _ in range(3):
        host.send_arp(1, bytes(6), parse_ip(HOST))
    assert [str(error) for error in host.failures] == ["tap7 is down: type 'sudo ip link set tap7 up'"]
    assert host.counters["link.drop_failed"] == 3
    fresh_lab.kernel.call(change_state, network.TAP, True)
    assert host.mac_of(parse_ip(HOST)) == HOST_MAC
    host.link.close()


def test_tap_that_is_deleted_is_told_to_reader_and_sender(fresh_lab):
    host = BareHost(fresh_lab.link())
    fresh_lab.kernel.call(delete, network.TAP)
    with pytest.raises(SetupError, match="tap7 was deleted: make it again with"):
        while True:                                  # frames may have come before
            assert host.link.receive_batch()
    for _ in range(2):
        host.send_arp(1, bytes(6), parse_ip(HOST))
    assert len(host.failures) == 1
    assert host.failures[0].errno == errno.EBADFD and "tap7 was deleted" in str(host.failures[0])
    host.link.close()


def test_packet_interface_that_is_deleted_is_reported(fresh_packet_lab):
    host = BareHost(fresh_packet_lab.link())
    fresh_packet_lab.kernel.call(delete, "port7")
    host.send_arp(1, bytes(6), parse_ip(HOST))
    assert len(host.failures) == 1 and "veth7" in str(host.failures[0])


def test_closed_link_sends_and_receives_nothing(lab):
    host = BareHost(lab.link())
    host.link.close()
    host.link.close()
    host.send_arp(1, bytes(6), parse_ip(HOST))
    assert host.link.receive_batch() == [] and host.link.fileno() is None and not host.failures
