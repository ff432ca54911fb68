"""What all pictures have in common: colours, text, size, and how a picture becomes a file."""

from __future__ import annotations

import cv2

from stan_edge.types import Image

RED, GREEN, CYAN, ORANGE = (213, 94, 0), (0, 158, 115), (86, 180, 233), (230, 159, 0)
"""RGB; of Okabe and Ito's palette, which colour-blind people can tell apart."""
GRAY, WHITE, DARK = (150, 150, 150), (240, 240, 240), (24, 26, 30)


def put_text(image: Image, text: str, xy: tuple[int, int], color: tuple[int, int, int], scale: float = 0.5) -> None:
    """Draw text in place, baseline at xy, readable on any background."""
    cv2.putText(image, text, xy, cv2.FONT_HERSHEY_SIMPLEX, scale, DARK, 3, cv2.LINE_AA)
    cv2.putText(image, text, xy, cv2.FONT_HERSHEY_SIMPLEX, scale, color, 1, cv2.LINE_AA)


def scale_to(image: Image, width_px: int) -> Image:
    """Resize to this width, keeping the shape."""
    height, width = image.shape[:2]
    size = (width_px, max(round(height * width_px / width), 1))
    return cv2.resize(image, size, interpolation=cv2.INTER_AREA if width > width_px else cv2.INTER_LINEAR)


def png(image: Image) -> bytes:
    """An RGB picture as a file, exact."""
    return cv2.imencode(".png", cv2.cvtColor(image, cv2.COLOR_RGB2BGR))[1].tobytes()


def jpeg(image: Image, quality: int) -> bytes:
    """An RGB picture as a small file; quality up to 100."""
    bgr = cv2.cvtColor(image, cv2.COLOR_RGB2BGR)
    return cv2.imencode(".jpg", bgr, [cv2.IMWRITE_JPEG_QUALITY, quality])[1].tobytes()
