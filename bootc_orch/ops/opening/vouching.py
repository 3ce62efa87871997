"""Whether a signature policy was asked about an image, where it must have been.

An image that is stored may have been pulled when nobody had to vouch for it.
"""

from __future__ import annotations

from pathlib import Path

from bootc_orch.model.digest import Digest
from bootc_orch.model.image.policy import AppliedPolicy, judge_policy
from bootc_orch.model.image.reference import OstreeImageReference, SignatureKind
from bootc_orch.ops.stored.vouched import is_vouched, record_vouched
from bootc_orch.tools.ostree.repo import Repo
from bootc_orch.tools.skopeo import policy_path
from orch_frame.errors import PolicyError


def find_policy(reference: OstreeImageReference, path: Path | None) -> AppliedPolicy | None:
    """Return what the signature policy demands of an image; None where no policy has to vouch.

    Args:
        reference: The image and who vouches for it.
        path: The policy; None for the one that skopeo finds.

    Raises:
        PolicyError: there is no policy, or the scope that applies accepts anything or rejects it.
        ConfigError: the policy cannot be understood.
    """
    if reference.signature.kind is not SignatureKind.CONTAINER_POLICY:
        return None
    policy = path or policy_path()
    return judge_policy(policy.read_bytes(), reference.image, source=str(policy))


def may_be_used(
    repo: Repo, reference: OstreeImageReference, manifest: Digest, policy: AppliedPolicy | None
) -> bool:
    """Say whether the stored image *manifest* may be used without asking the policy again."""
    return policy is None or is_vouched(repo.path, reference.image, manifest, policy)


def note_vouched(
    repo: Repo, reference: OstreeImageReference, manifest: Digest, policy: AppliedPolicy | None
) -> None:
    """Record that the policy was asked, and let the image in."""
    if policy is not None:
        record_vouched(repo.path, reference.image, manifest, policy)


def require_vouched(
    repo: Repo, reference: OstreeImageReference, manifest: Digest, policy: AppliedPolicy | None
) -> None:
    """Refuse a stored image that the policy was never asked about, where it cannot be asked now.

    Raises:
        PolicyError: it is one.
    """
    if not may_be_used(repo, reference, manifest, policy):
        raise PolicyError(
            f"{reference.image} must be signed, and no signature of the version that is stored was "
            "ever checked by the policy as it is now.",
            details=f"stored: {manifest}",
            hint="Pull it again, with a network: then the policy is asked.",
            image=str(reference.image),
        )
