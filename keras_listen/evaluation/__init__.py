"""Evaluation: `keras-listen evaluate`."""
