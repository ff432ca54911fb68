"""Everything that reads what others wrote, by name."""

from __future__ import annotations

from bench.faults.hostile import Target, databases, http_clients, hugging_face, models, network, pictures, texts

TARGETS = {
    one.name: one
    for one in (
        Target("video", "video files of 13 kinds, cut, flipped, spliced", 3000, 10, pictures.videos),
        Target("pictures", "folders of pictures", 1500, 10, pictures.folders),
        Target("configuration", "TOML for `--config`", 2000, 10, texts.configurations),
        Target("options", "addresses, crops, hosts, times, secrets", 3000, 5, texts.options),
        Target("contract", "`contract.json`; what is taken is run", 1500, 20, models.contracts),
        Target("digests", "`digests.json`: names, digests, links, devices", 800, 10, models.digests),
        Target("recordings", "`parity.npz`: zip, arrays, pickles", 500, 20, models.recordings),
        Target("graph", "ONNX graphs and weights, in both engines", 150, 60, models.graphs, memory_mib=6144),
        Target("hugging-face", "folders for `export`: JSON and safetensors", 200, 60, hugging_face.folders, 6144),
        Target("manifest", "CSV for `--data`", 2000, 10, texts.manifests),
        Target("collection", "folders for `data scan`, five formats", 600, 20, texts.collections),
        Target("journal", "journals: bytes, and rows with right sums; read, then written", 800, 30, databases.journals),
        Target("outbox", "outbox files, read, then written", 1000, 20, databases.outboxes),
        Target("requests", "clients of `--http`", 800, 20, http_clients.requests),
        Target("camera", "HTTP cameras that send anything", 250, 20, network.cameras),
        Target("webhook", "receivers that answer anything", 200, 30, network.receivers),
        Target("broker", "MQTT brokers that answer anything", 60, 40, network.brokers),
    )
}
