"""Keras builders: layers and nothing else, in pure Keras 3."""
