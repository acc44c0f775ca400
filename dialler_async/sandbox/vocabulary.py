"""The words of generated campaigns and result codes."""

from collections.abc import Mapping
from typing import Any, Literal

from attrs import frozen

ENGLISH, GERMAN = 1, 2

Kind = Literal["done", "aborted", "delay", "appointment"]

# Flag, type ID, and the type's text by language.
_KINDS: dict[Kind, tuple[str, int, dict[int, str]]] = {
    "done": ("bDone", 1, {ENGLISH: "Completed", GERMAN: "Abschluss"}),
    "aborted": ("bAborted", 2, {ENGLISH: "Aborted", GERMAN: "Abbruch"}),
    "delay": ("bDelay", 3, {ENGLISH: "Delay", GERMAN: "Verzögerung"}),
    "appointment": ("bAppointment", 4, {ENGLISH: "Appointment", GERMAN: "Termin"}),
}


@frozen
class Word:
    """A global result code, of which campaigns get copies (API reference, "Result codes")."""

    export_key: str
    kind: Kind
    english: str
    german: str
    minutes: int | None = None

    def templates(self) -> Mapping[int, dict[str, Any]]:
        """Return the wire record by language; keys that depend on the campaign are None."""
        flag, type_id, type_texts = _KINDS[self.kind]
        texts = {ENGLISH: self.english, GERMAN: self.german}
        return {
            language: {
                "bDone": flag == "bDone",
                "DiallerResultCodesTypesContent": type_texts[language],
                "bDelay": flag == "bDelay",
                "DiallerCampaignsID": None,
                "DiallerResultCodesTypesShortText": f"DiallerResultCodesTypes.{type_id}",
                "bAllowDelete": self.export_key not in _CORE_KEYS,
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


# In every campaign, so that each has a success, an abort, a delay and an appointment.
CORE = (
    Word("ABG", "done", "Completed", "Abgeschlossen"),
    Word("KI", "aborted", "Not interested", "Kein Interesse"),
    Word("BESETZT", "delay", "Busy", "Besetzt", 15),
    Word("NE", "delay", "No answer", "Nicht erreicht", 120),
    Word("WV", "appointment", "Call back at a given time", "Wiedervorlage"),
)
_CORE_KEYS = frozenset(word.export_key for word in CORE)

# In some campaigns. An export key has the same type everywhere.
MORE = (
    Word("VERKAUF", "done", "Sale", "Verkauf"),
    Word("UPGRADE", "done", "Upgraded to a bigger plan", "Tarif erhöht"),
    Word("INFO (Post)", "done", "Wants information by post", "Unterlagen per Post"),
    Word("INFO (E-Mail)", "done", "Wants information by e-mail", "Unterlagen per E-Mail"),
    Word("SPENDE", "done", "Donation promised", "Spende zugesagt"),
    Word("UMFRAGE OK", "done", "Interview finished", "Interview vollständig"),
    Word("HALTEN", "done", "Customer kept", "Kündigung zurückgenommen"),
    Word("DATEN OK", "done", "Address confirmed", "Adresse bestätigt"),
    Word("Aufleger", "aborted", "Hung up", "Aufleger"),
    Word("FALSCHE NR", "aborted", "Wrong number", "Falsche Nummer"),
    Word("KEIN ANSCHLUSS", "aborted", "Number not in service", "Kein Anschluss"),
    Word("SPERRE", "aborted", "Do not call again", "Werbesperre gewünscht"),
    Word("VERSTORBEN", "aborted", "Deceased", "Verstorben"),
    Word("VERZOGEN", "aborted", "Moved", "Unbekannt verzogen"),
    Word("HAT SCHON", "aborted", "Is a customer already", "Ist bereits Kunde"),
    Word("SPRACHE", "aborted", "No common language", "Keine Verständigung möglich"),
    Word("MINDERJ.", "aborted", "Under age", "Minderjährig"),
    Word("FAX", "aborted", "Fax or modem", "Fax oder Modem"),
    Word("AB", "delay", "Answering machine", "Anrufbeantworter", 240),
    Word("TECHNIK", "delay", "Line too bad", "Technische Störung", 30),
    Word("ENTSCHEIDER", "delay", "Decision maker away", "Entscheider abwesend", 1440),
    Word("URLAUB", "delay", "On holiday", "Im Urlaub", 10080),
    Word("TERMIN", "appointment", "Visit agreed", "Besuchstermin vereinbart"),
    Word("RR AGENT", "appointment", "Call back by the same agent", "Rückruf durch Agent"),
    Word("RR TEAM", "appointment", "Call back by the team", "Rückruf durch Team"),
)

# Parts of campaign names. They have no digits, because the number makes each name unique.
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
# Long enough for a name of the maximal length.
SEQUEL = ", Nachtelefonie der nicht erreichten Kontakte aus dem Vorquartal"
