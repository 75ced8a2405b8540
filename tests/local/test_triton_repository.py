"""An existing Triton model repository, served as it is."""

from pathlib import Path

from local_models import save_scaling_model
from local_up import running_up, wait_until


def test_a_triton_repository_is_served_as_it_is_at_its_latest_version(tmp_path: Path) -> None:
    for version, factor in ((1, 2.0), (3, 6.0)):
        folder = tmp_path / "repository" / "scaling" / str(version)
        folder.mkdir(parents=True)
        save_scaling_model(folder / "model.onnx", factor)
    config = 'platform: "onnxruntime_onnx"\nmax_batch_size: 8\nversion_policy { all {} }\n'
    (tmp_path / "repository" / "scaling" / "config.pbtxt").write_text(config)
    arguments = ("--triton-repository", str(tmp_path / "repository"), "--devices", "simulated:1x1Gi")

    with running_up(tmp_path / "state", *arguments) as up:
        wait_until(lambda: "serves scaling (version 3)" in up.printed(), "the repository is loaded", 60)

        wait_until(lambda: up.ask_or_say("scaling") == [6.0] * 4, "an answer of the latest version", 60)
        assert up.ask_grpc("scaling") == [6.0] * 4
