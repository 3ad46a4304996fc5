"""Collecting ratings."""
