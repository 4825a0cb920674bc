"""``accounts.toml``: every fault with its line and its cure, all at once; without the file there are no rules."""

from __future__ import annotations

from pathlib import Path

from ocs.accountfile import load_account_rules
from ocs.charging.rules import AccountRules, Lifecycle
from ocs.rating.bundles import Package

PLANS = {"retail-eur": "EUR", "test-eur": "EUR"}


def _faults(folder: Path, text: str) -> list[str]:
    (folder / "accounts.toml").write_text(text, encoding="utf-8")
    found = load_account_rules(folder, PLANS)
    return [str(fault) for fault in found] if isinstance(found, list) else []


def test_the_sample_has_no_faults(project_root: Path) -> None:
    """And its commented lines are lawful, too."""
    assert isinstance(load_account_rules(project_root / "config"), AccountRules)


def test_the_comments_of_the_sample_are_right(project_root: Path, tmp_path: Path) -> None:
    """What an operator gets who takes the marks away."""
    lines = (project_root / "config" / "accounts.toml").read_text(encoding="utf-8").splitlines()
    fields = [line[2:] for line in lines if line.startswith("# ") and ("[[" in line or " = " in line)]
    assert _faults(tmp_path, "\n".join(fields)) == []
    rules = load_account_rules(tmp_path, PLANS)
    assert isinstance(rules, AccountRules)
    assert rules.lifecycles[0].valid_days == 90


def test_what_comes_with_a_plan_is_sold_by_it(tmp_path: Path) -> None:
    """The packages of [[plan_changes]]: known to each plan that is named, and bought anew; with line and cure."""
    monthly, once = Package("Monthly", 1, (), "UTC", "month"), Package("Once", 1, (), "UTC")
    wares = {"retail-eur": {"Monthly": monthly, "Once": once}, "test-eur": {}}
    (tmp_path / "accounts.toml").write_text(
        """
[[plan_changes]]
plans = ["retail-eur"]
packages = ["Monthly", "Montly"]

[[plan_changes]]
plans = ["test-eur"]
packages = ["Monthly"]

[[plan_changes]]
packages = ["Once", "Twice"]
""",
        encoding="utf-8",
    )
    faults = load_account_rules(tmp_path, PLANS, wares)
    assert isinstance(faults, list)
    assert [str(fault) for fault in faults] == [
        "accounts.toml:4: plan_changes.packages: retail-eur sells no package 'Montly' (did you mean Monthly?)",
        "accounts.toml:8: plan_changes.packages: test-eur sells no package 'Monthly' (none is known)",
        "accounts.toml:11: plan_changes.packages: 'Once' has no period (name one that is bought anew, or give it `every`)",
        "accounts.toml:11: plan_changes.packages: no plan sells a package 'Twice' (see [[packages]] in config/rateplans)",
    ]


def test_no_file_is_no_rule(tmp_path: Path) -> None:
    """Accounts are active until somebody says otherwise."""
    assert load_account_rules(tmp_path) == AccountRules()


def test_all_faults_are_found_at_once(tmp_path: Path) -> None:
    """Unknown plans and fields, days out of range, two entries for one plan."""
    faults = _faults(
        tmp_path,
        """
[[lifecycles]]
plans = ["retail-eu"]
valid_days = -1

[[lifecycles]]
plans = ["test-eur"]

[[lifecycles]]
plans = ["test-eur"]
""",
    )
    assert faults == [
        "accounts.toml:3: lifecycles.plans: there is no plan 'retail-eu' (did you mean retail-eur?)",
        "accounts.toml:4: lifecycles.valid_days: is -1 (0 to 3660 days)",
        "accounts.toml:10: lifecycles.plans: 'test-eur' has a lifecycle above (one for each plan)",
    ]
    assert "valid_day" in _faults(tmp_path, "[[lifecycles]]\nvalid_day = 1")[0]


def test_the_entry_that_names_the_plan_goes_first() -> None:
    """One without plans is for all the others."""
    rules = AccountRules(lifecycles=(Lifecycle(valid_days=1), Lifecycle(plans=("a",), valid_days=2)))
    assert [getattr(rules.lifecycle_of(plan), "valid_days", 0) for plan in ("a", "b")] == [2, 1]
    assert AccountRules().lifecycle_of("a") is None
