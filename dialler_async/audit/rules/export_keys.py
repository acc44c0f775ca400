"""Export keys, which back ends match on.

Source: API reference, "Result codes".
"""

from collections.abc import Iterator, Mapping, Sequence

from ..account import AccountFacts, account_rule
from ..findings import Severity
from ..rule import CampaignFacts, Violation, rule
from ..summary import CampaignSummary, CodeType
from .words import campaign_label, join_words, keys_of, shorten_list, subject


@rule(
    "duplicate-export-key",
    Severity.ERROR,
    title="Result codes of one campaign that share an export key",
    why="Back ends match on the export key, so they can't tell these results apart.",
    fix="Give each code of the campaign a different export key.",
)
def duplicate_export_key(facts: CampaignFacts) -> Iterator[Violation]:
    """Report an export key on several codes of a campaign."""
    first: dict[str | None, object] = {}
    shared = {
        code.export_key
        for identity, records in facts.by_code.items()
        for code in records.values()
        if first.setdefault(code.export_key, identity) != identity
    }
    for key in first:
        if key in shared and key and key.strip():
            groups = [[*records.values()] for records in facts.by_code.values()]
            codes = [subject(codes[0]) for codes in groups if any(code.export_key == key for code in codes)]
            message = f"codes {join_words(codes)} share the export key “{key}”"
            yield Violation(key, message, measure=len(codes))


@rule(
    "missing-export-key",
    Severity.WARNING,
    title="A result code without an export key",
    why="Back ends match on the export key, so they can't recognise this result.",
    fix="Give the code an export key.",
)
def missing_export_key(facts: CampaignFacts) -> Iterator[Violation]:
    """Report a code without an export key, or with a blank one."""
    for records in facts.by_code.values():
        code = next(iter(records.values()))
        if not code.export_key or not code.export_key.strip():
            yield Violation(subject(code), f"code {subject(code)}{_text(code.content)} has no export key")


@account_rule(
    "conflicting-export-key",
    Severity.WARNING,
    title="An export key that means different types in different campaigns",
    why="A back end that knows the key from one campaign misreads the results of another.",
    fix="Decide on one type for the key. In the other campaigns, give the code a different export key.",
)
def conflicting_export_key(account: AccountFacts) -> Iterator[tuple[CampaignSummary, Violation]]:
    """Report an export key with a type that differs from its type in most other campaigns.

    A violation is not certain if campaigns that were not checked could change the majority.
    """
    unknown = account.missing + account.without_codes
    owners: dict[str, dict[CodeType, list[CampaignSummary]]] = {}
    for campaign in account.campaigns:
        for key, type in campaign.export_keys:
            # Other rules report a key that is unclear within a campaign.
            if type is not CodeType.UNCLEAR:
                owners.setdefault(key, {}).setdefault(type, []).append(campaign)
    for key, by_type in owners.items():
        if len(by_type) > 1:
            yield from _deviations(key, by_type, unknown)


def _deviations(
    key: str, by_type: Mapping[CodeType, Sequence[CampaignSummary]], unknown: int
) -> Iterator[tuple[CampaignSummary, Violation]]:
    """Yield the campaigns that use the key differently from most; all campaigns, if there is no majority."""
    used = {type: f"{type} in {shorten_list(map(campaign_label, campaigns))}" for type, campaigns in by_type.items()}
    numbers = sorted(map(len, by_type.values()))
    lead = numbers[-1] - numbers[-2]
    usual = numbers[-1] if lead else None
    keys = tuple(one for campaigns in by_type.values() for one in keys_of(campaigns))
    for type, campaigns in by_type.items():
        if len(campaigns) == usual:
            continue
        others = join_words([use for other, use in used.items() if other is not type])
        for campaign in campaigns:
            message = f"the export key “{key}” is {type} here, but {others}"
            yield campaign, Violation(key, message, campaigns=keys, certain=not unknown or lead > unknown)


def _text(content: str | None) -> str:
    return f" (“{content}”)" if content else ""
