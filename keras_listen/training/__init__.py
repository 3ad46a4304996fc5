"""Train classifiers, autoencoders and WaveNets, and add them to bundles."""
