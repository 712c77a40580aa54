"""What the log on Kafka decides without a broker: settings, topics, errors, and how much is logged."""

import logging
from pathlib import Path

import pytest
from aiokafka.errors import KafkaConnectionError
from pydantic import ValidationError

from shared.errors import TransientError
from shared.events.topics import TOPICS, Topic, dead_letter_topic
from shared.log.kafka.client import LineLimit, client_options, limit_client_logs, reaching
from shared.log.kafka.settings import KafkaSettings
from shared.log.kafka.topics import topic_settings

DAY = str(86_400_000)


def test_without_settings_a_client_speaks_plainly_to_this_host() -> None:
    options = client_options(KafkaSettings())
    assert options["bootstrap_servers"] == ["127.0.0.1:9092"]
    assert options["security_protocol"] == "PLAINTEXT"
    assert "ssl_context" not in options
    assert "sasl_plain_password" not in options


def test_several_brokers_are_separated_by_commas() -> None:
    options = client_options(KafkaSettings(bootstrap_servers="a:1, b:2"))
    assert options["bootstrap_servers"] == ["a:1", "b:2"]


def test_signing_in_over_tls_gives_the_client_both() -> None:
    settings = KafkaSettings(security_protocol="SASL_SSL", username="nutmeg", password="s3cret")
    options = client_options(settings)
    assert options["ssl_context"].check_hostname
    assert (options["sasl_mechanism"], options["sasl_plain_username"]) == ("SCRAM-SHA-512", "nutmeg")
    assert options["sasl_plain_password"] == "s3cret"
    assert "s3cret" not in repr(settings)


@pytest.mark.parametrize(
    ("wrong", "cure"),
    [
        ({"security_protocol": "SASL_SSL"}, "NUTMEG_KAFKA_USERNAME"),
        ({"certificate_file": Path("client.pem")}, "belong together"),
        ({"prefix": "no spaces"}, "prefix"),
        ({"replica": "a/b"}, "replica"),
    ],
)
def test_settings_that_do_not_fit_are_refused_with_the_cure(wrong: dict[str, object], cure: str) -> None:
    with pytest.raises(ValidationError, match=cure):
        KafkaSettings.model_validate(wrong)


def test_a_replica_without_a_name_takes_that_of_its_host() -> None:
    assert KafkaSettings().replica_name
    assert KafkaSettings(replica="worker-3").replica_name == "worker-3"


def test_state_is_compacted_and_facts_are_deleted() -> None:
    assert topic_settings(TOPICS["catalog.datasets"], 3) == {
        "cleanup.policy": "compact",
        "retention.ms": "-1",
        "delete.retention.ms": str(7 * int(DAY)),
        "max.message.bytes": str(1024 * 1024),
        "message.timestamp.type": "LogAppendTime",
        "min.insync.replicas": "2",
    }
    hits = topic_settings(TOPICS["usage.hits"], 3)
    assert (hits["cleanup.policy"], hits["retention.ms"]) == ("delete", str(7 * int(DAY)))
    rollups = topic_settings(TOPICS["usage.rollups"], 3)
    assert (rollups["cleanup.policy"], rollups["retention.ms"]) == ("compact,delete", str(400 * int(DAY)))


def test_personal_data_is_compacted_within_days() -> None:
    assert topic_settings(TOPICS["directory.people"], 3)["max.compaction.lag.ms"] == str(7 * int(DAY))


@pytest.mark.parametrize("topic", TOPICS.values(), ids=TOPICS)
def test_a_dead_letter_may_be_64_kib_larger_than_its_source(topic: Topic) -> None:
    source, letter = topic_settings(topic, 3), topic_settings(dead_letter_topic(topic), 3)
    assert int(letter["max.message.bytes"]) == int(source["max.message.bytes"]) + 64 * 1024


@pytest.mark.parametrize(("factor", "in_sync"), [(1, "1"), (2, "1"), (3, "2")])
def test_one_replica_may_be_away(factor: int, in_sync: str) -> None:
    assert topic_settings(TOPICS["usage.hits"], factor)["min.insync.replicas"] == in_sync


@pytest.mark.parametrize("error", [KafkaConnectionError("gone"), ConnectionResetError(), TimeoutError()])
async def test_whatever_says_that_kafka_is_away_is_passing(error: Exception) -> None:
    with pytest.raises(TransientError, match="Kafka did not answer"):
        async with reaching("answer"):
            raise error


async def test_a_mistake_of_ours_is_not_taken_for_an_outage() -> None:
    with pytest.raises(ZeroDivisionError):
        async with reaching("answer"):
            raise ZeroDivisionError


def line(number: int) -> logging.LogRecord:
    return logging.LogRecord("aiokafka", logging.ERROR, "conn.py", 7, "broker %s is away", (number,), None)


def test_of_lines_of_one_kind_only_a_few_pass_and_the_rest_is_counted() -> None:
    limit = LineLimit(lines_max=3, seconds=3600)
    assert [limit.filter(line(number)) for number in range(5)] == [True, True, True, False, False]
    limit._seconds = 0
    told = line(9)
    assert limit.filter(told)
    assert told.getMessage() == "broker 9 is away (2 more like this one kept back)"


def test_every_logger_of_the_client_is_limited_once() -> None:
    limit_client_logs()
    limit_client_logs()
    logger = logging.getLogger("aiokafka.conn")
    assert len([each for each in logger.filters if isinstance(each, LineLimit)]) == 1
