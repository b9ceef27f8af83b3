"""IGMP: who is a member says so, when asked and when it changes, in the version the router speaks."""

import pytest
from network_host import OWN, PEER, Host, ip

from tipy.address import ANY, multicast_mac
from tipy.igmp import ALL_ROUTERS, OLDER_QUERIER, V3_ROUTERS
from tipy.ipv4.addresses import ALL_HOSTS
from tipy.ipv4.membership import Filter
from tipy.wire import igmp
from tipy.wire.igmp import (ALLOW, BLOCK, IS_EXCLUDE, IS_INCLUDE, TO_EXCLUDE, TO_INCLUDE, Query, Record,
                            Report)

IGMP = 2
GROUP, OTHER = ip("239.1.2.3"), ip("239.1.2.4")


def member(*groups, quiet=True, **options):
    """(host, endpoint) in these groups; quiet: what it says on joining is over."""
    host = Host(**options)
    host.know()
    with host.gate:
        endpoint = host.udp.endpoint()
        for group in groups:
            endpoint.groups.join(group, host.interface)
    if quiet:
        host.clock.advance(30)
        host.take()
    return host, endpoint


def hear(host, message, dst=ALL_HOSTS, src=PEER):
    host.hear_ip(IGMP, message.pack(), src=src, dst=dst, dst_mac=multicast_mac(dst), ttl=1,
                 options=b"\x94\x04\0\0")


def said(host):
    """[(destination, Report)] since last time."""
    return [(header.dst, igmp.unpack(payload, 0, len(payload))) for header, payload in host.take_ip()]


def records(host):
    """The records of the version 3 reports since last time."""
    told = said(host)
    assert all(dst == V3_ROUTERS for dst, _ in told)
    return [record for _, report in told for record in report.records]


# -- version 3 --------------------------------------------------------------------------------------------


def test_joining_is_told_at_once_and_once_more():
    host, _ = member(GROUP, quiet=False)
    assert records(host) == [Record(TO_EXCLUDE, GROUP)]
    host.clock.advance(1)
    assert records(host) == [Record(TO_EXCLUDE, GROUP)]
    host.clock.advance(100)
    assert records(host) == []


def test_the_packet_is_as_routers_want_it():
    host, _ = member(GROUP, quiet=False)
    (header, payload), = host.take_ip()
    assert (header.src, header.dst, header.ttl, header.tos, header.options) == (OWN, V3_ROUTERS, 1, 0xC0,
                                                                               b"\x94\x04\0\0")
    assert len(payload) == 16


def test_its_link_address_is_the_groups():
    host, _ = member(GROUP, quiet=False)
    assert host.take()[0][:6] == b"\x01\x00\x5e\x00\x00\x16"


def test_only_the_first_join_and_the_last_leave_are_told():
    host, endpoint = member(GROUP)
    with host.gate:
        second = host.udp.endpoint()
        second.groups.join(GROUP, host.interface)
        endpoint.close()
    host.clock.advance(30)
    assert records(host) == []
    with host.gate:
        second.groups.leave(GROUP, host.interface)
    host.clock.advance(30)
    assert records(host) == [Record(TO_INCLUDE, GROUP)] * 2


def test_joining_again_replaces_the_leave_that_is_still_to_be_told():
    host, endpoint = member(GROUP)
    with host.gate:
        endpoint.groups.leave(GROUP, host.interface)
        endpoint.groups.join(GROUP, host.interface)
    host.clock.advance(30)
    assert records(host) == [Record(TO_INCLUDE, GROUP)] + [Record(TO_EXCLUDE, GROUP)] * 2


def test_a_general_query_is_answered_for_all_groups_at_once():
    host, _ = member(GROUP, OTHER)
    hear(host, Query(3, ANY, 10.0))
    assert records(host) == []
    host.clock.advance(10)
    assert sorted(records(host)) == [Record(IS_EXCLUDE, GROUP), Record(IS_EXCLUDE, OTHER)]


def test_answers_come_at_random_times():
    times = set()
    host, _ = member(GROUP)
    for _ in range(5):
        begun = host.clock.now()
        hear(host, Query(3, ANY, 10.0))
        times.add(host.clock.next_deadline() - begun)
        host.clock.advance(10)
    assert len(times) == 5 and all(0 <= time <= 10 for time in times)


def test_many_queries_get_one_answer():
    host, _ = member(GROUP)
    for _ in range(50):
        hear(host, Query(3, ANY, 10.0))
        hear(host, Query(3, GROUP, 10.0), dst=GROUP)
    host.clock.advance(10)
    assert records(host) == [Record(IS_EXCLUDE, GROUP)] * 2


def test_a_query_for_a_group_is_answered_by_its_members():
    host, _ = member(GROUP, OTHER)
    hear(host, Query(3, GROUP, 1.0), dst=GROUP)
    hear(host, Query(3, ip("239.9.9.9"), 1.0))
    host.clock.advance(1)
    assert records(host) == [Record(IS_EXCLUDE, GROUP)]


def test_a_query_for_sources_is_answered_with_them():
    host, _ = member(GROUP)
    hear(host, Query(3, GROUP, 1.0, (ip("192.0.2.1"),)), dst=GROUP)
    hear(host, Query(3, GROUP, 1.0, (ip("192.0.2.2"), ip("192.0.2.1"))), dst=GROUP)
    host.clock.advance(1)
    (kind, group, sources), = records(host)
    assert (kind, group, sorted(sources)) == (IS_INCLUDE, GROUP, [ip("192.0.2.1"), ip("192.0.2.2")])


def test_a_query_for_too_many_sources_is_answered_for_the_group():
    host, _ = member(GROUP)
    for part in range(5):
        hear(host, Query(3, GROUP, 1.0, tuple(bytes((192, 0, part, n)) for n in range(60))), dst=GROUP)
    host.clock.advance(1)
    assert records(host) == [Record(IS_EXCLUDE, GROUP)]


def test_without_groups_nothing_is_answered():
    host, _ = member()
    hear(host, Query(3, ANY, 1.0))
    host.clock.advance(10)
    assert said(host) == []


def test_a_switch_without_an_address_may_ask():
    host, _ = member(GROUP)
    hear(host, Query(3, ANY, 1.0), src=ANY)
    host.clock.advance(1)
    assert records(host) == [Record(IS_EXCLUDE, GROUP)]


def test_a_query_to_us_alone_is_dropped():
    host, _ = member(GROUP)
    hear(host, Query(3, ANY, 1.0), dst=OWN)
    host.clock.advance(10)
    assert said(host) == []


def test_many_groups_take_several_reports():
    host = Host()
    host.know()
    groups = [ip(f"239.2.{n // 200}.{n % 200}") for n in range(400)]
    with host.gate:
        for group in groups:
            host.ipv4.listen(host, group, host.interface)
    host.clock.advance(30)
    host.take()
    hear(host, Query(3, ANY, 1.0))
    host.clock.advance(1)
    told = said(host)
    assert len(told) == 3 and sorted(record.group for _,
                                     report in told for record in report.records) == sorted(groups)


# -- older routers ----------------------------------------------------------------------------------------


def test_a_version_2_router_gets_version_2_reports():
    host, endpoint = member(GROUP, OTHER)
    hear(host, Query(2, ANY, 10.0))
    assert host.igmp.version(host.interface) == 2
    host.clock.advance(10)
    assert sorted(said(host)) == [(group, Report(igmp.REPORT_V2, group)) for group in (GROUP, OTHER)]
    with host.gate:
        endpoint.groups.leave(GROUP, host.interface)
    host.clock.advance(30)
    assert said(host) == [(ALL_ROUTERS, Report(igmp.LEAVE, GROUP))]


def test_a_version_1_router_gets_version_1_reports_and_no_leave():
    host, endpoint = member(GROUP)
    hear(host, Query(1, ANY, 10.0))
    host.clock.advance(10)
    assert said(host) == [(GROUP, Report(igmp.REPORT_V1, GROUP))]
    with host.gate:
        endpoint.close()
    host.clock.advance(30)
    assert said(host) == []


def test_joining_is_told_twice_in_version_2():
    host, endpoint = member()
    hear(host, Query(2, ANY, 10.0))
    with host.gate:
        endpoint.groups.join(GROUP, host.interface)
    host.clock.advance(30)
    assert said(host) == [(GROUP, Report(igmp.REPORT_V2, GROUP))] * 2


def test_another_members_answer_is_enough_in_version_2():
    host, _ = member(GROUP)
    hear(host, Query(2, ANY, 10.0))
    hear(host, Report(igmp.REPORT_V2, GROUP), dst=GROUP)
    host.clock.advance(30)
    assert said(host) == []


def test_version_3_comes_back_when_the_old_router_is_silent():
    host, _ = member(GROUP)
    hear(host, Query(2, ANY, 1.0))
    host.clock.advance(OLDER_QUERIER - 1)
    assert host.igmp.version(host.interface) == 2
    host.clock.advance(2)
    assert host.igmp.version(host.interface) == 3


def test_what_is_pending_is_forgotten_when_the_version_changes():
    host, _ = member(GROUP)
    hear(host, Query(3, ANY, 10.0))
    hear(host, Query(2, ip("239.9.9.9"), 10.0))
    host.clock.advance(30)
    assert said(host) == []


# -- membership and reception -----------------------------------------------------------------------------


def test_everybodys_group_is_never_reported():
    host, _ = member(ALL_HOSTS, quiet=False)
    assert said(host) == []
    hear(host, Query(3, ANY, 1.0))
    host.clock.advance(1)
    assert said(host) == []


def test_closing_leaves():
    host, endpoint = member(GROUP)
    with host.gate:
        endpoint.close()
        raw = host.raw.endpoint(99)
        raw.groups.join(OTHER, host.interface)
        raw.close()
    assert [(record.type, record.group) for record in records(host)] == [
        (TO_INCLUDE, GROUP), (TO_EXCLUDE, OTHER), (TO_INCLUDE, OTHER)]


def test_groups_of_the_loopback_interface_are_nobodys_business():
    host, endpoint = member()
    with host.gate:
        endpoint.groups.join(GROUP, host.ipv4.loopback)
    assert said(host) == []


def test_a_stranger_group_is_not_received():
    host, endpoint = member(GROUP)
    host.hear_ip(17, bytes(8), dst=OTHER, dst_mac=multicast_mac(OTHER))
    assert host.counters["ipv4.drop_not_ours"] == 1


def test_a_join_on_loopback_does_not_open_the_wire():
    host, endpoint = member()
    with host.gate:
        endpoint.groups.join(GROUP, host.ipv4.loopback)
    host.hear_ip(17, bytes(8), dst=GROUP, dst_mac=multicast_mac(GROUP))
    assert host.counters["ipv4.drop_not_ours"] == 1


@pytest.mark.parametrize("data", [b"", b"\x11", bytes(8), b"\x16\0\0\0\1\2\3\4", bytes(40)])
def test_broken_messages_are_counted_drops(data):
    host, _ = member(GROUP)
    host.hear_ip(IGMP, data, dst=ALL_HOSTS, dst_mac=multicast_mac(ALL_HOSTS))
    host.clock.advance(30)
    assert said(host) == [] and host.failures == []
    assert sum(count for name, count in host.counters.items() if name.startswith("igmp.drop")) == 1


# -- sources ----------------------------------------------------------------------------------------------

ONE, TWO, THREE = ip("192.0.2.1"), ip("192.0.2.2"), ip("192.0.2.3")


def allow(host, endpoint, *sources):
    with host.gate:
        for source in sources:
            endpoint.groups.add_source(GROUP, host.interface, source, False)


def block(host, endpoint, *sources):
    with host.gate:
        for source in sources:
            endpoint.groups.add_source(GROUP, host.interface, source, True)


def told(host):
    """The records of a while, each once: every change is told twice."""
    host.clock.advance(30)
    return list(dict.fromkeys(records(host)))


def test_a_first_source_is_told_as_allowed_twice():
    host, endpoint = member()
    allow(host, endpoint, ONE)
    host.clock.advance(30)
    assert records(host) == [Record(ALLOW, GROUP, (ONE,))] * 2


def test_sources_that_come_and_go_are_allowed_and_blocked():
    host, endpoint = member()
    allow(host, endpoint, ONE, TWO)
    told(host)
    with host.gate:
        endpoint.groups.set_filter(GROUP, host.interface, Filter(False, frozenset((TWO, THREE))))
    assert told(host) == [Record(ALLOW, GROUP, (THREE,)), Record(BLOCK, GROUP, (ONE,))]
    with host.gate:
        endpoint.groups.leave(GROUP, host.interface)
    assert told(host) == [Record(BLOCK, GROUP, (TWO, THREE))]


def test_a_blocked_source_is_told():
    host, endpoint = member(GROUP)
    block(host, endpoint, ONE)
    assert told(host) == [Record(BLOCK, GROUP, (ONE,))]
    with host.gate:
        endpoint.groups.drop_source(GROUP, host.interface, ONE, True)
    assert told(host) == [Record(ALLOW, GROUP, (ONE,))]


def test_a_change_of_mode_is_told_with_its_sources():
    host, endpoint = member()
    allow(host, endpoint, ONE)
    told(host)
    with host.gate:
        endpoint.groups.set_filter(GROUP, host.interface, Filter(True, frozenset((TWO,))))
    assert told(host) == [Record(TO_EXCLUDE, GROUP, (TWO,))]
    with host.gate:
        endpoint.groups.set_filter(GROUP, host.interface, Filter(False, frozenset((ONE,))))
    assert told(host) == [Record(TO_INCLUDE, GROUP, (ONE,))]


def test_what_changes_before_it_was_told_twice_is_told_as_it_is_then():
    host, endpoint = member()
    allow(host, endpoint, ONE)
    with host.gate:
        endpoint.groups.drop_source(GROUP, host.interface, ONE, False)
    host.clock.advance(30)
    assert records(host) == [Record(ALLOW, GROUP, (ONE,))] + [Record(BLOCK, GROUP, (ONE,))] * 2


@pytest.mark.parametrize("filters, merged", [
    ([Filter(False, frozenset((ONE,))), Filter(False, frozenset((TWO,)))], (IS_INCLUDE, (ONE, TWO))),
    ([Filter(True, frozenset((ONE, TWO))), Filter(True, frozenset((TWO, THREE)))], (IS_EXCLUDE, (TWO,))),
    ([Filter(True, frozenset((ONE, TWO))), Filter(False, frozenset((TWO, THREE)))], (IS_EXCLUDE, (ONE,))),
    ([Filter(True), Filter(False, frozenset((ONE,)))], (IS_EXCLUDE, ()))])
def test_the_interface_wants_what_its_sockets_want_together(filters, merged):
    """RFC 3376 3.2."""
    host, _ = member()
    with host.gate:
        for owner, wanted in enumerate(filters):
            host.ipv4.listen(owner, GROUP, host.interface, wanted)
    told(host)
    hear(host, Query(3, ANY, 1.0))
    assert told(host) == [Record(merged[0], GROUP, merged[1])]


@pytest.mark.parametrize("wanted, answer", [
    (Filter(False, frozenset((ONE, TWO))), [Record(IS_INCLUDE, GROUP, (TWO,))]),
    (Filter(True, frozenset((ONE, TWO))), [Record(IS_INCLUDE, GROUP, (THREE,))]),
    (Filter(False, frozenset((ONE,))), [])])
def test_a_query_for_sources_is_answered_with_those_that_are_wanted(wanted, answer):
    """RFC 3376 5.2."""
    host, _ = member()
    with host.gate:
        host.ipv4.listen("socket", GROUP, host.interface, wanted)
    told(host)
    hear(host, Query(3, GROUP, 1.0, (TWO, THREE)), dst=GROUP)
    assert told(host) == answer


def test_old_routers_hear_of_groups_only():
    host, endpoint = member()
    hear(host, Query(2, ANY, 1.0))
    allow(host, endpoint, ONE, TWO)
    host.clock.advance(30)
    assert said(host) == [(GROUP, Report(igmp.REPORT_V2, GROUP))] * 2


def test_long_lists_take_several_reports():
    host, _ = member()
    sources = frozenset(bytes((192, 0, n >> 8, n & 255)) for n in range(1000))
    with host.gate:
        host.ipv4.listen("socket", GROUP, host.interface, Filter(False, sources))
    parts = records(host)
    assert [record.type for record in parts] == [ALLOW] * 3
    assert sorted(source for record in parts for source in record.sources) == sorted(sources)


def test_input_lets_only_wanted_sources_in():
    host, _ = member()
    with host.gate:
        host.ipv4.listen("socket", GROUP, host.interface, Filter(True, frozenset((PEER,))))
    host.hear_ip(17, bytes(8), dst=GROUP, dst_mac=multicast_mac(GROUP))
    assert host.counters["ipv4.drop_source_filter"] == 1
    host.hear_ip(17, bytes(8), src=ONE, dst=GROUP, dst_mac=multicast_mac(GROUP))
    assert host.counters["ipv4.drop_source_filter"] == 1 and host.counters["udp.drop_length"] == 1


def test_a_report_reads_as_a_line():
    report = Report(igmp.REPORT_V3, records=(Record(ALLOW, GROUP, (ONE, TWO)), Record(TO_EXCLUDE, OTHER)))
    assert str(report) == "IGMPv3 report: allow 239.1.2.3 from 192.0.2.1 192.0.2.2, to exclude 239.1.2.4"
