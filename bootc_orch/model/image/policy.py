"""The gate before images that must be signed: a policy that accepts anything vouches for nothing.

skopeo enforces the policy; here it is only judged, since for skopeo an image that anything may be
is a good one.
Source: containers-policy.json(5), and the scopes that containers/image asks for by transport.
"""

from __future__ import annotations

import os.path
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from bootc_orch.model import strict_json
from bootc_orch.model.digest import Digest
from bootc_orch.model.image.docker_reference import DockerReference
from bootc_orch.model.image.reference import ImageReference, Transport
from orch_frame.errors import ConfigError, InvalidImageError, LimitError, PolicyError

MAX_POLICY_BYTES = 1024 * 1024
_ACCEPT_ANYTHING = "insecureAcceptAnything"
_REJECT = "reject"
# What a policy calls the transport of registries.
_DOCKER = "docker"


@dataclass(frozen=True, slots=True)
class AppliedPolicy:
    """The part of a signature policy that decides about one image.

    Attributes:
        source: The path of the policy.
        digest: The digest of its text.
        scope: Which entry decides: ``default``, or ``transports.TRANSPORT."SCOPE"``.
        requirements: The types of what it demands, all of which must be met.
    """

    source: str
    digest: Digest
    scope: str
    requirements: tuple[str, ...]


def judge_policy(data: bytes, image: ImageReference, *, source: str) -> AppliedPolicy:
    """Find what a signature policy demands of *image*, and refuse one that demands nothing.

    Args:
        data: The text of a ``policy.json``.
        image: The image that must be signed.
        source: The policy's path, for the error.

    Raises:
        PolicyError: the scope that applies accepts anything, or rejects the image.
        ConfigError: the text is not a policy.
    """
    policy = _parse(data, source)
    for scope, requirements in _scopes(policy, image):
        types = _types(requirements, scope, source)
        applied = AppliedPolicy(source, Digest.of(data), scope, types)
        # Where the scope is not known for certain, none of those that may apply can be wide open.
        _refuse_useless(applied, image)
    return applied


def _refuse_useless(applied: AppliedPolicy, image: ImageReference) -> None:
    if set(applied.requirements) == {_ACCEPT_ANYTHING}:
        raise PolicyError(
            f"The image must be signed, but {applied.scope} in {applied.source} accepts anything.",
            hint=(
                "Name there what must have signed it (containers-policy.json(5)), or ask for the "
                "image as ostree-unverified-image:…."
            ),
            image=str(image),
            path=applied.source,
        )
    if _REJECT in applied.requirements:
        raise PolicyError(
            f"The image is rejected by {applied.scope} in {applied.source}.",
            hint="Name there what must have signed it: containers-policy.json(5).",
            image=str(image),
            path=applied.source,
        )


def _parse(data: bytes, source: str) -> Mapping[str, Any]:
    try:
        policy = strict_json.loads(data, what=f"the policy {source}", limit=MAX_POLICY_BYTES)
    except (InvalidImageError, LimitError) as error:
        raise ConfigError(error.summary, path=source) from error
    match policy:
        case {"default": [_, *_]}:
            return dict(policy)
        case _:
            raise ConfigError(f"The policy {source} has no default.", path=source)


def _scopes(policy: Mapping[str, Any], image: ImageReference) -> Iterator[tuple[str, Any]]:
    """Yield the entry that decides about *image*, with its name; several where any of them may."""
    transport = _DOCKER if image.transport is Transport.REGISTRY else str(image.transport)
    transports = policy.get("transports")
    entries = transports.get(transport) if isinstance(transports, dict) else None
    if not isinstance(entries, dict) or not entries:
        yield "default", policy["default"]
        return
    names = _candidates(image)
    if names is None:
        yield from ((_entry_name(transport, name), entry) for name, entry in entries.items())
        if "" not in entries:
            yield "default", policy["default"]
        return
    for name in (*names, ""):
        if name in entries:
            yield _entry_name(transport, name), entries[name]
            return
    yield "default", policy["default"]


def _entry_name(transport: str, scope: str) -> str:
    return f'transports.{transport}."{scope}"'


def _candidates(image: ImageReference) -> tuple[str, ...] | None:
    """Return the scopes of *image*, the narrowest first; None where they cannot be told."""
    match image.transport:
        case Transport.REGISTRY:
            parsed = DockerReference.parse(image.name)
            return tuple(_registry_scopes(parsed)) if parsed else None
        case Transport.OCI | Transport.OCI_ARCHIVE:
            return tuple(_path_scopes(image.name.partition(":")[0]))
        case Transport.DIR:
            return tuple(_path_scopes(image.name))
        case _:
            return None


def _registry_scopes(name: DockerReference) -> Iterator[str]:
    repository = f"{name.registry}/{name.repository}"
    yield f"{repository}@{name.digest}" if name.digest else f"{repository}:{name.tag}"
    while "/" in repository:
        yield repository
        repository = repository.rpartition("/")[0]
    yield name.registry
    host = name.registry.partition(":")[0]
    while "." in host:
        host = host.partition(".")[2]
        yield f"*.{host}"


def _path_scopes(path: str) -> Iterator[str]:
    scope = os.path.realpath(path)
    while scope not in ("", "/"):
        yield scope
        scope = scope.rpartition("/")[0]


def _types(requirements: object, scope: str, source: str) -> tuple[str, ...]:
    types = []
    for requirement in requirements if isinstance(requirements, list) else ():
        match requirement:
            case {"type": str(kind)}:
                types.append(kind)
            case _:
                raise ConfigError(
                    f"The policy {source} has an entry without a type: {scope}.", path=source
                )
    if not types:
        raise ConfigError(f"The policy {source} demands nothing: {scope} is empty.", path=source)
    return tuple(types)
