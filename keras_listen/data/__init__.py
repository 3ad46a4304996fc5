"""From sound files to stores of features."""
