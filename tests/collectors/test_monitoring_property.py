"""Whatever the bytes: collectors of monitoring and logging yield facts or say what is malformed, and never raise."""

from __future__ import annotations

import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from auditor.api import Collector, Document, Fragment
from collectors.collectd import CollectdCollector
from collectors.icinga2 import Icinga2Collector
from collectors.monit import MonitCollector
from collectors.nagios import NagiosCollector
from collectors.syslog import SyslogCollector
from collectors.telegraf import TelegrafCollector
from collectors.uptime_kuma import UptimeKumaCollector
from collectors.zabbix import ZabbixCollector

WORDS = {
    "nagios": (
        "/etc/nagios4/conf.d/x.cfg",
        (
            "define host {|define hostgroup{|define service {|}|host_name|members|use|name|a|b|!a|*|+a|null|register 0"
            "|hostgroup_name|service_description|check_command|x!y|contact_groups|hostgroup_members|command_line|;"
            "|{{ x }}"
        ),
    ),
    "icinga2": (
        "/x/objects.txt",
        (
            "Object 'a' of type 'Host':|Object 'a!b' of type 'Service':|  * address = \"a\"|  * groups = [ \"g\" ]"
            "|  * vars|    * x_address = \"b\"|  % declared in 'f', lines 1:1-1:2"
            '|  * host_name = "a"|object Host "a" {|}'
        ),
    ),
    "zabbix": (
        "x.xml",
        (
            "<zabbix_export>|</zabbix_export>|<hosts>|</hosts>|<host>|</host>|a|<ip>|</ip>|<interfaces>|</interfaces>"
            "|<url>|http://{HOST.IP}/|</url>|<!DOCTYPE a>|&x;|zabbix_export:|  hosts:|    - host: a|"
            "      items: [{url: x}]"
        ),
    ),
    "monit": (
        "/etc/monit/monitrc",
        (
            'check host a with address b|check program p with path "x y"|set mailserver a, b port 25|set mmonit http://a'
            "|if failed host x port 1|'|\"|#|include /x"
        ),
    ),
    "uptime_kuma": (
        "x.json",
        (
            '{"notificationList":|"monitorList":|[|]|{|}|,|"name":|"type":|"http"|"url":|"https://a"|"config":'
            '|"{\\"url\\":1}"|1|null'
        ),
    ),
    "collectd": (
        "/etc/collectd/collectd.conf",
        '<Plugin network>|</Plugin>|<Plugin ping>|<Node x>|</Node>|Host a|Port 1|Server "a" "b"|URL "http://a"|<|>|"',
    ),
    "telegraf": (
        "/etc/telegraf/telegraf.conf",
        (
            '[[outputs.influxdb]]|[[inputs.ping]]|urls = ["a"]|urls = [1]|[outputs]|inputs = 3|[[|"|address = "tcp://a:1"'
            "|{% if %}"
        ),
    ),
    "syslog": (
        "/etc/rsyslog.conf",
        (
            '*.* @a|@@(o)b:1;t|action(type="omfwd"|target="a"|target=["a",|)|& @@c|:omrelp:d|@version: 3'
            "|destination x {"
            '|network("a" port(1))|}|log { destination(x); };|"|\'|/*|*/|#'
        ),
    ),
}
COLLECTORS: dict[str, Collector] = {
    one.name: one
    for one in (
        NagiosCollector(),
        Icinga2Collector(),
        ZabbixCollector(),
        MonitCollector(),
        UptimeKumaCollector(),
        CollectdCollector(),
        TelegrafCollector(),
        SyslogCollector(),
    )
}


def read(collector: Collector, path: str, content: bytes) -> None:
    collector.recognizes(path, content[:4096])
    pieces = []
    for item in collector.parse(Document(path, content)):
        if isinstance(item, Fragment):
            hash(item.value)
            pieces.append(Fragment(item.kind, item.value, item.where, "host", path))
    list(collector.combine(pieces, lambda _: None))


@pytest.mark.parametrize("name", COLLECTORS)
@settings(max_examples=60)
@given(content=st.binary(max_size=400))
def test_any_bytes(name: str, content: bytes) -> None:
    read(COLLECTORS[name], WORDS[name][0], content)


@pytest.mark.parametrize("name", COLLECTORS)
@settings(max_examples=120)
@given(data=st.data())
def test_its_own_words_in_any_order(name: str, data: st.DataObject) -> None:
    path, words = WORDS[name]
    chosen = data.draw(st.lists(st.sampled_from(words.split("|")), max_size=40))
    between = data.draw(st.sampled_from(["\n", " ", "\r\n", "\n  ", ""]))
    read(COLLECTORS[name], path, between.join(chosen).encode())


HOSTILE = {
    "nagios": b"define host {\n host_name a\n use " + b"x," * 20_000 + b"\n}\n" * 3,
    "icinga2": b"Object 'a' of type 'Host':\n" + b"  * groups = [ " + b'"g", ' * 20_000 + b"]\n",
    "zabbix": b"<zabbix_export>" + b"<a>" * 50_000,
    "monit": b"check host a with address b\n" + b"if failed host " * 20_000,
    "uptime_kuma": b'{"monitorList": ' + b"[" * 50_000,
    "collectd": b"<Plugin network>\n" + b"<Server a>\n" * 20_000,
    "telegraf": b"[[inputs.ping]]\nurls = " + b"[" * 50_000,
    "syslog": b'action(type="omfwd" target="' * 5_000 + b"@" * 50_000,
}


@pytest.mark.parametrize("name", COLLECTORS)
def test_hostile_text_is_read_in_time(name: str) -> None:
    begun = time.process_time()
    read(COLLECTORS[name], WORDS[name][0], HOSTILE[name])
    assert time.process_time() - begun < 2.0


def test_nagios_templates_and_groups_that_use_themselves_end() -> None:
    loops = b"".join(
        b"define host {\n name t%d\n use t%d,t%d\n host_name h%d\n hostgroups +g\n}\n"
        b"define hostgroup {\n hostgroup_name g%d\n hostgroup_members g%d,g%d\n}\n"
        % (n, (n + 1) % 60, (n + 7) % 60, n, n, (n + 1) % 60, (n + 7) % 60)
        for n in range(60)
    )
    begun = time.process_time()
    read(COLLECTORS["nagios"], "/etc/nagios4/x.cfg", loops)
    assert time.process_time() - begun < 2.0


def test_nagios_values_do_not_double_with_every_template() -> None:
    """`+` through a ladder of templates: each rung uses the one below twice."""
    ladder = b"define host {\n name t0\n hostgroups a\n}\n" + b"".join(
        b"define host {\n name t%d\n use t%d,t%d\n hostgroups +b%d\n}\n" % (n, n - 1, n - 1, n) for n in range(1, 40)
    )
    begun = time.process_time()
    read(COLLECTORS["nagios"], "/etc/nagios4/x.cfg", ladder)
    assert time.process_time() - begun < 2.0
