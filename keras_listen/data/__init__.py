"""Sound files, corpora and stores of features."""
