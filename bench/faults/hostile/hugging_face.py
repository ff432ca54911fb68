"""Folders as `save_pretrained` writes them, their JSON changed."""

from __future__ import annotations

import json
import os
import random
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bench.faults.hostile import Case
from bench.faults.hostile.mutate import damaged, damaged_json
from stan_export.hugging_face import PROCESSOR, read_hugging_face

CONFIG = "config.json"


@contextmanager
def folders(folder: Path) -> Iterator[Case]:
    os.environ |= {"HF_HUB_OFFLINE": "1", "HF_HUB_DISABLE_PROGRESS_BARS": "1", "TRANSFORMERS_VERBOSITY": "error"}
    import transformers

    config = transformers.TimesformerConfig(
        image_size=32, patch_size=16, num_frames=4, hidden_size=16, num_hidden_layers=1, num_attention_heads=2,
        intermediate_size=16, num_labels=3,
    )  # fmt: skip
    home = folder / "model"
    transformers.TimesformerForVideoClassification(config).save_pretrained(home)
    processor = {"do_rescale": True, "rescale_factor": 1 / 255, "image_mean": [0.45] * 3, "image_std": [0.225] * 3}
    whole = {CONFIG: json.loads((home / CONFIG).read_text()), PROCESSOR: processor}
    weights = home / "model.safetensors"
    content = weights.read_bytes()

    def case(rng: random.Random) -> str:
        for name, document in whole.items():
            (home / name).write_text(json.dumps(document))
        weights.write_bytes(content)
        victim = rng.choice((CONFIG, CONFIG, PROCESSOR, weights.name))
        if victim == weights.name:
            weights.write_bytes(damaged(rng, content))
        else:
            (home / victim).write_bytes(damaged_json(rng, whole[victim]))
        read_hugging_face(home, window_s=2.0, background=None, alarms=None)
        return "taken"

    yield case
