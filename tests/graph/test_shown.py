from __future__ import annotations

import subprocess
import sys

import pytest

from auditor.graph.columns import KIND_ID, NEED_ID, RELATION_ID, GraphBuilder
from auditor.graph.shown import to_networkx
from auditor.model import Kind, Need, Relation


def test_the_selected_part_with_its_attributes() -> None:
    builder = GraphBuilder()
    job = builder.node(KIND_ID[Kind.JOB], "renew", "legacy")
    one = builder.node(KIND_ID[Kind.HOST], "one")
    two = builder.node(KIND_ID[Kind.HOST], "two")
    runs_on, connects = RELATION_ID[Relation.RUNS_ON], RELATION_ID[Relation.CONNECTS]
    builder.edge(job, one, runs_on, NEED_ID[Need.RUN], evidence=3)
    builder.edge(job, one, connects, NEED_ID[Need.READ], builder.group(job, "any"))
    builder.edge(job, two, connects, NEED_ID[Need.READ], builder.group(job, "any"))
    shown = to_networkx(builder.build(), [one, job, job], provenance=lambda evidence: f"line {evidence}")
    assert {node: shown.nodes[node] for node in shown} == {
        one: {"kind": "host", "text": "one", "scope": ""},
        job: {"kind": "job", "text": "renew", "scope": "legacy"},
    }
    assert list(shown.edges(keys=True, data=True)) == [
        (job, one, 0, {"relation": "runs-on", "need": "run", "group": "", "provenance": "line 3"}),
        (job, one, 1, {"relation": "connects", "need": "read", "group": "any"}),
    ]
    assert list(to_networkx(builder.build(), [])) == []
    with pytest.raises(IndexError, match="no node 3"):
        to_networkx(builder.build(), [3])


def test_networkx_is_loaded_only_to_show() -> None:
    code = "import sys, auditor.graph.shown; assert 'networkx' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)
