"""What the camera's sensor and encoder do to a picture: exposure, colour cast, vignette, blur, shake, noise, JPEG."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from stan_train.synthetic.render.camera import FloatImage

Image = npt.NDArray[np.uint8]
_GAMMA = 1.0 / 2.2
_TONE_TOP = 3.0


def _tone_table() -> Image:
    """Picture values for linear values from 0 to _TONE_TOP, spaced by their square root."""
    x = np.linspace(0.0, 1.0, 4096) ** 2 * _TONE_TOP
    x = np.where(x > 0.6, 0.6 + 0.4 * np.tanh((x - 0.6) / 0.4), x)
    return np.asarray(255.0 * x**_GAMMA + 0.5).astype(np.uint8)


_TONES = _tone_table()


@dataclass(frozen=True)
class Sensor:
    """exposure [3] multiplies linear colours; blur_share is a share of the picture's width; noise is in grey levels;
    drift, flicker and shake happen along time."""

    exposure: npt.NDArray[np.float64]
    vignette: float
    blur_share: float
    noise: float
    jpeg_quality: int
    drift: float
    drift_hz: float
    drift_phase: float
    flicker: float
    flicker_hz: float
    shake_share: float
    shake_phase: npt.NDArray[np.float64]

    def gain(self, t_s: float) -> float:
        """Brightness of the moment, 1 on average: auto-exposure drift and lamp flicker."""
        slow = self.drift * np.sin(2.0 * np.pi * self.drift_hz * t_s + self.drift_phase)
        return float(1.0 + slow + self.flicker * np.sin(2.0 * np.pi * self.flicker_hz * t_s))

    def shift_px(self, t_s: float, width_px: int) -> tuple[float, float]:
        """How far the picture is moved by a shaking camera."""
        a, b, c, d = self.shake_phase
        x = np.sin(5.1 * t_s + a) + 0.5 * np.sin(12.7 * t_s + b)
        y = np.sin(4.3 * t_s + c) + 0.5 * np.sin(11.1 * t_s + d)
        return float(x * self.shake_share * width_px), float(y * self.shake_share * width_px)


def random_sensor(rng: np.random.Generator, mean_luminance: float) -> Sensor:
    """A webcam that exposes for the room, more or less well."""
    brightness = float(np.exp(rng.normal(0.0, 0.38)))
    cast = 1.0 + rng.normal(0.0, 0.05, 3)
    return Sensor(
        exposure=brightness * 0.23 / max(mean_luminance, 1e-3) * cast,
        vignette=float(rng.uniform(0.0, 0.45)),
        blur_share=float(rng.uniform(0.0, 0.0024)),
        noise=float(rng.uniform(0.8, 6.0)),
        jpeg_quality=int(rng.integers(45, 93)),
        drift=float(rng.uniform(0.05, 0.18)) if rng.random() < 0.3 else 0.0,
        drift_hz=float(rng.uniform(0.05, 0.3)),
        drift_phase=float(rng.uniform(0.0, 6.28)),
        flicker=float(rng.uniform(0.02, 0.07)) if rng.random() < 0.2 else 0.0,
        flicker_hz=float(rng.uniform(1.3, 9.0)),
        shake_share=float(rng.uniform(0.001, 0.006)) if rng.random() < 0.2 else 0.0,
        shake_phase=rng.uniform(0.0, 6.28, 4),
    )


def vignette_map(sensor: Sensor, width_px: int, height_px: int) -> FloatImage:
    """Light left towards the corners. [H, W]"""
    x = np.linspace(-1.0, 1.0, width_px, dtype=np.float32)[None, :]
    y = np.linspace(-1.0, 1.0, height_px, dtype=np.float32)[:, None]
    return np.asarray(1.0 - sensor.vignette * np.clip((x * x + y * y) / 2.0, 0.0, 1.0) ** 1.5, np.float32)


def develop(linear: FloatImage, sensor: Sensor, vignette: FloatImage) -> Image:
    """Linear colours [..., 3] -> 8-bit picture values, with a soft shoulder in the lights."""
    x = linear * (sensor.exposure.astype(np.float32) * vignette[..., None])
    index = np.sqrt(np.clip(x, 0.0, _TONE_TOP), dtype=np.float32) * np.float32((len(_TONES) - 1) / _TONE_TOP**0.5)
    return _TONES[index.astype(np.int32)]


def noise_pool(rng: np.random.Generator, width_px: int, height_px: int) -> npt.NDArray[np.int16]:
    """Noise of unit 16 that frames take different windows of. [H + 64, W + 64, 3]"""
    shape = (height_px + 64, width_px + 64)
    grey = rng.standard_normal(shape, np.float32)[..., None]
    colour = cv2.GaussianBlur(rng.standard_normal((*shape, 3), np.float32), (0, 0), 1.0) * 1.2
    return np.asarray(np.clip(16.0 * (0.8 * grey + colour), -80, 80), np.int16)


def expose(picture: Image, sensor: Sensor, pool: npt.NDArray[np.int16], t_s: float, rng: np.random.Generator) -> Image:
    """The frame that leaves the camera. [H, W, 3]"""
    height, width = picture.shape[:2]
    if sensor.shake_share > 0.0:
        dx, dy = sensor.shift_px(t_s, width)
        move = np.array([[1.0, 0.0, dx], [0.0, 1.0, dy]])
        picture = cv2.warpAffine(picture, move, (width, height), borderMode=cv2.BORDER_REPLICATE)
    sigma = sensor.blur_share * width
    if sigma > 0.25:
        picture = cv2.GaussianBlur(picture, (0, 0), sigma)
    y, x = rng.integers(0, 64, 2)
    noise = pool[y : y + height, x : x + width]
    gain = sensor.gain(t_s) ** _GAMMA
    noisy = cv2.addWeighted(picture.astype(np.int16), gain, noise, sensor.noise / 16.0, 0.0)
    clean = np.clip(noisy, 0, 255).astype(np.uint8)
    ok, packet = cv2.imencode(".jpg", clean[..., ::-1], (cv2.IMWRITE_JPEG_QUALITY, sensor.jpeg_quality))
    if not ok:
        raise RuntimeError("the picture could not be encoded as JPEG")
    return np.ascontiguousarray(cv2.imdecode(packet, cv2.IMREAD_COLOR)[..., ::-1])
