"""The code blocks of README, CONTRIBUTING and docs/pages, with the marks that stand above them.

A mark is an HTML comment on a line of its own, directly above the block:

- `<!-- not run: REASON -->`: only its options are checked;
- `<!-- slow -->`: runs with the slow tests;
- `<!-- run with: ARGUMENTS -->`: appended to its first command when a test runs it;
- `<!-- exit code: NUMBER -->`: of its last command.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs" / "pages").glob("*.md"))]
_FENCE = re.compile(r"```(?P<language>\w*)(?: title=\"(?P<title>[^\"]+)\")?")
_MARK = re.compile(r"<!-- (?P<name>not run|slow|run with|exit code)(?:: (?P<value>.*))? -->")


@dataclass(frozen=True)
class Block:
    """A fenced block of a page."""

    page: str
    line: int
    """Of its fence, from 1."""
    heading: str
    """The section of the second level that it stands in."""
    language: str
    title: str | None
    """The file that it is, relative to the root."""
    text: str
    marks: dict[str, str]

    def __str__(self) -> str:
        return f"{self.page}:{self.line}"

    @property
    def commands(self) -> list[str]:
        """Shell commands without comments, continued lines joined."""
        joined = re.sub(r"\\\n\s*", " ", self.text)
        return [command for line in joined.splitlines() if (command := re.sub(r"(^|\s)#.*", "", line).strip())]


def blocks(page: Path) -> Iterator[Block]:
    """Every fenced block of a page, in order."""
    marks: dict[str, str] = {}
    heading = ""
    lines = iter(enumerate(page.read_text(encoding="utf-8").splitlines(), 1))
    for number, line in lines:
        if mark := _MARK.fullmatch(line):
            marks[mark["name"]] = mark["value"] or ""
        elif fence := _FENCE.fullmatch(line):
            inside = []
            for _, text in lines:
                if text == "```":
                    break
                inside.append(text)
            body = "\n".join(inside) + "\n"
            yield Block(page.name, number, heading, fence["language"], fence["title"], body, marks)
            marks = {}
        elif line.startswith("## "):
            heading = line.removeprefix("## ")
