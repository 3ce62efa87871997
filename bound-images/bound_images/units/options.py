"""How an image is to be pulled: the keys of ``[Image]``, and what other units say of a pull.

Source: podman-systemd.unit(5), podman-pull(1) of podman 5.8.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, fields, replace
from enum import StrEnum
from typing import Any, Self

from bound_images.errors import DefinitionError
from bound_images.units.transport import HINT, check_global, words_about_pull, words_of_pull
from bound_images.units.unitfile import UnitFile

MASK = "********"
_DURATION = re.compile(r"(?:\d+(?:\.\d+)?(?:ns|us|µs|ms|s|m|h))+")
_SECONDS = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}


class Policy(StrEnum):
    """When ``sync`` fetches an image that the store may already have."""

    ALWAYS = "always"
    NEWER = "newer"
    MISSING = "missing"
    NEVER = "never"


@dataclass(frozen=True, slots=True)
class PullOptions:
    """What a definition says of pulling its image; empty or None where it says nothing.

    Attributes:
        creds: ``user:password``; never to be shown, see `masked`.
        decryption_key: ``key[:passphrase]``; never to be shown either.
        retry: Attempts after the first, as written.
        retry_delay: A Go duration such as ``5s``, as written.
        modules: ``containers.conf`` modules, from ``ContainersConfModule=``, as written.
        global_args: Words that podman's own unit has before ``image pull``, as written.
        podman_args: Words that it has before the name of the image, as written; see `settled`.
        image_tag: The name under which other units know what is pulled.
        pull: A container's own policy for when it starts; ``sync`` does not go by it.
    """

    all_tags: bool | None = None
    arch: str = ""
    auth_file: str = ""
    cert_dir: str = ""
    creds: str = ""
    decryption_key: str = ""
    os: str = ""
    policy: str = ""
    retry: str = ""
    retry_delay: str = ""
    tls_verify: bool | None = None
    variant: str = ""
    image_tag: str = ""
    pull: str = ""
    modules: tuple[str, ...] = ()
    global_args: tuple[str, ...] = ()
    podman_args: tuple[str, ...] = ()

    @classmethod
    def from_unit(cls, unit: UnitFile, section: str) -> Self:
        """Collect the keys of *section*, for any type of unit.

        In other units than ``.image`` and ``.artifact``, the words of podman belong to another
        command; only those that concern a pull are taken.
        """
        written: dict[str, Any] = {
            name: unit.value(section, key) or "" for name, key in KEYS.items()
        }
        switches: dict[str, Any] = {
            name: unit.boolean(section, key) for name, key in SWITCHES.items()
        }
        pulls = section in ("Image", "Artifact")
        arguments = unit.arguments(section, "PodmanArgs")
        options = cls(**written, **switches)
        if not pulls:
            return replace(options, image_tag="", **words_about_pull(arguments))
        return replace(
            options,
            modules=unit.values(section, "ContainersConfModule"),
            global_args=unit.arguments(section, "GlobalArgs"),
            podman_args=arguments,
        )

    @classmethod
    def from_keys(cls, keys: Mapping[str, object]) -> Self:
        """Read what `as_keys` returned; what is malformed or masked is left out.

        So are lists of words, which older versions recorded: a lock file may come from elsewhere.
        """
        found: dict[str, Any] = {}
        for names, kind in ((KEYS, str), (SWITCHES, bool)):
            for name, key in names.items():
                value = keys.get(key)
                if isinstance(value, kind) and MASK not in str(value):
                    found[name] = value
        return cls(**found)

    def expanded(self, expand: Callable[[str], str]) -> PullOptions:
        """Return the options with *expand* applied to every text in them."""

        def changed(value: object) -> object:
            if isinstance(value, str):
                return expand(value)
            return tuple(map(expand, value)) if isinstance(value, tuple) else value

        return PullOptions(**{f.name: changed(getattr(self, f.name)) for f in fields(self)})  # type: ignore[arg-type]  # each value keeps its type

    def settled(self) -> PullOptions:
        """Return the options with words in place of keys put where the keys are.

        As for podman, the words count before the keys.

        Raises:
            DefinitionError: a word concerns more than the transport of the image.
        """
        if self.modules:
            raise DefinitionError(
                "ContainersConfModule= is not for a bound image: it can name programs and files "
                "of the machine that fetches.",
                hint=HINT,
            )
        check_global(self.global_args)
        found = words_of_pull(self.podman_args)
        return replace(self, global_args=(), podman_args=(), **found)

    def as_keys(self) -> dict[str, object]:
        """Return ``{quadlet key: value or list}`` of what is set, secrets masked."""
        names = {**KEYS, **SWITCHES, **LISTS}
        set_values = {name: getattr(self.masked(), name) for name in names}
        return {
            names[name]: list(value) if isinstance(value, tuple) else value
            for name, value in sorted(set_values.items(), key=lambda item: names[item[0]])
            if value not in ("", None, ())
        }

    def masked(self) -> PullOptions:
        """Return the options with everything secret replaced."""
        return replace(
            self,
            creds=self.creds and MASK,
            decryption_key=_masked_key(self.decryption_key),
            podman_args=tuple(_masked_arguments(self.podman_args)),
        )

    @property
    def wanted_policy(self) -> Policy:
        """When to fetch; podman's own default is always.

        Raises:
            DefinitionError: the policy is none that podman knows.
        """
        try:
            return Policy(self.policy or Policy.ALWAYS)
        except ValueError as error:
            raise DefinitionError(
                f"Policy={self.policy} is none of {', '.join(Policy)}."
            ) from error

    @property
    def retries(self) -> int | None:
        """How often to try again, None where the definition leaves it open.

        Raises:
            DefinitionError: the value is no number.
        """
        if not self.retry:
            return None
        if not self.retry.isascii() or not self.retry.isdigit():
            raise DefinitionError(f"Retry={self.retry} is not a number.")
        return int(self.retry)

    @property
    def retry_seconds(self) -> float | None:
        """How long to wait before the second attempt, None where the definition leaves it open.

        Raises:
            DefinitionError: the value is no duration such as ``5s``.
        """
        if not self.retry_delay:
            return None
        if not _DURATION.fullmatch(self.retry_delay):
            raise DefinitionError(f"RetryDelay={self.retry_delay} is no duration such as 5s.")
        parts = re.findall(r"([\d.]+)([a-zµ]+)", self.retry_delay)
        return sum(float(number) * _SECONDS[unit] for number, unit in parts)

    def selects_same_content_as(self, other: PullOptions) -> bool:
        """Say whether both would pull the same of a multi-platform image."""
        return (self.arch, self.os, self.variant) == (other.arch, other.os, other.variant)


# Attribute -> key; the order is that of no importance, the generator's own is random.
KEYS = {
    "arch": "Arch", "auth_file": "AuthFile", "cert_dir": "CertDir", "creds": "Creds",
    "decryption_key": "DecryptionKey", "os": "OS", "policy": "Policy", "retry": "Retry",
    "retry_delay": "RetryDelay", "variant": "Variant", "image_tag": "ImageTag", "pull": "Pull",
}  # fmt: skip
SWITCHES = {"all_tags": "AllTags", "tls_verify": "TLSVerify"}
LISTS = {
    "modules": "ContainersConfModule", "global_args": "GlobalArgs", "podman_args": "PodmanArgs",
}  # fmt: skip


def _masked_key(key: str) -> str:
    path, colon, _ = key.partition(":")
    return f"{path}:{MASK}" if colon else path


def _masked_arguments(words: tuple[str, ...]) -> Iterator[str]:
    hide = False
    for word in words:
        option, equals, _ = word.partition("=")
        if hide:
            yield MASK
        elif option in ("--creds", "--decryption-key") and equals:
            yield f"{option}={MASK}"
        else:
            yield word
        hide = not hide and word in ("--creds", "--decryption-key")
