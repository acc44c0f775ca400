"""The names and texts of generated campaigns and result codes."""

from collections.abc import Mapping
from typing import Any, Literal

from attrs import frozen

ENGLISH, GERMAN = 1, 2

Kind = Literal["done", "aborted", "delay", "appointment"]

# For each kind: the flag, the ID of the type, and the text of the type by language.
_KINDS: dict[Kind, tuple[str, int, dict[int, str]]] = {
    "done": ("bDone", 1, {ENGLISH: "Completed", GERMAN: "Abschluss"}),
    "aborted": ("bAborted", 2, {ENGLISH: "Aborted", GERMAN: "Abbruch"}),
    "delay": ("bDelay", 3, {ENGLISH: "Delay", GERMAN: "Verzögerung"}),
    "appointment": ("bAppointment", 4, {ENGLISH: "Appointment", GERMAN: "Termin"}),
}


@frozen
class GlobalCode:
    """A global result code. Campaigns have copies of it (API reference, "Result codes")."""

    export_key: str
    kind: Kind
    english: str
    german: str
    minutes: int | None = None

    def templates(self) -> Mapping[int, dict[str, Any]]:
        """Return the wire record by language. Keys that depend on the campaign are None."""
        flag, type_id, type_texts = _KINDS[self.kind]
        texts = {ENGLISH: self.english, GERMAN: self.german}
        return {
            language: {
                "bDone": flag == "bDone",
                "DiallerResultCodesTypesContent": type_texts[language],
                "bDelay": flag == "bDelay",
                "DiallerCampaignsID": None,
                "DiallerResultCodesTypesShortText": f"DiallerResultCodesTypes.{type_id}",
                "bAllowDelete": self.export_key not in _CORE_EXPORT_KEYS,
                "ExportKey": self.export_key,
                "Content": text,
                "ShortText": None,
                "bAborted": flag == "bAborted",
                "ID": None,
                "bAgentBound": self.kind == "appointment" or None,
                "TimeOffset": self.minutes,
                "bAppointment": flag == "bAppointment",
                "DiallerResultCodesTypesID": type_id,
            }
            for language, text in texts.items()
        }


# Every campaign has these codes, so that it has a code of each kind.
CORE_CODES = (
    GlobalCode("ABG", "done", "Completed", "Abgeschlossen"),
    GlobalCode("KI", "aborted", "Not interested", "Kein Interesse"),
    GlobalCode("BESETZT", "delay", "Busy", "Besetzt", 15),
    GlobalCode("NE", "delay", "No answer", "Nicht erreicht", 120),
    GlobalCode("WV", "appointment", "Call back at a given time", "Wiedervorlage"),
)
_CORE_EXPORT_KEYS = frozenset(code.export_key for code in CORE_CODES)

# A campaign has a random selection of these codes. An export key has the same type in all campaigns.
OPTIONAL_CODES = (
    GlobalCode("VERKAUF", "done", "Sale", "Verkauf"),
    GlobalCode("UPGRADE", "done", "Upgraded to a bigger plan", "Tarif erhöht"),
    GlobalCode("INFO (Post)", "done", "Wants information by post", "Unterlagen per Post"),
    GlobalCode("INFO (E-Mail)", "done", "Wants information by e-mail", "Unterlagen per E-Mail"),
    GlobalCode("SPENDE", "done", "Donation promised", "Spende zugesagt"),
    GlobalCode("UMFRAGE OK", "done", "Interview finished", "Interview vollständig"),
    GlobalCode("HALTEN", "done", "Customer kept", "Kündigung zurückgenommen"),
    GlobalCode("DATEN OK", "done", "Address confirmed", "Adresse bestätigt"),
    GlobalCode("Aufleger", "aborted", "Hung up", "Aufleger"),
    GlobalCode("FALSCHE NR", "aborted", "Wrong number", "Falsche Nummer"),
    GlobalCode("KEIN ANSCHLUSS", "aborted", "Number not in service", "Kein Anschluss"),
    GlobalCode("SPERRE", "aborted", "Do not call again", "Werbesperre gewünscht"),
    GlobalCode("VERSTORBEN", "aborted", "Deceased", "Verstorben"),
    GlobalCode("VERZOGEN", "aborted", "Moved", "Unbekannt verzogen"),
    GlobalCode("HAT SCHON", "aborted", "Is a customer already", "Ist bereits Kunde"),
    GlobalCode("SPRACHE", "aborted", "No common language", "Keine Verständigung möglich"),
    GlobalCode("MINDERJ.", "aborted", "Under age", "Minderjährig"),
    GlobalCode("FAX", "aborted", "Fax or modem", "Fax oder Modem"),
    GlobalCode("AB", "delay", "Answering machine", "Anrufbeantworter", 240),
    GlobalCode("TECHNIK", "delay", "Line too bad", "Technische Störung", 30),
    GlobalCode("ENTSCHEIDER", "delay", "Decision maker away", "Entscheider abwesend", 1440),
    GlobalCode("URLAUB", "delay", "On holiday", "Im Urlaub", 10080),
    GlobalCode("TERMIN", "appointment", "Visit agreed", "Besuchstermin vereinbart"),
    GlobalCode("RR AGENT", "appointment", "Call back by the same agent", "Rückruf durch Agent"),
    GlobalCode("RR TEAM", "appointment", "Call back by the team", "Rückruf durch Team"),
)

# These parts of campaign names have no digits, because a number makes each name unique.
PURPOSES = (
    "Sommeraktion", "Winterangebot", "Kündiger-Rückgewinnung", "Bestandskunden", "Winback",
    "Neukunden / Outbound", "Zufriedenheitsbefragung", "Customer survey", "Renewal calls",
    "Spendenaufruf", "Terminvereinbarung Außendienst", "Rückruf „Störung“", "Upsell & Cross-sell",
    "Mahnlauf (freundlich)", "Welcome call", "Erinnerung Wartung", "Newsletter + Hotline",
    "B2B Lead follow-up", "Probe-Abo", "Händler-Akquise", "Event invitation", "Umzugsservice",
    "Ökostrom 100%", "Glasfaser_Ausbau", "Kfz-Versicherung", "Don't forget: check-up",
)  # fmt: skip
PLACES = (
    "München", "Köln", "Düsseldorf", "Berlin", "Hamburg", "Zürich", "Wien", "Graz", "London",
    "Saarbrücken", "Nürnberg", "Nord", "Süd", "Ost", "West", "DACH", "UK & Ireland", "bundesweit",
    "Mainz/Wiesbaden", "Großkunden", "Team Müller", "Team O'Brien", "VIP",
)  # fmt: skip
# A name with this suffix exceeds the maximum length, so the generator cuts the name.
LONG_SUFFIX = ", Nachtelefonie der nicht erreichten Kontakte aus dem Vorquartal"
