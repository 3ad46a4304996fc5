"""Recordings of a listening test."""
