"""The table of requirements names every identifier of RFC 9293, and only tests that exist."""

import ast
import functools

import pytest
from rfc9293 import ROWS, TESTS, text

EXPECTED = ({f"MUST-{number}" for number in range(1, 70)} | {f"SHLD-{number}" for number in range(1, 32)}
            | {f"MAY-{number}" for number in range(1, 19)} | {"REC-1"})


@functools.cache
def functions(file):
    """Names of the test functions in tests/<file>.py."""
    tree = ast.parse((TESTS / f"{file}.py").read_text(encoding="utf-8"))
    return {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)}


def test_every_identifier_is_there():
    assert {row[0] for row in ROWS} == EXPECTED


@pytest.mark.parametrize("identifier,level,feature,evidence", ROWS, ids=lambda value: str(value)[:40])
def test_evidence_exists(identifier, level, feature, evidence):
    if isinstance(evidence, str):
        assert evidence.startswith(("not met: ", "by design: ", "later: "))
        return
    assert evidence
    for name in evidence:
        file, _, function = name.partition("::")
        assert function in functions(file), name


def test_levels_fit_the_identifiers():
    kinds = {"MUST": ("MUST", "MUST NOT"), "SHLD": ("SHOULD", "SHOULD NOT"), "MAY": ("MAY",),
             "REC": ("SHOULD",)}
    for identifier, level, *_ in ROWS:
        assert level in kinds[identifier.partition("-")[0]], identifier


def test_the_table_prints():
    assert "not met" in text() and all(row[0] in text() for row in ROWS)
