"""What is wrong with a policy."""

from __future__ import annotations

from gateway.errors import TailgateError


class BadPolicyError(TailgateError):
    """A policy's values make no sense. Whoever reads the configuration knows the place and turns this into a mistake.

    `path` leads from the policy's own block to the value, for instance ("ottl_condition", "span", 1); `line` and `column`
    count from 1 within that value's text, where it is one. `policy` is the index of the policy in tail_sampling, None where the
    mistake is in what stands beside them: then the path leads from there.
    """

    policy: int | None = None

    def __init__(self, message: str, path: tuple[str | int, ...] = (), line: int = 1, column: int = 1) -> None:
        super().__init__(message)
        self.path = path
        self.line = line
        self.column = column
