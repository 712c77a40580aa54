"""Packages have licenses that we may take, and an audit that could not ask does not look like a good one."""

import pytest

from tests.audit.__main__ import locked_packages
from tests.audit.licenses import installed_licenses, refused
from tests.audit.weaknesses import Report, report_of


def test_every_package_of_the_product_has_a_license_that_is_on_the_list() -> None:
    packages = locked_packages()
    licenses = installed_licenses(packages)
    assert len(licenses) > 40
    assert refused(licenses) == []


@pytest.mark.parametrize(
    ("text", "is_allowed"),
    [
        ("MIT", True),
        ("Apache-2.0 OR BSD-3-Clause", True),
        ("MIT OR GPL-3.0-only", True),
        ("MPL-2.0 AND (Apache-2.0 OR MIT)", True),
        ("Apache Software License; MIT License", True),
        ("MIT AND GPL-3.0-only", False),
        ("GNU General Public License v3 (GPLv3)", False),
        ("AGPL-3.0-or-later", False),
        ("UNKNOWN", False),
        ("", False),
    ],
)
def test_a_license_is_taken_as_its_parts_allow(text: str, is_allowed: bool) -> None:
    assert (refused({"package": text}) == []) is is_allowed


def test_an_audit_tells_weak_unknown_and_good_apart() -> None:
    good = {"name": "a", "version": "1", "vulns": []}
    weak = {"name": "b", "version": "2", "vulns": [{"id": "CVE-1", "fix_versions": ["3"]}]}
    skipped = {"name": "c", "skip_reason": "Dependency not found"}
    assert report_of({"dependencies": [good]}).exit_code == 0
    assert report_of({"dependencies": [good, skipped]}).exit_code == 2
    assert report_of({"dependencies": []}).exit_code == 2
    assert Report((), (), 0, "no route to host").exit_code == 2
    found = report_of({"dependencies": [good, weak, skipped]})
    assert (found.exit_code, found.weak) == (1, ["b 2: CVE-1, mended in 3"])
