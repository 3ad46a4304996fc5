"""One experiment: resolve the components, maximize, vocode, judge, write: `keras-listen run`."""


def __getattr__(name: str):
    if name != "resolve":
        raise AttributeError(name)
    from .experiment import resolve

    return resolve
