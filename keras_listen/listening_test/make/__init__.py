"""Make the recordings of a listening test."""
