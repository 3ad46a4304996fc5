"""The built-in front ends: their factories, made of settings, and their registration."""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from ...hookspecs import Register, hookimpl
from .front_end import FrontEnd
from .micro import MicroFrontEnd, MicroSettings, unavailable
from .own import features
from .presets import PRESETS
from .settings import MelSettings, MfccSettings, Settings, SpectrumSettings, hints_of


@dataclass(frozen=True)
class Factory:
    """A factory whose options are settings, with defaults of its own.

    Attributes:
        settings: kind of front end.
        text: its documentation.
        changed: defaults that differ from those of the settings.
        front_end: class that takes the settings.
    """

    settings: type[Settings]
    text: str
    changed: Mapping[str, Any] = field(default_factory=dict)
    front_end: type[FrontEnd] = FrontEnd

    def __call__(self, bundle: None, **options: Any) -> FrontEnd:
        """Return the front end; `bundle` is not used."""
        return self.front_end(self.settings(**{**self.changed, **options}))

    @property
    def __doc__(self) -> str:  # type: ignore[override]
        return self.text

    @cached_property
    def __signature__(self) -> inspect.Signature:
        """The signature that tools see: every setting behind a `*`."""
        kinds = inspect.Parameter
        hints = hints_of(self.settings)
        options = [
            kinds(
                each.name,
                kinds.KEYWORD_ONLY,
                default=self.changed.get(each.name, each.default),
                annotation=hints[each.name],
            )
            for each in dataclasses.fields(self.settings)
        ]
        return inspect.Signature([kinds("bundle", kinds.POSITIONAL_OR_KEYWORD), *options])


FACTORIES: dict[str, Factory] = {
    "mel": Factory(MelSettings, "Mel spectrograms."),
    "mfcc": Factory(MfccSettings, "Mel-frequency cepstral coefficients over time."),
    "spectrogram": Factory(SpectrumSettings, "Linear spectrograms."),
    "waveform": Factory(Settings, "The sound itself.", {"layout": "time"}),
    **{
        name: Factory(preset.settings, f"{preset.about}\n\nSource: {preset.source}", preset.changed)
        for name, preset in PRESETS.items()
    },
}

MICRO = Factory(
    MicroSettings,
    "The audio front end of TensorFlow Lite Micro: noise reduction and gain control over time.\n\n"
    "Source: tensorflow/lite/experimental/microfrontend, of which it takes the values; the "
    "gradient is that of the same steps without rounding.",
    front_end=MicroFrontEnd,
)


@hookimpl
def register_frontends(register: Register) -> None:
    for name, factory in FACTORIES.items():
        register(name, factory)
    register("features", features)
    register("tflite-micro", MICRO, unavailable=unavailable)
