"""Settings: where they come from, who wins, and what is said about a wrong one."""

import dataclasses
import re
from pathlib import Path

import pytest

from tipy.address import parse_mac
from tipy.errors import SetupError
from tipy.settings import ALIASES, CONFIG_LINE, Settings, derive_mac
from tipy.tcp import congestion

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def user(tmp_path, monkeypatch):
    """A user with an empty directory of their own; user(text) writes their config.py."""
    monkeypatch.delenv("TIPY_CONFIG", raising=False)
    monkeypatch.chdir(tmp_path)

    def write(text, name="config.py"):
        (tmp_path / name).write_text(text, encoding="utf-8")

    return write


def said(error, **keywords):
    """The one sentence of the error that these keywords cause."""
    with pytest.raises(error) as caught:
        Settings.load(**keywords)
    text = str(caught.value)
    assert "\n" not in text
    return text


# -- defaults -----------------------------------------------------------------------------------------


def test_default_network():
    settings = Settings()
    assert (settings.ifname, settings.address) == ("tap7", "192.168.2.200/24")
    assert settings.gateway == "192.168.2.1"


@pytest.mark.parametrize("name, value", [
    ("ttl", 64), ("mtu", None), ("mss", None), ("acd", True), ("pmtu_discovery", True),
    ("arp_reply_timeout", 1.0), ("arp_retries", 3), ("defragmentation_timeout", 30.0),
    ("ephemeral_ports", (32768, 60999)),
    ("sack", True), ("timestamps", True), ("window_scaling", True), ("ecn", 2),
    ("syn_retries", 6), ("synack_retries", 5), ("retries2", 15), ("fin_timeout", 60),
    ("keepalive_time", 7200), ("keepalive_intvl", 75), ("keepalive_probes", 9),
    ("slow_start_after_idle", True), ("syncookies", True), ("congestion_control", "cubic"),
    ("recovery", True), ("notsent_lowat", None), ("rfc1337", True), ("max_syn_backlog", 4096),
    ("somaxconn", 4096),
    ("rcvbuf", 131072), ("rcvbuf_max", 6291456), ("sndbuf", 16384), ("sndbuf_max", 8388608),
    ("rto_min", 0.2), ("rto_initial", 1.0), ("rto_max", 120.0), ("delayed_ack", 0.04),
    ("challenge_ack_interval", 0.5),
])
def test_default(name, value):
    assert getattr(Settings(), name) == value


def test_settings_cannot_be_changed():
    with pytest.raises(dataclasses.FrozenInstanceError):
        Settings().ttl = 1


def test_default_congestion_control_exists():
    assert Settings().congestion_control in congestion.names()


def test_alias_leads_to_a_setting():
    assert set(ALIASES.values()) <= {field.name for field in dataclasses.fields(Settings)}


@pytest.mark.parametrize("name", [field.name for field in dataclasses.fields(Settings)])
def test_setting_is_read_somewhere(name):
    """None is accepted and then ignored."""
    readers = [path for path in (ROOT / "tipy").rglob("*.py") if path.name not in ("settings.py", "kinds.py")
               and re.search(rf"\b{name}\b", path.read_text(encoding="utf-8"))]
    assert readers


# -- the MAC ------------------------------------------------------------------------------------------


def test_derived_mac_is_stable_local_and_of_one_host():
    mac = parse_mac(Settings().mac)
    assert Settings().mac == Settings().mac and mac[0] == 2


def test_derived_mac_depends_on_interface_and_address():
    assert len({derive_mac("tap7", "10.0.0.1/8"), derive_mac("tap8", "10.0.0.1/8"),
                derive_mac("tap7", "10.0.0.2/8")}) == 3


def test_replaced_address_derives_the_mac_anew_but_keeps_a_chosen_one():
    assert Settings().replace(ifname="tap8").mac == Settings(ifname="tap8").mac != Settings().mac
    assert Settings(mac="02:00:00:00:00:09").replace(ifname="tap8").mac == "02:00:00:00:00:09"


def test_mac_is_normalised():
    assert Settings(mac="02-00-0-00-0A-01").mac == "02:00:00:00:0a:01"


# -- address and gateway ------------------------------------------------------------------------------


def test_default_gateway_is_left_out_of_another_network():
    assert Settings(address="10.0.0.5/24").gateway is None


def test_default_gateway_is_left_out_if_it_is_the_stack_itself():
    assert Settings(address="192.168.2.1/24").gateway is None


def test_gateway_outside_the_network_is_refused():
    text = said(ValueError, address="10.0.0.5/24", gateway="10.0.1.1")
    assert "gateway 10.0.1.1 is no other host in 10.0.0.0/24" in text


def test_empty_gateway_is_none():
    assert Settings(gateway="").gateway is None


def test_netmask_may_stand_behind_the_slash():
    assert Settings(address="10.0.0.5/255.255.0.0").address == "10.0.0.5/16"


def test_two_addresses_make_a_network():
    assert Settings(address="10.0.0.0/31", gateway="10.0.0.1").gateway == "10.0.0.1"


@pytest.mark.parametrize("address", ["10.0.0.0/24", "10.0.0.255/24", "224.0.0.5/4", "127.0.0.2/8",
                                     "0.0.0.0/0", "255.255.255.255/32"])
def test_address_of_no_host_is_refused(address):
    assert "cannot be the address of a host" in said(ValueError, address=address)


# -- wrong names and values ---------------------------------------------------------------------------


@pytest.mark.parametrize("keywords, text", [
    ({"adress": "10.0.0.1/8"}, "there is no setting adress: did you mean address?"),
    ({"tcp_sack": 1}, "there is no setting tcp_sack: did you mean sack?"),
    ({"zzz": 1}, "there is no setting zzz"),
])
def test_unknown_keyword_suggests_the_near_one(keywords, text):
    assert said(TypeError, **keywords) == text


@pytest.mark.parametrize("keywords, text", [
    ({"mtu": "big"}, "mtu='big': a whole number between 68 and 65535 is needed"),
    ({"mtu": 67}, "mtu=67: a whole number between 68 and 65535"),
    ({"mtu": True}, "mtu=True: a whole number"),
    ({"mtu": 1500.5}, "a whole number"),
    ({"ttl": None}, "ttl=None: a whole number between 1 and 255"),
    ({"ttl": 256}, "ttl=256"),
    ({"ecn": 3}, "between 0 and 2"),
    ({"sack": "yes please"}, "sack='yes please': True or False is needed"),
    ({"sack": 2}, "True or False"),
    ({"rto_min": -1}, "a number of seconds"),
    ({"rto_min": float("nan")}, "a number of seconds"),
    ({"rto_max": float("inf")}, "a number of seconds"),
    ({"rto_min": 5, "rto_max": 4}, "rto_min=5 is more than rto_max=4"),
    ({"address": "192.168.2.200"}, "has no prefix length; write it like 192.168.2.200/24"),
    ({"address": "192.168.2.300/24"}, "is not an IPv4 address"),
    ({"address": "192.168.2.3/33"}, "address="),
    ({"address": "fe80::1/64"}, "IPv6 is not implemented yet"),
    ({"address": 5}, "text like 192.168.2.200/24 is needed"),
    ({"gateway": "fe80::1"}, "IPv6 is not implemented yet"),
    ({"gateway": 5}, "text like 192.168.2.1 is needed"),
    ({"mac": "01:00:00:00:00:01"}, "the first byte must be even"),
    ({"mac": "00:00:00:00:00:00"}, "cannot belong to one host"),
    ({"mac": "nonsense"}, "mac='nonsense'"),
    ({"mac": 5}, "text like"),
    ({"ifname": ""}, "the name of an interface"),
    ({"ephemeral_ports": (5, 4)}, "two port numbers"),
    ({"ephemeral_ports": (1, 2, 3)}, "two port numbers"),
    ({"ephemeral_ports": 5}, "two port numbers"),
    ({"log_channels": 5}, "names of log channels"),
    ({"congestion_control": 5}, "the name of a congestion control"),
])
def test_wrong_value_says_what_is_needed(keywords, text):
    assert text in said(ValueError, **keywords)


def test_direct_construction_checks_too():
    with pytest.raises(ValueError, match="mtu=1: "):
        Settings(mtu=1)


def test_replace_checks_names_and_values():
    with pytest.raises(TypeError, match="did you mean ttl"):
        Settings().replace(tttl=1)
    with pytest.raises(ValueError, match="ttl=0"):
        Settings().replace(ttl=0)


def test_flags_may_be_written_as_numbers():
    assert Settings(sack=0).sack is False and Settings(sack=1).sack is True


@pytest.mark.parametrize("value", [(1000, 2000), [1000, 2000], range(1000, 2001), "1000-2000", "1000 2000"])
def test_ports_in_every_shape(value):
    assert Settings(ephemeral_ports=value).ephemeral_ports == (1000, 2000)


@pytest.mark.parametrize("value, names", [
    ("stack arp", ("stack", "arp")), ("stack,arp", ("stack", "arp")), (["arp"], ("arp",)),
    ({"tcp", "arp"}, ("arp", "tcp")), ("", ()), ({"None"}, ()), (None, None),
])
def test_channels_in_every_shape(value, names):
    assert Settings(log_channels=value).log_channels == names


# -- the environment ----------------------------------------------------------------------------------


@pytest.mark.parametrize("name, text, attribute, value", [
    ("TIPY_ADDRESS", "10.0.0.2/24", "address", "10.0.0.2/24"),
    ("TIPY_IP_ADDRESS", "10.0.0.2/24", "address", "10.0.0.2/24"),
    ("TIPY_IFACE", "tap9", "ifname", "tap9"),
    ("TIPY_MTU", "1400", "mtu", 1400),
    ("TIPY_MTU", "", "mtu", None),
    ("TIPY_RTO_MIN", "0.25", "rto_min", 0.25),
    ("TIPY_SACK", "off", "sack", False),
    ("TIPY_SACK", "1", "sack", True),
    ("TIPY_EPHEMERAL_PORTS", "1000-2000", "ephemeral_ports", (1000, 2000)),
    ("TIPY_LOG_CHANNELS", "arp,tcp", "log_channels", ("arp", "tcp")),
])
def test_environment(user, monkeypatch, name, text, attribute, value):
    monkeypatch.setenv(name, text)
    assert getattr(Settings.load(), attribute) == value


@pytest.mark.parametrize("name, text, sentence", [
    ("TIPY_MTU", "big", "environment: TIPY_MTU = 'big': a whole number between 68 and 65535 is needed"),
    ("TIPY_ADRESS", "10.0.0.2/24",
     "environment: there is no setting TIPY_ADRESS: did you mean TIPY_ADDRESS?"),
    ("TIPY_SACK", "perhaps", "environment: TIPY_SACK = 'perhaps': True or False is needed"),
])
def test_wrong_environment(user, monkeypatch, name, text, sentence):
    monkeypatch.setenv(name, text)
    assert said(SetupError) == sentence


def test_variable_that_resembles_no_setting_is_somebody_elses(user, monkeypatch):
    monkeypatch.setenv("TIPY_HOMEPAGE_OF_MY_SHOP", "1")
    assert Settings.load() == Settings()


# -- config.py ----------------------------------------------------------------------------------------


def test_config_of_this_directory_is_read_if_it_says_it_is_ours(user):
    user(f"{CONFIG_LINE}\nMTU = 1400\n")
    assert Settings.load().mtu == 1400


@pytest.mark.parametrize("first", ["", "# my config", "#tipy config", "'# tipy config'"])
def test_strangers_config_is_never_executed(user, first):
    user(f"{first}\nraise SystemExit('executed')\n")
    assert Settings.load() == Settings()


def test_config_named_by_the_environment_needs_no_first_line(user, monkeypatch, tmp_path):
    user("ttl = 9\n", "mine.py")
    monkeypatch.setenv("TIPY_CONFIG", str(tmp_path / "mine.py"))
    assert Settings.load().ttl == 9


def test_named_config_that_is_not_there(user, monkeypatch):
    monkeypatch.setenv("TIPY_CONFIG", "nowhere.py")
    assert said(SetupError).startswith("nowhere.py cannot be read (No such file or directory)")


def test_empty_name_means_no_config(user, monkeypatch):
    user(f"{CONFIG_LINE}\nTTL = 9\n")
    monkeypatch.setenv("TIPY_CONFIG", "")
    assert Settings.load().ttl == 64


@pytest.mark.parametrize("body, sentence", [
    ("MTUU = 5", "config.py: there is no setting MTUU: did you mean MTU?"),
    ("MTU = 5", "config.py: MTU = 5: a whole number between 68 and 65535 is needed"),
    ("\nMTU = = 5", "config.py: line 3: SyntaxError: invalid syntax (config.py, line 3)"),
    ("\n1 / 0", "config.py: line 3: ZeroDivisionError: division by zero"),
    ("IP_ADDRESS = '10.0.0.5'",
     "config.py: IP_ADDRESS = '10.0.0.5': '10.0.0.5' has no prefix length; write it like 192.168.2.200/24"),
    ("IP_STATIC = False",
     "config.py: IP_STATIC = False: DHCP is not implemented yet; give IP_ADDRESS and MASK"),
    ("MASK = '255.255.0.0'", "config.py: MASK = '255.255.0.0': this needs IP_ADDRESS beside it"),
    ("IP_ADDRESS = '10.0.0.5'\nMASK = '255.0.255.0'",
     "config.py: IP_ADDRESS = '10.0.0.5/255.0.255.0': 255.0.255.0 is not a netmask"),
    ("IP_ADDRESS = '10.0.0.5'\nMASK = '255.0.0.0'\nNETWORK = '11.0.0.0'",
     "config.py: NETWORK = '11.0.0.0': 10.0.0.5 is not in it"),
    ("IP_ADDRESS = '10.0.0.5/8'\nIP_BROADCAST_ADDRESS = '10.0.0.255'",
     "config.py: IP_BROADCAST_ADDRESS = '10.0.0.255': the broadcast address of 10.0.0.0/8 is another one"),
    ("IP_ADDRESS = 5\nMASK = 6", "config.py: IP_ADDRESS = 5: text like 192.168.2.200/24 is needed"),
    ("IP_ADDRESS = '10.0.0.5/8'\nNETWORK = 6", "config.py: NETWORK = 6: 10.0.0.5 is not in it"),
])
def test_wrong_config(user, body, sentence):
    user(f"{CONFIG_LINE}\n{body}\n")
    assert said(SetupError).startswith(sentence)


@pytest.mark.parametrize("body", [
    "IP_ADDRESS = '10.0.0.5'\nMASK = '255.255.0.0'",
    "IP_ADDRESS = '10.0.0.5'\nMASK = 16",
    "IP_ADDRESS = '10.0.0.5'\nMASK = '/16'",
    "IP_ADDRESS = '10.0.0.5'\nNETWORK = '10.0.0.0/16'",
    "IP_ADDRESS = '10.0.0.5/16'\nNETWORK = '10.0.0.0'",
    "ADDRESS = '10.0.0.5/16'",
    "address = '10.0.0.5/16'",
])
def test_address_in_every_shape(user, body):
    user(f"{CONFIG_LINE}\n{body}\n")
    assert Settings.load().address == "10.0.0.5/16"


def test_imports_and_functions_in_a_config_are_its_own_affair(user):
    user(f"{CONFIG_LINE}\nimport os\nfrom pathlib import Path\ndef double(x): return 2 * x\n_HALF = 4\n"
         "TTL = double(_HALF)\n")
    assert Settings.load().ttl == 8


def test_config_written_for_the_original(user):
    user(CONFIG_LINE + """
IP_STATIC = True
MAC_ADDRESS = '00:11:22:33:44:55'
NETWORK: str | None = '10.9.0.0'
IP_ADDRESS: str | None = '10.9.0.200'
IP_BROADCAST_ADDRESS: str | None = '10.9.0.255'
ROUTER: str | None = '10.9.0.1'
MASK: str | None = '255.255.255.0'
MTU = 1400
IFACE = 'tap9'
DEFRAGMENTATION_TIMEOUT = 10
ARP_REPLY_TIMEOUT = 3
ARP_CACHE_TTL = 300
MSS = 1360
ENABLE_IP_OPTION = False
LOG_CHANEL = {"stack", 'socket', "arp-c"}
EPHEMERAL_PORTS = range(32768, 60999)
""")
    settings = Settings.load()
    assert settings == Settings(
        mac="00:11:22:33:44:55", address="10.9.0.200/24", gateway="10.9.0.1", mtu=1400, ifname="tap9",
        mss=1360, defragmentation_timeout=10, arp_reply_timeout=3, arp_cache_ttl=300,
        ephemeral_ports=(32768, 60998), log_channels=("arp-c", "socket", "stack"))


# -- who wins -----------------------------------------------------------------------------------------


def test_keyword_before_environment_before_config_before_default(user, monkeypatch):
    user(f"{CONFIG_LINE}\nTTL = 1\nMTU = 1001\nRETRIES2 = 11\n")
    monkeypatch.setenv("TIPY_TTL", "2")
    monkeypatch.setenv("TIPY_MTU", "1002")
    settings = Settings.load(ttl=3)
    assert (settings.ttl, settings.mtu, settings.retries2, settings.syn_retries) == (3, 1002, 11, 6)


def test_gateway_of_the_config_is_left_out_if_a_keyword_moves_the_stack(user):
    user(f"{CONFIG_LINE}\nIP_ADDRESS = '10.0.0.5/24'\nROUTER = '10.0.0.1'\n")
    assert Settings.load().gateway == "10.0.0.1"
    assert Settings.load(address="10.0.0.6/24").gateway == "10.0.0.1"
    assert Settings.load(address="10.7.0.6/24").gateway is None


def test_sources_that_do_not_fit_together(user, monkeypatch):
    user(f"{CONFIG_LINE}\nIP_ADDRESS = '10.0.0.5/24'\n")
    monkeypatch.setenv("TIPY_ROUTER", "10.1.0.1")
    assert "config.py, environment and program do not fit together: gateway 10.1.0.1" in said(SetupError)


def test_user_files_can_be_ignored(user, monkeypatch):
    user(f"{CONFIG_LINE}\nTTL = 1\n")
    monkeypatch.setenv("TIPY_MTU", "1002")
    assert Settings.load(use_user_files=False) == Settings()
    assert Settings(ttl=5) == Settings.load(use_user_files=False, ttl=5)
