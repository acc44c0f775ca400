"""The languages by their names on the command line."""

from typing import Literal

from dialler_async import Language

LanguageName = Literal["en", "de"]
LANGUAGES: dict[LanguageName, Language] = {"en": Language.ENGLISH, "de": Language.GERMAN}


def language_name(languages_id: int | None) -> str:
    """Return `en` or `de`; the number of a language that has no published name; nothing for None."""
    names = {language.value: name for name, language in LANGUAGES.items()}
    return "" if languages_id is None else names.get(languages_id, str(languages_id))
