from pathlib import Path

from forebay_operator.worlds.local.store import LocalStore
from forebay_schema.store import ConversionRecord

DIGEST, OTHER = "a" * 64, "b" * 64


def a_store(root: Path) -> LocalStore:
    for digest in (DIGEST, OTHER):
        folder = root / "default" / "artifacts" / digest
        folder.mkdir(parents=True)
        (folder / "manifest.json").write_text("{}")
        record = root / "default" / "conversions" / f"{digest[:8]}.json"
        record.parent.mkdir(exist_ok=True)
        record.write_text(ConversionRecord(artifact=digest).to_json())
    return LocalStore(root)


def test_whole_artifacts_are_listed_and_half_ones_are_not(tmp_path: Path) -> None:
    store = a_store(tmp_path)
    (tmp_path / "default" / "artifacts" / ("c" * 64)).mkdir()
    (tmp_path / "default" / "artifacts" / "being-written.tmp").mkdir()

    assert [stored.digest for stored in store.artifacts()] == [DIGEST, OTHER]


def test_a_collected_artifact_goes_with_the_records_that_name_it(tmp_path: Path) -> None:
    store = a_store(tmp_path)

    store.collect("default", DIGEST)

    assert [stored.digest for stored in store.artifacts()] == [OTHER]
    assert [path.stem for path in (tmp_path / "default" / "conversions").iterdir()] == [OTHER[:8]]


def test_a_manifest_that_cannot_be_read_is_none(tmp_path: Path) -> None:
    assert a_store(tmp_path).manifest("default", DIGEST) is None
