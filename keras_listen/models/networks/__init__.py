"""Builders of the networks, in pure Keras 3."""
