"""The vocoder `wavenet`, as in the published tooling: a WaveNet conditioned on the features.

References:
    van den Oord et al., "WaveNet: A Generative Model for Raw Audio", 2016,
    https://arxiv.org/abs/1609.03499
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from ...errors import ParameterError, Unavailable
from ...features import LENGTH_FIELDS, FeatureSpec
from ...hookspecs import Register, hookimpl
from ...maximization.presets import presets_of
from ...models.backend import start_quietly
from ...models.bundle import Bundle, load_bundle
from ..pitch import EXPAND_HELP, PITCH_HELP, PitchChoice, PitchControl

if TYPE_CHECKING:
    from .vocoder import WaveNetVocoder

_FALLBACK = "griffin-lim"


def wavenet(
    bundle: Bundle,
    *,
    weights: Annotated[str, "folder of another bundle whose WaveNet to use"] = "",
    rows: Annotated[int, "sounds computed together; 0 chooses, 1 is quickest for one"] = 0,
    pitch: Annotated[PitchChoice, PITCH_HELP] = "none",
    expand: Annotated[float, EXPAND_HELP] = 1.0,
) -> WaveNetVocoder:
    """Sample by sample with the bundle's WaveNet, or the embedded one."""
    if rows < 0:
        raise ParameterError(f"rows is {rows}; expected at least 1, or 0")
    if weights:
        bundle = load_bundle(weights)
    elif "wavenet" not in bundle.names():
        bundle = _embedded_for(bundle.spec)
    start_quietly(engine=False)
    # They import Keras and numba, which listing the vocoders must not.
    from .network import WaveNetConfig
    from .vocoder import WaveNetVocoder

    component = bundle.component("wavenet")
    config = WaveNetConfig.from_dict(component.about["config"])
    control = PitchControl(component.spec, pitch, expand)
    vocoder = WaveNetVocoder(component.spec, component.model(), config, rows, control)
    vocoder.files = component.files
    return vocoder


def _embedded_for(spec: FeatureSpec) -> Bundle:
    """Return the embedded bundle, whose WaveNet fits every bundle of the same features."""
    bundle = load_bundle()
    if names := bundle.spec.differing(spec, ignore=LENGTH_FIELDS):
        raise Unavailable(
            f"the bundle has no WaveNet, and the embedded one was made for other features "
            f"({', '.join(names)})",
            fallback=_FALLBACK,
        )
    return bundle


@hookimpl
def register_vocoders(register: Register) -> None:
    register("wavenet", wavenet, presets=presets_of("vocoder", "wavenet"))
