"""Augmentation: the same face as another camera might capture it."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from facekit.training.data.occlusion import occlude
from facekit.utils.validation import aligned_faces, number, whole

Images: TypeAlias = npt.NDArray[np.uint8]


@dataclass(frozen=True)
class Augmentation:
    """Alters each face of a batch at random, like the variation between images of a person.

    Each face is altered independently: mirrored, shifted, scaled and rotated a little in one
    resampling, changed in color, then blurred, downscaled and upscaled again, and compressed.
    Beyond the border, the nearest pixel is repeated.

    Args:
        mirror: The probability of mirroring.
        shift: The largest shift in each direction, as a fraction of the side.
        scale: The largest change of scale; 0.1 is between 1/1.1 and 1.1.
        rotation: The largest rotation, in degrees.
        brightness: The largest change of brightness, as a fraction of white.
        contrast: The largest change of contrast, as ``scale``.
        saturation: The largest change of saturation, as ``scale``.
        gray: The probability of removing the color.
        blur: The probability of a Gaussian blur.
        blur_sigma: The largest standard deviation of the blur, as a fraction of the side.
        downscale: The probability of downscaling the face and upscaling it again.
        smallest: The smallest such size, as a fraction of the side.
        jpeg: The probability of a JPEG compression.
        jpeg_quality: The lowest quality of the compression, 1 to 95; the highest is 95.
        occlusion: The probability of drawing dark glasses, a mask or a hat over the face. They are
            drawn where the mode ``similarity`` of :class:`facekit.Aligner` puts a face's parts.

    Raises:
        InvalidArgumentError: If an argument lies outside its range.

    Example:
        >>> import numpy as np
        >>> from facekit.training import Augmentation
        >>> faces = np.zeros((2, 64, 64, 3), dtype=np.uint8)
        >>> Augmentation()(faces, np.random.default_rng(0)).shape
        (2, 64, 64, 3)
    """

    mirror: float = 0.5
    shift: float = 0.04
    scale: float = 0.08
    rotation: float = 8.0
    brightness: float = 0.1
    contrast: float = 0.25
    saturation: float = 0.25
    gray: float = 0.05
    blur: float = 0.15
    blur_sigma: float = 0.015
    downscale: float = 0.2
    smallest: float = 0.25
    jpeg: float = 0.3
    jpeg_quality: int = 30
    occlusion: float = 0.0

    def __post_init__(self) -> None:
        for field in fields(self):
            value, (low, high) = getattr(self, field.name), _RANGES[field.name]
            if field.name == "jpeg_quality":
                whole(value, field.name, least=int(low), most=int(high))
            else:
                number(value, field.name, low, high)

    def __call__(
        self,
        images: Images,
        rng: np.random.Generator,
        *,
        part: tuple[int, int] = (0, 1),
    ) -> Images:
        """Alters a batch of faces.

        Args:
            images: uint8 ``(n, S, S, 3)``, RGB; not changed.
            rng: The random generator. An equal state gives an equal result.
            part: ``(index, number)`` if the images are one of several equal parts of a batch; they
                are altered as within the whole batch.

        Returns:
            uint8 ``(n, S, S, 3)``.

        Raises:
            InvalidArgumentError: If the images have another form.
        """
        own, side = aligned_faces(images, "images").shape[:2]
        place, parts = part
        count = own * parts
        geometry = self._geometry(rng, count, side)
        color = self._color(rng, count)
        sigma = _sometimes(rng, count, self.blur) * rng.uniform(0, self.blur_sigma * side, count)
        size = rng.uniform(self.smallest, 1.0, count) * side
        size = np.where(_sometimes(rng, count, self.downscale), size.round(), side).astype(int)
        quality: Any = rng.integers(self.jpeg_quality, 95, count, endpoint=True)
        quality = np.where(_sometimes(rng, count, self.jpeg), quality, 0)
        occluded = _sometimes(rng, count, self.occlusion)
        seeds = rng.random(size=(count,))
        altered = np.empty_like(images)
        for row, index in enumerate(range(place * own, (place + 1) * own)):
            image = images[row]
            if occluded[index]:
                image = occlude(image, np.random.default_rng(int(2**32 * seeds[index])))
            altered[row] = _alter(
                image,
                geometry[index],
                color[index],
                float(sigma[index]),
                max(int(size[index]), 1),
                int(quality[index]),
            )
        return altered

    def _geometry(
        self, rng: np.random.Generator, number: int, side: int
    ) -> npt.NDArray[np.float64]:
        """Draws the 2×3 matrices that map the face to the altered one, about its middle."""
        angle = np.deg2rad(rng.uniform(-self.rotation, self.rotation, number))
        factor = _factor(rng, number, self.scale)
        mirror = np.where(_sometimes(rng, number, self.mirror), -1.0, 1.0)
        middle = (side - 1) / 2
        matrices = np.empty((number, 2, 3))
        cosine, sine = factor * np.cos(angle), factor * np.sin(angle)
        matrices[:, 0, 0], matrices[:, 0, 1] = mirror * cosine, -sine
        matrices[:, 1, 0], matrices[:, 1, 1] = mirror * sine, cosine
        shift = rng.uniform(-self.shift, self.shift, (number, 2)) * side
        matrices[:, :, 2] = middle - matrices[:, :, :2].sum(axis=2) * middle + shift
        return matrices

    def _color(self, rng: np.random.Generator, number: int) -> npt.NDArray[np.float64]:
        """Draws the 3×4 matrices that map a color to the altered one."""
        contrast = _factor(rng, number, self.contrast)
        saturation = _factor(rng, number, self.saturation)
        saturation[_sometimes(rng, number, self.gray)] = 0.0
        brightness = rng.uniform(-self.brightness, self.brightness, number)
        gray = np.broadcast_to(_LUMA, (3, 3))
        mixed = gray + saturation[:, None, None] * (np.eye(3) - gray)
        matrices = np.empty((number, 3, 4))
        matrices[:, :, :3] = contrast[:, None, None] * mixed
        matrices[:, :, 3] = (127.5 * (1 - contrast) + 255 * brightness)[:, None]
        return matrices


# The weights of red, green and blue in the brightness of a color (ITU-R BT.601).
_LUMA = np.array([0.299, 0.587, 0.114])

_RANGES = {
    **dict.fromkeys(("mirror", "gray", "blur", "downscale", "jpeg", "occlusion"), (0.0, 1.0)),
    **dict.fromkeys(("shift", "brightness", "blur_sigma"), (0.0, 0.5)),
    **dict.fromkeys(("scale", "contrast", "saturation"), (0.0, 1.0)),
    "rotation": (0.0, 180.0),
    "smallest": (0.01, 1.0),
    "jpeg_quality": (1, 95),
}


def _sometimes(rng: np.random.Generator, number: int, probability: float) -> npt.NDArray[np.bool_]:
    return rng.random(number) < probability


def _factor(rng: np.random.Generator, number: int, largest: float) -> npt.NDArray[np.float64]:
    """Draws factors between 1 / (1 + largest) and 1 + largest; half of them are below 1."""
    factors: npt.NDArray[np.float64] = (1 + largest) ** rng.uniform(-1, 1, number)
    return factors


def _alter(
    image: Images,
    geometry: npt.NDArray[np.float64],
    color: npt.NDArray[np.float64],
    sigma: float,
    size: int,
    quality: int,
) -> Images:
    import cv2

    side = image.shape[0]
    altered: npt.NDArray[Any] = cv2.warpAffine(
        image, geometry, (side, side), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
    )
    altered = cv2.transform(altered, color)
    if sigma > 0:
        altered = cv2.GaussianBlur(altered, (0, 0), sigma)
    if size < side:
        altered = cv2.resize(altered, (size, size), interpolation=cv2.INTER_AREA)
        altered = cv2.resize(altered, (side, side), interpolation=cv2.INTER_LINEAR)
    if quality:
        # Red and blue are swapped and swapped back: OpenCV expects blue first.
        code = cv2.imencode(".jpg", altered[..., ::-1], (cv2.IMWRITE_JPEG_QUALITY, quality))[1]
        altered = np.asarray(cv2.imdecode(code, cv2.IMREAD_COLOR))[..., ::-1]
    return np.asarray(altered, dtype=np.uint8)
