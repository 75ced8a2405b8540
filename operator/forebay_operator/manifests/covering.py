"""Whether a live object is all that is wanted of it. What others added, or the API server filled in, does not matter."""

from typing import Any, Final

_KEYS: Final = ("name", "containerPort", "port", "type", "mountPath", "uid", "key", "number", "revision")
"""Fields by which API servers tell the items of a list apart."""


def difference(live: Any, wanted: Any, where: str = "") -> str:
    """The path of the first field that is not as wanted; empty: there is none."""
    if isinstance(wanted, dict):
        return _in_map(live, wanted, where)
    if isinstance(wanted, list):
        return _in_list(live, wanted, where)
    return "" if _same(live, wanted) else where or "."


def _in_map(live: Any, wanted: dict[str, Any], where: str) -> str:
    if not isinstance(live, dict):
        return where or "."
    for key, value in wanted.items():
        path = f"{where}.{key}"
        if key not in live:
            # API servers drop what is empty.
            if value not in ({}, [], "", None):
                return path
        elif found := difference(live[key], value, path):
            return found
    return ""


def _in_list(live: Any, wanted: list[Any], where: str) -> str:
    if not isinstance(live, list):
        return where or "."
    key = _key_of(wanted)
    if key is None:
        return "" if live == wanted else where or "."
    by_key = {item.get(key): item for item in live if isinstance(item, dict)}
    for item in wanted:
        if found := difference(by_key.get(item[key]), item, f"{where}[{item[key]}]"):
            return found
    return ""


def _key_of(wanted: list[Any]) -> str | None:
    return next((key for key in _KEYS if wanted and all(isinstance(item, dict) and key in item for item in wanted)), None)


def _same(live: Any, wanted: Any) -> bool:
    # JSON has one kind of number; Python's True is none.
    return bool(live == wanted) and isinstance(live, bool) == isinstance(wanted, bool)
