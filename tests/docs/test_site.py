"""The built documentation loads nothing from another host, and every link in it leads somewhere."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest

from tests.docs.blocks import ROOT

LOADS = {"src", "srcset", "data", "poster", "action", "formaction", "background"}
"""Attributes whose address a browser fetches by itself, or sends a form to."""
CSS_URL = re.compile(r"url\(\s*['\"]?([^'\")]+)|@import\s+['\"]([^'\"]+)")


class Page(HTMLParser):
    """Addresses that a page loads, that it links to, and its anchors."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.loaded: list[str] = []
        self.linked: list[str] = []
        self.anchors: set[str] = set()
        self._in_style = False
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._in_style = tag == "style"
        for name, value in attrs:
            if not value:
                continue
            if name == "id":
                self.anchors.add(value)
            elif name == "style":
                self.handle_style(value)
            elif name == "srcset":
                self.loaded += [part.split()[0] for part in value.split(",")]
            elif name in LOADS or (name in ("href", "xlink:href") and tag in ("link", "use", "image", "base")):
                self.loaded.append(value)
            elif name == "href":
                self.linked.append(value)

    def handle_data(self, data: str) -> None:
        if self._in_style:
            self.handle_style(data)

    def handle_style(self, css: str) -> None:
        self.loaded += [first or second for first, second in CSS_URL.findall(css)]


@pytest.fixture(scope="session")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("site")
    mkdocs = [sys.executable, "-m", "mkdocs", "build", "--quiet", "--strict", "--site-dir", str(folder)]
    built = subprocess.run(
        [*mkdocs, "--config-file", str(ROOT / "docs" / "mkdocs.yml")],
        env=os.environ | {"NO_MKDOCS_2_WARNING": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert built.returncode == 0, built.stderr
    return folder


def pages(site: Path) -> dict[Path, Page]:
    return {path: Page(path.read_text(encoding="utf-8")) for path in sorted(site.rglob("*.html"))}


def test_nothing_is_loaded_from_another_host(site: Path) -> None:
    found = pages(site)
    assert len(found) > 10
    for path, page in found.items():
        assert page.loaded
        for address in page.loaded:
            parts = urlsplit(address)
            assert parts.scheme in ("", "data"), (path.name, address)
            assert not parts.netloc, (path.name, address)
            if parts.path and not parts.scheme:
                target = site / parts.path.lstrip("/") if path.name == "404.html" else path.parent / unquote(parts.path)
                assert target.exists(), (path.name, address)
    for sheet in site.rglob("*.css"):
        for first, second in CSS_URL.findall(sheet.read_text(encoding="utf-8")):
            assert urlsplit(first or second).scheme in ("", "data"), (sheet.name, first or second)
            assert not urlsplit(first or second).netloc, (sheet.name, first or second)


def test_every_link_leads_somewhere(site: Path) -> None:
    found = pages(site)
    for path, page in found.items():
        if path.name == "404.html":
            continue
        for address in page.linked:
            parts = urlsplit(address)
            if parts.scheme or parts.netloc:
                continue
            target = (path.parent / unquote(parts.path)).resolve() if parts.path else path
            target = target / "index.html" if target.is_dir() else target
            assert target in found, (path.name, address)
            assert not parts.fragment or unquote(parts.fragment) in found[target].anchors, (path.name, address)


def test_tables_that_the_code_knows_are_filled_in(site: Path) -> None:
    from stan_edge.config.run_config import RunConfig

    configuration = (site / "configuration.html").read_text(encoding="utf-8")
    for name in RunConfig.model_fields:
        assert f'id="{name}"' in configuration
    assert "evidence.around_s" in configuration or "<code>around_s</code>" in configuration
    commands = (site / "commands.html").read_text(encoding="utf-8")
    for verb in ("run", "check-config", "data-scan", "train"):
        assert f'id="{verb}"' in commands
    for path in site.rglob("*.html"):
        assert "<!-- fields" not in path.read_text(encoding="utf-8"), path.name
