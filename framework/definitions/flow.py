"""Whether a routing script can end without an answer.

The rule: no false alarm. A path counts as open only if it plainly reaches the end of the script, or a `return`
without a value. Whatever may answer (`finish`, a loop that never ends) counts as an answer.
"""

from __future__ import annotations

import ast

from .trees import walk

_SCOPES = (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda, ast.ClassDef)


def open_end(body: list[ast.stmt]) -> ast.stmt | None:
    """A statement at which the script can end without an answer, or None. For an empty script it is `pass`."""
    if _answers_elsewhere(body):
        return None
    silent = next((node for node in _statements(body) if _is_silent_return(node)), None)
    return silent or _falls(body)


def _answers_elsewhere(body: list[ast.stmt]) -> bool:
    """Whether `finish` is passed on, so that it is unknown what answers."""
    for statement in body:
        for node in walk(statement):
            if isinstance(node, _SCOPES) and any(map(_is_finish, walk(node))):
                return True
            value = node.value if isinstance(node, ast.Assign | ast.NamedExpr | ast.AnnAssign) else None
            if value is not None and _is_finish(value):
                return True
    return False


def _is_finish(node: ast.AST) -> bool:
    return isinstance(node, ast.Name) and node.id == "finish"


def _statements(body: list[ast.stmt]) -> list[ast.stmt]:
    """The statements of the script's own scope, up to where an answer was given by `finish`."""
    found: list[ast.stmt] = []
    for statement in body:
        found.append(statement)
        for block in _blocks(statement):
            found.extend(_statements(block))
        if any(map(_is_finish, walk(statement))):
            break
    return found


def _blocks(statement: ast.stmt) -> list[list[ast.stmt]]:
    if isinstance(statement, _SCOPES):
        return []
    blocks = [getattr(statement, name, []) for name in ("body", "orelse", "finalbody")]
    blocks.extend(part.body for part in getattr(statement, "handlers", ()))
    blocks.extend(part.body for part in getattr(statement, "cases", ()))
    return blocks


def _is_silent_return(node: ast.stmt) -> bool:
    if not isinstance(node, ast.Return):
        return False
    return node.value is None or (isinstance(node.value, ast.Constant) and node.value.value is None)


def _falls(body: list[ast.stmt]) -> ast.stmt | None:
    """The statement after which a block goes on to what follows it, or None if it never does."""
    last: ast.stmt = ast.Pass(lineno=0, col_offset=0)
    for statement in body:
        after = _after(statement)
        if after is None:
            return None
        last = after
    return last


def _after(statement: ast.stmt) -> ast.stmt | None:
    """The statement after which one statement goes on to the next, or None if it never does."""
    if isinstance(statement, ast.Return | ast.Raise | ast.Break | ast.Continue):
        return None
    if isinstance(statement, ast.Expr | ast.Assert) and any(map(_is_finish, walk(statement))):
        return None
    if (
        isinstance(statement, ast.Assert)
        and isinstance(statement.test, ast.Constant)
        and not statement.test.value
    ):
        return None
    if isinstance(statement, ast.If):
        return _either(statement, statement.body, statement.orelse)
    if isinstance(statement, ast.While | ast.For | ast.AsyncFor):
        return _after_loop(statement)
    if isinstance(statement, ast.With | ast.AsyncWith):
        return _falls(statement.body)
    if isinstance(statement, ast.Try | ast.TryStar):
        return _after_try(statement)
    if isinstance(statement, ast.Match):
        return _after_match(statement)
    return statement


def _is_false(test: ast.expr) -> bool:
    return isinstance(test, ast.Constant) and not test.value


def _either(statement: ast.If, body: list[ast.stmt], orelse: list[ast.stmt]) -> ast.stmt | None:
    if isinstance(statement.test, ast.Constant):
        taken = body if statement.test.value else orelse
        return _falls(taken) if taken else statement
    if not orelse:
        return _falls(body) or statement
    return _falls(body) or _falls(orelse)


def _after_loop(loop: ast.While | ast.For | ast.AsyncFor) -> ast.stmt | None:
    if _breaks(loop.body):
        return loop
    if isinstance(loop, ast.While) and isinstance(loop.test, ast.Constant) and loop.test.value:
        return None
    return _falls(loop.orelse) if loop.orelse else loop


def _breaks(body: list[ast.stmt]) -> bool:
    """Whether a loop's own body can leave it by `break`."""
    for statement in body:
        if isinstance(statement, ast.Break):
            return True
        if isinstance(statement, ast.While | ast.For | ast.AsyncFor):
            if _breaks(statement.orelse):
                return True
        elif any(_breaks(block) for block in _blocks(statement)):
            return True
    return False


def _after_try(statement: ast.Try | ast.TryStar) -> ast.stmt | None:
    if statement.finalbody and _falls(statement.finalbody) is None:
        return None
    tried = _falls(statement.body)
    if tried is not None and statement.orelse:
        tried = _falls(statement.orelse)
    if tried is not None:
        return tried
    return next((end for handler in statement.handlers if (end := _falls(handler.body))), None)


def _after_match(statement: ast.Match) -> ast.stmt | None:
    for case in statement.cases:
        end = _falls(case.body)
        if end is not None:
            return end
    last = statement.cases[-1]
    complete = last.guard is None and _takes_anything(last.pattern)
    return None if complete else statement


def _takes_anything(pattern: ast.pattern) -> bool:
    if isinstance(pattern, ast.MatchAs):
        return pattern.pattern is None or _takes_anything(pattern.pattern)
    return isinstance(pattern, ast.MatchOr) and any(map(_takes_anything, pattern.patterns))
