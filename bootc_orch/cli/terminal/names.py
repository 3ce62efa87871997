"""Write references as bootc's own lines do."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from bootc_orch.model.image.reference import OstreeImageReference


def long_name(reference: OstreeImageReference) -> str:
    """Write a reference as bootc's lines about pulls do: the default without who vouches."""
    return str(reference.image) if _is_default(reference) else str(reference)


def short_name(reference: OstreeImageReference) -> str:
    """Write a reference as bootc's lines about deployments do: the bare name for the default."""
    return reference.image.name if _is_default(reference) else str(reference)


def _is_default(reference: OstreeImageReference) -> bool:
    from bootc_orch.model.image.reference import INSECURE, Transport

    return reference.signature == INSECURE and reference.image.transport is Transport.REGISTRY
