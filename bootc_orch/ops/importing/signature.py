"""Check the base commit's signatures by an ostree remote, before the commit is written.

ostree itself judges, as the remote is configured: a scratch repository with the commit and its
detached metadata is pulled from, under the remote's name, by another one that has its keys.
"""

from __future__ import annotations

import shutil
import tempfile
from configparser import ConfigParser
from hashlib import sha256
from pathlib import Path

from bootc_orch.errors import CommandError
from bootc_orch.model.image.layout import LayerKind
from bootc_orch.model.image.reference import OstreeImageReference, SignatureKind, SignatureSource
from bootc_orch.ops.importing.layer import VerifyCommit
from bootc_orch.ops.stored.store import ImageState
from bootc_orch.process import run
from bootc_orch.tools.ostree.repo import Repo
from orch_frame.errors import NotFoundError, PolicyError

_ON = ("true", "1", "yes")


def commit_verifier(repo: Repo, signature: SignatureSource, work: Path) -> VerifyCommit | None:
    """Return what checks a base commit, or None where an ostree remote does not vouch for it.

    Args:
        repo: The repository whose configuration has the remote.
        signature: Who vouches.
        work: A private directory.

    Raises:
        NotFoundError: there is no such remote.
        PolicyError: the remote verifies nothing.
    """
    if signature.kind is not SignatureKind.OSTREE_REMOTE or signature.remote is None:
        return None
    remote = signature.remote
    settings = remote_settings(repo, remote)

    def verify(commit: bytes, metadata: bytes | None) -> None:
        checksum = sha256(commit).hexdigest()
        signed = _scratch(work / "signed")
        path = signed / "objects" / checksum[:2]
        path.mkdir(parents=True, exist_ok=True)
        (path / f"{checksum[2:]}.commit").write_bytes(commit)
        if metadata is not None:
            (path / f"{checksum[2:]}.commitmeta").write_bytes(metadata)
        judge = _scratch(work / "judge")
        _configure(judge, remote, {**settings, "url": f"file://{signed}"})
        keyring = repo.path / f"{remote}.trustedkeys.gpg"
        if keyring.exists():
            shutil.copy(keyring, judge)
        try:
            run(["ostree", "pull", f"--repo={judge}", "--commit-metadata-only", remote, checksum])
        except CommandError as error:
            raise PolicyError(
                f"The remote {remote} does not vouch for the base commit {checksum}.",
                details=error.details,
            ) from error
        finally:
            shutil.rmtree(signed)
            shutil.rmtree(judge)

    return verify


def require_vouched(repo: Repo, reference: OstreeImageReference, state: ImageState) -> None:
    """Ask the ostree remote of *reference*, if it has one, about an image that is stored already.

    It may have been pulled when nobody vouched for it.

    Raises:
        NotFoundError: there is no such remote.
        PolicyError: it does not vouch for the base commit, or there is none.
    """
    with tempfile.TemporaryDirectory(prefix="bootc-orch-verify-") as work:
        verify = commit_verifier(repo, reference.signature, Path(work))
        if verify is None:
            return
        layers = state.layers
        if state.base_commit is None or not layers or layers[0].kind is not LayerKind.COMMIT:
            raise nothing_to_vouch_for(reference)
        verify(*stored_commit(repo, state.base_commit))


def nothing_to_vouch_for(reference: OstreeImageReference) -> PolicyError:
    """Return the error for an image without an ostree commit, which no remote can have signed."""
    return PolicyError(
        f"{reference.image} has no ostree commit that the remote {reference.signature.remote} "
        "could vouch for.",
        hint="Use ostree-image-signed:… and a signature policy, or ostree-unverified-image:….",
        image=str(reference.image),
    )


def stored_commit(repo: Repo, commit: str) -> tuple[bytes, bytes | None]:
    """Return a commit that is there, and its detached metadata: who vouches may be asked anew."""
    metadata = repo.object_path(commit, "commitmeta")
    data = repo.object_path(commit, "commit").read_bytes()
    return data, metadata.read_bytes() if metadata.exists() else None


def remote_settings(repo: Repo, remote: str) -> dict[str, str]:
    """Return how the remote of *repo* is configured.

    Raises:
        NotFoundError: there is no such remote.
        PolicyError: it verifies nothing.
    """
    section = f'remote "{remote}"'
    for path in (repo.path / "config", *_drop_ins(remote)):
        config = ConfigParser(interpolation=None, strict=False)
        config.optionxform = str  # type: ignore[assignment,method-assign] # keys keep their case
        config.read(path)
        if config.has_section(section):
            settings = dict(config.items(section))
            # ostree verifies GPG signatures unless it is told not to.
            gpg = settings.get("gpg-verify", "true").lower() in _ON
            sign = settings.get("sign-verify", "false").lower() not in ("false", "0", "no")
            if not gpg and not sign:
                raise PolicyError(
                    f"The ostree remote {remote} verifies no signatures.",
                    hint="Set gpg-verify or sign-verify for it, or use ostree-unverified-image:….",
                )
            return settings
    raise NotFoundError(f"The repository {repo.path} has no remote {remote}.")


def _drop_ins(remote: str) -> list[Path]:
    return [Path(f"/etc/ostree/remotes.d/{remote}.conf")]


def _scratch(path: Path) -> Path:
    run(["ostree", "init", f"--repo={path}", "--mode=archive"])
    return path


def _configure(repo: Path, remote: str, settings: dict[str, str]) -> None:
    lines = [f'[remote "{remote}"]', *(f"{key}={value}" for key, value in settings.items())]
    with (repo / "config").open("a") as config:
        config.write("\n" + "\n".join(lines) + "\n")
