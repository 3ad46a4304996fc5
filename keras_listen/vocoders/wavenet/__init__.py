"""The vocoder `wavenet`: a WaveNet conditioned on the features, of frames or of samples.

One of frames predicts the magnitudes of a sound, all at once; one of samples, as in the published
tooling, the sound, sample after sample. A component's `kind` says which it is.

References:
    van den Oord et al., "WaveNet: A Generative Model for Raw Audio", 2016,
    https://arxiv.org/abs/1609.03499
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from ...errors import BundleError, ParameterError, Unavailable
from ...features import LENGTH_FIELDS, FeatureSpec
from ...hookspecs import Register, hookimpl
from ...maximization.presets import presets_of
from ...models.backend import start_quietly
from ...models.bundle import Bundle, BundlePart, load_bundle
from ..pitch import EXPAND_HELP, PITCH_HELP, PitchChoice, PitchControl

if TYPE_CHECKING:
    from .frames import FramesVocoder
    from .vocoder import WaveNetVocoder

_FALLBACK = "griffin-lim"
#: Kinds of components: a WaveNet of samples, and one of frames.
SAMPLES, FRAMES = "wavenet", "wavenet-frames"


def wavenet(
    bundle: Bundle,
    *,
    weights: Annotated[str, "folder of another bundle whose WaveNet to use"] = "",
    rows: Annotated[
        int, "of a WaveNet of samples: sounds computed together; 0 chooses, 1 is quickest for one"
    ] = 0,
    pitch: Annotated[PitchChoice, PITCH_HELP] = "none",
    expand: Annotated[float, EXPAND_HELP] = 1.0,
) -> WaveNetVocoder | FramesVocoder:
    """With the bundle's WaveNet, or the embedded one."""
    if rows < 0:
        raise ParameterError(f"rows is {rows}; expected at least 1, or 0")
    if weights:
        bundle = load_bundle(weights)
    elif "wavenet" not in bundle.names():
        bundle = _embedded_for(bundle.spec)
    start_quietly(engine=False)
    component = bundle.component("wavenet")
    control = PitchControl(component.spec, pitch, expand)
    vocoder = _of_component(component, rows, control)
    vocoder.files = component.files
    return vocoder


def _of_component(
    component: BundlePart, rows: int, control: PitchControl
) -> WaveNetVocoder | FramesVocoder:
    """Return the vocoder of a component's kind.

    Raises:
        BundleError: the kind is unknown.
    """
    # They import Keras and numba, which listing the vocoders must not.
    kind, settings = component.about.get("kind"), component.about.get("config", {})
    if kind == FRAMES:
        from .frames import FramesVocoder
        from .spectrum import SpectrumConfig

        config = SpectrumConfig.from_dict(settings)
        return FramesVocoder(component.spec, component.model(), config, control)
    if kind != SAMPLES:
        raise BundleError(
            f"the WaveNet in {component.root} is of the kind {kind!r}; expected {SAMPLES!r} or "
            f"{FRAMES!r}, a later version may know it"
        )
    from .network import WaveNetConfig
    from .vocoder import WaveNetVocoder

    config = WaveNetConfig.from_dict(settings)
    return WaveNetVocoder(component.spec, component.model(), config, rows, control)


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
