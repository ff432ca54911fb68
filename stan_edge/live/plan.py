"""A configuration that has been looked at as a whole: what will run. Nothing is open yet but the model."""

from __future__ import annotations

from pathlib import Path

from stan_edge.backends.base import Backend
from stan_edge.config.run_config import RunConfig
from stan_edge.errors import ConfigError, concerning
from stan_edge.live.cameras import PlannedCamera
from stan_edge.live.deliveries import Deliveries
from stan_edge.live.picture_sinks import file_of_camera
from stan_edge.live.runtime import refuse_same_names
from stan_edge.model.bundle import method_named, open_bundle, shipped_bundle
from stan_edge.model.contract import shown_class
from stan_edge.parity import open_proven
from stan_edge.pipeline.predictor import Explainer


class Plan:
    """What will run.

    Raises:
        ConfigError: a value cannot be used, or two do not go together. BundleError: nor can the model.
    """

    def __init__(self, config: RunConfig) -> None:
        self._config = config
        self.cameras = [PlannedCamera(number, camera) for number, camera in enumerate(config.cameras)]
        refuse_same_names([camera.name for camera in self.cameras])
        self._check_pictures()
        self.deliveries = Deliveries(config)
        model = config.model
        with concerning("model.bundle"):
            self.bundle = open_bundle(model.bundle or shipped_bundle())
        contract = self.bundle.contract
        with concerning("model.method"):
            self.method = method_named(self.bundle, model.method)
        with concerning("model.target_class"):
            shown_class(contract, model.target_class)
        self.hop_s = contract.hop_s if model.hop_s is None else model.hop_s
        contract.input.hop_ticks(self.hop_s)
        self.masks = contract.input.region == "mask" or config.privacy == "silhouette"
        """Whether the person's pixels are needed, not only the box."""

    def _check_pictures(self) -> None:
        """Raises ConfigError where a recording would be overwritten, or there is more to show than a display can."""
        pictures = self._config.pictures
        if pictures.display and len(self.cameras) > 1:
            raise ConfigError(
                f"A screen shows one camera, and these are {len(self.cameras)}; use --save-video, or run each.",
                field="pictures.display",
            )
        for camera in self.cameras:
            video = pictures.video and file_of_camera(self._config, pictures.video, camera.name)
            if video and video.exists() and Path(camera.spec).exists() and video.samefile(camera.spec):
                raise ConfigError(f"{video} is the recording itself; give another name.", field="pictures.video")

    def open_engine(self) -> tuple[Backend, Explainer]:
        """Open the engine and hold it to the recordings of the model.

        Raises:
            BackendError: it is not here. ParityError: it does not reproduce the model.
        """
        model = self._config.model
        with concerning("model.backend"):
            engine, (explainer,) = open_proven(
                self.bundle,
                (self.method,),
                model.backend,
                model.precision,
                threads=model.threads,
                allow_fallback=model.allow_fallback,
            )
        return engine, explainer
