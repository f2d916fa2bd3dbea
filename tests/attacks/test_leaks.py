"""No code, no secret and no whole phone number is shown, logged, raised or pickled."""

from __future__ import annotations

import copy
import logging
import pickle
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from leak_search import locals_of, ours_within, texts_of
from support.rig import OTHER_PHONE, PHONE, SECRET, TEMPLATE, Rig, outcome, wrong

from otpkit import Challenge, FixedCode, GatewayRejectedError, Policy, Proof, Rate, RateLimitError
from otpkit.effects import Flow
from otpkit.gateways import Alidayu, Message, Receipt
from otpkit.sandbox import Fault, Sandbox, running
from otpkit.store import sync

APP_SECRET = "the-secret-of-the-sandbox"
POLICY = Policy(code_length=10, sends="32/day")  # Ten digits do not occur elsewhere by chance.
FIXED_CODE = "8462957310"

SENT = ["13800138000", "13900100071", "13900100081", "13900100090"]
UNCERTAIN = ["13900100010", "13900100011", "13900100030", "13900100040", "13900100050", "13900100060", "13900100041"]
REJECTED = ["13900050001", "13900050009", "13900070001", "13900070003", "13900099998", "13900100020"]


class Listening(Alidayu):
    """Alidayu, with a record of the codes that it sends."""

    codes: list[str]

    def send(self, message: Message) -> Flow[Receipt]:
        self.codes.append(message.code)
        return (yield from super().send(message))


@pytest.fixture(scope="module")
def sandbox() -> Iterator[tuple[Sandbox, str]]:
    sandbox = Sandbox(app_secret=APP_SECRET)
    with running(sandbox) as address:
        yield sandbox, address.gateway_url


@pytest.fixture
def gateway(sandbox: tuple[Sandbox, str]) -> Listening:
    found = Listening("sandbox", APP_SECRET, base_url=sandbox[1], timeout=(1, 0.3))
    found.codes = []
    return found


@pytest.fixture
def log(caplog: pytest.LogCaptureFixture) -> pytest.LogCaptureFixture:
    """Capture the logs of all libraries from DEBUG on."""
    caplog.set_level(logging.DEBUG)
    for name in ("urllib3", "urllib3.connectionpool", "requests", "redis", "otpkit", "asyncio", "http.client"):
        caplog.set_level(logging.DEBUG, name)
    return caplog


def assert_clean(shown: list[Any], codes: list[str], phone: str, rig: Rig, log: pytest.LogCaptureFixture) -> None:
    """Fail if a needle occurs in any text. The failure does not repeat the text."""
    assert codes
    values = [*shown, *rig.events]
    texts = [text for value in values for text in texts_of(value)]
    texts += [f"{record.getMessage()} {record.args!r} {record.exc_text}" for record in log.records] + [log.text]
    texts += [text for value in values for text in locals_of(value)]
    hits = {"phone": any(phone[-11:] in text for text in texts)}
    hits |= {f"secret {secret}": any(secret in text for text in texts) for secret in (SECRET, APP_SECRET)}
    hits |= {f"code {at}": any(code in text for text in texts) for at, code in enumerate(codes)}
    assert [name for name, hit in hits.items() if hit] == []


def life_of(rig: Rig, otp: Any, phone: str, gateway: Listening) -> list[Any]:
    """Make all calls for a phone. Return their results and errors."""
    shown = [outcome(otp.issue, phone, bind="session", params={"product": "x"}), outcome(otp.status, phone)]
    code = gateway.codes[-1]
    shown += [outcome(otp.delivery, phone, bind="session"), outcome(otp.verify, phone, wrong(code), bind="session")]
    proof = outcome(otp.verify, phone, code, bind="session")
    shown += [proof, outcome(otp.verify, phone, code, bind="session"), outcome(otp.verify, phone, "x" + code)]
    if isinstance(proof, Proof):
        shown += [outcome(call, proof.token, bind="session") for call in (otp.check, otp.redeem, otp.redeem)]
        shown += [outcome(call, proof.token, phone=OTHER_PHONE) for call in (otp.check, otp.redeem)]
    shown += [outcome(call, phone) for call in (otp.issue, otp.issue, otp.standing, otp.revoke, otp.unblock, otp.erase)]
    return shown


@pytest.mark.parametrize("number", [*SENT, *UNCERTAIN, *REJECTED])
def test_no_outcome_of_a_gateway_leaks(
    memory_rig: Rig, gateway: Listening, log: pytest.LogCaptureFixture, capfd: Any, number: str
) -> None:
    """The message is accepted, rejected for each reason, or uncertain for each, over real HTTP, with DEBUG logs."""
    otp = memory_rig.heard(gateway=gateway, policy=POLICY, clock=None)
    shown = life_of(memory_rig, otp, f"+86{number}", gateway)
    if number in REJECTED:
        assert isinstance(shown[0], (GatewayRejectedError, RateLimitError))
    else:
        assert shown[0].delivery in ({"accepted"} if number in SENT else {"uncertain", "accepted"})
    assert_clean([*shown, *capfd.readouterr()], gateway.codes, number, memory_rig, log)


def test_no_gateway_out_of_reach_leaks(
    memory_rig: Rig, gateway: Listening, sandbox: tuple[Sandbox, str], log: pytest.LogCaptureFixture
) -> None:
    """The cases are a refused connection, a wrong key, and an answer after the timeout."""
    sandbox[0].add_fault(Fault("late", delay=0.6, api="sendSms"))
    late = memory_rig.heard(gateway=gateway, policy=POLICY, clock=None)
    shown = [outcome(late.issue, PHONE)]
    assert shown[0].delivery in {"uncertain", "accepted"}
    for options in ({"base_url": "http://127.0.0.1:1/gw"}, {"base_url": sandbox[1], "app_key": "another"}):
        broken = Listening(options.pop("app_key", "sandbox"), APP_SECRET, timeout=(1, 1), **options)
        broken.codes = gateway.codes
        shown.append(outcome(memory_rig.heard(gateway=broken, policy=POLICY).issue, PHONE, "login"))
        assert isinstance(shown[-1], GatewayRejectedError)
    assert_clean(shown, gateway.codes, PHONE, memory_rig, log)


@pytest.mark.parametrize("failing", ["reserve", "settle", "undo", "verify", "wrong type"])
def test_no_failure_of_redis_leaks(
    rig: Rig, gateway: Listening, log: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch, failing: str
) -> None:
    """For any failing script, neither Redis's error nor the frames contain the arguments."""
    monkeypatch.setattr("otpkit.core.crypto.CodeKey.code", _remembering(gateway.codes))
    client = rig.client()
    otp = rig.heard(redis=client, gateway=gateway, policy=POLICY, clock=None)
    sha = getattr(otp._config.scripts, failing).sha if failing != "wrong type" else ""
    if failing == "wrong type":
        otp.issue(PHONE)
        for key in rig.stored():
            rig.shared.set(key, "x")
    else:
        monkeypatch.setattr(*_failing(client, sha, embedded=rig.store_url == "memory://"))
    number = PHONE[3:] if failing != "undo" else REJECTED[0]
    shown = life_of(rig, otp, f"+86{number}", gateway)
    names = {type(each).__name__ for each in shown}
    assert ("StoreUnavailableError" in names) is (failing in {"reserve", "verify", "wrong type"})
    monkeypatch.undo()
    assert_clean(shown, gateway.codes, number, rig, log)


def _remembering(codes: list[str]) -> Any:
    from otpkit.core.crypto import CodeKey

    make = CodeKey.code

    def remember(self: Any, nonce: bytes, identity: bytes, length: int) -> str:
        codes.append(make(self, nonce, identity, length))
        return codes[-1]

    return remember


def _failing(client: Any, sha: str, *, embedded: bool) -> tuple[Any, str, Any]:
    """Return a patch under which the script with this SHA gets no reply."""
    from redis import ConnectionError as Lost

    if embedded:
        execute = client.execute_command

        def lose(*command: Any, **options: Any) -> Any:
            if sha in command:
                raise Lost(f"lost {command!r:.20}")
            return execute(*command, **options)

        return client, "execute_command", lose

    def refuse(lease: Any, command: Any) -> Any:
        if sha in command:
            raise Lost("lost")
        return say(lease, command)

    say = sync._Lease.say
    return sync._Lease, "say", refuse


def test_a_password_in_the_url_is_not_shown(memory_rig: Rig, log: pytest.LogCaptureFixture) -> None:
    """The URL is malformed, or no server listens there."""
    for url in (
        "redis://:hunter2hunter2@127.0.0.1:1/0",
        "redis://:hunter2hunter2@127.0.0.1:x/0",
        "http://:hunter2hunter2@a",
    ):
        error = outcome(lambda url=url: memory_rig.heard(redis=url).issue(PHONE))
        assert not any("hunter2" in text for text in (*texts_of(error), log.text))


def test_no_object_shows_a_secret(memory_rig: Rig) -> None:
    """This is the repr of an OTP and of all its parts, including the keys."""
    fixed = FixedCode(PHONE, FIXED_CODE, datetime.fromtimestamp(memory_rig.clock.now, UTC) + timedelta(9), {"signup"})
    alidayu = Alidayu("key", APP_SECRET)
    otp = memory_rig.heard(gateway=alidayu, policy=POLICY, fixed_codes=[fixed])
    found = list(ours_within(otp))
    assert {"Config", "Keys", "TokenSigner", "FixedCode", "Alidayu"} <= {type(each).__name__ for each in found}
    for each in found:
        text = f"{each!r} {each}"
        assert [needle for needle in (SECRET, APP_SECRET, FIXED_CODE, PHONE[3:]) if needle in text] == [], type(each)
        assert repr(SECRET.encode())[2:-1] not in text


def test_values_survive_a_pickle_and_take_no_secret_along(memory_rig: Rig) -> None:
    """A value that crosses a process or a cache is unchanged.

    A pickled proof has its token, but never the signing key.
    """
    rig = memory_rig
    otp = rig.heard(policy=POLICY)
    challenge = otp.issue(PHONE)
    code = rig.outbox[-1].code
    errors = [outcome(otp.verify, PHONE, wrong(code)), outcome(rig.heard(policy=Policy()).issue, PHONE)]
    proof = otp.verify(PHONE, code)
    errors += [outcome(otp.verify, PHONE, code), outcome(otp.check, "x"), outcome(otp.issue, "x")]
    errors.append(GatewayRejectedError("x", gateway="g", gateway_code="1", category="number", retry_after=3))
    for value in (challenge, proof, POLICY, Rate(5, 60), TEMPLATE, otp.delivery(PHONE), *rig.events):
        raw = pickle.dumps(value)
        assert pickle.loads(raw) == value
        assert copy.deepcopy(value) == value
        assert code.encode() not in raw
        assert SECRET.encode() not in raw
    for error in errors:
        again = pickle.loads(pickle.dumps(error))
        assert (type(again), again.args, vars(again)) == (type(error), error.args, vars(error))
    assert pickle.loads(pickle.dumps(proof)).token == proof.token
    assert isinstance(challenge, Challenge)


def test_what_holds_a_secret_can_not_be_pickled(memory_rig: Rig) -> None:
    """A task queue that pickles its arguments must not store the keys."""
    otp = memory_rig.heard()
    for each in (otp, otp._config, otp._config.keys, otp._config.signer, otp._config.keys.current):
        with pytest.raises(Exception, match="pickle"):
            pickle.dumps(each)
