"""Signing in to a real broker over TLS works with the right settings, and says so with wrong ones."""

import subprocess
from collections.abc import Mapping
from pathlib import Path

import pytest
from pydantic import SecretStr

from shared.clock import SystemClock
from shared.errors import TransientError
from shared.log.kafka.event_log import KafkaEventLog
from shared.log.kafka.settings import KafkaSettings
from tests.conformance.event_log_fixtures import STATES, outgoing, read_all
from tests.servers.fixtures import OwnServers
from tests.servers.missing import require_program
from tests.support.databases import Databases
from tests.support.stream_bench import alerts_by_embedded, steady, stream_bench

pytestmark = pytest.mark.cluster

PASSWORD = "changeit"


def certificate(directory: Path) -> tuple[Path, Path]:
    """Make a broker's key store for this host, and the certificate that clients trust."""
    keytool = require_program("keytool", "default-jre-headless")
    store, trusted = directory / "broker.p12", directory / "broker.pem"
    keeping = ["-alias", "broker", "-keystore", str(store), "-storepass", PASSWORD]
    facts = ["-dname", "CN=localhost", "-ext", "san=ip:127.0.0.1", "-keyalg", "EC", "-storetype", "PKCS12"]
    subprocess.run([keytool, "-genkeypair", *keeping, *facts], check=True, capture_output=True)
    export = [keytool, "-exportcert", "-rfc", *keeping, "-file", str(trusted)]
    subprocess.run(export, check=True, capture_output=True)
    return store, trusted


@pytest.fixture(scope="module")
def security(tmp_path_factory: pytest.TempPathFactory, own_servers: OwnServers) -> Mapping[str, str]:
    """Settings, by name, that reach a broker which takes only those who sign in over TLS."""
    store, trusted = certificate(tmp_path_factory.mktemp("certificates"))
    module = "org.apache.kafka.common.security.plain.PlainLoginModule"
    kafka = own_servers.kafka(
        settings={
            "listener.security.protocol.map": "CONTROLLER:PLAINTEXT,CLIENT:SASL_SSL",
            "sasl.enabled.mechanisms": "PLAIN",
            "sasl.mechanism.inter.broker.protocol": "PLAIN",
            "listener.name.client.plain.sasl.jaas.config": f"{module} required "
            f'username="broker" password="{PASSWORD}" user_broker="{PASSWORD}" user_nutmeg="{PASSWORD}";',
            "ssl.keystore.location": str(store),
            "ssl.keystore.type": "PKCS12",
            "ssl.keystore.password": PASSWORD,
            "ssl.truststore.location": str(trusted),
            "ssl.truststore.type": "PEM",
        }
    )
    return {
        "bootstrap_servers": kafka.address,
        "security_protocol": "SASL_SSL",
        "sasl_mechanism": "PLAIN",
        "username": "nutmeg",
        "password": PASSWORD,
        "ca_file": str(trusted),
    }


async def test_a_client_signs_in_over_tls_and_one_with_a_wrong_password_or_authority_does_not(
    security: Mapping[str, str],
) -> None:
    right = KafkaSettings.model_validate({**security, "replication_factor": 1})
    log = KafkaEventLog(right, clock=SystemClock(), partitions=1)
    await log.ensure_topics([STATES])
    await log.publish([outgoing("k")])
    consumer = await log.consumer("readers", [STATES.name])
    assert [record.key for record in await read_all(consumer, 1)] == ["k"]
    await log.close()
    for wrong in ({"password": SecretStr("wrong")}, {"ca_file": None}):
        log = KafkaEventLog(right.model_copy(update=wrong), clock=SystemClock())
        with pytest.raises(TransientError):
            await log.epochs()
        await log.close()


async def test_the_stream_processor_signs_in_over_tls_with_the_same_settings(
    security: Mapping[str, str], tmp_path: Path, postgres_databases: Databases
) -> None:
    uses = {"roads": {**steady(4), 0: 60}}
    expected = await alerts_by_embedded(tmp_path / "embedded", uses)
    url = await postgres_databases.url("usage")
    broker = security["bootstrap_servers"]
    async with stream_bench(tmp_path, kafka=broker, database_url=url, security=security) as bench:
        await bench.feed(uses)
        number = await bench.start()
        await bench.alerts_are(expected)
        assert await bench.stop(number) == 0
    assert [one["kind"] for one in expected.values()] == ["use-spiked"]
