"""Debugging of misclassifications: `keras-listen debug`."""
