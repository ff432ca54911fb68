"""What keeps the code one-way: no circle of imports, no package that reaches up."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGES = {
    "stan_edge": ROOT,
    "stan_train": ROOT / "train",
    "stan_export": ROOT / "export",
    "stan_eval": ROOT / "train",
    "stan_bench": ROOT / "bench",
}
MAY_IMPORT = {
    "stan_edge": set(),
    "stan_train": {"stan_edge"},
    "stan_export": {"stan_edge", "stan_train", "stan_bench"},
    "stan_eval": {"stan_edge", "stan_train", "stan_export", "stan_bench"},
    "stan_bench": {"stan_edge"},
}
PURE = ROOT / "stan_edge" / "pipeline"
IMPURE = {
    "threading",
    "queue",
    "socket",
    "subprocess",
    "time",
    "asyncio",
    "multiprocessing",
    "sqlite3",
    "pathlib",
    "os",
}


def modules(package: str) -> Iterator[tuple[str, Path]]:
    base = PACKAGES[package]
    for path in sorted((base / package).rglob("*.py")):
        parts = path.relative_to(base).with_suffix("").parts
        yield ".".join(parts[:-1] if parts[-1] == "__init__" else parts), path


MODULES = {name: path for package in PACKAGES for name, path in modules(package)}


def imports(path: Path) -> Iterator[str]:
    """Modules that a file names anywhere, also inside functions and for type checking only."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (name.name for name in node.names)
        elif isinstance(node, ast.ImportFrom):
            module = node.module or ""
            yield from (
                f"{module}.{name.name}" if f"{module}.{name.name}" in MODULES else module for name in node.names
            )


def circle(graph: Mapping[str, set[str]]) -> str | None:
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        return " -> ".join(error.args[1])
    return None


IMPORTS = {name: {other for other in imports(path) if other in MODULES} - {name} for name, path in MODULES.items()}


def folder(module: str) -> str:
    """The folder of a module; a module beside the folders of its package stands for itself."""
    path = MODULES[module]
    return module if path.name == "__init__.py" or path.parent.name in PACKAGES else module.rpartition(".")[0]


def room(module: str) -> str:
    """The folder directly below the package, with everything in it."""
    return ".".join(folder(module).split(".")[:2])


def test_no_module_imports_itself_by_a_detour() -> None:
    assert circle(IMPORTS) is None


def test_no_folder_imports_itself_by_a_detour() -> None:
    # packages stand above their folders: the API and the command may name any of them
    graph: dict[str, set[str]] = {}
    for module, others in IMPORTS.items():
        graph.setdefault(room(module), set()).update({room(other) for other in others} - {room(module), *PACKAGES})
    assert circle({name: others for name, others in graph.items() if name not in PACKAGES}) is None


@pytest.mark.parametrize("package", PACKAGES)
def test_a_package_imports_only_those_below_it(package: str) -> None:
    up = {
        f"{module}: {other}"
        for module, path in modules(package)
        for other in imports(path)
        if other.split(".")[0] in set(PACKAGES) - {package} - MAY_IMPORT[package]
    }
    assert up == set()


def test_the_pipeline_has_no_threads_clock_or_files() -> None:
    found = {
        f"{path.name}: {name}" for path in PURE.glob("*.py") for name in imports(path) if name.split(".")[0] in IMPURE
    }
    assert found == set()
