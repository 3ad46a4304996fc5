"""Contract checks for components, for authors of plugins and for the built-in components.

    from keras_listen.testing import check_prior

    def test_it_keeps_the_contract():
        check_prior("half")

A check takes the name of an installed component, a component of a registry, or a factory. It
returns what the factory made, or raises `ContractBroken`, an AssertionError with the contract, what
was seen, what was expected and how to mend it.

pytest finds the fixture `listen_registry` by an entry point, so it imports this module in every
environment with keras-listen: neither TensorFlow nor librosa may be imported here. If pytest does
not load such plugins by itself, write `pytest_plugins = ["keras_listen.testing"]` in a test module
or in the conftest.py at the top.
"""

import contextlib

from .fixtures import IsolatedRegistry
from .frontends import check_frontend
from .objectives import check_objective
from .priors import check_prior
from .readers import check_reader
from .sounds import features_like_speech, voice, write_wav
from .subject import ContractBroken
from .vocoders import check_vocoder

with contextlib.suppress(ImportError):
    from .fixtures import listen_registry  # noqa: F401 pytest finds it here

__all__ = [
    "ContractBroken",
    "IsolatedRegistry",
    "check_frontend",
    "check_objective",
    "check_prior",
    "check_reader",
    "check_vocoder",
    "features_like_speech",
    "voice",
    "write_wav",
]
