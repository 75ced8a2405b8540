"""A namespace of its own for every test in this folder."""

import itertools
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from cluster_control_plane import Access
from cluster_site import Site, site

_numbers = itertools.count(1)


@pytest.fixture
def here(cluster: Access, tmp_path: Path) -> Iterator[Site]:
    """A namespace of the test's own."""
    with site(cluster, _namespace(), tmp_path) as made:
        yield made


@pytest.fixture
def restricted(cluster: Access, tmp_path: Path) -> Iterator[Site]:
    """A namespace that takes pods of the standard `restricted` only."""
    labels = {"pod-security.kubernetes.io/enforce": "restricted"}
    with site(cluster, _namespace(), tmp_path, labels) as made:
        yield made


def _namespace() -> str:
    return f"test-{os.getpid()}-{next(_numbers)}"
