"""Networks, the Classifier around one, and bundles of them."""
