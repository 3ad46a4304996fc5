"""Common to all checks: ContractBroken, the component under test, and checks of arrays."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from ..errors import Unavailable
from ..models.blocks import pad_block
from ..plugins import Component
from ..seeds import derive

#: Rows of the blocks computed here, to which samples are padded as the engine does.
_ROWS = 24


class ContractBroken(AssertionError):
    """A component that breaks its contract.

    Attributes:
        contract: the part of the contract.
        seen: what the component did.
        expected: what it should have done.
        mend: how to mend it.
    """

    def __init__(self, what: str, contract: str, seen: str, expected: str, mend: str):
        self.contract, self.seen, self.expected, self.mend = contract, seen, expected, mend
        super().__init__(
            f"{what} breaks its contract: {contract}\n"
            f"    seen:     {seen}\n    expected: {expected}\n    to mend:  {mend}"
        )


class Subject:
    """The component under test.

    Args:
        component: a registered component.
        bundle: passed to its factory.
        options: of the factory.

    Attributes:
        component, bundle, options: as given.
        name: kind and name, for messages.
        made: what the factory returned; None before `make`.
    """

    def __init__(self, component: Component, bundle: Any, options: Mapping[str, Any]):
        self.component, self.bundle, self.options = component, bundle, dict(options)
        self.name = f"{component.kind} {component.name}"
        self.made: Any = None

    def make(self) -> None:
        """Call the factory for the first time.

        Raises:
            Unavailable: the component cannot work on this machine.
        """
        if why := self.component.why_unavailable():
            raise Unavailable(f"{self.name} is unavailable: {why}")
        self.made = self.make_again()

    def make_again(self, **options: Any) -> Any:
        """Call the factory, without the proxy of `Component.create`; `options` override others."""
        given = self.component.convert_options(self.options)
        return self.component.factory(self.bundle, **{**given, **options})

    def require(self, holds: Any, contract: str, *, seen: str, expected: str, mend: str) -> None:
        """Raise ContractBroken unless `holds`."""
        if not holds:
            raise ContractBroken(self.name, contract, seen, expected, mend)

    def call(
        self, contract: str, function: Callable, *arguments: Any, mend: str, **named: Any
    ) -> Any:
        """Call a method of the component; raise ContractBroken if it raises anything."""
        try:
            return function(*arguments, **named)
        except Exception as error:
            what = f"{type(error).__name__}: {error}".strip()
            raise ContractBroken(self.name, contract, what, "no exception", mend) from error

    def attribute(self, name: str, expected: str, mend: str) -> Any:
        """Return an attribute that every component of the kind must have."""
        self.require(
            hasattr(self.made, name),
            f"attribute {name}",
            seen=f"{type(self.made).__name__} has none",
            expected=expected,
            mend=mend,
        )
        return getattr(self.made, name)

    def array(self, value: Any, contract: str, shape: tuple, mend: str) -> np.ndarray:
        """Return `value` as NumPy; it must be float32, finite and of a shape (None: any size)."""
        found = np.asarray(value)
        fits = len(found.shape) == len(shape) and all(
            want in (None, have) for have, want in zip(found.shape, shape, strict=True)
        )
        wanted = str(tuple("any" if size is None else size for size in shape)).replace("'", "")
        self.require(fits, contract, seen=f"shape {found.shape}", expected=wanted, mend=mend)
        self.require(
            found.dtype == np.float32,
            contract,
            seen=f"dtype {found.dtype}",
            expected="dtype float32",
            mend="convert the result, for instance with np.asarray(x, np.float32) or tf.cast",
        )
        bad = int((~np.isfinite(found)).sum())
        self.require(
            bad == 0,
            contract,
            seen=f"{bad} of {found.size} values are not finite",
            expected="finite values",
            mend="look for divisions by zero, logarithms of zero and overflow",
        )
        return found

    def same(self, one: Any, other: Any, contract: str, *, expected: str, mend: str) -> None:
        """Require that two arrays have the same bits."""
        one, other = np.asarray(one), np.asarray(other)
        same = one.shape == other.shape and np.array_equal(one, other, equal_nan=True)
        seen = f"shapes {one.shape} and {other.shape}"
        if not same and one.shape == other.shape:
            apart = np.abs(one.astype(np.float64) - other)
            seen = f"{int((apart > 0).sum())} of {one.size} values differ, by up to {apart.max():g}"
        self.require(same, contract, seen=seen, expected=expected, mend=mend)

    def alone_and_among(self, contract: str, function: Callable, *arrays: np.ndarray) -> np.ndarray:
        """Compute samples in one padded block; each must be the same without the others.

        Args:
            contract: what is computed.
            function: takes padded blocks, one of each array, and returns a row for each row.
            arrays: one row a sample [shape=(samples, ...)].

        Returns:
            the rows of the samples.
        """
        mend = (
            "compute each sample from its own row: no mean, sum or normalisation over the first "
            "axis, no batch statistics, no state that one call leaves to the next"
        )
        among = in_block(function, *arrays)
        self.require(
            among.shape[:1] == (len(arrays[0]),),
            contract,
            seen=f"shape {among.shape} of a block of {_ROWS}",
            expected="a row for each sample of the block",
            mend="keep the first axis; reduce over the others only",
        )
        self.same(
            among,
            in_block(function, *arrays),
            f"{contract}: the arguments decide",
            expected="the same again",
            mend="draw nothing and keep no state; noise comes from seeds, in start, move or "
            "synthesize",
        )
        alone = [in_block(function, *parts) for parts in zip(*map(_rows, arrays), strict=True)]
        rule = f"{contract}: a sample does not depend on its block-mates"
        self.same(
            among,
            np.concatenate(alone),
            rule,
            expected="the same bits alone and among others",
            mend=mend,
        )
        turned = in_block(function, *(array[::-1] for array in arrays))[::-1]
        self.same(among, turned, rule, expected="the same bits in any order", mend=mend)
        return among


def in_block(function: Callable, *arrays: np.ndarray) -> np.ndarray:
    """Apply `function` to padded blocks of the arrays; return the rows of the samples."""
    found = np.asarray(function(*(pad_block(array, _ROWS) for array in arrays)))
    # What has not a row for each row is left for a check of its shape.
    return found[: len(arrays[0])] if found.shape[:1] == (_ROWS,) else found


def _rows(array: np.ndarray) -> list[np.ndarray]:
    """Cut an array into arrays of one row."""
    return [array[k : k + 1] for k in range(len(array))]


def seeds_of(count: int, first: int = 0) -> np.ndarray:
    """Return seeds of samples [shape=(count, 2), uint32]."""
    return np.stack([derive(0, "check", first + k) for k in range(count)])
