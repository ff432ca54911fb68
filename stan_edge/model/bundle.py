"""A model on disk: a folder with its contract, graphs, weights, parity recordings and the digest of each file."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

from stan_edge.errors import BundleError, ConfigError, ContractError, DigestError
from stan_edge.files import file_digest
from stan_edge.model.contract import FORMS, METHODS, PROVEN, Contract, Form, Method, read_contract

CONTRACT = "contract.json"
DIGESTS = "digests.json"
PARITY = "parity.npz"
WEIGHTS = "weights.bin"
SHIPPED = "stan-t"


@dataclass(frozen=True)
class Bundle:
    """An opened bundle; every file in it is the one that was exported."""

    folder: Path
    contract: Contract
    digest: str
    """`sha256:` of the list of file digests: one name for the whole model."""

    def form(self, engine: str) -> Form:
        """The form of the graphs for an engine, named with its precision ("openvino f32")."""
        return self.contract.forms.get(engine, FORMS[0])

    def forward(self, form: Form = FORMS[0]) -> Path:
        return self.folder / graph_file(None, form)

    def explain(self, method: Method, form: Form = FORMS[0]) -> Path:
        """Graph of one attribution method.

        Raises:
            ConfigError: this model was exported without it.
        """
        return self.folder / graph_file(method_named(self, method), form)

    @property
    def parity(self) -> Path:
        return self.folder / PARITY


def graph_file(method: Method | None, form: Form = FORMS[0]) -> str:
    """Name of the graph of a method, or of the forward pass alone."""
    stem = "forward" if method is None else f"explain-{method}"
    return f"{stem}.onnx" if form == FORMS[0] else f"{stem}.{form}.onnx"


def shipped_bundle() -> Path:
    """Folder of the bundle that ships inside the wheel."""
    return Path(str(files("stan_edge"))) / "shipped" / SHIPPED


def open_bundle(folder: Path) -> Bundle:
    """Open a bundle and check every digest and the contract.

    Raises:
        BundleError: no bundle is there.
        DigestError: a file is missing, or is not the one that was exported.
        ContractError: see `read_contract`.
    """
    if not folder.is_dir():
        raise BundleError(f"There is no model bundle at {folder}; `stan-edge export CHECKPOINT -o BUNDLE` writes one.")
    recorded = _read_digests(folder / DIGESTS)
    for name, digest in recorded.items():
        path = folder / name
        if not path.is_file():
            raise DigestError(f"{folder}: file {name} is missing; copy or export the bundle again.")
        if file_digest(path) != digest:
            raise DigestError(
                f"{folder}: file {name} is not the one that was exported; copy or export the bundle again."
            )
    contract = read_contract(folder / CONTRACT)
    forms = {FORMS[0], *contract.forms.values()}
    graphs = [graph_file(method, form) for form in forms for method in (None, *contract.methods)]
    for name in (CONTRACT, PARITY, WEIGHTS, *graphs):
        if name not in recorded:
            raise ContractError(f"{folder}: {DIGESTS} does not list {name}; export the bundle again.")
    return Bundle(folder, contract, "sha256:" + file_digest(folder / DIGESTS))


def write_digests(folder: Path) -> None:
    """Record the digest of every file in the folder; the last step of writing a bundle."""
    names = sorted(path.name for path in folder.iterdir() if path.name != DIGESTS)
    recorded = {name: file_digest(folder / name) for name in names}
    (folder / DIGESTS).write_text(json.dumps(recorded, indent=2) + "\n", encoding="utf-8")


def methods_of(bundle: Bundle) -> tuple[Method, ...]:
    """The methods of a bundle in the order of `METHODS`."""
    return tuple(method for method in METHODS if method in bundle.contract.methods)


def method_named(bundle: Bundle, name: str | None) -> Method:
    """The method of this name; None: the bundle's first.

    Raises:
        ConfigError: the model was not exported with it.
    """
    known = methods_of(bundle)
    for method in known:
        if name in (method, None):
            return method
    raise ConfigError(
        f"Method {name}: model {bundle.contract.name} explains by {', '.join(known)}; choose one of them."
    )


def methods_named(bundle: Bundle, names: Iterable[str]) -> tuple[Method, ...]:
    """The methods of these names in their order, each once; raises ConfigError as `method_named`."""
    return tuple(dict.fromkeys(method_named(bundle, name) for name in names))


def methods_to_show(bundle: Bundle) -> tuple[Method, ...]:
    """The methods of a bundle that beat chance, or else its first."""
    known = methods_of(bundle)
    return tuple(method for method in known if method in PROVEN) or known[:1]


def _read_digests(path: Path) -> dict[str, str]:
    try:
        recorded = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise DigestError(
            f"{path.parent} is not a model bundle: {path.name} cannot be read; `stan-edge export` writes bundles."
        ) from error
    ok = isinstance(recorded, dict) and all(isinstance(v, str) for v in recorded.values())
    if not ok or any(Path(name).name != name for name in recorded):
        raise DigestError(f"{path} is damaged; copy or export the bundle again.")
    return recorded
