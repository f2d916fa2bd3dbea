"""A request's fingerprint is the same for the same request, and differs for any other."""

from __future__ import annotations

from io import BytesIO

import pytest

from otpkit.web import fingerprint

FORM = [("name", "Ada"), ("name", "Grace"), ("key", "k"), ("csrf", "t")]
SAME = fingerprint("POST", "/account?a=1", FORM)


@pytest.mark.parametrize(
    "fields",
    [
        FORM[:3],
        FORM[::-1],
        [*FORM[:3], ("csrf_token", "u")],
        [*FORM[:3], ("csrfmiddlewaretoken", "u"), ("csrf", "v")],
        (pair for pair in FORM),
    ],
)
def test_the_same_form_has_the_same_fingerprint(fields: list[tuple[str, str]]) -> None:
    """The order of the fields and the CSRF token do not matter."""
    assert fingerprint("POST", "/account?a=1", fields) == SAME


@pytest.mark.parametrize(
    ("method", "url", "fields"),
    [
        ("PUT", "/account?a=1", FORM),
        ("POST", "/account?a=2", FORM),
        ("POST", "/account", FORM),
        ("POST", "/account?a=1", FORM[1:]),
        ("POST", "/account?a=1", [*FORM, ("x", "")]),
        ("POST", "/account?a=1", [*FORM, FORM[0]]),
        ("POST", "/account?a=1", [("nameAda", ""), *FORM[1:]]),
        ("POST", "/account?a=1", [("name", "AdaGrace"), *FORM[2:]]),
        ("POST", "/account?a=1", [("name", "Ada'), ('name', 'Grace"), *FORM[2:]]),
        ("POST", "/account?a=1", []),
        ("POST", "/account?a=1", b"name=Ada&name=Grace&key=k&csrf=t"),
    ],
)
def test_another_request_has_another_fingerprint(method: str, url: str, fields: list[tuple[str, str]] | bytes) -> None:
    """The method, the URL, one field, or the division of characters differs."""
    assert fingerprint(method, url, fields) != SAME


def test_a_file_counts_with_its_content_and_can_be_read_again() -> None:
    """Its read position before does not matter."""
    files = [BytesIO(b"picture"), BytesIO(b"picture"), BytesIO(b"another")]
    files[1].seek(4)
    one, same, other = (fingerprint("POST", "/", [("file", file)]) for file in files)
    assert one == same != other
    assert fingerprint("POST", "/", [("file", "picture")]) != one
    assert [file.read() for file in files] == [b"picture", b"picture", b"another"]


def test_a_token_of_another_name_is_left_out_if_it_is_named() -> None:
    """Flask-WTF's token can be renamed, for example."""
    with_it = [*FORM, ("my_token", "x")]
    assert fingerprint("POST", "/account?a=1", with_it) != SAME
    assert fingerprint("POST", "/account?a=1", with_it, csrf_field="my_token") == SAME


@pytest.mark.parametrize("text", ["\ud800", "\x00", "é" * 1000, "'\"\\"])
def test_any_text_has_a_fingerprint(text: str) -> None:
    """This includes lone surrogates, which JSON or a form may contain."""
    found = {fingerprint("POST", f"/{text}", [(text, text)]), fingerprint("POST", f"/{text}", [(text, text + "x")])}
    assert len(found) == 2
    assert all(len(each) == 64 for each in found)
