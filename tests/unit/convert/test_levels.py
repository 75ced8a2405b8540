import pytest

from forebay_convert.failures import ConversionError
from forebay_convert.sandbox.levels import check_level
from forebay_schema.manifest import SandboxLevel


@pytest.mark.parametrize(
    ("level", "runs_code", "trusted", "pod", "accepted"),
    [
        ("full", True, False, False, True),
        ("no-filesystem", True, False, True, True),
        ("no-filesystem", True, False, False, False),
        ("no-filesystem", False, False, False, True),
        ("none", True, False, True, False),
        ("none", True, True, False, True),
        ("none", False, False, False, True),
    ],
)
def test_a_source_is_opened_only_where_it_can_be_isolated_or_is_trusted(
    level: SandboxLevel, runs_code: bool, trusted: bool, pod: bool, accepted: bool
) -> None:
    if accepted:
        check_level(level, runs_code=runs_code, trusted=trusted, pod=pod)
        return
    with pytest.raises(ConversionError) as caught:
        check_level(level, runs_code=runs_code, trusted=trusted, pod=pod)
    assert "This machine cannot isolate the conversion" in caught.value.failure.cause
    assert "A pickle can run any code as you." in caught.value.failure.cause
    assert "--trust-source" in caught.value.failure.remedy
