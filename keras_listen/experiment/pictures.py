"""Pictures of features."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from ..features import FeatureSpec
from ..output.files import replacing
from .experiment import Block


def draw_sample(path: Path, block: Block, i: int, spec: FeatureSpec) -> None:
    """Draw sample `i` of a block: features before, after, and their difference.

    Before and after share one scale, 0 to 1, and are clipped to it. The scale of the difference
    fits its largest value, which the title gives.

    Args:
        path: of the png file.
        block: results of several samples.
        i: position of the sample in the block.
        spec: of the features.
    """
    found = block.maximization
    before, after = found.start_features[i, ..., 0], found.features[i, ..., 0]
    write_png(path, _canvas(spec).draw(before, after, _title(block, i)))


def write_png(path: Path, pixels: np.ndarray) -> None:
    """Write an image [shape=(height, width, 4), uint8]."""
    from PIL import Image

    with replacing(path) as beside:
        Image.fromarray(pixels).convert("RGB").save(beside, compress_level=4)


def _title(block: Block, i: int) -> str:
    sample, found = block.samples[i], block.maximization
    what = sample.word or sample.id
    return f"{what} from {sample.start}: {found.scores[0, i]:.3g} to {found.scores[-1, i]:.3g}"


@lru_cache(maxsize=2)
def _canvas(spec: FeatureSpec) -> _Canvas:
    return _Canvas(spec)


class _Canvas:
    """Three images; axes and labels are drawn once, because they take most of the time."""

    def __init__(self, spec: FeatureSpec):
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure

        self.figure = Figure(figsize=(9.6, 3.0), dpi=75)
        self.canvas = FigureCanvasAgg(self.figure)
        axes = self.figure.subplots(1, 3, sharey=True)
        self.figure.subplots_adjust(left=0.06, right=0.95, top=0.8, bottom=0.16, wspace=0.16)
        seconds = spec.frames * spec.hop_length / spec.sample_rate
        self.images = [self._image(axis, spec, seconds) for axis in axes]
        for axis, title in zip(axes, ("before", "after", ""), strict=True):
            axis.set_title(title, fontsize=9)
        axes[0].set_ylabel("mel band", fontsize=8)
        self.images[2].set_cmap("RdBu_r")
        self.images[2].set_clim(-1, 1)
        bar = self.figure.colorbar(self.images[2], ax=axes[2], fraction=0.046, pad=0.03)
        bar.set_ticks([-1, 0, 1], labels=["less", "same", "more"], fontsize=7)
        self.heading = self.figure.text(0.5, 0.98, "", ha="center", va="top", fontsize=10)
        self.scale = axes[2].set_title("", fontsize=9)
        self.moving = [*self.images, self.heading, self.scale]
        for artist in self.moving:
            artist.set_animated(True)
        self.canvas.draw()
        self.frame = self.canvas.copy_from_bbox(self.figure.bbox)

    def _image(self, axis: Any, spec: FeatureSpec, seconds: float) -> Any:
        """Draw an empty image on an axis."""
        image = axis.imshow(
            np.zeros((spec.n_mels, spec.frames)),
            origin="lower",
            aspect="auto",
            extent=(0, seconds, 0, spec.n_mels),
            vmin=0,
            vmax=1,
            cmap="magma",
            interpolation="nearest",
        )
        axis.set_xlabel("seconds", fontsize=8)
        axis.tick_params(labelsize=8)
        return image

    def draw(self, before: np.ndarray, after: np.ndarray, title: str) -> np.ndarray:
        """Return the picture of two features [shape=(frames, mels)] as pixels."""
        change = after - before
        limit = max(float(np.abs(change).max()), 1e-6)
        for image, values in zip(self.images, (before, after, change / limit), strict=True):
            image.set_data(values.T)
        self.heading.set_text(title)
        self.scale.set_text(f"difference, up to {limit:.2f}")
        self.canvas.restore_region(self.frame)
        for artist in self.moving:
            self.figure.draw_artist(artist)
        return np.asarray(self.canvas.buffer_rgba())
