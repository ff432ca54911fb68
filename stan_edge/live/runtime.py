"""Cameras, one model, and sinks: a thread for each camera, and one engine that they take turns at."""

from __future__ import annotations

import threading
from collections.abc import Sequence

from stan_edge.errors import ConfigError
from stan_edge.files import plain_name
from stan_edge.live.camera_loop import POLL_S, CameraLoop
from stan_edge.live.context import CameraSpec, RunContext
from stan_edge.records import End

__all__ = ["CameraSpec", "Runtime", "refuse_same_names"]


class Runtime(RunContext):
    """Runs cameras, or recordings, through one model until each has ended or `stop` is set.

    A camera has a thread of its own for all that is its own: person search (19 ms a detection, ten times a second, and
    MediaPipe lets other threads run meanwhile), pictures, sinks. So one that is slow, dead or hangs holds up nobody;
    they meet at the engine only, where they take turns.
    """

    def watch(self, cameras: Sequence[CameraSpec]) -> list[End]:
        """Process each source to its end. What was taken from it is finished and written, also on `stop` and when
        the source fails on the way (then `failed` is set, and the others go on). The sources are closed.

        The caller's thread is the first camera's.

        Raises:
            ConfigError: two cameras have the same name.
            StanEdgeError: the only source gave no frame at all and nothing has been written, or a sink cannot write:
                then the other cameras end as on `stop`.
        """
        refuse_same_names([camera.source.name for camera in cameras])
        ended: dict[CameraLoop, End | BaseException] = {}

        def run(loop: CameraLoop) -> None:
            try:
                ended[loop] = loop.run()
            except BaseException as error:
                self.stop.set()
                ended[loop] = error
            self.clock.notify()

        loops = [CameraLoop(self, camera, alone=len(cameras) == 1) for camera in cameras]
        others = [threading.Thread(target=run, args=[loop], name="camera") for loop in loops[1:]]
        for thread in others:
            thread.start()
        run(loops[0])
        try:
            while len(ended) < len(loops):
                self.clock.wait(lambda: len(ended) == len(loops), POLL_S)
        finally:  # Ctrl-C
            if len(ended) < len(loops):
                self.stop.set()
            for thread in others:
                thread.join()
        ends = []
        for loop in loops:
            end = ended[loop]
            if isinstance(end, BaseException):
                raise end
            ends.append(end)
        return ends


def refuse_same_names(names: Sequence[str]) -> None:
    """Records, topics and files go by the names of cameras.

    Raises:
        ConfigError: two cameras have the same, or one that is the same as a topic and a file.
    """
    known: dict[str, str] = {}
    for name in names:
        other = known.get(plain_name(name))
        if other is not None:
            raise ConfigError(
                f"Two cameras have one name ({other!r}, {name!r}); give each its own, by --name or in its [[camera]]."
            )
        known[plain_name(name)] = name
