"""Files of models, of ours and of other systems."""
