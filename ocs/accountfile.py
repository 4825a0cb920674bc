"""Reading ``config/accounts.toml``: shape first, then sense, every fault with its line and its cure."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any, Final, TypeAlias

from balance.money import AmountError, parse_amount
from ocs.charging.rules import AccountRules
from ocs.errors import EXIT_CONFIG, StartRefusedError
from ocs.rating.bundles import Package
from ocs.rating.faults import ConfigFault, FaultList, did_you_mean
from ocs.rating.tomlfile import TomlFile
from ocs.settings_file import decode_table

ACCOUNTS_FILE: Final = "accounts.toml"
DAYS_MAX: Final = 3660
NOTICE_DAYS_MAX: Final = 90
Wares: TypeAlias = Mapping[str, Mapping[str, Package]]
_WARN_MAX: Final = 99
_DECIMALS: Final = 6  # every currency has as many


def load_account_rules(
    config_dir: Path, plans: Mapping[str, str] | None = None, wares: Wares | None = None
) -> AccountRules | list[ConfigFault]:
    """Read the file beside the settings; without one there are no rules.

    ``plans`` are the currencies by plan, ``wares`` the packages that each of them sells, if known.
    """
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
        if wares is not None:
            _check_packages(rules, file, wares)
    return faults.sorted() or rules or AccountRules()


def account_rules(config_dir: Path, plans: Mapping[str, str] | None = None) -> AccountRules:
    """The same for a start: raises StartRefusedError with every fault."""
    rules = load_account_rules(config_dir, plans)
    if isinstance(rules, AccountRules):
        return rules
    raise StartRefusedError("\n".join(f"{config_dir}/{fault}" for fault in rules), EXIT_CONFIG)


def _check_sense(rules: AccountRules, file: TomlFile, plans: Mapping[str, str] | None) -> None:
    _check_caps(rules, file, plans)
    _check_velocity(rules, file, plans)
    for at, change in enumerate(rules.plan_changes):
        _check_plans(file, ("plan_changes", at), change.plans, plans)
    for at, notice in enumerate(rules.expiry_notices):
        path: tuple[str, int] = ("expiry_notices", at)
        _check_plans(file, path, notice.plans, plans)
        if not 1 <= notice.days <= NOTICE_DAYS_MAX:
            file.fault((*path, "days"), f"is {notice.days}", f"1 to {NOTICE_DAYS_MAX} days")
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


def _check_packages(rules: AccountRules, file: TomlFile, wares: Wares) -> None:
    """What comes with a change of plan has to be sold by the plan, and to have a period."""
    for at, change in enumerate(rules.plan_changes):
        path = ("plan_changes", at, "packages")
        for name in change.packages:
            for plan in (each for each in change.plans if each in wares and name not in wares[each]):
                file.fault(path, f"{plan} sells no package {name!r}", did_you_mean(name, wares[plan]))
            sold = [wares[plan][name] for plan in change.plans or wares if name in wares.get(plan, {})]
            if not change.plans and not sold:
                file.fault(path, f"no plan sells a package {name!r}", "see [[packages]] in config/rateplans")
            if any(not package.every for package in sold):
                file.fault(path, f"{name!r} has no period", "name one that is bought anew, or give it `every`")


def _check_caps(rules: AccountRules, file: TomlFile, plans: Mapping[str, str] | None) -> None:
    seen: set[tuple[str, str]] = set()
    for at, cap in enumerate(rules.caps):
        path = ("caps", at)
        _check_plans(file, path, cap.plans, plans)
        for plan in cap.plans or ("",):
            if (plan, cap.name) in seen:
                file.fault((*path, "name"), f"{cap.name!r} is there already", "give each its own name")
            seen.add((plan, cap.name))
            if plans and plan and plans.get(plan, cap.currency) != cap.currency:
                file.fault((*path, "currency"), f"{plan} is in {plans[plan]}", "a cap is in the currency of its plans")
        try:
            is_more = parse_amount(cap.most, _DECIMALS) > 0
        except AmountError as error:
            file.fault((*path, "most"), str(error), 'a decimal number, such as "50.00"')
        else:
            if not is_more:
                file.fault((*path, "most"), f"is {cap.most}", "more than zero")
        if not 0 <= cap.warn_percent <= _WARN_MAX:
            file.fault((*path, "warn_percent"), f"is {cap.warn_percent}", "1 to 99, or 0 for no warning")


def _check_velocity(rules: AccountRules, file: TomlFile, plans: Mapping[str, str] | None) -> None:
    for at, rule in enumerate(rules.velocity):
        path = ("velocity", at)
        _check_plans(file, path, rule.plans, plans)
        for field in ("spend_per_minute", "dear_per_minute"):
            try:
                parse_amount(getattr(rule, field), _DECIMALS)
            except AmountError as error:
                file.fault((*path, field), str(error), 'a decimal number, such as "5.00"')
        if not 0 <= rule.short_percent <= 100:
            file.fault((*path, "short_percent"), f"is {rule.short_percent}", "1 to 100, or 0: not looked at")
        if rule.new_destinations and rule.dear_per_minute == "0":
            file.fault(
                (*path, "dear_per_minute"), "is missing", "say from which price a minute on a destination is dear"
            )
        for field in ("shrink_to_s", "shrink_to_octets", "shrink_minutes", "calls_min"):
            if getattr(rule, field) < 1:
                file.fault((*path, field), f"is {getattr(rule, field)}", "1 or more")


def _check_plans(file: TomlFile, path: Any, named: Collection[str], plans: Mapping[str, str] | None) -> None:
    for plan in named if plans is not None else ():
        if plan not in (plans or {}):
            file.fault((*path, "plans"), f"there is no plan {plan!r}", did_you_mean(plan, plans or {}))
