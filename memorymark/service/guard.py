"""Who visits the app, and who may start, stop and delete: by run key, by sign-in, or everybody."""

from __future__ import annotations

from dataclasses import dataclass

from memorymark.errors import NotAllowed
from memorymark.service.run_key import RunKeyGuard, network_of
from memorymark.settings import Settings, same_address


@dataclass(frozen=True)
class Visitor:
    """A user of the app.

    Attributes:
        user: Address under which the visitor is signed in; None where not signed in.
        run_key: The run key that the visitor entered.
        address: Where the visitor comes from; None where that is this machine, or unknown.
        session: Name of the session of the visitor's browser.
    """

    user: str | None = None
    run_key: str | None = None
    address: str | None = None
    session: str | None = None

    @property
    def name(self) -> str | None:
        """What tells this visitor from others, as well as that is known."""
        return self.user or (network_of(self.address) if self.address else self.session)


class Guard:
    """Lets visitors pass as the owner's settings say.

    Args:
        settings: The owner's settings.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._run_key = RunKeyGuard(settings.run_key)

    def check(self, visitor: Visitor) -> None:
        """Let a visitor pass.

        Raises:
            NotAllowed: The visitor may not; the error says what is missing.
        """
        self._run_key.check(visitor.run_key, visitor.session, visitor.address)
        self._check_user(visitor)

    def knows(self, visitor: Visitor) -> bool:
        """Say whether a visitor was let pass before.

        It compares no key: a page that is only read is no guess.
        """
        try:
            self._check_user(visitor)
        except NotAllowed:
            return False
        return self._run_key.knows(visitor.run_key, visitor.session)

    def _check_user(self, visitor: Visitor) -> None:
        if not self._settings.sign_in:
            return
        if visitor.user is None:
            raise NotAllowed("Sign-in is required. Use the button in the sidebar.")
        allowed = self._settings.allowed_users
        if allowed and same_address(visitor.user) not in allowed:
            raise NotAllowed(f"{visitor.user} may view runs, but not start or delete them here.")
