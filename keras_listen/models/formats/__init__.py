"""Model files: Keras's own, and those of other systems."""
