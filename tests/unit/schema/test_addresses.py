import pytest

from forebay_schema.addresses import ModelAddress, address_of_authority

DIGITS = ModelAddress(namespace="team-a", name="digits")


@pytest.mark.parametrize(
    ("authority", "expected"),
    [
        ("digits.team-a", DIGITS),
        ("digits.team-a:8000", DIGITS),
        ("digits.team-a.svc", DIGITS),
        ("Digits.Team-A.svc.cluster.local:80", DIGITS),
        ("digits", None),
        ("127.0.0.1:8000", None),
        ("0.127", None),
        ("localhost:8000", None),
        ("digits.team-a.example.com", None),
        ("digits.team-a.svc.other", None),
        ("-digits.team-a", None),
        ("digits.team_a", None),
        ("[::1]:8000", None),
        ("", None),
    ],
)
def test_an_authority_names_a_model_only_in_the_agreed_forms(authority: str, expected: ModelAddress | None) -> None:
    assert address_of_authority(authority) == expected
