"""Hear what a speech classifier has learned.

The public names are loaded when they are first used: importing the package imports neither
TensorFlow nor librosa.
"""

from .version import __version__
