"""Encryption at rest of destination credentials, with keys that can be rotated (design.md, invariant 8)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from cryptography.fernet import Fernet, InvalidToken, MultiFernet
from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.db import models


class CredentialUnreadable(ImproperlyConfigured):
    """None of CREDENTIAL_KEYS decrypts a stored credential."""


def _fernet() -> MultiFernet:
    return MultiFernet([Fernet(key) for key in settings.CREDENTIAL_KEYS])


if TYPE_CHECKING:
    _TextField = models.TextField[str, str]
else:
    _TextField = models.TextField


class EncryptedTextField(_TextField):
    """Text stored as a Fernet token: the first of CREDENTIAL_KEYS encrypts, any of them decrypts.

    Empty text is stored as empty text, so that "no credential" can be seen without a key. A token that no key opens
    raises CredentialUnreadable rather than passing the ciphertext on as if it were the credential.
    """

    def get_prep_value(self, value: Any) -> Any:
        text = super().get_prep_value(value)
        return _fernet().encrypt(text.encode()).decode() if text else text

    def from_db_value(self, value: str | None, *_: object) -> str | None:
        if not value:
            return value
        try:
            return _fernet().decrypt(value.encode()).decode()
        except InvalidToken as error:
            raise CredentialUnreadable(
                "A stored credential cannot be read with the keys in CREDENTIAL_KEYS. "
                "Put the key that encrypted it back into the list (any position)."
            ) from error
