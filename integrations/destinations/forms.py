"""The form of a connection. A destination's own form adds what only it asks for, and says where each value goes.

What may be entered is decided by `integrations/connections.py` and the destination's `read_settings`; its refusals
name a field with a dotted path (`credentials.api_key`), which is the form's field of the last part of it.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import Any, ClassVar

from django import forms
from django.conf import settings

NAME_REQUIRED = "Give the connection a name, so that you can tell it from others."
# What `<datalist>` carries the project's own property names in.
PROPERTY_LIST = "user-id-properties"


class ConnectionForm(forms.Form):
    """What every destination asks for."""

    # Which of the own fields go to `config` and to `credentials` of `integrations.connections.connect`.
    config_fields: ClassVar[tuple[str, ...]] = ()
    credential_fields: ClassVar[tuple[str, ...]] = ()
    advanced_fields: ClassVar[tuple[str, ...]] = ("segment_prefix", "max_requests_per_second")

    name = forms.CharField(
        label="Connector name",
        max_length=255,
        error_messages={"required": NAME_REQUIRED},
        widget=forms.TextInput(attrs={"autocomplete": "off"}),
    )
    user_id_property = forms.CharField(
        label="User ID property",
        max_length=255,
        required=False,
        help_text="A string on the profile: the person’s id over there.",
        widget=forms.TextInput(
            attrs={
                "list": PROPERTY_LIST,
                "autocomplete": "off",
                "spellcheck": "false",
            }
        ),
    )
    segment_prefix = forms.CharField(
        label="Segment name prefix",
        max_length=64,
        required=False,
        strip=False,
        initial="(CohortSync) ",
        help_text="Goes before the cohort’s name over there.",
        widget=forms.TextInput(attrs={"autocomplete": "off"}),
    )
    max_requests_per_second = forms.IntegerField(label="Requests per second, at most", required=False)

    def __init__(self, *args: Any, usual_property: str, highest_rate: int, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["user_id_property"].widget.attrs["placeholder"] = usual_property
        usual = min(settings.DELIVERY_MAX_REQUESTS_PER_SECOND, highest_rate)
        rate = self.fields["max_requests_per_second"]
        rate.help_text = f"From 1 to {highest_rate:,}. A run starts slower and finds its speed."
        rate.widget.attrs.update({"min": 1, "max": highest_rate, "placeholder": usual})

    def keep(self, names: Collection[str]) -> None:
        """Ask for these fields only."""
        for name in set(self.fields) - set(names):
            del self.fields[name]

    def require(self, *names: str) -> None:
        """Make optional fields required: what a connection has already cannot become nothing."""
        for name in names:
            self.fields[name].required = True

    @property
    def config(self) -> dict[str, object]:
        """Return what goes into the connection's `config`."""
        return self._entered(self.config_fields)

    @property
    def credentials(self) -> dict[str, object]:
        """Return what goes into the connection's `credentials`."""
        return self._entered(self.credential_fields)

    def main_fields(self) -> Iterator[forms.BoundField]:
        """Yield the fields to show first."""
        return (field for field in self if field.name not in self.advanced_fields)

    def further_fields(self) -> Iterator[forms.BoundField]:
        """Yield the fields that most people leave as they are."""
        return (field for field in self if field.name in self.advanced_fields)

    def is_further_wrong(self) -> bool:
        """Tell whether one of those holds an error, which must not be folded away."""
        return any(field.errors for field in self.further_fields())

    def refuse(self, path: str, sentence: str) -> None:
        """Show a refusal at the field it names, or above all when the form does not ask for it."""
        name = path.rpartition(".")[2]
        self.add_error(name if name in self.fields else None, sentence)

    def _entered(self, names: Collection[str]) -> dict[str, object]:
        return {name: self.cleaned_data[name] for name in names if name in self.cleaned_data}
