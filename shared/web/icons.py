"""Line drawings on a 24-unit grid, drawn in the colour of the text around them."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from markupsafe import Markup

_DRAWINGS: dict[str, Markup] = {
    # Subjects. A catalogue with other subjects chooses among these, or takes "dataset".
    "education": Markup(
        '<path d="M2.5 9 12 4.5 21.5 9 12 13.5z"/><path d="M6.5 11v5c3 2.6 8 2.6 11 0v-5M21.5 9v6"/>'
    ),
    "health": Markup(
        '<path d="M12 20.5C5.5 16 3 12.6 3 9a4.7 4.7 0 0 1 9-2 4.7 4.7 0 0 1 9 2c0'
        ' 3.6-2.5 7-9 11.5z"/>'
        '<path d="M3.5 11.5H9l1.5-3 2.5 5.5 1.5-2.5h6"/>'
    ),
    "fraud": Markup(
        '<path d="M12 2.8 4.5 5.5v6c0 4.6 3 8 7.5 9.7 4.5-1.7 7.5-5.1 7.5-9.7v-6z"/>'
        '<circle cx="11.5" cy="11" r="2.8"/>'
        '<path d="m13.6 13.1 2.6 2.6"/>'
    ),
    "substance": Markup(
        '<path d="M8.2 20.6a4.9 4.9 0 0 1-4.8-8.3l8.9-8.9a4.9 4.9 0 0 1 8.3 4.8z"/><path d="m8 7.9 8.1 8.1"/>'
    ),
    "resilience": Markup(
        '<path d="M7 15.5a4.2 4.2 0 0 1-.5-8.4 5.6 5.6 0 0 1 10.8 1.2A3.7 3.7 0 0 1 17 15.5"/>'
        '<path d="m12.8 11.5-3 4.5h4l-3 4.7"/>'
    ),
    "traffic": Markup('<path d="M8.5 3.5 4 20.5M15.5 3.5l4.5 17M12 4v2.5M12 10.5v3M12 17.5v3"/>'),
    "economy": Markup(
        '<path d="M3.5 20.5h17M6 17v-4M11 17V9.5M16 17v-6"/><path d="m4.5 8.5 5-4 4.5 2 6-4M16.5 2.5H20V6"/>'
    ),
    "land": Markup(
        '<path d="m3 6 6-2.5 6 2.5 6-2.5V18l-6 2.5L9 18l-6 2.5z"/><path d="M9 3.5V18M15 6v14.5"/>'
    ),
    "dataset": Markup(
        '<ellipse cx="12" cy="5.5" rx="7.5" ry="2.8"/>'
        '<path d="M4.5 5.5v13c0 1.5 3.4 2.8 7.5 2.8s7.5-1.3 7.5-2.8v-13'
        'M4.5 12c0 1.5 3.4 2.8 7.5 2.8s7.5-1.3 7.5-2.8"/>'
    ),
    # States. Each has its own outline, so that colour is never the only signal.
    "ok": Markup('<circle cx="12" cy="12" r="9"/><path d="m8 12.3 2.8 2.8L16.2 9.5"/>'),
    "warn": Markup('<path d="M12 3.5 2.5 20h19z"/><path d="M12 9.5v5M12 17.2v.3"/>'),
    "bad": Markup('<path d="M8 2.8h8L21.2 8v8L16 21.2H8L2.8 16V8z"/><path d="m9 9 6 6M15 9l-6 6"/>'),
    "unknown": Markup(
        '<circle cx="12" cy="12" r="9" stroke-dasharray="3.6 2.050"/>'
        '<path d="M9.5 9.6a2.6 2.6 0 1 1 3.7 2.4c-.8.4-1.2.9-1.2 1.7M12 16.5v.3"/>'
    ),
    "info": Markup('<circle cx="12" cy="12" r="9"/><path d="M12 11v5.5M12 7.5v.3"/>'),
    "neutral": Markup('<circle cx="12" cy="12" r="9"/><path d="M8 12h8"/>'),
    # Acts and things.
    "search": Markup('<circle cx="10.5" cy="10.5" r="6.5"/><path d="m15.5 15.5 5 5"/>'),
    "download": Markup('<path d="M12 3.5v11.5M7 10.5l5 5 5-5M4 20.5h16"/>'),
    "external": Markup('<path d="M13.5 4H20v6.5M20 4l-9 9M17 14v5.5H4.5V7H10"/>'),
    "lock": Markup(
        '<rect x="5" y="10.5" width="14" height="10" rx="1.5"/>'
        '<path d="M8 10.5V7.5a4 4 0 0 1 8 0v3M12 14.5v2"/>'
    ),
    "mail": Markup('<rect x="3" y="5" width="18" height="14" rx="1.5"/><path d="m3.5 6.5 8.5 6.5 8.5-6.5"/>'),
    "inbox": Markup(
        '<path d="M3.5 13.5 6 5h12l2.5 8.5V19h-17z"/><path d="M3.5 13.5H9c0 1.7 1.3 3 3 3s3-1.3 3-3h5.5"/>'
    ),
    "follow": Markup('<path d="M6 16.5V11a6 6 0 0 1 12 0v5.5l1.5 1.5h-15zM10 20.5c1 1 3 1 4 0"/>'),
    "flag": Markup('<path d="M5.5 21V4M5.5 4.5c4-2 7 2 13 0v9c-6 2-9-2-13 0"/>'),
    "ask": Markup('<path d="M4 4.5h16v11.5h-8l-4.5 4v-4H4z"/><path d="M8 8.7h8M8 11.9h5"/>'),
    "close": Markup('<path d="m6.5 6.5 11 11M17.5 6.5l-11 11"/>'),
    "check": Markup('<path d="m5 12.5 4.5 4.5L19 7.5"/>'),
    "next": Markup('<path d="m9.5 5.5 6.5 6.5-6.5 6.5"/>'),
    "previous": Markup('<path d="M14.5 5.5 8 12l6.5 6.5"/>'),
    "clock": Markup('<circle cx="12" cy="12" r="9"/><path d="M12 7v5.3l3.5 2"/>'),
    "copy": Markup(
        '<rect x="8.5" y="8.5" width="11.5" height="11.5" rx="1.5"/><path d="M15.5 8.5V4H4v11.5h4.5"/>'
    ),
    "filter": Markup('<path d="M3.5 6.5h17M7 12h10M10.5 17.5h3"/>'),
    "person": Markup('<circle cx="12" cy="8" r="4"/><path d="M4.5 20.5c.8-4 3.7-6 7.5-6s6.7 2 7.5 6"/>'),
    "pulse": Markup('<path d="M3 12.5h4.5l2.5-7 4 13 2.5-6H21"/>'),
}

DRAWINGS: Final[Mapping[str, Markup]] = MappingProxyType(_DRAWINGS)


def icon(name: str, label: str = "") -> Markup:
    """Draw an icon. With a label it is an image of its own; without one it is decoration beside a word.

    Raises KeyError that lists the icons there are.
    """
    if name not in DRAWINGS:
        raise KeyError(f"No icon is called {name!r}. There are: {', '.join(sorted(DRAWINGS))}.")
    if label:
        voice = Markup('role="img" aria-label="{}"').format(label)
    else:
        voice = Markup('aria-hidden="true"')
    return Markup(
        '<svg class="icon icon-{}" viewBox="0 0 24 24" width="20" height="20" focusable="false" {}>{}</svg>'
    ).format(name, voice, DRAWINGS[name])
