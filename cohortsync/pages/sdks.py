"""How each Mixpanel SDK is pointed at this host (contract, 1.9), for the settings page. Lines: `templates/sdks/`.

An SDK is a template with its lines and an entry here; order is that of the page.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Sdk:
    """One SDK. `slug` names template and anchor, `simplified_from` the first version for simplified ID merge."""

    slug: str
    label: str
    simplified_from: str = ""
    warnings: Sequence[str] = ()

    @property
    def template(self) -> str:
        """Return the template with its lines."""
        return f"sdks/{self.slug}.html"


_HTTPS_ONLY = "It always speaks HTTPS, whatever the address says: give it a host with a certificate."

SDKS = (
    Sdk(
        "javascript",
        "JavaScript (browser)",
        simplified_from="2.46",
        warnings=("Without api_host in init() the SDK goes on talking to Mixpanel.",),
    ),
    Sdk(
        "node",
        "Node.js",
        warnings=(
            "It sends neither time nor $insert_id by itself: events count for the moment they arrive, and a retry is"
            " stored twice. Pass both as properties where that matters.",
            "It looks at no HTTP status: pass a callback to track() to learn of a failure.",
            "With the option secret (for import()) it refuses to speak anything but HTTPS.",
        ),
    ),
    Sdk(
        "python",
        "Python",
        warnings=(
            "Do not call alias(): it makes a consumer of its own that always talks to Mixpanel and cannot be"
            " redirected. Track $identify or call merge() instead.",
            "Consumer(api_host=...) is shorter, and always speaks HTTPS; the four addresses work with HTTP too.",
        ),
    ),
    Sdk("ruby", "Ruby", warnings=(_HTTPS_ONLY, "It sends no $insert_id with track(): a retry is stored twice.")),
    Sdk("php", "PHP", warnings=("It sends no $insert_id: a retry is stored twice.",)),
    Sdk(
        "java",
        "Java (server)",
        warnings=("It sends no $insert_id with events to /track: a retry is stored twice. /import has one each.",),
    ),
    Sdk(
        "go",
        "Go",
        warnings=(
            "It sends neither time nor $insert_id unless you call AddTime and AddInsertID on the event: then it counts"
            " for the moment it arrives, and a retry is stored twice.",
        ),
    ),
    Sdk(
        "android",
        "Android",
        simplified_from="7.3.0",
        warnings=(
            "It keeps what a server refuses and sends it again, so try the address out before your users get it.",
            "From Android 9 on, plain HTTP is blocked unless the app's network security configuration allows it.",
        ),
    ),
    Sdk(
        "swift",
        "iOS and macOS (Swift)",
        simplified_from="4.0.5 (Objective-C: 5.0.2)",
        warnings=("App Transport Security blocks plain HTTP unless Info.plist has an exception for the host.",),
    ),
    Sdk("react-native", "React Native", simplified_from="2.2.0"),
    Sdk("flutter", "Flutter", simplified_from="2.1.0"),
    Sdk("unity", "Unity", warnings=("It does not support simplified ID merge.",)),
    Sdk("curl", "curl, any language"),
    Sdk(
        "mixpanel-utils",
        "mixpanel-utils (bulk import and export)",
        warnings=("Its account must be an owner or admin; make one under Service accounts on this page.",),
    ),
)
