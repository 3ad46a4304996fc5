"""Collect ratings of a listening test."""
