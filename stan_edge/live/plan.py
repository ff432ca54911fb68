"""A configuration that has been looked at as a whole: what will run. Nothing is open yet but the model."""

from __future__ import annotations

from dataclasses import dataclass

from stan_edge.backends.base import Backend
from stan_edge.config.run_config import RunConfig
from stan_edge.errors import concerning
from stan_edge.live.cameras import PlannedCamera
from stan_edge.live.deliveries import Deliveries
from stan_edge.live.picture_sinks import check_pictures
from stan_edge.live.runtime import refuse_same_names
from stan_edge.model.bundle import Bundle, method_named, open_bundle, shipped_bundle
from stan_edge.model.contract import Method, shown_class
from stan_edge.parity import open_proven
from stan_edge.pipeline.predictor import Explainer


@dataclass(frozen=True)
class Plan:
    """What will run."""

    config: RunConfig
    cameras: tuple[PlannedCamera, ...]
    deliveries: Deliveries
    bundle: Bundle
    method: Method
    hop_s: float

    @classmethod
    def of(cls, config: RunConfig) -> Plan:
        """Look at a configuration as a whole.

        Raises:
            ConfigError: a value cannot be used, or two do not go together. BundleError: nor can the model.
        """
        cameras = tuple(PlannedCamera.plan(number, camera) for number, camera in enumerate(config.cameras))
        refuse_same_names([camera.name for camera in cameras])
        check_pictures(config, cameras)
        deliveries = Deliveries.plan(config)
        with concerning("model.bundle"):
            bundle = open_bundle(config.model.bundle or shipped_bundle())
        contract = bundle.contract
        with concerning("model.method"):
            method = method_named(bundle, config.model.method)
        with concerning("model.target_class"):
            shown_class(contract, config.model.target_class)
        hop_s = contract.hop_s if config.model.hop_s is None else config.model.hop_s
        contract.input.hop_ticks(hop_s)
        return cls(config, cameras, deliveries, bundle, method, hop_s)

    @property
    def masks(self) -> bool:
        """Whether the person's pixels are needed, not only the box."""
        return self.bundle.contract.input.region == "mask" or self.config.privacy == "silhouette"

    def open_engine(self) -> tuple[Backend, Explainer]:
        """Open the engine and hold it to the recordings of the model.

        Raises:
            BackendError: it is not here. ParityError: it does not reproduce the model.
        """
        model = self.config.model
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
