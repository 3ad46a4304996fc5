"""Collect ratings: with a server, on a page without one, or on Mechanical Turk."""
