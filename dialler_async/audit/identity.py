"""Which account a report is about."""

import attrs
from yarl import URL


@attrs.frozen
class AccountIdentity:
    """An account on a server, without any secret.

    Attributes:
        server: host, port if it is not the usual one, and path, such as `acd.example.com/rest/v1.0`.
        clients_id: the account's ClientsID; None if the base URL does not end in one.
    """

    server: str
    clients_id: int | None

    @classmethod
    def of(cls, base_url: str) -> "AccountIdentity":
        """Return the identity of the account that a base URL leads to.

        Args:
            base_url: as `DiallerClient.base_url` returns it. User info, query and fragment are left out.
        """
        url = URL(base_url)
        server = f"{url.host_port_subcomponent or ''}{url.raw_path.rstrip('/')}"
        above, _, last = server.rpartition("/")
        return cls(above, int(last)) if last.isascii() and last.isdigit() else cls(server, None)

    def is_on(self, server: str) -> bool:
        """Return whether the account is on a server that is given as host, host and path, or URL."""
        given = server.rpartition("://")[2].rstrip("/")
        return self.server == given or self.server.startswith(f"{given}/")

    def __str__(self) -> str:
        return self.server if self.clients_id is None else f"account {self.clients_id} on {self.server}"
