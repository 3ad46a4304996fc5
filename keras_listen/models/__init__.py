"""Networks, the Classifier, bundles, model formats and pretrained weights."""
