"""Analyse the ratings of a listening test."""
