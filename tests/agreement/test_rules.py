"""Every rule has a test, and the page that lists them is up to date."""

from __future__ import annotations

from tests.support import rules


def test_no_rule_is_without_a_test() -> None:
    """A rule that nobody shows is a rule that nobody keeps."""
    without = {rule for rule, tests in rules.tests_of_rules().items() if not tests}
    assert without == set()


def test_every_rule_is_listed_in_its_group() -> None:
    """The page shows every rule once."""
    assert {rule[0] for rule in rules.RULES} == set(rules.GROUPS)


def test_the_page_is_up_to_date() -> None:
    """`make rules` writes it."""
    assert rules.PAGE.read_text() == rules.page()
