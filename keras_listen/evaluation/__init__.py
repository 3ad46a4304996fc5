"""The objective study: `keras-listen evaluate`."""
