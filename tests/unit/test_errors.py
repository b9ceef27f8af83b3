"""Errors: whose fault it is, and what the user reads."""

import errno
import os
import pickle

from tipy.errors import AddressConflict, PacketError, SetupError, os_error


def test_packet_error_has_a_reason():
    assert PacketError("short").reason == str(PacketError("short")) == "short"


def test_os_error_has_the_right_class_and_text():
    refused = os_error(errno.ECONNREFUSED)
    assert type(refused) is ConnectionRefusedError
    assert refused.strerror == os.strerror(errno.ECONNREFUSED)
    assert type(os_error(errno.ETIMEDOUT)) is TimeoutError
    assert os_error(errno.ENETDOWN, "start it").strerror == "start it"


def test_setup_error_is_one_sentence():
    error = SetupError("no device tap7: create it with `ip tuntap add tap7 mode tap`", errno.ENODEV)
    assert str(error) == "no device tap7: create it with `ip tuntap add tap7 mode tap`"
    assert error.errno == errno.ENODEV
    assert isinstance(error, OSError)


def test_address_conflict_names_the_offender():
    error = AddressConflict(bytes([192, 168, 2, 200]), b"\x02\0\0\0\0\x09")
    assert (error.address, error.mac) == ("192.168.2.200", "02:00:00:00:00:09")
    assert error.errno == errno.EADDRINUSE
    assert "192.168.2.200" in str(error) and "02:00:00:00:00:09" in str(error)


def test_errors_survive_pickling():
    conflict = pickle.loads(pickle.dumps(AddressConflict("10.0.0.1", "02:00:00:00:00:09")))
    assert (conflict.address, conflict.mac) == ("10.0.0.1", "02:00:00:00:00:09")
    setup = pickle.loads(pickle.dumps(SetupError("do this", errno.EPERM)))
    assert (str(setup), setup.errno) == ("do this", errno.EPERM)
