"""Model bundles: contract, digests, recordings, graphs and weights, with digests that fit again."""

from __future__ import annotations

import io
import json
import os
import random
import shutil
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import numpy as np

from bench.faults.hostile import BrokenPromiseError, Case
from bench.faults.hostile.mutate import VALUES, damaged, damaged_json
from stan_edge.backends.registry import BACKENDS, open_backend
from stan_edge.model.bundle import CONTRACT, DIGESTS, PARITY, WEIGHTS, open_bundle, shipped_bundle, write_digests
from stan_edge.model.contract import Contract, read_contract
from stan_edge.parity import refuse_misses, replay
from stan_edge.pipeline.inputs import InputStream
from stan_edge.pipeline.interpreter import Interpreter
from stan_edge.pipeline.predictor import Explainer, Explanation
from stan_edge.records import to_line
from stan_edge.sources.scripted import ScriptedSource, Show

NAMES = (
    *("", ".", "..", "/", "/etc/passwd", "../contract.json", "a/../../b", "a\x00b", "\ud800", "x" * 300, "x" * 5000),
    *("link", "pipe", "folder", "contract.json/", "digests.json", "nul", "C:\\x", "~/x"),
)


@contextmanager
def contracts(folder: Path) -> Iterator[Case]:
    """A contract that is taken must also work: a stream is run with it."""
    document = json.loads((shipped_bundle() / CONTRACT).read_text(encoding="utf-8"))
    path = folder / CONTRACT

    def case(rng: random.Random) -> str:
        path.write_bytes(damaged_json(rng, document))
        _run(read_contract(path), rng)
        return "taken"

    yield case


def _run(contract: Contract, rng: random.Random) -> None:
    spec, noise = contract.input, np.random.default_rng(rng.randrange(2**32))
    if spec.window_s > 60 or spec.frames > 64:
        return
    pictures = [noise.integers(0, 255, (48, 64, 3), np.uint8) for _ in range(4)]
    source = ScriptedSource(
        [Show(pictures, fps=4 / spec.tick_s if spec.tick_s > 1e-3 else 1e3, duration_s=2.5 * spec.window_s)]
    )
    for method in contract.methods:
        inputs = InputStream(spec, contract.hop_s, None, live=False)
        interpreter = Interpreter("room", contract, method, contract.hop_s)
        while (frame := source.read()) is not None:
            for window in inputs.take(frame)[1]:
                inputs.network_input(window)
                scores = noise.random((spec.frames, 4, 4)).astype(np.float32)
                logits = (40 * noise.standard_normal(len(contract.classes))).astype(np.float32)
                outcome = interpreter.conclude(window, Explanation(logits, scores.sum((1, 2)), scores, method))
                for record in (outcome.result, *outcome.events):
                    to_line(record)
        return


class _Copies:
    """Copies of the shipped bundle; no links, because onnx refuses files that have several names, also the original."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._number = 0

    def new(self) -> Path:
        copy = self._folder / f"bundle{self._number}"
        self._number += 1
        return Path(shutil.copytree(shipped_bundle(), copy))


@contextmanager
def digests(folder: Path) -> Iterator[Case]:
    copies = _Copies(folder)
    bundle = copies.new()
    for path in bundle.iterdir():  # small, because every one is read in every case
        if path.suffix not in (".json",):
            path.unlink()
            path.write_bytes(b"x" * 50)
    (bundle / "folder").mkdir()
    (bundle / "link").symlink_to("/dev/zero")
    os.mkfifo(bundle / "pipe")
    document = json.loads((bundle / DIGESTS).read_text(encoding="utf-8"))

    def case(rng: random.Random) -> str:
        mine = dict(document)
        if rng.random() < 0.5:
            mine[rng.choice(NAMES)] = mine.pop(rng.choice(list(mine)))
        (bundle / DIGESTS).write_bytes(damaged_json(rng, mine, (*VALUES, *document.values())))
        open_bundle(bundle)
        raise BrokenPromiseError("a bundle was opened whose files are not those that were exported")

    yield case


@contextmanager
def recordings(folder: Path) -> Iterator[Case]:
    """`parity.npz` with digests that fit: read by a real engine's replay. Nothing in it may be unpickled."""
    copies = _Copies(folder)
    bundle = copies.new()
    with np.load(bundle / PARITY) as file:
        arrays = {name: file[name][:1] if name != "methods" else file[name] for name in file.files}
    (bundle / PARITY).unlink()
    engine = open_backend("onnxruntime", threads=1)
    _pack(bundle / PARITY, arrays)
    write_digests(bundle)
    opened = open_bundle(bundle)
    explainer = Explainer(opened, engine, "gradcam")
    refuse_misses(opened, replay(opened, engine, explainer))
    whole = (bundle / PARITY).read_bytes()

    def case(rng: random.Random) -> str:
        what = rng.random()
        if what < 0.5:
            (bundle / PARITY).write_bytes(damaged(rng, whole))
        elif what < 0.75:
            (bundle / PARITY).write_bytes(_with_wrong_array(rng, arrays))
        else:
            wrong = dict(arrays)
            name = rng.choice(list(wrong))
            wrong[name] = rng.choice(WRONG_ARRAYS)(wrong[name])
            if rng.random() < 0.2:
                del wrong[name]
            _pack(bundle / PARITY, wrong)
        refuse_misses(opened, replay(opened, engine, explainer))
        return "taken"

    yield case


class Trap:
    """What is left of a pickle that was loaded."""

    sprung = False

    def __reduce__(self) -> tuple[Callable[[], object], tuple[()]]:
        return _spring, ()


def _spring() -> Trap:
    Trap.sprung = True
    raise BrokenPromiseError("a pickle was loaded")


WRONG_ARRAYS: tuple[Callable[[np.ndarray], np.ndarray], ...] = (
    lambda a: a[..., :0],
    lambda a: a[:0],
    lambda a: a.astype(np.float16) if a.dtype.kind == "f" else a.astype(np.int8),
    lambda a: np.full(a.shape, np.nan) if a.dtype.kind == "f" else a,
    lambda a: np.full(a.shape, np.inf) if a.dtype.kind == "f" else a[None],
    lambda a: a.astype(str),
    lambda a: a.astype(complex),
    lambda a: np.array(3),
    lambda a: np.repeat(a, 3, axis=0) if a.ndim else a,
    lambda a: a.astype("datetime64[s]") if a.dtype.kind == "i" else a.astype(bool),
    lambda a: np.array([Trap()], object),
    lambda a: (a.astype(np.int64) + 2**40) if a.dtype.kind in "iu" else a * 1e30,
)


def _pack(path: Path, arrays: dict[str, np.ndarray]) -> None:
    with path.open("wb") as file:
        np.savez(file, **arrays)


def _with_wrong_array(rng: random.Random, arrays: dict[str, np.ndarray]) -> bytes:
    """The zip is whole, one array in it is not: a size that it does not have, or a header that is none."""
    out = io.BytesIO()
    victim = rng.choice(list(arrays))
    with zipfile.ZipFile(out, "w", rng.choice((zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED))) as archive:
        for name, array in arrays.items():
            buffer = io.BytesIO()
            np.save(buffer, array)
            content = buffer.getvalue()
            if name == victim:
                shape = str(array.shape).encode()
                sizes = (
                    b"(99999999999999,)",
                    b"(1, 99999999999)",
                    b"(-1,)",
                    b"(2**40,)",
                    b"()",
                    b"(True,)",
                    b"(" * 4000,
                )
                content = rng.choice(
                    (content.replace(shape, rng.choice(sizes), 1), damaged(rng, content), b"\x80\x04.", b"")
                )
            archive.writestr(f"{name}.npy", content)
    return out.getvalue()


@contextmanager
def graphs(folder: Path) -> Iterator[Case]:
    """Graphs and weights, digests that fit, loaded and replayed by the engines installed here."""
    engines = []
    for name in BACKENDS:
        with suppress(Exception):
            engines.append(open_backend(name, threads=1))
    bundle = folder / "bundle"

    def case(rng: random.Random) -> str:
        shutil.rmtree(bundle, ignore_errors=True)
        shutil.copytree(shipped_bundle(), bundle)
        name = rng.choice((WEIGHTS, "explain-gradcam.onnx", "explain-gradcam.onnx", "explain-vanilla.onnx"))
        path = bundle / name
        path.write_bytes(_damaged_graph(rng, path.read_bytes()) if name != WEIGHTS else damaged(rng, path.read_bytes()))
        write_digests(bundle)
        opened = open_bundle(bundle)
        engine = rng.choice(engines)
        method = "vanilla" if "vanilla" in name else "gradcam"
        refuse_misses(opened, replay(opened, engine, Explainer(opened, engine, method)))
        return "taken"

    yield case


def _damaged_graph(rng: random.Random, content: bytes) -> bytes:
    """Bytes, or the name of the file that holds the weights."""
    if rng.random() < 0.3:
        wanted = rng.choice((b"/etc/shado", b"../../../x", b"/dev/zero\0", b"contract.j", b"weights.bi"))[
            : len(WEIGHTS) - 1
        ]
        return content.replace(WEIGHTS.encode(), wanted.ljust(len(WEIGHTS), b"n"))
    return damaged(rng, content)
