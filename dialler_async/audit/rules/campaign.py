"""Settings of a campaign: caller ID, closing on incoming calls, lines, and the key in a foreign system.

Source: API reference, "Campaign records".
"""

from collections.abc import Iterator

from ..account import AccountFacts, account_rule
from ..findings import Severity
from ..rule import CampaignFacts, Violation, rule
from ..summary import CampaignSummary
from .words import keys_of, name_equal_campaigns


@account_rule(
    "caller-id-off",
    Severity.WARNING,
    title="A campaign without a caller ID, where most other campaigns have one",
    why="Its calls transmit no number. The setting may have been forgotten.",
    fix="Switch the caller ID on, or accept the finding if the campaign is meant to call without a number.",
    settings={"percent": 90},
    codes=False,
)
def caller_id_off(account: AccountFacts, *, percent: int) -> Iterator[tuple[CampaignSummary, Violation]]:
    """Report `bCallerIDActive` false, if at least `percent` % of the other campaigns have it true.

    Campaigns that are missing from the facts count as campaigns without a caller ID.
    """
    known = [campaign for campaign in account.campaigns if campaign.caller_id_active is not None]
    on = sum(campaign.caller_id_active is True for campaign in known)
    number = len(known) - 1
    for campaign in known if on else ():
        if not campaign.caller_id_active and 100 * on >= percent * (number + account.missing):
            yield (
                campaign,
                Violation("bCallerIDActive", f"transmits no caller ID, while {on:,} of {number:,} others do"),
            )


@rule(
    "closes-without-code",
    Severity.WARNING,
    title="A campaign that closes contacts on incoming calls without a result code",
    why="The reference does not say which result such a contact gets, so reports may miss these contacts.",
    fix="Choose a result code for incoming calls, or switch the closing off.",
    codes=False,
)
def closes_without_code(facts: CampaignFacts) -> Iterator[Violation]:
    """Report `bCloseContactsOnIncomingCallsMatchCallerID` if the key for its result code was sent, and is null."""
    key = "IncomingCallResultCodesID"
    if facts.campaign.close_contacts_on_incoming_calls_match_caller_id and facts.wire.get(key, 0) is None:
        yield Violation(key, f"closes contacts on incoming calls, but {key} is not set")


@account_rule(
    "duplicate-user-data",
    Severity.WARNING,
    title="Campaigns with the same UserData",
    why="A foreign system that uses UserData as its key confuses these campaigns.",
    fix="Give each campaign a different UserData, or ignore the rule if no foreign system uses it as a key.",
    codes=False,
)
def duplicate_user_data(account: AccountFacts) -> Iterator[tuple[CampaignSummary, Violation]]:
    """Report a `UserData` that several campaigns have."""
    owners: dict[str, list[CampaignSummary]] = {}
    for campaign in account.campaigns:
        if campaign.user_data and campaign.user_data.strip():
            owners.setdefault(campaign.user_data, []).append(campaign)
    for data, same in owners.items():
        keys = keys_of(same)
        for campaign in same if len(same) > 1 else ():
            message = f"has the UserData “{data}”, like {name_equal_campaigns(campaign, same)}"
            yield campaign, Violation("UserData", message, campaigns=keys)


@rule(
    "no-line-cap",
    Severity.INFO,
    title="A campaign without a cap on its lines",
    why="It may use all lines at once, so that other campaigns have none.",
    fix="Set a cap on parallel lines, or ignore the rule if campaigns share the lines in another way.",
    codes=False,
)
def no_line_cap(facts: CampaignFacts) -> Iterator[Violation]:
    """Report `nMaxParallelLines` if the key was sent, and is null."""
    if facts.wire.get("nMaxParallelLines", 0) is None:
        yield Violation("nMaxParallelLines", "nMaxParallelLines is not set, so its parallel lines have no cap")
