"""Which texts a module of the code can show to a user: for the test of words, and for the age of pictures."""

from __future__ import annotations

import ast

BLOCKS = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)  # what a docstring can stand in


def shown_by(code: str) -> list[str]:
    """Return the texts of a module in their order: no docstrings, and f-strings whole with … for what is put in."""
    passed_over: set[ast.AST] = set()
    texts = []
    for node in ast.walk(ast.parse(code)):
        if isinstance(node, BLOCKS):
            passed_over.update(first.value for first in node.body[:1] if isinstance(first, ast.Expr))
        if isinstance(node, ast.JoinedStr):
            passed_over.update(node.values)
            texts.append("".join(str(part.value) if isinstance(part, ast.Constant) else "…" for part in node.values))
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and node not in passed_over:
            texts.append(node.value)
    return texts
