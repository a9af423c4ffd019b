"""The ways in which a module could be wrong: its source with one small change each.

Left alone is what no test of behaviour can see or should pin: docstrings, annotations, messages of errors, `__all__`, imports,
protocols, decorators of dataclasses, and definitions of types.
"""

from __future__ import annotations

import ast
import copy
import difflib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

__all__ = ["Mutant", "mutants_of", "plain"]

_COMPARED: dict[type[ast.cmpop], tuple[type[ast.cmpop], ...]] = {
    ast.Lt: (ast.LtE, ast.GtE),
    ast.LtE: (ast.Lt, ast.Gt),
    ast.Gt: (ast.GtE, ast.LtE),
    ast.GtE: (ast.Gt, ast.Lt),
    ast.Eq: (ast.NotEq,),
    ast.NotEq: (ast.Eq,),
    ast.In: (ast.NotIn,),
    ast.NotIn: (ast.In,),
    ast.Is: (ast.IsNot,),
    ast.IsNot: (ast.Is,),
}
_COMPUTED: dict[type[ast.operator], type[ast.operator]] = {
    ast.Add: ast.Sub,
    ast.Sub: ast.Add,
    ast.Mult: ast.Div,
    ast.Div: ast.Mult,
    ast.FloorDiv: ast.Mult,
    ast.Mod: ast.Mult,
    ast.Pow: ast.Mult,
    ast.BitAnd: ast.BitOr,
    ast.BitOr: ast.BitAnd,
    ast.LShift: ast.RShift,
    ast.RShift: ast.LShift,
}
_OPPOSITE = {"min": "max", "any": "all", "minimum": "maximum", "amin": "amax", "startswith": "endswith"}
_CONTEXT = 80  # characters of a line shown either side of a change
_OPPOSITE |= {value: key for key, value in _OPPOSITE.items()}


@dataclass(frozen=True, kw_only=True)
class Mutant:
    """A module with one change.

    Attributes:
        module: path of the module.
        line: where the change is, in the module as people read it.
        change: what was done.
        old, new: what was changed, as Python writes it back, with a little of the line around it.
        source: the whole module, changed.
    """

    module: Path
    line: int
    change: str
    old: str
    new: str
    source: str


def plain(module: Path) -> str:
    """A module's source as Python writes it back, of which mutants differ in one place."""
    return ast.unparse(ast.parse(module.read_text()))


def mutants_of(module: Path) -> list[Mutant]:
    """Every mutant of a module, in the order of its lines, no two alike."""
    tree = ast.parse(module.read_text())
    before = ast.unparse(tree)
    found: dict[str, Mutant] = {before: Mutant(module=module, line=0, change="", old="", new="", source=before)}
    for holder, place, node in _places(tree):
        for change, other in _changes(node):
            _put(holder, place, other)
            source = ast.unparse(tree)
            _put(holder, place, node)
            if source not in found:
                old, new = _changed(before, source)
                line = vars(node.target if isinstance(node, ast.comprehension) else node)["lineno"]
                found[source] = Mutant(module=module, line=line, change=change, old=old, new=new, source=source)
    return list(found.values())[1:]


def _changed(before: str, after: str) -> tuple[str, str]:
    lines = list(difflib.unified_diff(before.splitlines(), after.splitlines(), n=0, lineterm=""))[3:]
    old, new = (" ".join(line[1:].strip() for line in lines if line[0] == sign) for sign in "-+")
    start = max(0, _common(old, new) - _CONTEXT)
    old, new = old[start:], new[start:]
    cut = max(0, _common(old[::-1], new[::-1]) - _CONTEXT)
    return old[: len(old) - cut], new[: len(new) - cut]


def _common(one: str, other: str) -> int:
    """How many characters the two begin with alike."""
    return next((place for place, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), min(len(one), len(other)))


def _put(holder: ast.AST | list[ast.AST], place: str | int, node: ast.AST) -> None:
    if isinstance(holder, list):
        holder[int(place)] = node
    else:
        setattr(holder, str(place), node)


def _places(node: ast.AST) -> Iterator[tuple[ast.AST | list[ast.AST], str | int, ast.AST]]:
    """Every node below this one that may change, and where it hangs."""
    for name, value in ast.iter_fields(node):
        for place, child in enumerate(value) if isinstance(value, list) else [(-1, value)]:
            if isinstance(child, ast.AST) and not _left_alone(node, name, child):
                yield (value, place, child) if isinstance(value, list) else (node, name, child)
                yield from _places(child)


def _left_alone(parent: ast.AST, name: str, node: ast.AST) -> bool:
    if name in ("annotation", "returns", "format_spec", "exc", "msg"):
        return True
    if isinstance(node, (ast.Import, ast.ImportFrom, ast.Assert, ast.Pass)):
        return True
    if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
        return True
    if isinstance(node, ast.ClassDef):
        return node.name.endswith("Error") or any("Protocol" in ast.unparse(base) for base in node.bases)
    if name == "decorator_list":
        return not ast.unparse(node).startswith("part(")
    if name == "args" and isinstance(parent, ast.Call):
        called = ast.unparse(parent.func)
        return called.endswith(("Error", "cast")) and not (called.endswith("cast") and node is not parent.args[0])
    if isinstance(node, ast.If):
        return "TYPE_CHECKING" in ast.unparse(node.test)
    if isinstance(parent, ast.Module) and isinstance(node, ast.Assign):
        value = node.value
        types = isinstance(value, ast.Subscript) or (isinstance(value, ast.Call) and ast.unparse(value.func) == "TypeVar")
        return types or ast.unparse(node.targets[0]) == "__all__"
    return False


def _changes(node: ast.AST) -> Iterator[tuple[str, ast.AST]]:
    """Other nodes that could stand in this one's place, each with what was done."""
    match node:
        case ast.Compare(ops=ops):
            for place, op in enumerate(ops):
                for other in _COMPARED[type(op)]:
                    yield "comparison", _with(node, ops=[*ops[:place], other(), *ops[place + 1 :]])
        case ast.BinOp(op=op) if type(op) in _COMPUTED:
            yield "arithmetic", _with(node, op=_COMPUTED[type(op)]())
        case ast.BoolOp(op=op):
            yield "and/or", _with(node, op=ast.Or() if isinstance(op, ast.And) else ast.And())
        case ast.UnaryOp(op=ast.Not() | ast.USub(), operand=operand):
            yield "sign", operand
        case ast.Constant(value=value):
            yield from (("constant", ast.Constant(value=other)) for other in _other_constants(value))
        case ast.Name(id=name) | ast.Attribute(attr=name) if name in _OPPOSITE:
            yield "opposite", _with(node, **{"id" if isinstance(node, ast.Name) else "attr": _OPPOSITE[name]})
        case ast.keyword(arg="min" | "max" as arg):
            yield "opposite", _with(node, arg=_OPPOSITE[arg])
        case ast.Return(value=ast.AST() as value) if not (isinstance(value, ast.Constant) and value.value is None):
            yield "returned value", _with(node, value=ast.Constant(value=None))
        case ast.Expr(value=ast.Call()) | ast.AugAssign() | ast.Raise() | ast.Delete():
            yield "deleted", ast.Pass()
        case ast.Assign(targets=[ast.Attribute() | ast.Subscript()]):
            yield "deleted", ast.Pass()
        case ast.Continue():
            yield "jump", ast.Break()
        case ast.Break():
            yield "jump", ast.Continue()
    if isinstance(node, ast.AugAssign) and type(node.op) in _COMPUTED:
        yield "arithmetic", _with(node, op=_COMPUTED[type(node.op)]())
    if isinstance(node, (ast.If, ast.While, ast.IfExp)) and not isinstance(node.test, (ast.Compare, ast.UnaryOp)):
        yield "negation", _with(node, test=ast.UnaryOp(op=ast.Not(), operand=node.test))
    if isinstance(node, ast.comprehension):
        for place in range(len(node.ifs)):
            yield "condition left out", _with(node, ifs=[*node.ifs[:place], *node.ifs[place + 1 :]])


def _with(node: ast.AST, **fields: object) -> ast.AST:
    other = copy.copy(node)
    for name, value in fields.items():
        setattr(other, name, value)
    return other


def _other_constants(value: object) -> list[bool | int | float | str]:
    match value:
        case bool():
            return [not value]
        case int():
            return [value + 1]
        case float():
            return [value * 2 or 1.0]
        case str():
            return [f"XX{value}XX"]
    return []
