import pytest

from forebay_convert.sandbox.landlock import handled_rights, ruleset_attribute


@pytest.mark.parametrize(("version", "rights"), [(1, 13), (2, 14), (3, 15), (4, 15), (5, 16), (7, 16)])
def test_every_right_that_a_kernel_knows_is_handled(version: int, rights: int) -> None:
    assert handled_rights(version) == (1 << rights) - 1


@pytest.mark.parametrize(("version", "size"), [(1, 8), (3, 8), (4, 16), (5, 16), (6, 24), (8, 24)])
def test_a_kernel_is_told_no_more_than_it_knows(version: int, size: int) -> None:
    assert len(ruleset_attribute(version)) == size
