"""Pictures of a ticket: each version, the difference, and the probabilities along the way."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from ..changes import centres
from ..features import FeatureSpec
from ..tickets import Ticket
from .figures import write_png
from .plots import literal

#: Frequencies that are named beside a spectrogram, in Hz.
_HERTZ = (200, 500, 1000, 2000, 4000, 7000)


class Artist:
    """Draws tickets; frames and labels are drawn once, because they take most of a picture's time.

    Args:
        spec: of the features.
        words: of the classifier.
    """

    def __init__(self, spec: FeatureSpec, words: Sequence[str]):
        self._words = words
        self._features = _Spectrogram(spec, "magma", (0, 1), "level")
        self._changes = _Spectrogram(spec, "RdBu_r", (-1, 1), "change")
        self._curves = _Curves()

    def draw(self, folder: Path, ticket: Ticket) -> None:
        """Draw the pictures of a ticket into its folder."""
        for version, features in ticket.versions.items():
            write_png(folder / f"{version}.png", self._features.draw(features))
        change = ticket.versions["maximized"] - ticket.versions["reconstruction"]
        write_png(folder / "difference.png", self._changes.draw(change))
        own = self._words.index(ticket.facts["word"])
        heard = self._words.index(ticket.facts["predicted"])
        curves = {ticket.facts["word"]: ticket.path[:, own]}
        if heard != own:
            curves[ticket.facts["predicted"]] = ticket.path[:, heard]
        pixels = self._curves.draw(curves, ticket.facts["first_step"])
        write_png(folder / "path.png", pixels)


class _Canvas:
    """A picture with one axis, whose frame is kept and whose contents change."""

    def __init__(self, layout: str | None):
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure

        self.figure = Figure(figsize=(3.8, 2.5), dpi=100, layout=layout)
        self.canvas = FigureCanvasAgg(self.figure)
        self.axis = self.figure.subplots()
        self.axis.tick_params(labelsize=7)

    def keep(self, *moving) -> None:
        """Draw everything but what moves."""
        self.moving = moving
        for artist in moving:
            artist.set_animated(True)
        self.canvas.draw()
        self.frame = self.canvas.copy_from_bbox(self.figure.bbox)

    def pixels(self) -> np.ndarray:
        """Draw what moves and return the picture [shape=(height, width, 4), uint8]."""
        self.canvas.restore_region(self.frame)
        for artist in self.moving:
            self.figure.draw_artist(artist)
        return np.asarray(self.canvas.buffer_rgba())


class _Spectrogram(_Canvas):
    def __init__(self, spec: FeatureSpec, colors: str, limits: tuple[float, float], what: str):
        super().__init__("constrained")
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
        )
        named = [hertz for hertz in _HERTZ if spec.fmin <= hertz <= spec.fmax]
        bands = np.interp(named, centres(spec), np.arange(spec.n_mels))
        self.axis.set_yticks(bands, [str(hertz) for hertz in named])
        self.axis.set_xlabel("seconds", fontsize=7)
        self.axis.set_ylabel("Hz", fontsize=7)
        bar = self.figure.colorbar(self.image, ax=self.axis, fraction=0.05, pad=0.02)
        bar.ax.tick_params(labelsize=6)
        bar.set_label(what, fontsize=7)
        self.keep(self.image)

    def draw(self, values: np.ndarray) -> np.ndarray:
        """Return the picture of values [shape=(frames, mels)]."""
        self.image.set_data(values.T)
        return self.pixels()


class _Curves(_Canvas):
    def __init__(self):
        # A layout that is found anew for each picture would depend on the one before.
        super().__init__(None)
        self.figure.subplots_adjust(left=0.12, right=0.98, top=0.97, bottom=0.15)
        self.axis.set(ylim=(-0.03, 1.03))
        self.axis.set_ylabel("probability", fontsize=7)

    def draw(self, curves: dict[str, np.ndarray], first_step: int) -> np.ndarray:
        """Return the picture of probabilities [each shape=(steps + 1,)] by word."""
        for artist in (*self.axis.lines, *self.axis.texts):
            artist.remove()
        for (word, values), style in zip(curves.items(), ("C0-", "C1--"), strict=False):
            self.axis.plot(values, style, label=literal(word), linewidth=1.5)
        if first_step >= 0:
            self.axis.axvline(first_step, color="grey", linewidth=0.8, linestyle=":")
        self.axis.set_xlim(-0.3, max(1, len(values) - 1) + 0.3)
        self.axis.set_xlabel("step", fontsize=7)
        self.axis.legend(fontsize=7, loc="center right")
        self.canvas.draw()
        return np.asarray(self.canvas.buffer_rgba())
