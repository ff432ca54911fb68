"""Figures of `faithfulness` as a table, and as the sentence that goes into a model's card."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from stan_edge.model.contract import Method
from stan_eval.faithfulness.measure import OrderFigures
from stan_eval.faithfulness.order_scores import SUBSTRATES, Substrate
from stan_eval.paper import INTERVALS
from stan_eval.report import Row, Table

COLUMNS = {
    "gain": "insertion - deletion",
    "gain over random": "above random",
    "comprehensiveness": "comprehensiveness",
    "sufficiency": "sufficiency",
    "faithfulness": "STAA faithfulness",
    "monotonicity": "STAA monotonicity",
}
Figures = Mapping[tuple[str, Substrate], OrderFigures]


def faithfulness_table(figures: Figures, notes: Sequence[str]) -> Table:
    """A row for each order and substrate."""
    windows = next(iter(figures.values())).windows
    rows = tuple(
        Row(f"{name}; {substrate}", tuple(found.figures[measure] for measure in COLUMNS))
        for (name, substrate), found in sorted(figures.items(), key=lambda item: SUBSTRATES.index(item[0][1]))
    )
    return Table(
        "Faithfulness of frame importance",
        tuple(COLUMNS.values()),
        rows,
        (
            f"{windows} windows that show an activity and are recognised, at most two a clip. Frames are taken away, "
            "or put in, in the order of their importance for the true class; what is missing is replaced by the "
            "nearest frame that is there, or by the mean of the window.",
            "Insertion - deletion: mean probability of the class with the first frames alone, less that without them. "
            "Above random: less that of 20 random orders of the same window.",
            "Comprehensiveness (higher is better), sufficiency (lower is better): loss of probability without, and "
            "with only, the first 1, 2, 4 and 10 of 20 frames. STAA's: 1 - mean change with the first 70 % kept; "
            "Kendall's tau of share kept and change, -1 is best.",
            INTERVALS,
            *notes,
        ),
    )


def faithfulness_sentence(figures: Figures, methods: Sequence[Method], data: str) -> str:
    """What a card says: each method against chance."""
    parts = []
    for method in methods:
        found = [figures[method, substrate] for substrate in SUBSTRATES]
        values = [one.figures["gain over random"] for one in found]
        text = " / ".join("-" if value is None else f"{value.value:+.2f}" for value in values)
        parts.append(f"{method} {text}{'' if all(one.beats_chance for one in found) else ' (no better than chance)'}")
    windows = found[0].windows
    return (
        f"insertion minus deletion above random order, replaced by {SUBSTRATES[0]} / {SUBSTRATES[1]}: "
        f"{', '.join(parts)} ({windows} windows of {data})"
    )
