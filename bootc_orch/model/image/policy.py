"""The gate before images that must be signed: a policy that accepts anything vouches for nothing.

Source: containers-policy.json(5).
"""

from __future__ import annotations

from bootc_orch.model import strict_json
from orch_frame.errors import InvalidImageError, LimitError, PolicyError

MAX_POLICY_BYTES = 1024 * 1024
_ACCEPT_ANYTHING = "insecureAcceptAnything"


def check_policy(data: bytes, *, source: str) -> None:
    """Refuse a signature policy whose default accepts anything.

    Args:
        data: The text of a ``policy.json``.
        source: Its path, for the error.

    Raises:
        PolicyError: the default accepts anything, or the text is not a policy.
    """
    if _default_types(data, source) == [_ACCEPT_ANYTHING]:
        raise PolicyError(
            f"The image must be signed, but the default policy in {source} accepts anything.",
            hint=(
                "Let the default be 'reject' and name what is trusted under 'transports' "
                "(containers-policy.json(5)), or ask for the image as ostree-unverified-image:…."
            ),
            path=source,
        )


def _default_types(data: bytes, source: str) -> list[str]:
    try:
        policy = strict_json.loads(data, what=f"the policy {source}", limit=MAX_POLICY_BYTES)
    except (InvalidImageError, LimitError) as error:
        raise PolicyError(error.summary, path=source) from error
    match policy:
        case {"default": [*requirements]} if requirements:
            return [_type(requirement, source) for requirement in requirements]
        case _:
            raise PolicyError(f"The policy {source} has no default.", path=source)


def _type(requirement: object, source: str) -> str:
    match requirement:
        case {"type": str(kind)}:
            return kind
        case _:
            raise PolicyError(f"The policy {source} has an entry without a type.", path=source)
