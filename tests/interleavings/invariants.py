"""What must hold at each end of a run, whatever the order and the faults.

Each count has bounds. A message that a gateway has, or may have, is counted. A call without a fault beside lost replies
counts nothing more than that. A call with another fault may stay counted once: never less, and never twice.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from books import Books
from explorer import Ending, Step
from providers import UNCERTAIN
from support.rig import PHONE

from otpkit import (
    BlockedError,
    Challenge,
    ExpiredCodeError,
    GatewayRejectedError,
    Proof,
    RateLimitError,
    Sent,
    StoreUnavailableError,
    UsedTokenError,
    WrongCodeError,
)

_KEPT = {"number": {"phone", "ip"}, "rate_limit": {"phone", "ip", "wide"}}
"""The limits that stay charged after a rejection of a category."""
_GUESSES = (b"wrong", b"none", b"blocked")


@dataclass(frozen=True, kw_only=True)
class Issuing(Step):
    """A call of `issue`."""

    phone: str = PHONE
    ip: str | None = None
    captcha: str | None = None


@dataclass(frozen=True, kw_only=True)
class Sending(Issuing):
    """A call of `send`: an issue whose code another system verifies."""


@dataclass(frozen=True, kw_only=True)
class Verifying(Step):
    """A call of `verify`."""

    phone: str = PHONE
    ip: str | None = None
    is_right: bool = True
    key: str | None = None


@dataclass(frozen=True, kw_only=True)
class Redeeming(Step):
    """A call of `redeem`."""

    key: str | None = None


@dataclass(frozen=True)
class Bounds:
    """The least and the most that a count may be."""

    least: int = 0
    most: int = 0

    def __add__(self, other: Bounds) -> Bounds:
        return Bounds(self.least + other.least, self.most + other.most)

    def check(self, count: int, what: str) -> None:
        """Raise AssertionError for a count outside of the bounds."""
        bounds = str(self.least) if self.least == self.most else f"{self.least} to {self.most}"
        assert self.least <= count <= self.most, f"{what}: {count} is counted, and {bounds} is right"


def audit(
    *, messages: int, repeats: int = 1, extra: Callable[[Ending], None] | None = None
) -> Callable[[Ending], None]:
    """Return the check of an end.

    Args:
        messages: the most messages that all calls together may send, by the limits.
        repeats: the most messages of one operation: the number of gateways, with `Failover(on_uncertain="next")`.
        extra: a further check.
    """

    def check(end: Ending) -> None:
        books, earlier = Books(end.config, end.stored), Books(end.config, end.stored_before)
        assert len(end.messages) <= messages, f"{len(end.messages)} messages, and the limits allow {messages}"
        for call, step in enumerate(end.steps):
            if isinstance(step, Issuing):
                _check_issue(end, call, repeats)
            elif isinstance(step, Verifying):
                _check_verify(end, call, step)
        _check_limits(end, books, earlier)
        _check_guesses(end, books, earlier)
        _check_redeemed(end)
        _check_figures(end, books, earlier)
        if end.config.purse is not None:
            _check_money(end, books, earlier)
        if end.config.protection is not None:
            _check_guard(end, books, earlier)
        if extra is not None:
            extra(end)

    return check


def _check_issue(end: Ending, call: int, repeats: int) -> None:
    """Check the messages of one call against its result."""
    sent, result, name = end.sent(call), end.result(call), end.steps[call].name
    operations, gateways = {each.send_id for each in sent}, [each.gateway for each in sent]
    assert len(operations) <= 1, f"{name} sent messages of {len(operations)} operations"
    assert len(sent) <= repeats, f"{name} sent its message {len(sent)} times"
    assert len(set(gateways)) == len(gateways), f"{name} sent its message twice by {gateways[0]}"
    if isinstance(result, BaseException):
        assert not sent, f"{name} raised {type(result).__name__}, and its message is on the wire"
    if isinstance(result, (Challenge, Sent)):
        assert bool(sent) != result.replayed, f"{name}: replayed is {result.replayed} with {len(sent)} messages"


def _bounds(end: Ending, call: int, scope: str) -> Bounds:
    """Return what one `issue` may count in a limit: of the phone, the address, or `wide`."""
    result, least = end.result(call), len(end.sent(call)) > 0
    category = result.category if isinstance(result, GatewayRejectedError) else ""
    if isinstance(result, RateLimitError) and result.scope == "gateway":
        category = "rate_limit"
    return Bounds(int(least), int(least or end.is_hurt(call) or scope in _KEPT.get(category, ())))


def _issues(end: Ending, wanted: Callable[[Issuing], bool] = lambda _: True) -> list[int]:
    return [call for call, step in enumerate(end.steps) if isinstance(step, Issuing) and wanted(step)]


def _sum(end: Ending, calls: list[int], scope: str) -> Bounds:
    return sum((_bounds(end, call, scope) for call in calls), Bounds())


def _check_limits(end: Ending, books: Books, earlier: Books) -> None:
    """Check what limits count: nothing twice, and no message without a count."""
    steps = [step for step in end.steps if isinstance(step, Issuing)]
    for phone in dict.fromkeys(step.phone for step in steps):
        calls = _issues(end, lambda step: step.phone == phone)  # noqa: B023
        if not any(step.name.startswith("erase") for step in end.steps):
            counted = len(books.sends(phone)) - len(earlier.sends(phone))
            _sum(end, calls, "phone").check(counted, "the phone's sends")
            assert_codes_work(end, phone)
    for ip in dict.fromkeys(step.ip for step in steps if step.ip and end.config.policy.ip_sends):
        calls = _issues(end, lambda step: step.ip == ip)  # noqa: B023
        counted = books.of_address("sends", ip) - earlier.of_address("sends", ip)
        _sum(end, calls, "ip").check(counted, "the address's sends")
    for now, before in zip(books.of_all(), earlier.of_all(), strict=True):
        _sum(end, _issues(end), "wide").check(now - before, "the sends of the region, or of all")


def assert_codes_work(end: Ending, phone: str) -> None:
    """Check that a code that the user may have can be verified, unless something has ended its challenge."""
    if any(not isinstance(step, Issuing) for step in end.steps):
        return
    calls = _issues(end, lambda step: step.phone == phone and not isinstance(step, Sending))
    codes = {each.code for call in calls for each in end.sent(call)}
    found = [end.call(lambda flows: flows.verify(phone, code, "signup", "", None, None)) for code in sorted(codes)]  # noqa: B023
    proofs = [each for each in found if isinstance(each, Proof)]
    assert proofs or not codes, f"no code that was sent can be verified: {found}"


def _check_verify(end: Ending, call: int, step: Verifying) -> None:
    result = end.result(call)
    assert step.is_right or not isinstance(result, Proof), f"{step.name}: a wrong code was proved"
    expected = (Proof, WrongCodeError, ExpiredCodeError, RateLimitError, BlockedError, StoreUnavailableError)
    assert result is None or isinstance(result, expected), f"{step.name}: {result!r}"


def _operations(end: Ending, word: bytes) -> set[int]:
    """Return the verifications to which Redis replied with a word, whether or not a call got the reply."""
    return {reply[0] for _, reply in end.replies("verify") if reply[1] == word}


def _check_guesses(end: Ending, books: Books, earlier: Books) -> None:
    """Check comparisons, wrong codes and proofs: each operation counts once, however often it ran."""
    steps = [step for step in end.steps if isinstance(step, Verifying)]
    if not steps:
        return
    proved, wrong = _operations(end, b"proved"), _operations(end, b"wrong")
    # A reservation without a nonce made a new challenge.
    fresh = {reply[0] for _, reply in end.replies("reserve") if reply[1] == b"reserved" and reply[3] == b""}
    challenges = len(fresh) + (1 if end.messages_before else 0)
    most = end.config.policy.attempts * challenges
    assert len(proved | wrong) <= most, f"{len(proved | wrong)} comparisons, and {most} attempts"
    assert len(proved) <= challenges, f"{len(proved)} proofs of {challenges} challenges"
    if end.config.policy.replicas or any(step.name.startswith(("erase", "unblock")) for step in end.steps):
        return
    phone = steps[0].phone
    assert books.proofs(phone) - earlier.proofs(phone) == len(proved), "a proof is kept twice, or lost"
    counted = books.wrong_codes(phone) - earlier.wrong_codes(phone)
    assert counted == len(wrong), f"{len(wrong)} wrong codes, and {counted} are counted"
    if not proved:
        counted = books.consecutive(phone) - earlier.consecutive(phone)
        assert counted == len(wrong), f"{len(wrong)} consecutive wrong codes, and {counted} are counted"
    for ip in dict.fromkeys(step.ip for step in steps if step.ip and end.config.policy.ip_failures):
        _check_address(end, ip, books.of_address("failures", ip) - earlier.of_address("failures", ip))


def _check_figures(end: Ending, books: Books, earlier: Books) -> None:
    """Check the operators' figures: nothing counts twice, and on one server nothing is missing after a lost reply."""
    found = books.figures()
    found.subtract(earlier.figures())
    sent = Bounds()
    for call in _issues(end):
        messages = len(end.sent(call))
        is_missing = end.is_hurt(call) or any(step.name.startswith("erase") for step in end.steps)
        sent += Bounds(0 if is_missing else messages, messages)
    sent.check(found["a"] + found["u"] + found["o"], "the sent messages of the figures")
    forgets = any(step.name.startswith(("erase", "unblock")) for step in end.steps)
    for what, word in (("v", b"proved"), ("w", b"wrong")):
        made = len(_operations(end, word))
        if forgets:  # A retry is then compared again.
            made = sum(reply[1] == word for _, reply in end.replies("verify"))
        least = 0 if forgets or end.config.clustered or end.config.policy.replicas else made
        Bounds(least, made).check(found[what], f"the codes of the figures that were {word.decode()}")


def _check_address(end: Ending, ip: str, counted: int) -> None:
    """Check the guesses of an address: wrong codes count, and guesses that could not be compared. Right ones do not."""
    calls = [call for call, step in enumerate(end.steps) if isinstance(step, Verifying) and step.ip == ip]
    replies = [reply for call, reply in end.replies("verify") if call in calls]
    guesses = {reply[0] for reply in replies if reply[1] in _GUESSES or (reply[1] == b"limited" and reply[3] != b"ip")}
    hurt = sum(map(end.is_hurt, calls)) if end.config.clustered else 0
    Bounds(len(guesses), len(guesses) + hurt).check(counted, "the address's failures")


def _check_redeemed(end: Ending) -> None:
    """Check that a proof is used once: by one operation, and by one call that is not a replay."""
    calls = [call for call, step in enumerate(end.steps) if isinstance(step, Redeeming)]
    if end.config.policy.replicas:
        calls = []
    redeemers = {reply[0] for _, reply in end.replies("redeem") if reply[1] in (b"redeemed", b"repeated")}
    results = [end.result(call) for call in calls]
    first = [each for each in results if isinstance(each, Proof) and not each.replayed]
    assert len(first) <= 1, f"a proof was redeemed {len(first)} times"
    assert not calls or len(redeemers) <= 1, f"a proof was redeemed by {len(redeemers)} operations"
    if calls and not first and any(isinstance(each, UsedTokenError) for each in results):
        assert redeemers, "a proof was refused as used, and nobody has redeemed it"


def _check_money(end: Ending, books: Books, earlier: Books) -> None:
    """Check each budget: it has paid for what was sent, and for nothing that was certainly not sent."""
    purse = end.config.purse
    assert purse is not None
    plan = end.config.routing.plan_for("CN")
    combine = sum if plan.tries_after_uncertain else max
    for place, account in enumerate(purse.accounts):
        prices = {
            member.name: (purse.prices.find(member.name, "CN", "sms") or 0)
            * (account.budget.gateway in (None, member.name))
            for member in plan.members
        }
        reserved, bounds = combine(prices.values()), Bounds()
        for call in _issues(end):
            paid = sum(prices[each.gateway] for each in end.sent(call))
            bounds += Bounds(paid, reserved if end.is_hurt(call) else paid)
        bounds.check(books.money()[place] - earlier.money()[place], f"the budget {account.budget}, in millionths")
    pending = sum(
        1 for call in _issues(end) if end.is_hurt(call)
    )  # A send that nobody settled stays charged, and its field shows that.
    for phone in dict.fromkeys(end.steps[call].phone for call in _issues(end)):  # type: ignore[attr-defined]
        assert books.open_bills(phone) <= pending, "a settled send is still marked as charged"


def _check_guard(end: Ending, books: Books, earlier: Books) -> None:
    """Check the guard's scopes: each send counts once, unverified or verified."""
    steps = [step for step in end.steps if isinstance(step, (Issuing, Verifying))]
    phone = steps[0].phone
    calls, ips = _issues(end), list(dict.fromkeys(step.ip for step in steps if step.ip))
    asked = [call for call in calls if end.steps[call].captcha is not None]  # type: ignore[attr-defined]
    free = [call for call in calls if call not in asked]
    found = {"range": (books.range_of(phone), earlier.range_of(phone), _guarded(end, calls))}
    # A send that passed a captcha does not count in its region.
    passed = sum((Bounds(0, each.most) for each in (_guarded(end, [call]) for call in asked)), Bounds())
    found["region"] = (books.region_of(phone), earlier.region_of(phone), _guarded(end, free) + passed)
    for ip in ips:
        of_address = [call for call in calls if end.steps[call].ip == ip]  # type: ignore[attr-defined]
        for name, book in (("address", Books.address_of), ("network", Books.network_of)):
            found[f"{name} {ip}"] = (book(books, phone, ip), book(earlier, phone, ip), _guarded(end, of_address))
    for name, (now, before, bounds) in found.items():
        counted = now.unverified + now.verified - before.unverified - before.verified
        bounds.check(counted, f"the guard's {name}, {now.unverified} unverified and {now.verified} verified")
    if not end.config.clustered and not end.config.policy.replicas:
        _check_records(end, books)


def _guarded(end: Ending, calls: list[int]) -> Bounds:
    """Return what calls may count in the guard.

    A verification counts all sends of its challenge as verified, even one that is on its way. If that one is then
    rejected, or reserved again because its reply was lost, it stays counted as verified.
    """
    bounds = _sum(end, calls, "guard")
    if not _operations(end, b"proved"):
        return bounds
    reserved = Counter(call for call, reply in end.replies("reserve") if reply[1] == b"reserved")
    more = sum(reserved[call] > 1 or isinstance(end.result(call), GatewayRejectedError) for call in calls)
    return bounds + Bounds(0, more)


def _check_records(end: Ending, books: Books) -> None:
    """Check that the phones' records say what their scopes count. On one server both are written in one step."""
    steps = [step for step in end.steps if isinstance(step, (Issuing, Verifying))]
    phones = dict.fromkeys([*[step.phone for step in steps], *_phones_before(end)])
    scopes = [value[6] for phone in phones for value in books.fields(phone, "u").values()]
    unverified = sum(each % 2 for each in scopes)
    assert books.range_of(steps[0].phone).unverified == unverified, (
        f"the range counts {books.range_of(steps[0].phone).unverified} unverified sends, and phones have {unverified}"
    )
    # A guess stays counted when its send is undone. It was made.
    guessed, guesses = sum(each % 32 >= 16 for each in scopes), len(_operations(end, b"wrong"))
    Bounds(guessed, max(guessed, guesses)).check(books.guesses(steps[0].phone), "the challenges with a wrong code")


def _phones_before(end: Ending) -> list[str]:
    return [each.phone for each in end.results_before if isinstance(each, (Challenge, Proof))]


def delivery_is_known(end: Ending) -> None:
    """Check that a call that ended without a fault has recorded its outcome."""
    for call in _issues(end):
        result: Any = end.result(call)
        if isinstance(result, (Challenge, Sent)) and not result.replayed and not end.is_hurt(call):
            expected = "uncertain" if end.sent(call)[-1].outcome == UNCERTAIN else "accepted"
            assert result.delivery == expected, f"{end.steps[call].name}: the delivery is {result.delivery}"


def same_tokens(end: Ending) -> None:
    """Check that a form that is sent twice gets the same proof."""
    tokens = {each.token for each in end.results if isinstance(each, Proof)}
    assert len(tokens) <= 1, "one form got two proofs"


def at_most_wrong(end: Ending, most: int) -> None:
    wrong = {reply[0] for _, reply in end.replies("verify") if reply[1] == b"wrong"}
    assert len(wrong) <= most, f"{len(wrong)} wrong codes, and the limit is {most}"


def nothing_after(end: Ending) -> None:
    """Check that nothing is granted after a revocation that has ended, and that a used code proves nothing."""
    if end.result(0) is None and not end.is_hurt(0):
        again = end.call(lambda flows: flows.verify(PHONE, end.messages_before[-1].code, "signup", "", None, None))
        assert not isinstance(again, Proof), "a revoked code was proved"


def confirmed(end: Ending, *, proof: int, redeemed: int) -> None:
    """Check that an unconfirmed verification or redemption grants nothing, and takes nothing for good."""
    got, used = end.result(proof), end.result(redeemed)
    assert isinstance(got, Proof) or not isinstance(used, Proof), "a proof was redeemed that nobody got"
    if isinstance(got, Proof) and isinstance(used, Proof):
        again = end.call(lambda flows: flows.redeem(got.token, "signup", "", PHONE, None))
        assert not isinstance(again, Proof), "a proof was redeemed twice"


def delivered_stays(end: Ending) -> None:
    """Check that a receipt that was recorded stays: what was delivered is never anything else again."""
    calls = [call for call, step in enumerate(end.steps) if step.name == "delivered"]
    recorded = any(call in calls and reply != [] for call, reply in end.replies("receive"))
    assert not recorded or "d" in Books(end.config, end.stored).sends(PHONE), "a delivery was forgotten"


def within_budget(end: Ending, most: int) -> None:
    assert len(end.messages) <= most, f"{len(end.messages)} messages, and the budget affords {most}"


def verified_once(end: Ending) -> None:
    """Check that a verified send is not counted as verified twice."""
    books = Books(end.config, end.stored)
    for name, scope in (("range", books.range_of(PHONE)), ("region", books.region_of(PHONE))):
        assert scope.verified <= 1, f"the {name} has {scope.verified} verified sends, and one was made"
