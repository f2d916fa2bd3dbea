"""Twilio's resources, tested with its official SDK."""

from __future__ import annotations

import base64
import socket
import time
from collections.abc import Iterator
from typing import Any

import pytest
import requests
from push_receiver import Receiver, receiving
from sandbox_client import Client
from twilio.request_validator import RequestValidator
from twilio.rest import Client as Twilio
from twilio_client import TwilioRestException, twilio_client

from otpkit.sandbox import Fault

SMS = {"to": "+8613800138000", "from_": "+15005550006", "body": "Your code is 012345."}
CALL = {
    "to": "+8613800138000",
    "from_": "+15005550006",
    "twiml": "<Response><Say>0, 1, 2, 3, 4, 5</Say><Pause length='1'/><Say>0, 1, 2, 3, 4, 5</Say></Response>",
}


@pytest.fixture
def twilio(client: Client) -> Twilio:
    return twilio_client(client)


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving() as receiver:
        yield receiver


def test_message_is_made_and_fetched(client: Client, twilio: Twilio) -> None:
    made = twilio.messages.create(**SMS)
    assert (made.status, made.to, made.from_, made.body) == (
        "queued",
        "+8613800138000",
        "+15005550006",
        "Your code is 012345.",
    )
    assert made.sid.startswith("SM")
    assert len(made.sid) == 34
    assert made.sid != twilio.messages.create(**SMS).sid
    assert twilio.messages(made.sid).fetch().status == "sent"
    client.clock.now += 1
    found = twilio.messages(made.sid).fetch()
    assert (found.status, found.error_code, found.body) == ("delivered", None, "Your code is 012345.")
    assert found.date_sent is not None
    assert found.date_sent.timestamp() == client.clock.now - 1


def test_message_is_in_the_inbox(client: Client, twilio: Twilio) -> None:
    sid = twilio.messages.create(**SMS).sid
    [shown] = client.api("GET", "/api/messages?phone=13800138000").json()
    assert {name: shown[name] for name in ("provider", "channel", "biz_id", "code", "text", "sign_name")} == {
        "provider": "twilio",
        "channel": "sms",
        "biz_id": sid,
        "code": "012345",
        "text": "Your code is 012345.",
        "sign_name": "+15005550006",
    }
    assert shown["request"]["headers"]["authorization"] == "***"
    assert "Twilio, CreateMessage" in client.api("GET", "/").text
    assert client.sandbox.stats()["twilio.CreateMessage"] == {"total": 1, "by_phone": {"13800138000": 1}}


def test_messaging_service_picks_the_sender(twilio: Twilio) -> None:
    made = twilio.messages.create(to="+14155550100", messaging_service_sid="MG" + "0" * 32, body="012345")
    assert (made.from_, made.messaging_service_sid) == (None, "MG" + "0" * 32)
    assert twilio.messages(made.sid).fetch().to == "+14155550100"


def test_call_is_made_and_fetched(client: Client, twilio: Twilio) -> None:
    made = twilio.calls.create(**CALL)
    assert (made.status, made.sid[:2], len(made.sid)) == ("queued", "CA", 34)
    assert twilio.calls(made.sid).fetch().status == "ringing"
    client.clock.now += 1
    found = twilio.calls(made.sid).fetch()
    assert (found.status, found.duration, found.to) == ("completed", "1", "+8613800138000")
    [message] = client.sandbox.messages()
    assert (message.channel, message.text, message.code) == ("voice", "012345", "012345")


def test_call_may_name_a_url(client: Client, twilio: Twilio) -> None:
    events = ["completed", "answered"]
    twilio.calls.create(to="+85251234567", from_="+15005550006", url="http://x/twiml", status_callback_event=events)
    assert [(message.phone, message.text) for message in client.sandbox.messages()] == [
        ("+85251234567", "http://x/twiml")
    ]


def test_api_key_is_taken(client: Client) -> None:
    assert twilio_client(client, "SKsandbox").messages.create(**SMS).status == "queued"


@pytest.mark.parametrize(
    ("who", "seen"),
    [
        ({"password": "wrong"}, (401, 20003)),
        ({"user": "ACstranger"}, (401, 20003)),
        ({"user": "SKstranger"}, (401, 20003)),
        ({"account": "ACstranger"}, (404, 20404)),
    ],
)
def test_strangers_are_turned_away(client: Client, who: dict[str, str], seen: tuple[int, int]) -> None:
    with pytest.raises(TwilioRestException) as caught:
        twilio_client(client, **who).messages.create(**SMS)
    assert (caught.value.status, caught.value.code) == seen
    assert client.sandbox.messages() == []


def test_half_a_request_sends_nothing(client: Client) -> None:
    """The client disconnects in the middle of the body. The received part must not be taken as a whole message."""
    body = b"To=%2B8613800138000&From=%2B15005550006&Body=Your+code+is+1234"
    user = base64.b64encode(b"ACsandbox:sandbox-secret").decode()
    head = (
        "POST /2010-04-01/Accounts/ACsandbox/Messages.json HTTP/1.1\r\nHost: localhost\r\n"
        f"Authorization: Basic {user}\r\nContent-Type: application/x-www-form-urlencoded\r\n"
    )
    for length, sent in [(len(body) + 2, 0), (len(body), 1)]:
        with socket.create_connection((client.address.host, client.address.port), timeout=5) as connection:
            connection.sendall(f"{head}Content-Length: {length}\r\n\r\n".encode() + body)
            connection.shutdown(socket.SHUT_WR)
            connection.recv(65_536)
        assert len(client.sandbox.messages()) == sent


@pytest.mark.parametrize("header", [None, "", "Basic", "Basic !", "Basic c2FuZGJveA==", "Bearer x", "Basic 4pyT4pyT"])
def test_credentials_that_are_none_are_refused(client: Client, header: str | None) -> None:
    url = f"{client.address.base_url}/2010-04-01/Accounts/ACsandbox/Messages.json"
    reply = requests.post(url, headers={"Authorization": header}, data={}, timeout=5)
    assert (reply.status_code, reply.json()["code"]) == (401, 20003)


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"to": ""}, 21604),
        ({"to": "13800138000"}, 21211),
        ({"to": "+0"}, 21211),
        ({"to": "+86138"}, 21211),
        ({"from_": None}, 21603),
        ({"body": None}, 21602),
        ({"body": "x" * 1601}, 21617),
        ({"status_callback": "ftp://x"}, 21609),
    ],
)
def test_what_is_wrong_with_a_message_has_its_code(
    client: Client, twilio: Twilio, changes: dict[str, Any], code: int
) -> None:
    with pytest.raises(TwilioRestException) as caught:
        twilio.messages.create(**{**SMS, **changes})
    assert (caught.value.status, caught.value.code) == (400, code)
    assert client.sandbox.messages() == []


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"to": ""}, 21201),
        ({"to": "+0"}, 21211),
        ({"from_": ""}, 21213),
        ({"twiml": None}, 21205),
        ({"status_callback": "x"}, 21626),
    ],
)
def test_what_is_wrong_with_a_call_has_its_code(
    client: Client, twilio: Twilio, changes: dict[str, Any], code: int
) -> None:
    with pytest.raises(TwilioRestException) as caught:
        twilio.calls.create(**{**CALL, **changes})
    assert (caught.value.status, caught.value.code) == (400, code)
    assert client.sandbox.messages() == []


def test_what_is_not_there_is_not_found(client: Client, twilio: Twilio) -> None:
    for fetch in (
        twilio.messages("SM" + "0" * 32).fetch,
        twilio.calls("CA" + "0" * 32).fetch,
        twilio.queues("QU" + "0" * 32).fetch,
    ):
        with pytest.raises(TwilioRestException) as caught:
            fetch()
        assert (caught.value.status, caught.value.code) == (404, 20404)


# Status callbacks


@pytest.mark.parametrize(
    ("to", "status", "error"),
    [
        ("+8613800138000", "delivered", None),
        ("+8613900100071", "undelivered", "30003"),
        ("+447700900123", "delivered", None),
    ],
)
def test_status_of_a_message_is_pushed_and_signed(
    client: Client, twilio: Twilio, receiver: Receiver, to: str, status: str, error: str | None
) -> None:
    url = f"{receiver.base_url}/hook?send_id=a%20b&x=1"
    sid = twilio.messages.create(**{**SMS, "to": to}, status_callback=url).sid
    client.clock.now += 1
    receiver.wait_for(1)
    [(path, headers, pairs)] = receiver.pushes
    form = dict(pairs)
    assert path == "/hook?send_id=a%20b&x=1"
    assert RequestValidator("sandbox-secret").validate(url, form, headers["X-Twilio-Signature"])
    assert (form["MessageSid"], form["MessageStatus"], form.get("ErrorCode")) == (sid, status, error)
    assert (form["To"], form["From"], form["AccountSid"]) == (to, "+15005550006", "ACsandbox")
    assert twilio.messages(sid).fetch().error_code == (error and int(error))


@pytest.mark.parametrize(
    ("phone", "status"),
    [
        ("13800138000", "completed"),
        ("13900120002", "busy"),
        ("13900120003", "no-answer"),
        ("13900120005", "failed"),
        ("13900100071", "no-answer"),
    ],
)
def test_status_of_a_call_is_pushed_and_signed(
    client: Client, twilio: Twilio, receiver: Receiver, phone: str, status: str
) -> None:
    url = f"{receiver.base_url}/hook"
    sid = twilio.calls.create(**{**CALL, "to": f"+86{phone}"}, status_callback=url).sid
    client.clock.now += 1
    receiver.wait_for(1)
    form = dict(receiver.pushes[0].body)
    assert RequestValidator("sandbox-secret").validate(url, form, receiver.pushes[0].headers["X-Twilio-Signature"])
    assert (form["CallSid"], form["CallStatus"]) == (sid, status)
    assert twilio.calls(sid).fetch().status == status


def test_each_message_is_pushed_to_its_own_url(client: Client, twilio: Twilio, receiver: Receiver) -> None:
    client.sandbox.push_receipts_to(receiver.url)
    for number in range(3):
        twilio.messages.create(**SMS, status_callback=f"{receiver.base_url}/{number}")
    twilio.messages.create(**SMS)
    client.clock.now += 1
    receiver.wait_for(3)
    client.sandbox.push_receipts_to(None)
    assert sorted(push.path for push in receiver.pushes) == ["/0", "/1", "/2"]


@pytest.mark.parametrize(("answer", "pushes"), [(204, 1), (201, 1), (500, 2)])
def test_any_success_ends_a_callback(
    client: Client, twilio: Twilio, receiver: Receiver, answer: int, pushes: int
) -> None:
    receiver.answers = [answer]
    twilio.messages.create(**SMS, status_callback=receiver.base_url)
    client.clock.now += 1
    receiver.wait_for(1)
    client.clock.now += 60
    time.sleep(0.3)
    receiver.wait_for(pushes)


# Faults


def look(twilio: Twilio, phone: str) -> str:
    try:
        return str(twilio.messages.create(**{**SMS, "to": f"+86{phone}"}).status)
    except TwilioRestException as exc:
        return f"{exc.status} {exc.code}"
    except requests.RequestException:
        return "broken"
    except ValueError:
        return "unreadable"


@pytest.mark.parametrize(
    ("phone", "sent", "seen"),
    [
        ("13900100010", False, "500 20500"),
        ("13900100011", True, "500 20500"),
        ("13900100020", False, "429 20429"),
        ("13900100030", False, "503 20503"),
        ("13900100031", True, "503 20503"),
        ("13900100040", False, "broken"),
        ("13900100051", True, "broken"),
        ("13900100061", True, "unreadable"),
        ("13900100071", True, "queued"),
        ("13900100090", False, "queued"),
        ("13900050001", False, "401 20005"),
        ("13900050009", False, "400 21211"),
        ("13900021610", False, "400 21610"),
    ],
)
def test_number_plays_its_fault(client: Client, twilio: Twilio, phone: str, sent: bool, seen: str) -> None:
    assert look(twilio, phone) == seen
    assert len(client.sandbox.messages()) == sent


def test_queued_fault_is_played_once(client: Client, twilio: Twilio) -> None:
    client.sandbox.add_fault(Fault("reject", api="twilio.CreateMessage", code="30454"))
    assert look(twilio, "13800138000") == "400 30454"
    assert look(twilio, "13800138000") == "queued"
    client.sandbox.add_fault(Fault("http_500", api="twilio.FetchCall"))
    sid = twilio.calls.create(**CALL).sid
    with pytest.raises(TwilioRestException):
        twilio.calls(sid).fetch()
    assert twilio.calls(sid).fetch().status == "ringing"
    assert Fault("reject", api="twilio.CreateCall").code == "20005"
