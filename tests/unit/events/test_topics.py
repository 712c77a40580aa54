"""The topics and groups: complete, consistent, and in the terms of the log."""

import pytest

from shared.events.topics import GROUPS, TOPICS, Deduplication, Topic, dead_letter_topic, topic_named

SERVICES = {"catalog", "usage", "quality", "governance", "notify"}


def test_every_topic_and_group_belongs_to_a_service() -> None:
    assert {topic.owner for topic in TOPICS.values()} == SERVICES
    assert {group.service for group in GROUPS.values()} == SERVICES
    assert all(name == topic.name for name, topic in TOPICS.items())
    assert all(name == group.name and name.startswith(f"{group.service}.") for name, group in GROUPS.items())


def test_a_group_reads_each_topic_once_and_no_two_groups_of_a_service_do_the_same() -> None:
    for group in GROUPS.values():
        assert len(set(group.topics)) == len(group.topics), group.name
        assert set(group.topics) <= TOPICS.keys(), group.name


def test_records_are_kept_for_ever_only_where_compaction_removes_them() -> None:
    for topic in TOPICS.values():
        assert topic.compacted or topic.retention_days, topic.name


def test_facts_that_vanish_are_told_apart_by_inbox_and_states_by_version() -> None:
    for topic in TOPICS.values():
        assert (topic.deduplication is Deduplication.VERSION) is topic.compacted, topic.name


def test_only_people_are_personal_and_their_old_records_go_in_a_week() -> None:
    personal = [topic for topic in TOPICS.values() if topic.personal_data]
    assert [topic.name for topic in personal] == ["directory.people"]
    assert personal[0].max_compaction_lag_days == 7


def test_the_inbox_outlives_the_topic_by_a_week() -> None:
    assert TOPICS["usage.hits"].inbox_days == 14
    assert TOPICS["quality.measurements"].inbox_days == 37


@pytest.mark.parametrize("source", TOPICS.values(), ids=TOPICS)
def test_dead_letters_stand_beside_their_topic(source: Topic) -> None:
    dead = dead_letter_topic(source)
    assert dead == topic_named(f"{source.name}.dlq")
    assert (dead.owner, dead.partitions, dead.personal_data) == (
        source.owner,
        source.partitions,
        source.personal_data,
    )
    assert not dead.compacted
    assert dead.retention_days == 30
    assert dead.deduplication is Deduplication.INBOX


def test_a_topic_is_found_by_its_name() -> None:
    assert topic_named("usage.hits") is TOPICS["usage.hits"]


def test_an_unknown_topic_is_answered_with_the_known_ones() -> None:
    with pytest.raises(KeyError, match=r"no topic is called 'usage.hit'; known: .*usage.hits"):
        topic_named("usage.hit")
