"""One server for all tests that do not change it."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from runtime_models import (
    add_model,
    gather_model,
    half_model,
    open_model,
    put_model,
    slow_model,
    text_model,
    texts_model,
    two_inputs_model,
    unbatched_model,
)
from runtime_servers import Server, running_server, wait_for

ONE_AT_A_TIME = (
    "instance_group [{ count: 1 }]\nmax_batch_size: 1\ndynamic_batching { default_queue_policy { max_queue_size: 2 } }"
)
OPEN_SHAPE = '{kind} [{{ name: "{name}" data_type: TYPE_FP32 dims: [-1, -1] }}]'


@pytest.fixture(scope="session")
def model_repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    repository = tmp_path_factory.mktemp("repository")
    put_model(repository, "add", add_model(1.0), config="max_batch_size: 8\ndynamic_batching {}")
    put_model(repository, "add", add_model(2.0), version=2)
    put_model(repository, "two", two_inputs_model())
    put_model(repository, "text", text_model())
    put_model(repository, "half", half_model())
    put_model(repository, "fixed", unbatched_model())
    put_model(repository, "gather", gather_model())
    put_model(repository, "texts", texts_model())
    put_model(
        repository,
        "open",
        open_model(),
        config=f"{OPEN_SHAPE.format(kind='input', name='x')}{OPEN_SHAPE.format(kind='output', name='y')}",
    )
    put_model(repository, "slow", slow_model(), config=ONE_AT_A_TIME)
    folder = put_model(
        repository, "labelled", add_model(0.0, width=3), config='output [{ name: "y" label_filename: "names.txt" }]'
    )
    (folder / "names.txt").write_text("ant\nbee\ncat\n")
    return repository


@pytest.fixture(scope="session")
def server(model_repository: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Serves the whole repository, mode none."""
    with running_server(tmp_path_factory.mktemp("server"), "--model-repository", str(model_repository)) as running:
        wait_for(lambda: running.request("GET", "/v2/health/ready").status == 200, "all models are loaded")
        yield running
