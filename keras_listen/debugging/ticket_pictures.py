"""Draw the pictures of a ticket: each version, and the difference."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from ..experiment.pictures import write_png
from ..features import FeatureSpec
from .alarms import band_centres
from .tickets import Ticket

#: Frequencies that are named beside a spectrogram, in Hz.
_HERTZ = (200, 500, 1000, 2000, 4000, 7000)


class Artist:
    """Draws tickets; frames and labels are drawn once, because they take most of a picture's time.

    Args:
        spec: of the features.
    """

    def __init__(self, spec: FeatureSpec):
        self._features = _Spectrogram(spec, "magma", (0, 1), "level")
        self._changes = _Spectrogram(spec, "RdBu_r", (-1, 1), "change")

    def draw(self, folder: Path, ticket: Ticket) -> None:
        """Draw the pictures of a ticket into its folder."""
        for version, features in ticket.versions.items():
            write_png(folder / f"{version}.png", self._features.draw(features))
        change = ticket.versions["maximized"] - ticket.versions["reconstruction"]
        write_png(folder / "difference.png", self._changes.draw(change))


class _Spectrogram:
    """A picture of features, whose frame is kept and whose contents change."""

    def __init__(self, spec: FeatureSpec, colors: str, limits: tuple[float, float], what: str):
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure

        self.figure = Figure(figsize=(3.8, 2.5), dpi=100, layout="constrained")
        self.canvas = FigureCanvasAgg(self.figure)
        self.axis = self.figure.subplots()
        seconds = spec.frames * spec.hop_length / spec.sample_rate
        self.image = self.axis.imshow(
            np.zeros((spec.n_mels, spec.frames)),
            origin="lower",
            aspect="auto",
            extent=(0, seconds, -0.5, spec.n_mels - 0.5),
            vmin=limits[0],
            vmax=limits[1],
            cmap=colors,
            interpolation="nearest",
            animated=True,
        )
        named = [hertz for hertz in _HERTZ if spec.fmin <= hertz <= spec.fmax]
        bands = np.interp(named, band_centres(spec), np.arange(spec.n_mels))
        self.axis.tick_params(labelsize=7)
        self.axis.set_yticks(bands, [str(hertz) for hertz in named])
        self.axis.set_xlabel("seconds", fontsize=7)
        self.axis.set_ylabel("Hz", fontsize=7)
        bar = self.figure.colorbar(self.image, ax=self.axis, fraction=0.05, pad=0.02)
        bar.ax.tick_params(labelsize=6)
        bar.set_label(what, fontsize=7)
        self.canvas.draw()
        self.frame = self.canvas.copy_from_bbox(self.figure.bbox)

    def draw(self, values: np.ndarray) -> np.ndarray:
        """Return the picture of values [shape=(frames, mels)], as (height, width, 4), uint8."""
        self.image.set_data(values.T)
        self.canvas.restore_region(self.frame)
        self.figure.draw_artist(self.image)
        return np.asarray(self.canvas.buffer_rgba())
