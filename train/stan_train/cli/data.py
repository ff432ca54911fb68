"""`stan-edge data`: recordings -> a manifest, and pictures of what is in it."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from stan_edge.errors import ConfigError

if TYPE_CHECKING:
    from stan_train.datasets import Scan

app = typer.Typer(no_args_is_help=True, help="Make, check and look at collections of clips.")


@app.command()
def scan(
    folder: Annotated[Path, typer.Argument(help="Folder that holds the clips.")],
    format_name: Annotated[str, typer.Option("--format", help="auto, ntu, gmdcsa24, urfd, rehab or folders.")] = "auto",
    out: Annotated[Path, typer.Option("--out", "-o", help="Manifest to write.")] = Path("manifest.csv"),
) -> None:
    """Decode every clip of a folder and write a manifest; whatever cannot be used is named, with the reason."""
    _check_manifest(out)
    from rich.console import Console

    from stan_train.datasets import scan as scan_folder
    from stan_train.manifest import write_manifest
    from stan_train.progress import progress_bar

    with progress_bar("decoding", Console(stderr=True)) as report:
        found = scan_folder(folder, format_name, report)
    _print_scan(found)
    if not found.clips:
        raise ConfigError(f"{folder} holds no clip that can be used; the reasons are above.")
    write_manifest(out, found.clips)
    print(f"{len(found.clips)} clips in {out}; look at them: stan-edge data preview {out} -o preview")


@app.command()
def preview(
    manifest: Annotated[Path, typer.Argument(help="Manifest of clips, from `stan-edge data scan`.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder for one picture a class.")],
    clips: Annotated[int, typer.Option("--clips", min=1, help="Most clips shown of a class.")] = 12,
) -> None:
    """Draw a contact sheet of each class, with the important and the ignored frames marked."""
    from rich.console import Console

    from stan_train.manifest import read_manifest
    from stan_train.preview import write_previews
    from stan_train.progress import progress_bar

    rows = read_manifest(manifest)
    with progress_bar("drawing", Console(stderr=True)) as report:
        written = write_previews(rows, out, clips, report)
    for path in written:
        print(path)


@app.command()
def synth(
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder for the clips and their manifest.csv.")],
    clips: Annotated[int, typer.Option("--clips", min=1, help="How many; classes take turns.")] = 100,
    seed: Annotated[int, typer.Option("--seed", min=0, help="Other people, rooms and cameras.")] = 0,
    duration_s: Annotated[float, typer.Option("--seconds", min=2.0, max=600.0, help="Length of each clip.")] = 6.0,
    fps: Annotated[float, typer.Option("--fps", min=1.0, max=120.0)] = 10.0,
    size: Annotated[str, typer.Option("--size", help="WIDTHxHEIGHT, 160x120 to 1280x720.")] = "320x240",
    activity: Annotated[
        list[str] | None, typer.Option("--activity", help="Render only this one, repeatable; default: all.")
    ] = None,
    workers: Annotated[int, typer.Option("--workers", min=1)] = 2,
) -> None:
    """Render people falling, in pain, exercising and doing nothing special, as video files with exact labels."""
    from rich.console import Console

    from stan_train.progress import progress_bar
    from stan_train.synthetic import ACTIVITIES
    from stan_train.synthetic.dataset import SynthOptions, synthesise

    options = SynthOptions(
        clips=clips,
        seed=seed,
        duration_s=duration_s,
        fps=fps,
        size_px=_size_px(size),
        activities=tuple(activity or ACTIVITIES),
    )
    with progress_bar("rendering", Console(stderr=True)) as report:
        manifest = synthesise(out, options, workers, report)
    print(f"{clips} clips in {manifest}; look at them: stan-edge data preview {manifest} -o preview")


def _size_px(text: str) -> tuple[int, int]:
    width, _, height = text.partition("x")
    if not (width.isdecimal() and height.isdecimal()):
        raise ConfigError(f"--size {text!r} is not WIDTHxHEIGHT in pixels; write it like 320x240.")
    size = int(width), int(height)
    if not (160 <= size[0] <= 1280 and 120 <= size[1] <= 720):
        raise ConfigError(f"--size {text} is outside 160x120 to 1280x720; choose a size inside.")
    return size


def _check_manifest(path: Path) -> None:
    """Before hours of decoding."""
    if path.suffix.lower() != ".csv" or path.is_dir():
        raise ConfigError(f"--out {path}: a manifest is a .csv file; give a name that ends in .csv.")
    if not (path.parent.is_dir() and os.access(path.parent, os.W_OK)):
        raise ConfigError(f"--out {path}: the folder {path.parent} does not exist or may not be written to.")


def _print_scan(found: Scan) -> None:
    from rich import box
    from rich.console import Console
    from rich.table import Table

    console = Console()
    clips = found.clips
    labels = sorted({clip.label for clip in clips})
    console.print(f"format {found.format}: {len(clips)} clips, {len(found.refusals)} refusals", highlight=False)
    for title, kind in (("subject", [clip.subject for clip in clips]), ("camera", [clip.camera for clip in clips])):
        table = Table(title, *labels, "clips", "minutes", box=box.SIMPLE_HEAD)
        for column in table.columns[1:]:
            column.justify = "right"
        for name in (*sorted(set(kind)), None):
            chosen = [clip for clip, found in zip(clips, kind, strict=True) if name is None or found == name]
            counts = [str(sum(clip.label == label for clip in chosen) or "-") for label in labels]
            minutes = f"{sum(clip.duration_s for clip in chosen) / 60:.1f}"
            table.add_row(
                _text("all" if name is None else name),
                *counts,
                str(len(chosen)),
                minutes,
                style="bold" if name is None else "",
            )
        if clips:
            console.print(table)
    if found.refusals:
        console.print("Not in the manifest:", style="bold")
        for refusal in found.refusals:
            console.print(_text(f"{refusal.path}: {refusal.reason}"), highlight=False, markup=False, soft_wrap=True)


def _text(name: str) -> str:
    """A file's name may hold bytes that no terminal can show."""
    return name.encode(errors="replace").decode()
