"""What the host keeps in a data directory, what the demo remembers, and which variables are refused."""

import stat
from datetime import timedelta
from pathlib import Path

import pytest

from services.host.data_directory import DataDirectory
from services.host.demo.scenario import DemoError, degradation_named
from services.host.demo.state import DemoClock, DemoStateFile
from services.host.sample.degradations import DEGRADATIONS
from services.host.settings import HostSettings
from services.usage.settings import UsageSettings
from shared.errors import InvalidInputError, LogBusyError, NutmegError
from shared.process.environment import check_environment, prefixes_of_services


def test_a_data_directory_has_one_user_at_a_time(tmp_path: Path) -> None:
    directory = DataDirectory(tmp_path / "data")
    with directory.lock(), pytest.raises(LogBusyError, match="is in use by process"):
        directory.lock()
    with directory.lock() as lock:
        assert lock.held


def test_secrets_are_written_for_their_owner_only(tmp_path: Path) -> None:
    directory = DataDirectory(tmp_path / "data")
    directory.create()
    assert directory.read_admin_token() is None
    directory.write_admin_token("secret")
    assert directory.read_admin_token() == "secret"
    assert stat.S_IMODE(directory.admin_token.stat().st_mode) == 0o600
    assert stat.S_IMODE(directory.path.stat().st_mode) == 0o700


def test_the_address_of_a_server_is_read_back_until_it_is_taken_back(tmp_path: Path) -> None:
    directory = DataDirectory(tmp_path / "data")
    directory.create()
    assert directory.read_server() is None
    directory.write_server(8_080, "https://data.example.gov", "http://127.0.0.1:8080")
    address = directory.read_server()
    assert address is not None
    assert (address.port, address.base_url) == (8_080, "https://data.example.gov")
    directory.remove_server()
    directory.remove_server()
    assert directory.read_server() is None


def test_the_demo_keeps_its_day_its_faults_and_its_clock(tmp_path: Path) -> None:
    path = tmp_path / "demo.json"
    assert DemoStateFile.find(path) is None
    file = DemoStateFile.create(path, port=8_080)
    file.change(degraded=frozenset({"nulls"}))
    DemoClock(file).advance(timedelta(days=7))
    again = DemoStateFile.find(path)
    assert again is not None
    assert again.state == file.state
    assert again.state.degraded == {"nulls"}
    ahead = DemoClock(again).now() - DemoClock(DemoStateFile.create(tmp_path / "other", port=1)).now()
    assert timedelta(days=6, hours=23) < ahead < timedelta(days=7, hours=1)
    with pytest.raises(InvalidInputError, match="at most 366 days"):
        DemoClock(again).advance(timedelta(days=400))


def test_a_broken_state_of_the_demo_is_told_with_its_cure(tmp_path: Path) -> None:
    path = tmp_path / "demo.json"
    path.write_text('{"today": "2026-03-02", "port": 1, "degraded": ["fire"]}')
    with pytest.raises(NutmegError, match="--fresh"):
        DemoStateFile.find(path)


def test_a_fault_is_found_by_dataset_by_name_and_by_default() -> None:
    assert degradation_named(None, None) == "row-count-drop"
    for one in DEGRADATIONS.values():
        assert degradation_named(one.dataset_slug, None) == one.name
        assert degradation_named(None, one.name) == one.name
    with pytest.raises(DemoError, match="there are: row-count-drop"):
        degradation_named("crash-records", None)


def test_a_variable_that_is_no_setting_is_refused_with_the_likely_one() -> None:
    check_environment({"NUTMEG_PORT": "1", "PATH": "/bin"}, [HostSettings])
    with pytest.raises(NutmegError, match=r"NUTMEG_PROT is no setting; did you mean NUTMEG_PORT\?"):
        check_environment({"NUTMEG_PROT": "1"}, [HostSettings])


def test_a_service_judges_its_own_variables_and_leaves_those_of_others_to_them() -> None:
    others = prefixes_of_services() - {"NUTMEG_USAGE_"}
    environment = {"NUTMEG_NOTIFY_SMTP_HOST": "mail", "NUTMEG_USAGE_HISTORY_DAYS_MIN": "3"}
    check_environment(environment, [UsageSettings], prefixes_of_others=others)
    for wrong in ("NUTMEG_USAGE_HISTORY_DAY_MIN", "NUTMEG_NOTFY_SMTP_HOST", "NUTMEG_USAGES"):
        with pytest.raises(NutmegError, match=f"{wrong} is no setting"):
            check_environment({wrong: "1"}, [UsageSettings], prefixes_of_others=others)


def test_people_and_commands_reach_a_server_on_all_addresses_by_loopback() -> None:
    assert HostSettings(host="0.0.0.0").local_url(80) == "http://127.0.0.1:80"
    assert HostSettings(host="::1").local_url(80) == "http://[::1]:80"
