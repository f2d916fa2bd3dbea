"""A browser without scripts that uses the two forms of any framework."""

from __future__ import annotations

from dataclasses import dataclass, field
from html.parser import HTMLParser

import requests


class _Hidden(HTMLParser):
    def __init__(self, page: str) -> None:
        super().__init__()
        self.fields: dict[str, str] = {}
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        if tag == "input" and given.get("type") == "hidden":
            self.fields[str(given["name"])] = given.get("value") or ""


def hidden(page: str) -> dict[str, str]:
    """Return the hidden fields of a page."""
    return _Hidden(page).fields


@dataclass
class FormVisitor:
    """A visitor of the forms at `url`. `page` is the latest response."""

    url: str
    session: requests.Session = field(default_factory=requests.Session)
    page: requests.Response = field(default_factory=requests.Response)

    def look(self, **headers: str) -> requests.Response:
        """Open the page."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        self.page = self.session.get(self.url, headers=named, timeout=20)
        return self.page

    def form(self, action: str, **typed: str) -> dict[str, str]:
        """Fill in the form of the page with this action."""
        return hidden(self.page.text) | {"action": action} | typed

    def send(self, form: dict[str, str], *, follow: bool = True, **headers: str) -> requests.Response:
        """Send a form, and follow redirects unless the test forbids it."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        answer = self.session.post(self.url, form, headers=named, allow_redirects=follow, timeout=20)
        if follow:
            self.page = answer
        return answer

    def post(self, action: str, **typed: str) -> requests.Response:
        """Fill in a form and send it."""
        return self.send(self.form(action, **typed))

    def cookies(self) -> dict[str, str]:
        """Return the cookies that the browser would send."""
        return self.session.cookies.get_dict()

    def twin(self) -> FormVisitor:
        """Return a second window of the same browser, or a copy of its cookies for an attacker."""
        other = FormVisitor(self.url, page=self.page)
        other.session.cookies.update(self.session.cookies)
        return other
