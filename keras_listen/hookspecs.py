"""The hooks of a plugin, one for each kind of component.

A plugin is a module (or object) with one or more of these hooks, named by an entry point of the
group `keras_listen`. Each hook is called with `register(name, factory, *, unavailable=None,
fallback=None, presets=None)` and calls it once for every component of the plugin. A factory is
called as `factory(bundle, **options)`: its keyword-only, annotated arguments are the options that
users set with `-o KIND.NAME.KEY=VALUE`.

`unavailable` may be a function without arguments that returns why the component cannot work on
this machine, or None if it can. It must be fast, because it is called when components are listed.
`fallback` names the component of the same kind that is then used instead; without one, using the
component is an error.

`presets` of a prior or vocoder maps names of presets to the settings that users get with `--preset
NAME`, such as `{"natural": {"steps": 60, "step_size": 0.05, "options": {"pull": 0.3}}}`: of a prior
those of the ascent (steps, step_size, optimizer, shift, gain, stop_at, keep_best), of either kind
`options` of the component. What users give stands above them. "natural", the default of `run`, has
the settings with which words are understood best; "paper" stands for the defaults and cannot be
brought. A component without an entry for a preset keeps its defaults.
"""

from __future__ import annotations

from collections.abc import Callable

import pluggy

PROJECT = "keras_listen"
#: Version of these hooks, increased when plugins have to change. A plugin may declare the version
#: that it was written for as `KERAS_LISTEN_API = 1`; if it differs, the plugin is not loaded.
API_VERSION = 1

hookspec = pluggy.HookspecMarker(PROJECT)
hookimpl = pluggy.HookimplMarker(PROJECT)

#: Type of `register`; see the module's docstring for its arguments.
Register = Callable[..., None]


@hookspec
def register_priors(register: Register) -> None:
    """Register priors: the latent of an ascent, and its decoding to features.

    A prior has `start(targets, seeds) -> z`, `encode(features) -> z`, `decode(z) -> features`
    [shape=(batch, frames, mels, 1)], `spec`, `bounded` (whether decoded features lie in [0, 1]),
    `step_size` (the default) and optionally `move(z, *, step, seeds) -> dz`, which is added after
    each step of the ascent. TensorFlow traces `decode` and `move`; `start` returns a NumPy array
    and must draw each sample from its own row of `seeds` [shape=(batch, 2), uint32].

    A prior whose decoder is a Keras model may have `rewritten`, an equal prior that computes the
    decoder as `keras_listen.rewrites.Rewritten(model)`: the engine uses it for the ascent, and
    calls its `refresh()`, if there is one, before each ascent.

    A prior may have `for_steps(steps) -> prior`, an equal one that knows the number of steps, the
    same object whenever it is asked for. The engine climbs with that, and adds its moves to the
    last step even to samples that were stopped early.

    A prior may have `notes`, texts for the user, and `files`, which maps names of further
    components of the bundle to the checksums of their files; manifests keep both.

        @hookimpl
        def register_priors(register):
            def half(bundle, *, scale: float = 0.5):
                prior = priors.Identity(bundle.spec)
                prior.decode = lambda z: scale * z
                return prior
            register("half", half)
    """


@hookspec
def register_objectives(register: Register) -> None:
    """Register objectives: what the ascent maximizes.

    An objective is called as `objective(classifier, features, targets)` and returns one value a
    sample [shape=(batch,)]. Its attribute `uses_targets` (by default True) tells whether it needs
    target words; an objective that does not must have a `label`, which names its samples.

        @hookimpl
        def register_objectives(register):
            def margin(bundle):
                def objective(classifier, features, targets):
                    logits = classifier.logits(features)
                    return tf.gather(logits, targets, batch_dims=1) - tf.reduce_max(logits, 1)
                return objective
            register("margin", margin)
    """


@hookspec
def register_vocoders(register: Register) -> None:
    """Register vocoders: features to sound.

    A vocoder has `spec` and `synthesize(features, seeds)`, which takes features
    [shape=(batch, frames, mels), in [0, 1]] with any number of frames and seeds
    [shape=(batch, 2), uint32], and returns sounds [shape=(batch, samples), float32] whose extracted
    features have the same number of frames. Sounds beyond [-1, 1] are scaled down before they are
    written, and the gain is recorded.

    A vocoder may have `causal` (True if appending silence to the features changes no bit of the
    sound before it: then sounds of several lengths share a batch). A slow one may have both
    `report`, a function that it calls with the number of audio samples done since the last call and
    that may raise an exception to stop it, and `seconds_for(sounds, frames)`, which estimates the
    time in seconds. `files` may map the names of the files that it was loaded from to their
    checksums, for the manifest. `control` may be a `keras_listen.vocoders.pitch.PitchControl`, by
    which the vocoder finds or invents the pitch of features: then pages, manifests and tables say
    of each sound whether its pitch is invented.

        @hookimpl
        def register_vocoders(register):
            def noise(bundle):
                return SimpleNamespace(spec=bundle.spec, synthesize=white_noise)
            register("noise", noise)
    """


@hookspec
def register_readers(register: Register) -> None:
    """Register readers: sound files to samples.

    A reader is called as `reader(paths, sample_rate)` and yields, for each path in order,
    `(path, samples)` with mono float32 samples [shape=(samples,)] at `sample_rate` Hz, or
    `(path, ReadError)` for a file that cannot be read. The bundle of its factory is None.

        @hookimpl
        def register_readers(register):
            def raw(bundle, *, dtype: str = "<f4"):
                def read(paths, sample_rate):
                    return ((path, np.fromfile(path, dtype)) for path in paths)
                return read
            register("raw", raw)
    """


@hookspec
def register_frontends(register: Register) -> None:
    """Register front ends: sound to the input of a model, as the model's own pipeline computes it.

    A front end has `sample_rate` (Hz), `samples` (length of the sounds that it takes; None for any)
    and is called as `frontend(sounds)` with sounds [shape=(batch, samples), float32, nominally in
    [-1, 1]]. It returns the model's input [shape=(batch, ...), float32]. TensorFlow traces and
    differentiates it: gradients must be finite, those of digital silence included, and each sample
    must depend on its own sound alone. The bundle of its factory is None.

    A front end may have `fit(sound)`, which brings a recording [shape=(any,)] at `sample_rate` to
    its length [shape=(samples,), float32] as the model's pipeline does; without it, recordings are
    cut, and padded by zeros, at the end.

        @hookimpl
        def register_frontends(register):
            def energy(bundle, *, step: int = 160):
                def compute(sounds):
                    frames = tf.signal.frame(sounds, step, step)
                    return tf.math.log(tf.reduce_mean(frames**2, 2, keepdims=True) + 1e-6)
                compute.sample_rate, compute.samples = 16000, 16000
                return compute
            register("energy", energy)
    """
