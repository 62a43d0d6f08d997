"""What connecting OneSignal asks for, and where OneSignal shows it."""

from __future__ import annotations

from typing import Any

from django import forms
from django.conf import settings
from django.utils.html import format_html

from integrations.destinations.forms import ConnectionForm


class OneSignalForm(ConnectionForm):
    """API Key and App ID of one app; the sandbox where this installation runs it."""

    config_fields = ("app_id", "sandbox")
    credential_fields = ("api_key",)

    api_key = forms.CharField(
        label="API Key",
        help_text="At OneSignal: Settings > Keys & IDs > API Keys. It is shown there once, when it is made.",
        error_messages={"required": "Give the App API Key; OneSignal shows it once, under Settings > Keys & IDs."},
        # Never sent back: a password's widget renders no value.
        widget=forms.PasswordInput(attrs={"autocomplete": "off", "spellcheck": "false"}),
    )
    app_id = forms.CharField(
        label="App ID",
        help_text="At OneSignal: Settings > Keys & IDs > OneSignal App ID.",
        error_messages={"required": "Give the App ID; OneSignal shows it under Settings > Keys & IDs."},
        widget=forms.TextInput(
            attrs={
                "autocomplete": "off",
                "spellcheck": "false",
                "placeholder": "00000000-0000-0000-0000-000000000000",
            }
        ),
    )
    sandbox = forms.BooleanField(
        label=format_html("Use the OneSignal sandbox that came with <code>{}</code>", "make up"), required=False
    )

    field_order = ("name", "user_id_property", "api_key", "app_id", "sandbox")

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["user_id_property"].help_text = (
            "A string on the profile: the person’s External ID at OneSignal (recommended: it is the same on every "
            "platform and for e-mail) or a Player ID."
        )
        if settings.SANDBOX_URL is None:
            del self.fields["sandbox"]
        else:
            self.fields["sandbox"].help_text = format_html(
                'A stand-in on this machine; nothing reaches a real device. <a href="{}" target="_blank" '
                'rel="noreferrer noopener">Open the sandbox</a> for its App IDs.',
                settings.SANDBOX_URL,
            )
