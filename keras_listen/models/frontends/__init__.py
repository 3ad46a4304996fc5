"""Front ends: sound to the input of a model, as differentiable TensorFlow functions."""
