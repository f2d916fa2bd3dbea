"""Refusals of a store's URL whose password is not percent-encoded."""

from __future__ import annotations

from urllib.parse import quote

import pytest

from otpkit import ConfigurationError
from otpkit.store.url import read_url

PLACES = {
    "redis://{}@db.example:6379/0": "redis",
    "rediss://{}@db.example/0": "rediss",
    "unix://{}@/tmp/redis.sock": "unix",
    "redis+cluster://{}@a.example:1,b.example:2": "cluster",
    "redis+sentinel://{}@a.example:1,b.example:2/main/0": "sentinel",
}
WORDS = [
    "p#word",
    "p/word",
    "p?word",
    "p[word",
    "p]word",
    "word#",
    "#word",
    "123/word",
    "123?word",
    "1@2#word",
    "p/w@word",
]


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("user", ["", "app"])
@pytest.mark.parametrize("word", WORDS)
def test_a_raw_sign_in_a_password_is_named(place: str, user: str, word: str) -> None:
    """The error has the encoded form. With it, the password is correct."""
    with pytest.raises(ConfigurationError, match="Percent-encode it: %40 is @") as refused:
        read_url(place.format(f"{user}:{word}"))
    assert "word" not in str(refused.value).replace("user name or password", "")
    assert read_url(place.format(f"{user}:{quote(word, safe='')}")).options["password"] == word


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("word", ["p@word", "p:word", "100%", "p&w", "@", "@@"])
def test_a_sign_that_can_be_told_is_read_as_it_is(place: str, word: str) -> None:
    """The last @ ends the user's part, as in redis-py."""
    assert read_url(place.format(f":{word}")).options["password"] == word


@pytest.mark.parametrize(
    "url",
    ["redis://host/0#x", "redis://host?password=a#word", "redis://host?db=word@1", "redis://user:123/word@host/0"],
)
def test_signs_of_it_elsewhere_in_a_url_are_told_alike(url: str) -> None:
    with pytest.raises(ConfigurationError, match="Percent-encode") as refused:
        read_url(url)
    assert "word" not in str(refused.value).replace("user name or password", "")


def test_paths_of_sockets_may_hold_an_at_sign() -> None:
    """A path without its first slash is not valid."""
    assert read_url("unix:///tmp/a@b.sock").path == "/tmp/a@b.sock"
    assert read_url("unix://app:word@/tmp/a@b.sock").options == {"username": "app", "password": "word"}
    with pytest.raises(ConfigurationError, match="names no unix socket"):
        read_url("unix://tmp/redis.sock")


def test_a_password_in_the_query_may_hold_one_too() -> None:
    assert read_url("redis://host?password=a@b").options == {"password": "a@b"}
