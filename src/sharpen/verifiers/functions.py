"""Verifiers that people write: a function in either shape, given by itself or by its address, with an identity."""

from __future__ import annotations

import difflib
import functools
import inspect
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import get_args

from sharpen.digest import digest
from sharpen.identity import code_digest, function_key
from sharpen.protocols import Verifier
from sharpen.types import Completion, Prompt, Score
from sharpen.verifiers.addresses import Address, address_of, parse_address, resolve
from sharpen.verifiers.choices import choice
from sharpen.verifiers.code.suites import Part
from sharpen.verifiers.code.verifier import REFUSAL, code
from sharpen.verifiers.columns import Form, call_with_columns, form_of, takes_columns
from sharpen.verifiers.formulas import formula
from sharpen.verifiers.numbers import number
from sharpen.verifiers.patterns import exact, pattern
from sharpen.verifiers.verdicts import score_of

__all__ = ["FunctionVerifier", "as_verifier", "load_verifier"]


@dataclass(frozen=True, kw_only=True, repr=False)
class FunctionVerifier:
    """A person's function as a verifier: called in its own shape, its value checked.

    Attributes:
        name: how people wrote it, such as `mine.py:check`.
        columns: True for `(completions, **columns) -> list`, False for `(prompt, completion) -> value`.
        form: what a function of columns gets completions as.
        address: where another process finds it, or None for what only this process has.
    """

    function: Callable[..., object]
    name: str
    columns: bool
    form: Form = None
    address: Address | None = None

    def __repr__(self) -> str:
        return self.name

    @property
    def key(self) -> str:
        """Identifies its code: its module's source with all that it imports from beside it, or its bytecode without an address.

        Raises:
            ValueError: it has no address and captures values, or is an object that prints its place in memory.
        """
        if self.address is None and _prints_its_place(self.function):
            raise ValueError(f"verifier {self.name} does not print its values; make its class a frozen dataclass")
        if self.address is None:
            return digest("verifier", function_key(self.function))
        home = inspect.getmodule(self.function)
        modules = {self.address.module, home.__name__} if home else {self.address.module}
        code = [code_digest(module) for module in sorted(modules)]
        return digest("verifier", self.address.name, self.address.sha256, code, self.columns, self.form)

    def __call__(self, prompt: Prompt, completion: Completion, /) -> Score:
        """The function's verdict; it runs in this process without a time limit, unless a `VerifierPool` calls it.

        Raises:
            BadVerdict: what it returned is no verdict.
            Exception: whatever the function raises.
        """
        if self.columns:
            return score_of(call_with_columns(self.function, self.form, prompt, completion))
        return score_of(self.function(prompt, completion))


def as_verifier(function: Callable[..., object]) -> Verifier:
    """A verifier from a function in either shape; shipped and wrapped verifiers come back as they are.

    >>> def reward(completions, target, **columns):
    ...     return [float(text == gold) for text, gold in zip(completions, target, strict=True)]
    >>> as_verifier(reward)
    sharpen.verifiers.functions:reward

    Raises:
        ValueError: it can be called in neither shape.
        TypeError: it cannot be called at all.
    """
    if isinstance(function, (FunctionVerifier, number, choice, exact, pattern, formula, code)):
        return function
    if not callable(function):
        raise TypeError(f"{function!r} is no verifier; give a function (prompt, completion), or load_verifier({function!r})")
    return _wrapped(function, _named(function), address_of(function))


def load_verifier(spec: str, *, allow_code_execution: bool = False) -> Verifier:
    """The verifier that a word on the command line or in a settings file names.

    - `number` (or `number:0.01`, with a tolerance), `choice`, `exact`, `formula`;
    - `pattern:REGEX`;
    - `code`: programs, run against the prompt's tests; `code:hidden` or `code:visible` by one half of them, `code:mutated` by the hidden
      half and calls with mutated inputs, `code:bwrap` in that sandbox alone;
    - `module:function` or `path/to/file.py:function`: a function `(prompt, completion) -> float | None` or
      `(completions, **columns) -> list[float | None]`, or an object with such a `__call__`.

    Args:
        allow_code_execution: `code` may run programs that a model wrote.

    A file is run with its folder on the path. Its verifier is identified by content: moved, it is the same; edited, another.

    >>> load_verifier("number:0.01")
    number(tolerance=0.01, relative=0.0)

    Raises:
        ValueError: the word names nothing, or a function of neither shape; or it is `code` and that is not allowed.
        SandboxError: it is `code`, and this machine has no sandbox for it.
        TypeError: the name leads to something that cannot be called.
        VerifierError: the module fails while it is imported, or an optional package is missing.
    """
    word, colon, rest = spec.partition(":")
    plain: dict[str, Callable[[], Verifier]] = {"number": number, "choice": choice, "exact": exact, "formula": formula}
    if word in plain and not colon:
        return plain[word]()
    if word == "number":
        return number(tolerance=_tolerance(spec, rest))
    if word == "pattern" and rest:
        return pattern(rest)
    if word == "code":
        if not allow_code_execution:
            raise ValueError(REFUSAL)
        words = rest.split(",") if rest else []
        parts = [word for word in words if word in get_args(Part)]
        if len(parts) > 1:
            raise ValueError(f"verifier {spec!r} names several parts of the tests; write one of {', '.join(get_args(Part))}")
        tiers = tuple(word for word in words if word not in parts)
        return code(allow_code_execution=True, tiers=tiers, tests=parts[0] if parts else "all")  # type: ignore[arg-type]  # a Part
    if word in ("pattern", *plain):
        wanted = "pattern:REGEX" if word == "pattern" else word
        raise ValueError(f"verifier {spec!r} is incomplete or has too much; write {wanted}")
    if not colon:
        near = difflib.get_close_matches(spec, [*plain, "code", "pattern:REGEX"], n=1, cutoff=0.5)
        hint = f"did you mean {near[0]!r}" if near else f"choose one of {', '.join([*plain, 'code', 'pattern:REGEX'])}"
        raise ValueError(f"there is no verifier {spec!r}; {hint}, or give module:function or path/to/file.py:function")
    address = parse_address(spec)
    found = resolve(address)
    if isinstance(found, (number, choice, exact, pattern, formula)):
        return found
    if not callable(found):
        raise TypeError(f"{spec!r} is a {type(found).__name__}; name a function (prompt, completion)")
    file = Path(address.file).name if address.file and spec.rpartition(":")[0].endswith(".py") else address.module
    return _wrapped(found, f"{file}:{address.name}", address)


def _wrapped(function: Callable[..., object], name: str, address: Address | None) -> FunctionVerifier:
    columns = takes_columns(function)
    form = form_of(function) if columns else None
    return FunctionVerifier(function=function, name=name, columns=columns, form=form, address=address)


def _prints_its_place(value: object) -> bool:
    """Whether an object prints as <... object at 0x...>, so that its values cannot be told from it."""
    return not inspect.isroutine(value) and repr(value) == object.__repr__(value)


def _named(function: Callable[..., object]) -> str:
    if isinstance(function, functools.partial):
        given = [*map(repr, function.args), *(f"{name}={value!r}" for name, value in function.keywords.items())]
        return f"partial({', '.join([_named(function.func), *given])})"
    if inspect.isroutine(function):
        return f"{function.__module__}:{function.__qualname__}"
    kind = type(function)
    return f"{kind.__module__}:{kind.__qualname__}" if _prints_its_place(function) else repr(function)


def _tolerance(spec: str, written: str) -> float:
    try:
        return float(written)
    except ValueError:
        raise ValueError(f"verifier {spec!r}: the tolerance is {written!r}; write a number, as in number:0.01") from None
