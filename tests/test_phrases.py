"""How numbers, times and lists of names are said."""

from __future__ import annotations

import pytest

from auditor.phrases import ranged, without_arns
from auditor.text import expand_range


@pytest.mark.parametrize(
    ("names", "said"),
    [
        ([f"api{number:03}.example.net" for number in range(1, 341)], ["api[001:340].example.net"]),
        (["web8", "web9", "web10"], ["web[8:10]"]),
        (["n08", "n09", "n10"], ["n[08:10]"]),
        (["n1", "n2"], ["n1", "n2"]),
        (["n1", "n2", "n3", "n7", "db.n4"], ["db.n4", "n7", "n[1:3]"]),
        (["b2", "b2", "a"], ["a", "b2"]),
        (["rack1-node01.x", "rack1-node02.x", "rack1-node03.x"], ["rack1-node[01:03].x"]),
        ([], []),
    ],
)
def test_numbered_names_are_said_as_a_range(names: list[str], said: list[str]) -> None:
    assert ranged(names) == said
    assert sorted({name for one in said for name in expand_range(one)}) == sorted(set(names))


@pytest.mark.parametrize(
    ("rest", "said"),
    [
        ("lambda:eu-west-1:210987654321:function:label-printer", "Lambda function label-printer"),
        ("elasticloadbalancing:eu-west-1:210987654321:loadbalancer/app/web/8d1f", "load balancer web"),
        ("elasticloadbalancing:eu-west-1:210987654321:listener-rule/app/web/8d/0f/11", "rule 11 of load balancer web"),
        ("events:eu-west-1:210987654321:rule/ops/nightly", "EventBridge rule nightly"),
        ("events:eu-west-1:210987654321:api-destination/hook/2f1e", "API destination hook"),
        ("sns:eu-west-1:210987654321:ops", "SNS topic ops"),
        ("dms:eu-west-1:210987654321:endpoint:ABC", "dms endpoint:ABC"),
    ],
)
def test_names_of_aws_as_people_say_them(rest: str, said: str) -> None:
    assert without_arns(f"x arn:aws:{rest}: y") == f"x {said}: y"
