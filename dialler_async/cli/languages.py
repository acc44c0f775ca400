"""Names of languages on the command line."""

from collections.abc import Iterable
from typing import Annotated, Literal

from cyclopts import Parameter

from .. import Language

LanguageName = Literal["en", "de"]
LanguageNames = Annotated[tuple[LanguageName, ...], Parameter(negative=(), show_default=", ".join)]
ALL_LANGUAGES: tuple[LanguageName, ...] = ("en", "de")
_LANGUAGES: dict[LanguageName, Language] = {"en": Language.ENGLISH, "de": Language.GERMAN}


def languages_named(names: Iterable[LanguageName]) -> list[Language]:
    """Return the languages with these names."""
    return [_LANGUAGES[name] for name in names]


def language_code(languages_id: int | None) -> str:
    """Return `en` or `de`, the number of a language without a published name, or "" for None."""
    names = {language.value: name for name, language in _LANGUAGES.items()}
    return "" if languages_id is None else names.get(languages_id, str(languages_id))
