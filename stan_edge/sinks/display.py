"""A window on this machine's screen that shows the camera as it is seen now."""

from __future__ import annotations

import os
import sys
import threading

import cv2

from stan_edge.errors import ConfigError
from stan_edge.model.contract import Contract, Method
from stan_edge.person.tracking import Region
from stan_edge.reports.drawing import scale_to
from stan_edge.sinks.overlay import WIDTH_PX, Annotator
from stan_edge.sources import Frame

TITLE = "stan-edge (q quits)"


class Display(Annotator):
    """Shows every frame with the newest verdict; `q` or Escape stops the run.

    Raises:
        ConfigError: there is no screen.
    """

    def __init__(self, contract: Contract, method: Method, stop: threading.Event) -> None:
        if sys.platform == "linux" and not (os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")):
            raise ConfigError("There is no screen here; leave it out or use --save-video.", field="pictures.display")
        super().__init__(contract, method)
        self._stop = stop

    def frame(self, frame: Frame, region: Region) -> None:
        small, scale = scale_to(frame.image, WIDTH_PX), WIDTH_PX / frame.image.shape[1]
        picture = self.draw(small, scale, frame.t_capture_s, region)
        cv2.imshow(TITLE, cv2.cvtColor(picture, cv2.COLOR_RGB2BGR))
        if cv2.waitKey(1) & 0xFF in (ord("q"), 27):
            self._stop.set()

    def close(self) -> None:
        cv2.destroyAllWindows()
