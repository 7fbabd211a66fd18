"""Every rule has a test, and the page that lists them is up to date."""

from __future__ import annotations

from tests.support import rules


def test_no_rule_is_without_a_test() -> None:
    """A rule that nobody shows is a rule that nobody keeps."""
    assert [rule for rule, tests in rules.tests_of_rules().items() if not tests] == []


def test_the_page_is_up_to_date() -> None:
    """Run `python -m tests.support.rules` to write it."""
    assert rules.PAGE.read_text() == rules.page()
