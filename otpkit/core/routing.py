"""Choose the gateway and template of a message: `OTP(gateway=…, template=…)`, checked once."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from inspect import iscoroutinefunction
from typing import NamedTuple, TypeAlias

from otpkit.core.arguments import check_purpose
from otpkit.core.checks import Checks, nearest
from otpkit.errors import ConfigurationError
from otpkit.gateways.base import Channel, FunctionGateway, Gateway, Message
from otpkit.gateways.failover import NAME, Failover, Route, TemplateChoice
from otpkit.template import Template

GatewayChoice: TypeAlias = (
    Gateway
    | Callable[[Message], object]
    | Route
    | Failover
    | Mapping[str, Gateway | Callable[[Message], object] | Route | Failover]
)
__all__ = ["GatewayChoice", "Member", "Plan", "Routing", "TemplateChoice", "check_templates", "is_async", "route"]

_OTHERS = "*"


class Member(NamedTuple):
    """A gateway of an `OTP`, with its templates and a name that is unique in it."""

    name: str
    gateway: Gateway
    templates: TemplateChoice

    def template_for(self, purpose: str) -> Template:
        """Return the template of a purpose; raise `ConfigurationError` if there is none."""
        if isinstance(self.templates, Template):
            return self.templates
        if purpose not in self.templates:
            problem = f"There is no template for the purpose {purpose!r}{nearest(purpose, self.templates)}"
            raise ConfigurationError(problem, "Add it to OTP(template={…}).")
        return self.templates[purpose]

    def channel_for(self, wanted: Channel) -> Channel:
        """Return the channel by which this gateway carries a message for which `wanted` was requested."""
        return wanted if wanted in self.gateway.channels else next(iter(self.gateway.channels))


class Plan(NamedTuple):
    """The gateways of a region in order, and the options of their `Failover`."""

    members: tuple[Member, ...]
    tries_after_uncertain: bool = False
    undelivered_after_ms: float | None = None
    rest_after: int = 0
    rest_ms: int = 0

    @property
    def offers_call(self) -> bool:
        """True if a gateway can call, and another way than a call exists too."""
        channels = {channel for member in self.members for channel in member.gateway.channels}
        return {"sms", "voice"} <= channels

    def candidates(self, channel: Channel) -> tuple[Member, ...]:
        """Return the gateways that can carry a message: for voice those that can call, for SMS all.

        Raises:
            ConfigurationError: the channel is unknown, or no gateway can call.
        """
        if channel == "sms":
            return self.members
        if channel != "voice":
            raise ConfigurationError("The channel is unknown.", 'Pass "sms" or "voice".')
        found = tuple(member for member in self.members if channel in member.gateway.channels)
        if not found:
            raise ConfigurationError("No gateway here can call a phone.", "Add one that does, such as AliyunVoice(…).")
        return found


class Routing(NamedTuple):
    """The plans of an `OTP`, by region, and all its gateways, by name."""

    plans: Mapping[str, Plan]
    members: Mapping[str, Member]
    only: Member | None  # The gateway, if the `OTP` has exactly one.

    def gateways(self) -> Iterable[Gateway]:
        """Return each gateway once."""
        return (member.gateway for member in self.members.values())

    def purposes(self) -> frozenset[str] | None:
        """Return the purposes that have a template, or None if a gateway's template serves all purposes."""
        templates = [member.templates for member in self.members.values()]
        mapped = [each for each in templates if not isinstance(each, Template)]
        return frozenset().union(*mapped) if len(mapped) == len(templates) else None

    def require_template(self, purpose: str, place: str) -> None:
        """Raise `ConfigurationError` if no template serves a purpose that is named at `place`."""
        known = self.purposes()
        if known is not None and purpose not in known:
            problem = f"{place} is for the purpose {purpose!r:.40}, which no template serves{nearest(purpose, known)}"
            raise ConfigurationError(problem, "Correct the purpose, or add a template for it.")

    def plan_for(self, region: str) -> Plan:
        """Return the plan of an allowed region."""
        return self.plans.get(region) or self.plans[_OTHERS]

    def member(self, name: str) -> Member:
        """Return a gateway by its name, or by "" if there is only one; raise `ConfigurationError` if there is none."""
        found = self.members.get(name) if name else self.only
        if found is None:
            problem = f"There is no gateway {name!r:.40}{nearest(name, self.members)}"
            raise ConfigurationError(problem, f"Name one of {', '.join(self.members)}.")
        return found


def route(choice: object, template: object, regions: Iterable[str] | None) -> Routing:
    """Check `OTP(gateway=…, template=…)` and return the routing.

    Args:
        choice: the value of `gateway`.
        template: the value of `template`.
        regions: the allowed regions, ISO 3166-1 alpha-2; None skips their check.

    Raises:
        ConfigurationError: fields are wrong. The error names each of them with its remedy.
    """
    with Checks() as checks:
        templates = checks.of("template", check_templates, template)
        builder = _Builder(templates if checks.passed("template") else {}, checks)
        if callable(choice) or not isinstance(choice, Mapping):
            plans = {_OTHERS: builder.plan(choice)}
        else:
            if regions is not None:
                checks.of("gateway", _check_regions, choice, set(regions))
            plans = {region: builder.plan(each) for region, each in choice.items()}
    return builder.routing(plans)


def _check_regions(choice: Mapping[str, object], allowed: set[str]) -> None:
    """Raise `ConfigurationError` if a mapping of regions to gateways has a region too many or too few."""
    if stray := sorted(str(region)[:8] for region in choice if region not in allowed | {_OTHERS}):
        raise ConfigurationError(
            f"gateway routes {', '.join(stray)}, which Policy.regions does not allow.",
            "Remove the route, or add the region to Policy.regions.",
        )
    if _OTHERS not in choice and (lost := sorted(allowed - set(choice))):
        raise ConfigurationError(f"gateway has none for {', '.join(lost)}.", 'Add {"*": …} for all other regions.')


def check_templates(template: object) -> TemplateChoice:
    """Return the value of `template=`; raise `ConfigurationError` if it is not valid."""
    if isinstance(template, Template):
        return template
    if isinstance(template, Mapping) and template:
        chosen = {check_purpose(purpose): value for purpose, value in template.items()}
        if all(isinstance(value, Template) for value in chosen.values()):
            return chosen
    raise ConfigurationError(
        "template must be a Template, or a mapping of purposes to them.",
        'Write it like {"signup": Template(…), "login": Template(…)}.',
    )


def is_async(gateway: Gateway) -> bool:
    """Check whether a gateway is an async function."""
    return isinstance(gateway, FunctionGateway) and iscoroutinefunction(gateway.function)


class _Builder:
    """A builder that names the gateways of an `OTP`. A gateway in two places gets one name."""

    def __init__(self, templates: TemplateChoice, checks: Checks) -> None:
        self._templates = templates
        self._checks = checks
        self._known: dict[int, tuple[object, Member]] = {}
        self.members: dict[str, Member] = {}

    def plan(self, choice: object) -> Plan:
        if not isinstance(choice, Failover):
            return Plan((self._checked(choice),))
        after = choice.undelivered_after
        return Plan(
            tuple(map(self._checked, choice.gateways)),
            choice.on_uncertain == "next",
            None if after is None else after * 1000,
            choice.rest_after,
            int(choice.rest * 1000),
        )

    def routing(self, plans: Mapping[str, Plan]) -> Routing:
        only = next(iter(self.members.values())) if len(self.members) == 1 else None
        return Routing(plans, self.members, only)

    def _checked(self, choice: object) -> Member:
        return self._checks.of("gateway", self._member, choice)

    def _member(self, choice: object) -> Member:
        if id(choice) not in self._known:
            self._known[id(choice)] = (choice, self._new_member(choice))
        return self._known[id(choice)][1]

    def _new_member(self, choice: object) -> Member:
        route = choice if isinstance(choice, Route) else Route(_gateway(choice))
        gateway = _gateway(route.gateway)
        templates = self._templates if route.template is None else check_templates(route.template)
        for template in [templates] if isinstance(templates, Template) else templates.values():
            self._checks.of("template", gateway.check, template)
        member = Member(self._unused(route.name or _name(gateway)), gateway, templates)
        self.members[member.name] = member
        return member

    def _unused(self, name: str) -> str:
        names = (name if number == 1 else f"{name}-{number}" for number in range(1, len(self.members) + 2))
        return next(each for each in names if each not in self.members)


def _name(gateway: Gateway) -> str:
    name = getattr(gateway, "name", None)
    if isinstance(name, str) and NAME.fullmatch(name):
        return name
    raise ConfigurationError(
        f"{type(gateway).__name__}.name must be at most 24 of a-z, 0-9, '_' and '-'.",
        "Set another name with Route(…, name='aliyun-eu').",
    )


def _gateway(gateway: object) -> Gateway:
    if isinstance(gateway, Gateway):
        return gateway
    if callable(gateway) and not isinstance(gateway, type):
        return FunctionGateway(gateway)
    raise ConfigurationError(
        "gateway must be a Gateway, a function that takes a Message, a Failover, or a mapping of regions to these.",
        'Pass one, such as Alidayu(…), Failover([…]) or {"CN": …, "*": …}.',
    )
