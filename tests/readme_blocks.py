"""The README as tests read it: its code blocks, its tables, its links."""

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
TEXT = (ROOT / "README.md").read_text(encoding="utf-8")


def section(title):
    """The text below the heading `## title`."""
    found = re.search(rf"^## {re.escape(title)}$(.*?)(?=^## |\Z)", TEXT, re.M | re.S)
    if found is None:
        raise AssertionError(f"the README has no section {title!r}")
    return found[1]


def blocks(language, text=TEXT):
    """The contents of the code blocks in this language."""
    return re.findall(rf"^```{language}\n(.*?)^```$", text, re.M | re.S)


def commands(text=TEXT):
    """Every command of the shell blocks, lines that go on joined."""
    return [line for block in blocks("sh", text) for line in block.replace("\\\n", " ").splitlines()]


def rows(title):
    """The cells of the table in a section, without its head: [[cell, ...], ...]"""
    lines = [line for line in section(title).splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[2:]]


def links(text=TEXT):
    """Where its links lead."""
    return re.findall(r"\]\(([^)]+)\)", text)
