"""Check the base commit's signatures by an ostree remote, before the commit is written.

ostree itself judges, as the remote is configured: a scratch repository with the commit and its
detached metadata is pulled from, under the remote's name, by another one that has its keys.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Mapping
from configparser import ConfigParser
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

from bootc_orch.errors import CommandError
from bootc_orch.model.image.layout import LayerKind
from bootc_orch.model.image.reference import ImageReference, SignatureKind
from bootc_orch.ops.opening.pull_plan import PullPlan, PullRequest
from bootc_orch.ops.stored.store import ImageState
from bootc_orch.process import run
from bootc_orch.tools.ostree.repo import Repo
from orch_frame.errors import NotFoundError, PolicyError

_ON = ("true", "1", "yes")


@dataclass(frozen=True, slots=True)
class RemoteVerifier:
    """An ostree remote that must vouch for the base commit of an image.

    Attributes:
        repo: The repository whose configuration has the remote.
        image: The image.
        remote: The remote's name.
        settings: How it is configured.
    """

    repo: Repo
    image: ImageReference
    remote: str
    settings: Mapping[str, str]

    def verify(self, commit: bytes, metadata: bytes | None, *, work: Path) -> None:
        """Ask about *commit* with its detached *metadata*; *work* is a private directory.

        Raises:
            PolicyError: the remote does not vouch for it.
        """
        checksum = sha256(commit).hexdigest()
        signed = _scratch(work / "signed")
        path = signed / "objects" / checksum[:2]
        path.mkdir(parents=True, exist_ok=True)
        (path / f"{checksum[2:]}.commit").write_bytes(commit)
        if metadata is not None:
            (path / f"{checksum[2:]}.commitmeta").write_bytes(metadata)
        judge = _scratch(work / "judge")
        _configure(judge, self.remote, {**self.settings, "url": f"file://{signed}"})
        keyring = self.repo.path / f"{self.remote}.trustedkeys.gpg"
        if keyring.exists():
            shutil.copy(keyring, judge)
        try:
            run(
                [
                    "ostree", "pull",
                    f"--repo={judge}",
                    "--commit-metadata-only",
                    self.remote,
                    checksum,
                ]
            )  # fmt: skip
        except CommandError as error:
            raise PolicyError(
                f"The remote {self.remote} does not vouch for the base commit {checksum}.",
                details=error.details,
            ) from error
        finally:
            shutil.rmtree(signed)
            shutil.rmtree(judge)

    def verify_stored(self, state: ImageState) -> None:
        """Ask about an image that is stored already, maybe since nobody vouched for it.

        Raises:
            PolicyError: the remote does not vouch for the base commit, or there is none.
        """
        layers = state.layers
        if state.base_commit is None or not layers or layers[0].kind is not LayerKind.COMMIT:
            raise self._nothing_to_vouch_for()
        self._verify_present(state.base_commit)

    def verify_plan(self, plan: PullPlan) -> None:
        """Ask about the base commit of an image that is to be pulled, if that is there already.

        Raises:
            PolicyError: the remote does not vouch for it, or the image will have none.
        """
        if plan.base is None:
            raise self._nothing_to_vouch_for()
        if plan.base.commit is not None:
            self._verify_present(plan.base.commit)

    def _verify_present(self, commit: str) -> None:
        metadata = self.repo.object_path(commit, "commitmeta")
        data = self.repo.object_path(commit, "commit").read_bytes()
        with tempfile.TemporaryDirectory(prefix="bootc-orch-verify-") as work:
            self.verify(data, metadata.read_bytes() if metadata.exists() else None, work=Path(work))

    def _nothing_to_vouch_for(self) -> PolicyError:
        """Return the error for an image without an ostree commit, which no remote can sign."""
        return PolicyError(
            f"{self.image} has no ostree commit that the remote {self.remote} could vouch for.",
            hint="Use ostree-image-signed:… and a signature policy, or ostree-unverified-image:….",
            image=str(self.image),
        )


def remote_verifier(request: PullRequest) -> RemoteVerifier | None:
    """Return who must vouch for the base commit; None where no ostree remote has to.

    Raises:
        NotFoundError: there is no such remote.
        PolicyError: the remote verifies nothing.
    """
    signature = request.reference.signature
    if signature.kind is not SignatureKind.OSTREE_REMOTE or signature.remote is None:
        return None
    settings = remote_settings(request.repo, signature.remote)
    return RemoteVerifier(request.repo, request.image, signature.remote, settings)


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


def _configure(repo: Path, remote: str, settings: Mapping[str, str]) -> None:
    lines = [f'[remote "{remote}"]', *(f"{key}={value}" for key, value in settings.items())]
    with (repo / "config").open("a") as config:
        config.write("\n" + "\n".join(lines) + "\n")
