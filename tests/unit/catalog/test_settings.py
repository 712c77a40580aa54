"""What an installation may say of its search engine, and how a wrong word is answered."""

import pytest
from pydantic import SecretStr, ValidationError

from services.catalog.settings import CatalogSettings


def test_no_address_means_no_elasticsearch() -> None:
    assert CatalogSettings().elasticsearch_urls == ()


def test_several_nodes_are_named_in_one_setting() -> None:
    settings = CatalogSettings(elasticsearch_url="https://a.example:9200, https://b.example:9200")
    assert settings.elasticsearch_urls == ("https://a.example:9200", "https://b.example:9200")


@pytest.mark.parametrize(
    "url", ["a.example:9200", "ftp://a.example:9200", "http://a.example", "http://a.example:port", "http://["]
)
def test_an_address_that_cannot_be_one_is_refused_with_the_cure(url: str) -> None:
    with pytest.raises(ValidationError, match=r"elasticsearch_url: number 2 is no address. Write http://"):
        CatalogSettings(elasticsearch_url=f"http://fine.example:9200,{url}")


def test_a_password_in_the_address_is_refused() -> None:
    with pytest.raises(ValidationError, match="elasticsearch_password"):
        CatalogSettings(elasticsearch_url="http://me:secret@a.example:9200")


def test_a_key_and_a_user_at_once_are_refused() -> None:
    with pytest.raises(ValidationError, match="either the key"):
        CatalogSettings(elasticsearch_username="me", elasticsearch_api_key=SecretStr("key"))


@pytest.mark.parametrize("prefix", ["", "-a", "A", "a_b", "a*", "a/b", "a" * 62])
def test_a_prefix_that_no_index_may_have_is_refused(prefix: str) -> None:
    with pytest.raises(ValidationError, match="elasticsearch_index_prefix"):
        CatalogSettings(elasticsearch_index_prefix=prefix)
