"""Gradient ascent on a classifier's output: engine, objectives, priors."""
