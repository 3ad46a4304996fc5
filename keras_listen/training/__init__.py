"""Training the models of a bundle."""
