"""Why utterances were misheard: `keras-listen debug`."""
