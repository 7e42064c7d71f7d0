"""The text of a policy and where everything stands in it: what an error needs, and nothing that outlives loading."""

from __future__ import annotations

from attrs import frozen

from cigate.cel.syntax import line_column
from cigate.errors import PolicyError
from cigate.wire import yamldoc


@frozen(eq=False, repr=False)
class Source:
    """The text of a policy and where everything stands in it."""

    text: str
    document: yamldoc.Document

    def error(self, code: str, message: str, pointer: str, *, fix: str = "") -> PolicyError:
        """The error about the value at a JSON pointer, or about its key where nobody knows that one."""
        place = self.document.place_of_key if code.endswith(".unknown-key") else self.document.place
        return PolicyError(code, message, where=place(pointer), fix=fix)

    def expression_error(
        self, code: str, message: str, pointer: str, expression: str, at: int, *, fix: str = ""
    ) -> PolicyError:
        """The error about a character offset in the expression that stands at a pointer.

        The place is exact where the document holds the expression's line as it is; where it is folded or escaped
        it is that of the whole value.
        """
        line, column = line_column(expression, at)
        written = expression.split("\n")[line - 1]
        top, left = self.document.position(pointer)
        rows = self.text.split("\n")
        head = rows[top - 1][left - 1 : left]
        if head == "|":
            top, left = top + line, rows[min(top + line, len(rows)) - 1].rfind(written) + 1
        elif head in ("'", '"'):
            left += 1
        if left and rows[top - 1].startswith(written, left - 1):
            return PolicyError(
                code, message, where=f"{self.document.name}:{top}:{left + column - 1}", fix=fix
            )
        return self.error(code, message, pointer, fix=fix)
