"""Removes what a hostile process left, however deep, odd or locked up."""

import os
from pathlib import Path


def remove_tree(top: Path) -> None:
    """Remove a folder and everything in it; nothing happens where there is none.

    A plain recursive removal dies of a deep tree, so grandchildren are moved up rather than descended to.
    """
    try:
        folder = os.open(top, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    except FileNotFoundError:
        return
    prefix, moved = os.urandom(8).hex(), 0
    try:
        while names := os.listdir(folder):
            for name in names:
                moved = _remove_entry(folder, name, prefix, moved)
    finally:
        os.close(folder)
    os.rmdir(top)


def _remove_entry(folder: int, name: str, prefix: str, moved: int) -> int:
    try:
        os.unlink(name, dir_fd=folder)
    except (IsADirectoryError, PermissionError):
        moved = _hoist_children(folder, name, prefix, moved)
        os.rmdir(name, dir_fd=folder)
    return moved


def _hoist_children(folder: int, name: str, prefix: str, moved: int) -> int:
    os.chmod(name, 0o700, dir_fd=folder)
    inner = os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=folder)
    try:
        for child in os.listdir(inner):
            moved += 1
            _move_up(inner, child, folder, f"{prefix}{moved}")
    finally:
        os.close(inner)
    return moved


def _move_up(inner: int, child: str, folder: int, target: str) -> None:
    try:
        os.rename(child, target, src_dir_fd=inner, dst_dir_fd=folder)
    except PermissionError:
        # A folder of mode 000 must be writable to get a new parent.
        os.chmod(child, 0o700, dir_fd=inner)
        os.rename(child, target, src_dir_fd=inner, dst_dir_fd=folder)
