"""Licences: the names that feeds write, and the URI that DCAT-US asks for."""

import re

_CC = "https://creativecommons.org"
_OSI = "https://opensource.org/licenses"
_ODC = "https://opendatacommons.org/licenses"
_CC_TERMS = {"by", "nc", "nd", "sa"}
_CC_VERSIONS = ("4.0", "3.0", "2.5", "2.0", "1.0")
_CC_WORDS = (
    ("attribution", "by"),
    ("share alike", "sa"),
    ("sharealike", "sa"),
    ("non commercial", "nc"),
    ("noncommercial", "nc"),
    ("no derivatives", "nd"),
    ("noderivatives", "nd"),
    ("noderivs", "nd"),
)


def _license_key(name: str) -> str:
    return re.sub(r"[^a-z0-9.]+", " ", name.lower()).replace("license", "").replace("licence", "").strip()


# Names as they occur in Socrata, CKAN and ArcGIS feeds; the URIs are those of the stewards of the licences.
LICENSE_URIS = {
    _license_key(name): uri
    for name, uri in {
        "Public Domain": f"{_CC}/publicdomain/mark/1.0/",
        "PDM": f"{_CC}/publicdomain/mark/1.0/",
        "Public Domain Mark": f"{_CC}/publicdomain/mark/1.0/",
        "Public Domain Mark 1.0": f"{_CC}/publicdomain/mark/1.0/",
        "Public Domain U.S. Government": "https://www.usa.gov/publicdomain/label/1.0/",
        "Public Domain US Government": "https://www.usa.gov/publicdomain/label/1.0/",
        "U.S. Public Domain": "https://www.usa.gov/publicdomain/label/1.0/",
        "us-pd": "https://www.usa.gov/publicdomain/label/1.0/",
        "U.S. Government Work": "https://www.usa.gov/government-works/",
        "us-govt-works": "https://www.usa.gov/government-works/",
        "CC0": f"{_CC}/publicdomain/zero/1.0/",
        "CC0 1.0": f"{_CC}/publicdomain/zero/1.0/",
        "CC Zero": f"{_CC}/publicdomain/zero/1.0/",
        "cc-zero": f"{_CC}/publicdomain/zero/1.0/",
        "Creative Commons Zero": f"{_CC}/publicdomain/zero/1.0/",
        "Creative Commons CCZero": f"{_CC}/publicdomain/zero/1.0/",
        "Creative Commons 1.0 Universal (Public Domain Dedication)": f"{_CC}/publicdomain/zero/1.0/",
        "CC0 1.0 Universal": f"{_CC}/publicdomain/zero/1.0/",
        "Creative Commons Attribution": f"{_CC}/licenses/by/4.0/",
        "Creative Commons Attribution Share-Alike": f"{_CC}/licenses/by-sa/4.0/",
        "Creative Commons Non-Commercial (Any)": f"{_CC}/licenses/by-nc/4.0/",
        "Open Database License": f"{_ODC}/odbl/1-0/",
        "Open Data Commons Open Database License": f"{_ODC}/odbl/1-0/",
        "Open Data Commons Open Database License (ODbL)": f"{_ODC}/odbl/1-0/",
        "ODbL": f"{_ODC}/odbl/1-0/",
        "ODbL 1.0": f"{_ODC}/odbl/1-0/",
        "Open Data Commons Attribution License": f"{_ODC}/by/1-0/",
        "ODC-BY": f"{_ODC}/by/1-0/",
        "Open Data Commons Public Domain Dedication and License": f"{_ODC}/pddl/1-0/",
        "Open Data Commons Public Domain Dedication and Licence (PDDL)": f"{_ODC}/pddl/1-0/",
        "PDDL": f"{_ODC}/pddl/1-0/",
        "MIT": f"{_OSI}/MIT",
        "MIT License": f"{_OSI}/MIT",
        "Apache 2.0": "https://www.apache.org/licenses/LICENSE-2.0",
        "Apache License 2.0": "https://www.apache.org/licenses/LICENSE-2.0",
        "GNU Free Documentation License": "https://www.gnu.org/licenses/fdl-1.3.html",
        "UK Open Government Licence (OGL)": "https://www.nationalarchives.gov.uk/doc/open-government-licence/version/3/",
    }.items()
}


def license_uri_named(name: str) -> str | None:
    """The URI of a licence given by name ("Public Domain", "CC BY-SA 3.0"), or None for one not known."""
    if len(name) > 300:
        return None
    key = _license_key(name)
    known = LICENSE_URIS.get(key)
    if known is not None:
        return known
    if not key.startswith(("cc ", "creative commons ")):
        return None
    for words, term in _CC_WORDS:
        key = key.replace(words, term)
    tokens = key.split()
    terms = [term for term in ("by", "nc", "nd", "sa") if term in _CC_TERMS.intersection(tokens)]
    version = next((version for version in _CC_VERSIONS if version in tokens), "4.0")
    return f"{_CC}/licenses/{'-'.join(terms)}/{version}/" if terms and terms[0] == "by" else None
