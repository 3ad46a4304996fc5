"""Listen to a published network whose file holds code: its weights in a network built here.

    python examples/attrnn.py model-attRNN.h5 RECORDINGS/yes/*.wav

The file is that of https://github.com/douglas125/SpeechCmdRecognition (MIT licence): a network
with attention on the words of Speech Commands. It was saved by Keras 2 with Lambda layers, bytecode
of an older Python that cannot be run. So `build` builds the network, and `open_model` loads the
file's weights into it:

    open_model("model-attRNN.h5", builder="examples.attrnn:build")

Reference:
    de Andrade et al., "A neural attention model for speech command recognition", 2018.
"""

import sys

import keras
import tensorflow as tf
from keras import layers

_WORDS = """
unknown nine yes no up down left right on off stop go zero one two three four five six seven eight
backward bed bird cat dog follow forward happy house learn marvin sheila tree visual wow
"""
#: In the order of the outputs; the first is everything else.
WORDS = tuple(_WORDS.split())
RATE = 16000


@keras.saving.register_keras_serializable("attrnn")
class LogMel(layers.Layer):
    """Log-mel spectrogram of a sound, with mean 0 and deviation 1 over all its values.

    The network in the file takes mean and deviation over all sounds of a batch, so that its answer
    for one depends on the others. Here each sound is normalized by itself, as where one is heard at
    a time.
    """

    def call(self, sounds):
        """Return values [shape=(batch, frames, 80)] of sounds [shape=(batch, samples), 16 kHz]."""
        spectra = tf.abs(tf.signal.stft(sounds, 1024, 128, 1024, pad_end=True))
        basis = tf.signal.linear_to_mel_weight_matrix(80, 513, RATE, 40.0, RATE / 2)
        values = tf.math.log(tf.tensordot(spectra, basis, 1) + 1e-6)
        mean = tf.reduce_mean(values, axis=(1, 2), keepdims=True)
        variance = tf.reduce_mean(tf.square(values - mean), axis=(1, 2), keepdims=True)
        # Sounds without any variation (silence) keep finite gradients.
        return (values - mean) / tf.sqrt(variance + 1e-12)


def build() -> keras.Model:
    """Build the network: a sound [shape=(batch, samples)] to probabilities [shape=(batch, 36)]."""
    sounds = keras.Input((None,), name="sound")
    x = LogMel(name="log_mel")(sounds)[..., None]
    for filters in (10, 1):
        x = layers.Conv2D(filters, (5, 1), padding="same", activation="relu")(x)
        x = layers.BatchNormalization()(x)
    x = x[..., 0]
    for _ in range(2):
        x = layers.Bidirectional(layers.LSTM(64, return_sequences=True))(x)
    query = layers.Dense(128)(x[:, -1])
    weights = layers.Softmax()(layers.Dot((1, 2))([query, x]))
    x = layers.Dot((1, 1))([weights, x])
    x = layers.Dense(32)(layers.Dense(64, activation="relu")(x))
    return keras.Model(sounds, layers.Dense(len(WORDS), activation="softmax")(x), name="attrnn")


def main(file: str, *recordings: str) -> None:
    import numpy as np
    import soundfile

    from keras_listen.models.formats.keras_file import open_model

    model = open_model(file, builder=f"{__name__}:build")
    for path in recordings:
        sound, rate = soundfile.read(path, dtype="float32")
        if rate != RATE:
            sys.exit(f"{path} has {rate} Hz, expected {RATE}")
        heard = np.asarray(model(sound[None], training=False))[0]
        print(f"{path}  {WORDS[heard.argmax()]}  {heard.max():.3f}")


if __name__ == "__main__":
    main(*sys.argv[1:])
