"""FastAPI redeems a proof last: a request that fails elsewhere leaves it unused for the corrected request."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import count
from typing import Annotated, Any

import pytest
import requests
from fastapi import APIRouter, Depends, FastAPI, File, Form, Header, HTTPException, Query, Request, UploadFile
from fastapi.responses import StreamingResponse
from pydantic import BaseModel, Field
from served_apps import SECRET, TEMPLATE, on_uvicorn
from starlette.middleware.sessions import SessionMiddleware
from support.form_visitor import FormVisitor

from otpkit import AsyncOTP, Policy, Proof
from otpkit.integrations.fastapi import PhoneVerification, VerifiedPhone, verified_phone
from otpkit.testing import Outbox

_numbers = count(15800000000)
Name = Annotated[str, Form(min_length=2)]


class Account(BaseModel):
    name: str = Field(min_length=2)


def allowed(x_name: Annotated[str, Header()] = "Anna") -> None:
    """Refuse a short name, as a dependency of an application might."""
    if len(x_name) < 2:
        raise HTTPException(403)


async def opened(x_name: Annotated[str, Header()] = "Anna") -> AsyncIterator[str]:
    allowed(x_name)
    yield "opened"


async def phone_of(proof: VerifiedPhone) -> str:
    return proof.phone


async def named_phone(proof: VerifiedPhone, name: Annotated[str, Query(min_length=2)]) -> str:
    return proof.phone


def name_of(account: Account) -> str:
    return account.name


class Holder:
    """A dependency that is a class."""

    def __init__(self, phone: Annotated[str, Depends(phone_of)]) -> None:
        self.phone = phone


class Create:
    """An endpoint that is an object."""

    async def __call__(self, proof: VerifiedPhone, name: Name) -> str:
        return proof.phone


def make_app(otp: AsyncOTP) -> FastAPI:
    app = FastAPI()
    app.add_middleware(SessionMiddleware, secret_key=SECRET)
    phones = PhoneVerification(otp)
    phones.install(app)
    app.include_router(phones.pages(next_url="/account"), prefix="/signup")
    router = APIRouter()

    @router.post("/form")
    async def form(proof: VerifiedPhone, name: Name) -> str:
        return proof.phone

    @router.post("/sync")
    def sync(proof: VerifiedPhone, name: Name) -> str:
        return proof.phone

    @router.post("/json")
    async def json(account: Account, proof: VerifiedPhone) -> str:
        return proof.phone

    @router.post("/upload")
    def upload(proof: VerifiedPhone, name: Name, file: Annotated[UploadFile, File()]) -> str:
        return proof.phone

    @router.post("/query")
    async def query(request: Request, proof: VerifiedPhone, name: Annotated[str, Query(min_length=2)]) -> str:
        return proof.phone

    @router.post("/later")
    async def later(proof: VerifiedPhone, ok: Annotated[None, Depends(allowed)]) -> str:
        return proof.phone

    @router.post("/opened")
    async def with_opened(proof: VerifiedPhone, ok: Annotated[str, Depends(opened)]) -> str:
        return proof.phone

    @router.post("/undeclared", dependencies=[Depends(verified_phone())])
    async def undeclared(name: Name) -> str:
        return "done"

    router.add_api_route("/object", Create(), methods=["POST"])

    @router.post("/own")
    async def own(name: Name) -> str:
        return name

    @router.post("/nested")
    async def nested(phone: Annotated[str, Depends(phone_of)]) -> str:
        return phone

    @router.post("/twice")
    async def twice(proof: VerifiedPhone, phone: Annotated[str, Depends(phone_of)]) -> str:
        return phone if phone == proof.phone else ""

    @router.post("/streamed", response_class=StreamingResponse, response_model=None)
    async def streamed(proof: VerifiedPhone) -> AsyncIterator[str]:
        yield proof.phone

    @router.post("/nested-form")
    async def nested_form(phone: Annotated[str, Depends(phone_of)], name: Name) -> str:
        return phone

    @router.post("/nested-sync")
    def nested_sync(name: Name, holder: Annotated[Holder, Depends()]) -> str:
        return holder.phone

    @router.post("/nested-json")
    async def nested_json(account: Account, phone: Annotated[str, Depends(phone_of)]) -> str:
        return phone

    @router.post("/nested-json-twice")  # The same body, of a dependency too.
    async def json_twice(
        account: Account, phone: Annotated[str, Depends(phone_of)], name: Annotated[str, Depends(name_of)]
    ) -> str:
        return phone

    @router.post("/nested-upload")
    async def nested_upload(
        phone: Annotated[str, Depends(phone_of)], name: Name, file: Annotated[bytes, File()]
    ) -> str:
        assert file == b"1"
        return phone

    @router.post("/nested-query")
    async def nested_query(phone: Annotated[str, Depends(named_phone)]) -> str:
        return phone

    @router.post("/streamed-form", response_class=StreamingResponse, response_model=None)
    async def streamed_form(proof: VerifiedPhone, name: Name) -> AsyncIterator[str]:
        yield proof.phone

    app.include_router(router)
    app.include_router(router, prefix="/again")
    sub = FastAPI()
    phones.install(sub)
    sub.include_router(router)
    app.mount("/sub", sub)
    return app


NESTED = [
    "/nested-form",
    "/nested-sync",
    "/nested-json",
    "/nested-json-twice",
    "/nested-upload",
    "/nested-query",
    "/streamed-form",
]
PATHS = ["/form", "/sync", "/json", "/upload", "/query", "/later", "/opened", "/undeclared", "/object"]


BROWSER = {"Accept": "text/html,*/*;q=0.8"}


def content(path: str, name: str) -> dict[str, Any]:
    """Return a request with a name of any length."""
    kind = path.rpartition("/")[2].removeprefix("nested-").removesuffix("-twice")
    if kind in {"later", "opened"}:
        return {"headers": {"X-Name": name}}
    kinds = {"json": {"json": {"name": name}}, "query": {"params": {"name": name}}}
    if kind == "upload":
        return {"data": {"name": name}, "files": {"file": ("photo", b"1")}}
    return kinds.get(kind, {"data": {"name": name}})


@dataclass
class Visitor:
    url: str
    outbox: Outbox
    session: requests.Session

    def verify(self) -> str:
        """Go through the two forms. Afterwards the session has a proof."""
        phone = f"+86{next(_numbers)}"
        forms = FormVisitor(f"{self.url}/signup", self.session)
        forms.look()
        forms.post("send", phone=phone)
        forms.send(forms.form("verify", code=self.outbox[-1].code), follow=False)
        return phone

    def post(self, path: str, **request: Any) -> requests.Response:
        return self.session.post(f"{self.url}{path}", timeout=20, **request)


@pytest.fixture(scope="module")
def served() -> Iterator[tuple[str, Outbox, FastAPI]]:
    outbox = Outbox()
    app = make_app(AsyncOTP("memory://", outbox, TEMPLATE, SECRET, policy=Policy(sends="32/day")))
    with on_uvicorn(app) as url:
        yield url, outbox, app


@pytest.fixture
def visitor(served: tuple[str, Outbox, FastAPI]) -> Iterator[Visitor]:
    with requests.Session() as session:
        yield Visitor(served[0], served[1], session)


@pytest.mark.parametrize("prefix", ["", "/again", "/sub"])
@pytest.mark.parametrize("path", PATHS)
def test_a_mistake_elsewhere_costs_no_proof(visitor: Visitor, path: str, prefix: str) -> None:
    phone = visitor.verify()
    for _ in range(2):
        assert visitor.post(prefix + path, **content(path, "A")).status_code in {403, 422}
    answer = visitor.post(prefix + path, **content(path, "Anna"))
    assert (answer.status_code, answer.json()) == (200, "done" if path == "/undeclared" else phone)
    assert visitor.post(prefix + path, **content(path, "Anna")).json()["code"] == "used_token"


@pytest.mark.parametrize("path", [*PATHS, "/nested", "/twice", "/streamed"])
def test_of_parallel_requests_one_is_served(visitor: Visitor, path: str) -> None:
    visitor.verify()
    cookies = visitor.session.cookies.get_dict()

    def post(_: int) -> int:
        url = f"{visitor.url}{path}"
        request = content(path, "Anna")
        return requests.post(url, cookies=cookies, timeout=20, **request).status_code

    with ThreadPoolExecutor(8) as pool:
        assert Counter(pool.map(post, range(8))) == {200: 1, 401: 7}


@pytest.mark.parametrize("path", PATHS)
def test_without_a_proof_nothing_else_is_looked_at(visitor: Visitor, path: str) -> None:
    answer = visitor.post(path, **content(path, "A"))
    assert (answer.status_code, answer.json()["code"]) == (401, "invalid_token")


@pytest.mark.parametrize("prefix", ["", "/again", "/sub"])
def test_a_visitor_who_made_a_mistake_gets_a_page_that_leads_back(visitor: Visitor, prefix: str) -> None:
    """A client that is not a browser gets FastAPI's own answer."""
    phone, path = visitor.verify(), f"{prefix}/form"
    request = content(path, "A")
    answer = visitor.post(path, headers={**BROWSER, "Referer": f"{visitor.url}/account?a=1"}, **request)
    assert (answer.status_code, answer.headers["Content-Type"]) == (422, "text/html; charset=utf-8")
    assert 'href="/account?a=1"' in answer.text
    assert "stays verified" in answer.text
    assert visitor.post(path, **request).json()["detail"][0]["type"] == "string_too_short"
    assert visitor.post(path, headers=BROWSER, **content(path, "Anna")).json() == phone


def test_a_form_of_the_applications_own_is_its_own_matter(visitor: Visitor) -> None:
    assert visitor.post("/own", headers=BROWSER, data={"name": "A"}).json()["detail"]


@pytest.mark.parametrize("prefix", ["", "/again", "/sub"])
@pytest.mark.parametrize("path", NESTED)
def test_a_mistake_in_a_field_costs_no_proof_of_a_dependency(visitor: Visitor, path: str, prefix: str) -> None:
    """Also where a body streams. The endpoint finds files as they were sent."""
    phone = visitor.verify()
    for _ in range(2):
        refused = visitor.post(prefix + path, **content(path, "A"))
        assert (refused.status_code, refused.json()["detail"][0]["type"]) == (422, "string_too_short")
    page = visitor.post(prefix + path, headers=BROWSER, **content(path, "A"))
    assert (page.status_code, "stays verified" in page.text) == (422, True)
    answer = visitor.post(prefix + path, **content(path, "Anna"))
    assert (answer.status_code, phone in answer.text) == (200, True)
    assert visitor.post(prefix + path, **content(path, "Anna")).json()["code"] == "used_token"


@pytest.mark.parametrize("path", ["/nested", "/twice", "/streamed"])
def test_where_it_is_needed_before_the_endpoint_it_is_redeemed_before(visitor: Visitor, path: str) -> None:
    """A dependency of the application, or a body that streams, needs it earlier."""
    phone = visitor.verify()
    assert phone in visitor.post(path).text
    assert visitor.post(path).json()["code"] == "used_token"


@pytest.mark.parametrize("path", ["/form", "/sync", "/undeclared"])
def test_an_override_takes_its_place(visitor: Visitor, served: tuple[str, Outbox, FastAPI], path: str) -> None:
    """This also holds after requests that redeemed."""

    async def ada() -> Proof:
        return Proof("id", "+8613800138000", "signup", *[None] * 3, "token")  # type: ignore[arg-type]

    phone, overrides = visitor.verify(), served[2].dependency_overrides
    overrides[verified_phone()] = ada
    try:
        assert visitor.post(path, **content(path, "Anna")).json() in {"+8613800138000", "done"}
    finally:
        overrides.clear()
    assert visitor.post(path, **content(path, "Anna")).json() in {phone, "done"}


@pytest.mark.parametrize("path", ["/form", "/sync"])
def test_an_override_that_needs_a_proof_is_given_one_redeemed(
    visitor: Visitor, served: tuple[str, Outbox, FastAPI], path: str
) -> None:
    phones: list[str] = []
    phone, overrides = visitor.verify(), served[2].dependency_overrides

    async def noted(proof: VerifiedPhone) -> None:
        phones.append(proof.phone)

    overrides[allowed] = noted
    try:
        answer = visitor.post("/later")
    finally:
        overrides.clear()
    assert (answer.json(), phones) == (phone, [phone])
