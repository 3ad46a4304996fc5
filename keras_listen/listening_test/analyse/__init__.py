"""Analysing ratings."""
