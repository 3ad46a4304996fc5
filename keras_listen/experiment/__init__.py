"""Run one experiment: resolve components, maximize, synthesize, evaluate with referees, write."""


def __getattr__(name: str):
    if name != "resolve":
        raise AttributeError(name)
    from .experiment import resolve

    return resolve
