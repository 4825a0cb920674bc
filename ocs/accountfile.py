"""Reading ``config/accounts.toml``: shape first, then sense, every fault with its line and its cure."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any, Final

from ocs.charging.rules import AccountRules
from ocs.errors import EXIT_CONFIG, StartRefusedError
from ocs.rating.faults import ConfigFault, FaultList, did_you_mean
from ocs.rating.tomlfile import TomlFile
from ocs.settings_file import decode_table

ACCOUNTS_FILE: Final = "accounts.toml"
DAYS_MAX: Final = 3660


def load_account_rules(config_dir: Path, plans: Mapping[str, str] | None = None) -> AccountRules | list[ConfigFault]:
    """Read the file beside the settings; without one there are no rules. ``plans`` are the currencies by plan, if known."""
    faults = FaultList(ACCOUNTS_FILE)
    try:
        text = (config_dir / ACCOUNTS_FILE).read_text(encoding="utf-8")
    except FileNotFoundError:
        return AccountRules()
    except (OSError, UnicodeDecodeError) as error:
        faults.add(1, "file", f"cannot be read: {error}", "save it as UTF-8, readable for us")
        return faults.sorted()
    file = TomlFile(text, faults)
    rules = decode_table(file, file.table, AccountRules, ())
    if rules is not None:
        _check_sense(rules, file, plans)
    return faults.sorted() or rules or AccountRules()


def account_rules(config_dir: Path, plans: Mapping[str, str] | None = None) -> AccountRules:
    """The same for a start: raises StartRefusedError with every fault."""
    rules = load_account_rules(config_dir, plans)
    if isinstance(rules, AccountRules):
        return rules
    raise StartRefusedError("\n".join(f"{config_dir}/{fault}" for fault in rules), EXIT_CONFIG)


def _check_sense(rules: AccountRules, file: TomlFile, plans: Mapping[str, str] | None) -> None:
    seen: set[str] = set()
    for at, lifecycle in enumerate(rules.lifecycles):
        path = ("lifecycles", at)
        _check_plans(file, path, lifecycle.plans, plans)
        for plan in lifecycle.plans or ("",):
            if plan in seen:
                what = f"{plan!r} has a lifecycle above" if plan else "is the second one without plans"
                file.fault((*path, "plans"), what, "one for each plan")
            seen.add(plan)
        for field in lifecycle.__struct_fields__[1:]:
            days = getattr(lifecycle, field)
            if not 0 <= days <= DAYS_MAX:
                file.fault((*path, field), f"is {days}", f"0 to {DAYS_MAX} days")


def _check_plans(file: TomlFile, path: Any, named: Collection[str], plans: Mapping[str, str] | None) -> None:
    for plan in named if plans is not None else ():
        if plan not in (plans or {}):
            file.fault((*path, "plans"), f"there is no plan {plan!r}", did_you_mean(plan, plans or {}))
