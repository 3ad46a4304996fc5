"""WaveNet: the vocoder of the published tooling. No weights are there yet; Griffin-Lim speaks."""

from __future__ import annotations

from ..errors import Unavailable
from ..hookspecs import hookimpl

_FALLBACK = "griffin-lim"
_REASON = "no WaveNet weights are there"


def wavenet(bundle):
    """Sample by sample with a WaveNet of the bundle."""
    raise Unavailable(_REASON, fallback=_FALLBACK)


@hookimpl
def register_vocoders(register) -> None:
    register("wavenet", wavenet, unavailable=lambda: _REASON, fallback=_FALLBACK)
