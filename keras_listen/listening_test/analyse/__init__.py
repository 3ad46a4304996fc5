"""Analyse ratings: `keras-listen study analyse`."""
