"""The store's credentials: what opens a store, and nothing else that lies in the same Secret."""

import logging
from pathlib import Path

import pytest

from forebay_operator.settings import SettingsError, read_store_credentials


def test_only_what_opens_a_store_is_read_and_the_rest_is_named(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    said = {"AWS_ACCESS_KEY_ID": "id", "AWS_SECRET_ACCESS_KEY": "secret\n", "AWS_ENDPOINT_URL": "https://s3.example.com"}
    others = {"LD_PRELOAD": "evil.so", "DATABASE_PASSWORD": "hush"}
    for name, value in (said | others).items():
        (tmp_path / name).write_text(value)
    with caplog.at_level(logging.WARNING):
        assert read_store_credentials(tmp_path) == said | {"AWS_SECRET_ACCESS_KEY": "secret"}
    (record,) = caplog.records
    assert record.__dict__["forebay_fields"]["ignored"] == "DATABASE_PASSWORD, LD_PRELOAD"
    assert "hush" not in str(record.__dict__)


def test_a_file_beside_them_may_be_of_any_bytes(tmp_path: Path) -> None:
    (tmp_path / "keystore.p12").write_bytes(b"\xff\xfe")
    assert read_store_credentials(tmp_path) == {}


def test_credentials_that_are_no_text_are_named(tmp_path: Path) -> None:
    (tmp_path / "AWS_REGION").write_bytes(b"\xff\xfe")
    with pytest.raises(SettingsError, match="cannot be read"):
        read_store_credentials(tmp_path)


def test_without_a_folder_there_are_none() -> None:
    assert read_store_credentials(None) == {}
