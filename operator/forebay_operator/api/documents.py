"""Reads YAML into plain data that remembers the line of every field. Size, nesting and aliases are bounded."""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Final, cast

import yaml
from yaml.constructor import SafeConstructor
from yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from forebay_operator.api.refusals import Path

MAX_VALUES: Final = 50_000
"""Values in one document, each alias counted as what it stands for."""
MAX_VALUES_OF_TEXT: Final = 200_000
"""Values in all documents of a text: each takes time."""
MAX_DEPTH: Final = 64

_TAG: Final = "tag:yaml.org,2002:"
_SCALARS: Final = {f"{_TAG}{kind}" for kind in ("null", "bool", "int", "float", "str", "timestamp")}
# YAML 1.1, and so PyYAML, takes 1e-3 for a text and 1:30 for ninety. kubectl and everybody else do not.
_EXPONENT: Final = re.compile(r"[-+]?(\d+\.?\d*|\.\d+)[eE][-+]?\d+")
_LONGEST_NUMBER: Final = 40


@dataclass(frozen=True, slots=True)
class Fault:
    """Something that is no YAML, or none that is read."""

    line: int
    message: str
    remedy: str
    path: Path = ()


@dataclass(frozen=True, slots=True)
class Document:
    """One YAML document as plain data."""

    content: Any
    line: int
    """The line on which it begins, from 1."""
    lines: dict[Path, int]
    faults: tuple[Fault, ...]

    def line_of(self, path: Path) -> int:
        """The line of a field, or of what it would belong to where it is missing."""
        while path and path not in self.lines:
            path = path[:-1]
        return self.lines.get(path, self.line)


def documents(text: str) -> Iterator[Document | Fault]:
    """Every document of a text, in order; a Fault in place of the rest where the text stops being YAML."""
    try:
        for node in yaml.compose_all(text, Loader=_Bounded):
            yield _document(node)
    except _Excess as excess:
        yield excess.fault
    except yaml.YAMLError as error:
        yield _syntax_fault(error)
    except RecursionError:
        yield Fault(1, "it is nested too deep to be read", f"nest at most {MAX_DEPTH} levels")


def _document(node: Node) -> Document:
    reader = _Reader()
    content: Any = None
    try:
        content = reader.value(node, ())
    except _Excess as excess:
        reader.faults.append(excess.fault)
    return Document(content, _line(node), reader.lines, tuple(reader.faults))


class _Excess(Exception):  # noqa: N818  (never leaves this module)
    """There is more than is read: nothing of the document is taken."""

    def __init__(self, fault: Fault) -> None:
        super().__init__(fault.message)
        self.fault = fault


class _Bounded(yaml.SafeLoader):
    """Stops at texts of too many values while they are read, not after."""

    def __init__(self, stream: str) -> None:
        super().__init__(stream)
        self._of_text = 0
        self._of_document = 0

    def compose_document(self) -> Node | None:
        self._of_document = 0
        return super().compose_document()

    def compose_node(self, parent: Node | None, index: int) -> Node | None:
        self._of_text += 1
        self._of_document += 1
        if self._of_document > MAX_VALUES:
            raise _Excess(Fault(self._here(), f"it has more than {MAX_VALUES} values", "split it, and write aliases out"))
        if self._of_text > MAX_VALUES_OF_TEXT:
            raise _Excess(
                Fault(self._here(), f"the file has more than {MAX_VALUES_OF_TEXT} values", "split it into several files")
            )
        return super().compose_node(parent, index)

    def _here(self) -> int:
        # The library's own stubs leave this one untyped.
        event: Any = cast(Any, self).peek_event()
        return int(event.start_mark.line) + 1


@dataclass
class _Reader:
    """Turns nodes into plain data, collecting lines and faults on the way."""

    lines: dict[Path, int] = field(default_factory=dict[Path, int])
    faults: list[Fault] = field(default_factory=list[Fault])
    values: int = 0

    def value(self, node: Node, path: Path) -> Any:
        self._count(node, path)
        self.lines.setdefault(path, _line(node))
        if isinstance(node, MappingNode):
            return self._mapping(node, path)
        if isinstance(node, SequenceNode):
            return [self.value(item, (*path, index)) for index, item in enumerate(node.value)]
        return self._scalar(cast(ScalarNode, node), path)

    def _count(self, node: Node, path: Path) -> None:
        self.values += 1
        if len(path) > MAX_DEPTH:
            raise _Excess(Fault(_line(node), "it is nested too deep, or contains itself", f"nest at most {MAX_DEPTH} levels"))
        if self.values > MAX_VALUES:
            raise _Excess(Fault(_line(node), f"it has more than {MAX_VALUES} values", "split it, and write aliases out"))

    def _mapping(self, node: MappingNode, path: Path) -> dict[str, Any]:
        content: dict[str, Any] = {}
        for key_node, value_node in cast("list[tuple[Node, Node]]", node.value):
            key = self._key(key_node, path)
            if key is None:
                continue
            below = (*path, key)
            if key in content:
                message = f"`{key}` is there twice, first on line {self.lines[below]}"
                self.faults.append(Fault(_line(key_node), message, "remove one of the two", below))
                continue
            self.lines[below] = _line(key_node)
            content[key] = self.value(value_node, below)
        return content

    def _key(self, node: Node, path: Path) -> str | None:
        if isinstance(node, ScalarNode) and node.tag != f"{_TAG}merge":
            return cast(str, node.value)
        what = "a merge key (<<)" if isinstance(node, ScalarNode) else "a list or mapping as the name of a field"
        self.faults.append(Fault(_line(node), f"{what} is not read", "write the fields out", path))
        return None

    def _scalar(self, node: ScalarNode, path: Path) -> Any:
        if node.tag not in _SCALARS:
            return self._refused(node, path, f"the tag {node.tag.replace(_TAG, '!!')} is not read")
        try:
            return _plain(node)
        except (ValueError, KeyError):
            return self._refused(node, path, f"{node.value} is no {node.tag.removeprefix(_TAG)}")

    def _refused(self, node: ScalarNode, path: Path, message: str) -> None:
        self.faults.append(Fault(_line(node), message, "write the value plainly, or put it into quotes", path))


def _plain(node: ScalarNode) -> Any:
    """The value of a scalar with one of YAML's own tags.

    Raises:
        ValueError, KeyError: its text is no such value.
    """
    text, kind = cast(str, node.value), node.tag.removeprefix(_TAG)
    if kind == "str" and node.style is None and _EXPONENT.fullmatch(text):
        return float(text)
    is_odd_number = kind in ("int", "float") and (":" in text or len(text) > _LONGEST_NUMBER)
    if kind == "timestamp" or is_odd_number:
        return text
    return SafeConstructor().construct_object(node)


def _line(node: Node) -> int:
    return int(node.start_mark.line) + 1


def _syntax_fault(error: yaml.YAMLError) -> Fault:
    if not isinstance(error, yaml.MarkedYAMLError) or error.problem_mark is None:
        return Fault(1, f"it is no text that YAML allows ({str(error).splitlines()[0]})", "save it as plain UTF-8 text")
    line, column = error.problem_mark.line + 1, error.problem_mark.column + 1
    problem = error.problem or "it is no YAML"
    if "'\\t'" in problem:
        return Fault(line, f"there is a tab in column {column}", "indent with spaces")
    context = f" ({error.context})" if error.context else ""
    return Fault(line, f"broken YAML in column {column}: {problem}{context}", _syntax_remedy(problem))


def _syntax_remedy(problem: str) -> str:
    if "mapping values are not allowed" in problem:
        return "look for a missing line break or for text with `: ` in it that needs quotes"
    if "undefined alias" in problem:
        return "put text that begins with * into quotes"
    return "look at the indentation, the quotes and the brackets here and on the line before"
