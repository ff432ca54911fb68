"""Records as a run makes them."""

from __future__ import annotations

from stan_edge.records import End, Event, FrameScore, Phase, Start, WindowCounts, WindowResult

FRAMES = tuple(FrameScore(0.1 * k, 3 * k, 0.0456 * k, k > 15) for k in range(20))


def start(camera: str = "door", run: str = "run") -> Start:
    return Start(
        camera=camera,
        model="stan-t",
        model_digest="sha256:0",
        backend="openvino",
        precision="f32",
        fallback=False,
        method="gradcam",
        view="blend",
        calibrated=True,
        run=run,
        live=True,
        hop_s=0.2,
        target_class=None,
        crop=None,
        person=True,
    )


def window(number: int, camera: str = "door") -> WindowResult:
    named = {"background": 0.25, "falling": 0.75}
    t_s = 0.2 * number
    return WindowResult(camera, number, t_s, t_s + 2, True, None, "falling", 0.75, named, FRAMES, "tracked", 20.0)


def event(number: int, phase: Phase, camera: str = "door", run: str = "run") -> Event:
    return Event(camera, number, phase, "falling", 1.0 * number, 1.0 * number + 2, 0.97, FRAMES[16:], f"{run}-{number}")


def end(camera: str = "door") -> End:
    return End(camera, "stopped", 100, WindowCounts(20))
