"""Turn what skopeo's proxy says went wrong into errors with a class.

The words are those of ``orch_frame/tool_words.py``; the proxy's own are its flag for what may pass,
and sentences about an image or a layer.
"""

from __future__ import annotations

from orch_frame.errors import OrchError, TransientError
from orch_frame.tool_words import meaning_of

MAX_SHOWN = 2000
RETRYABLE = "retryable"
# What a subject that is no name begins with.
_WORDS = ("Layer ", "The ")


class ProxyError(OrchError):
    """skopeo failed in a way that has no class of its own, or does not keep to its protocol."""

    kind = "proxy"


def classify(text: str, *, subject: str, code: str = "") -> OrchError:
    """Return the error that fits skopeo's words.

    Args:
        text: What skopeo said.
        subject: The image or layer that was asked for, to begin a sentence with.
        code: The ``error_code`` of protocol 0.2.8; empty in older ones.
    """
    details = text[:MAX_SHOWN]
    if code == RETRYABLE:
        return TransientError(f"{subject} cannot be reached at the moment.", details=details)
    meaning = meaning_of(text)
    if meaning is not None:
        return meaning.error(
            meaning.summary.format(subject=subject, inner=inner(subject)),
            details=details,
            hint=meaning.hint,
            path=meaning.file_named_in(text),
        )
    return ProxyError(f"skopeo could not read {inner(subject)}.", details=details)


def inner(subject: str) -> str:
    """Return *subject*, fit to begin a sentence, as it stands within one; a name stays."""
    return subject[0].lower() + subject[1:] if subject.startswith(_WORDS) else subject
