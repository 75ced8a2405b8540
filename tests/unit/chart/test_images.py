"""images/Containerfile, as far as it can be judged without building anything."""

import re
import tomllib

import pytest

from chart_rendering import ROOT

TEXT = (ROOT / "images" / "Containerfile").read_text(encoding="utf-8")
IGNORE = (ROOT / "images" / "Containerfile.dockerignore").read_text(encoding="utf-8")
SCRIPTS = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["scripts"]
IMAGES = ["operator", "gateway", "runtime", "runtime-gpu", "convert-sklearn"]


def _stages() -> dict[str, str]:
    parts = re.split(r"^FROM (\S+) AS (\S+)$", TEXT, flags=re.MULTILINE)
    return dict(zip(parts[2::3], parts[3::3], strict=True))


def test_there_is_a_target_for_each_image() -> None:
    assert sorted(_stages()) == sorted(["tools", *IMAGES])


@pytest.mark.parametrize("image", IMAGES)
def test_an_image_has_the_pinned_packages_of_its_own_set(image: str) -> None:
    assert f"install.sh {image}\n" in _stages()[image]
    assert "--hash=" in (ROOT / "requirements" / f"{image}.txt").read_text(encoding="utf-8")


@pytest.mark.parametrize("image", IMAGES)
def test_an_image_runs_one_of_our_commands_as_nobody_special(image: str) -> None:
    stage = _stages()[image]
    entry = re.search(r'^ENTRYPOINT \["/opt/forebay/bin/([a-z-]+)"(?:, "-m", "(\w+)")?\]$', stage, flags=re.MULTILINE)

    assert entry is not None
    assert entry[1] in SCRIPTS or (ROOT / "operator" / entry[2] / "__main__.py").is_file()
    assert "USER 10001:10001\n" in stage


@pytest.mark.parametrize("image", IMAGES)
def test_an_image_runs_as_whatever_user_the_cluster_chooses(image: str) -> None:
    """As OpenShift does, with the group 0: nothing of it is for its own user alone, and what it writes is elsewhere."""
    stage = _stages()[image]
    script = (ROOT / "images" / "install.sh").read_text(encoding="utf-8")

    assert "ENV HOME=/tmp PYTHONDONTWRITEBYTECODE=1" in stage, "a user without an entry in /etc/passwd has no home"
    assert [word for word in ("chown", "chmod", "umask", "--chown", "--chmod") if word in stage + script] == []


@pytest.mark.parametrize("image", ["runtime", "runtime-gpu", "convert-sklearn"])
def test_onnxruntime_is_told_to_keep_to_itself(image: str) -> None:
    assert "ORT_DISABLE_TELEMETRY=1" in _stages()[image]


def test_every_package_is_checked_by_its_hash() -> None:
    script = (ROOT / "images" / "install.sh").read_text(encoding="utf-8")
    commands = [part for line in TEXT.replace("\\\n", "").splitlines() for part in line.split("&&")]
    installs = [part for part in commands if " pip install " in part or "/pip install " in part]

    assert len(installs) == 2
    assert [part for part in installs if "--require-hashes" not in part] == []
    assert re.findall(r"^install .*$", script, flags=re.MULTILINE) == [
        'install --require-hashes --requirement "/mnt/source/requirements/$set_name.txt"',
        "install --no-deps /mnt/tools/wheel/*.whl",
    ]


@pytest.mark.parametrize("image", IMAGES)
def test_an_image_is_built_anew_when_what_it_is_made_of_changes(image: str) -> None:
    """Builders that cache layers do not look into what a command mounts, but into what was copied before it."""
    stage = _stages()[image]

    assert -1 < stage.find("COPY --from=tools /tools/contents ") < stage.find("RUN --mount=")


def test_both_base_images_are_build_arguments() -> None:
    bases = set(re.findall(r"^FROM (\S+) AS", TEXT, flags=re.MULTILINE))

    assert bases == {"${BASE}", "${BASE_GPU}"}
    assert re.findall(r"^ARG (BASE\w*)=(\S+)$", TEXT, flags=re.MULTILINE)


def test_whatever_is_copied_is_let_through() -> None:
    copied = {source for line in re.findall(r"^COPY (?!--)(.+) \S+$", TEXT, flags=re.MULTILINE) for source in line.split()}
    let_through = {line[1:] for line in IGNORE.splitlines() if line.startswith("!")}

    assert copied == let_through
