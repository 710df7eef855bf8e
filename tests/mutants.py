"""The model: a *mutant* is a program that was made wrong: *hollow* ones do nothing, *broken* ones raise, and the others have one small
change each, which tests may or may not see: a comparison turned, a number one more, an operator changed, a condition negated."""

from __future__ import annotations

import ast
import copy
from collections.abc import Iterator

COMPARISONS = {ast.Lt: ast.LtE, ast.LtE: ast.Lt, ast.Gt: ast.GtE, ast.GtE: ast.Gt, ast.Eq: ast.NotEq, ast.NotEq: ast.Eq}
OPERATORS = {ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.Add, ast.FloorDiv: ast.Mult, ast.Div: ast.Mult, ast.Mod: ast.FloorDiv}
FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)


def hollow(program: str) -> str:
    """Every function returns None at once."""
    return _with_bodies(program, "return None")


def broken(program: str) -> str:
    """Every function raises at once."""
    return _with_bodies(program, "raise ValueError")


def mutants(program: str) -> Iterator[str]:
    """Programs with one change each."""
    tree = ast.parse(program)
    for number, node in enumerate(ast.walk(tree)):
        if _changed(copy.deepcopy(node)):
            other = copy.deepcopy(tree)
            _changed(list(ast.walk(other))[number])
            yield ast.unparse(ast.fix_missing_locations(other))


def _changed(node: ast.AST) -> bool:
    """Change a node in place; whether there was something to change."""
    match node:
        case ast.Compare(ops=[op, *_]) if type(op) in COMPARISONS:
            node.ops[0] = COMPARISONS[type(op)]()
        case ast.BinOp(op=op) if type(op) in OPERATORS:
            node.op = OPERATORS[type(op)]()
        case ast.Constant(value=bool()):
            return False
        case ast.Constant(value=int(value)):
            node.value = value + 1
        case ast.If() | ast.While() | ast.IfExp():
            node.test = ast.UnaryOp(ast.Not(), node.test)
        case _:
            return False
    return True


def _with_bodies(program: str, body: str) -> str:
    tree = ast.parse(program)
    for node in ast.walk(tree):
        if isinstance(node, FUNCTIONS):
            node.body = ast.parse(f"def f():\n    {body}").body[0].body  # type: ignore[attr-defined]
    return ast.unparse(tree)
