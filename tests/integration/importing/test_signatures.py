"""Who vouches for an image is asked before anything of it is written."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import pytest
from support.bad_ostree import entries
from support.cli import bootc_orch
from support.host import make_os
from support.images import FIXTURES, layout_of, manifest_of
from support.ociwriter import ImageWriter, gzipped
from support.ostree import init_repo, ostree, refs, show, verify_state
from support.rawtar import archive, file

pytestmark = pytest.mark.root

POLICY_ENFORCED = (1, 13)


def gpg(home: Path, *argv: str) -> str:
    return subprocess.run(
        ["gpg", "--homedir", str(home), "--batch", "--yes", *argv],
        capture_output=True,
        text=True,
        check=True,
    ).stdout


@pytest.fixture(scope="module")
def keys(tmp_path_factory):
    """Two keys, of which the second is not trusted, with the exported public keys."""
    home = tmp_path_factory.mktemp("k")
    home.chmod(0o700)
    made = []
    for name in ("trusted", "other"):
        gpg(home, "--passphrase", "", "--quick-gen-key", f"{name}@localhost", "ed25519", "sign")
        listing = gpg(home, "--with-colons", "--list-keys", f"{name}@localhost")
        made.append(next(line.split(":")[9] for line in listing.splitlines() if line[:3] == "fpr"))
        (home / f"{name}.asc").write_text(gpg(home, "--armor", "--export", made[-1]))
    yield home, made
    subprocess.run(["gpgconf", "--homedir", str(home), "--kill", "all"], check=False)


def signed_image(layout: Path, work: Path, home: Path, key: str | None) -> str:
    """Write the fixture `base`, its commit signed by *key*; return the reference."""
    layers = []
    for descriptor in manifest_of("base")["layers"]:
        blob = FIXTURES / "images/blobs/sha256" / descriptor["digest"].removeprefix("sha256:")
        tar = subprocess.run(["zcat", str(blob)], capture_output=True, check=True).stdout
        layers.append(tar)
    if key is not None:
        members = entries(layers[0])
        commit = next(member.name for member in members if member.name.endswith(".commit"))
        metadata = _signature(work, home, key, commit)
        index = [member.name for member in members].index(commit) + 1
        parts = [member.raw for member in members]
        parts.insert(index, file(f"{commit}meta".encode(), metadata))
        layers[0] = archive(*parts)
    image = ImageWriter(layout, [gzipped(tar) for tar in layers])
    config = manifest_of("base")["config"]["digest"].removeprefix("sha256:")
    labels = json.loads((FIXTURES / f"images/blobs/sha256/{config}").read_bytes())
    image.config["config"] = labels["config"]
    image.config["config"]["Labels"]["ostree.final-diffid"] = image.layers[-1].diff_id
    image.write()
    return image.reference


def _signature(work: Path, home: Path, key: str, commit: str) -> bytes:
    """Let ostree sign the commit, and return the detached metadata that it wrote."""
    repo = init_repo(work / "signing")

    layout = layout_of("base", work / "base")
    bootc_orch("image", "pull", "--repo", repo, f"ostree-unverified-image:oci:{layout}")
    checksum = commit.split("objects/")[1].replace("/", "").removesuffix(".commit")
    ostree("gpg-sign", f"--repo={repo}", f"--gpg-homedir={home}", checksum, key)
    return (repo / f"objects/{checksum[:2]}/{checksum[2:]}.commitmeta").read_bytes()


def repo_trusting(work: Path, home: Path, *options: str) -> Path:
    repo = init_repo(work / "repo")
    trusted = f"--gpg-import={home / 'trusted.asc'}"
    ostree("remote", "add", f"--repo={repo}", trusted, *options, "vouching", "http://localhost/")
    return repo


@pytest.mark.parametrize(
    ("signer", "status"),
    [
        pytest.param(0, 0, id="by the trusted key"),
        pytest.param(1, 76, id="by another key"),
        pytest.param(None, 76, id="by nobody"),
    ],
)
def test_a_remote_vouches_for_the_base_commit_or_nothing_is_pulled(tmp_path, keys, signer, status):
    home, made = keys
    key = None if signer is None else made[signer]
    reference = signed_image(tmp_path / "image", tmp_path, home, key)
    repo = repo_trusting(tmp_path, home)
    pulled = bootc_orch(
        "image", "pull", "--repo", repo, f"ostree-remote-image:vouching:{reference}", status=status
    )
    if status == 0:
        (image,) = refs(repo, "ostree/container/image").values()
        base = show(repo, image).parent
        assert base is not None
        assert (repo / f"objects/{base[:2]}/{base[2:]}.commitmeta").exists()
    else:
        assert "vouching does not vouch for the base commit" in pulled.stderr
        assert refs(repo) == {}
        assert list(repo.glob("objects/*/*.commit")) == []
    verify_state(repo)


def test_a_base_that_is_there_already_is_asked_about_anew(tmp_path, keys):
    reference = signed_image(tmp_path / "image", tmp_path, keys[0], None)
    repo = repo_trusting(tmp_path, keys[0])
    bootc_orch("image", "pull", "--repo", repo, f"ostree-unverified-image:{reference}")
    before = refs(repo)
    image = next(ref for ref in before if "/image/" in ref)
    ostree("refs", f"--repo={repo}", "--delete", image)
    bootc_orch(
        "image", "pull", "--repo", repo, f"ostree-remote-image:vouching:{reference}", status=76
    )
    assert image not in refs(repo)


@pytest.mark.parametrize(("signer", "status"), [(0, 0), (1, 76), (None, 76)])
def test_an_image_that_is_there_already_is_asked_about_too(tmp_path, keys, signer, status):
    key = None if signer is None else keys[1][signer]
    reference = signed_image(tmp_path / "image", tmp_path, keys[0], key)
    repo = repo_trusting(tmp_path, keys[0])
    bootc_orch("image", "pull", "--repo", repo, f"ostree-unverified-image:{reference}")
    before = refs(repo)
    again = bootc_orch(
        "image", "pull", "--repo", repo, f"ostree-remote-image:vouching:{reference}", status=status
    )
    assert ("does not vouch" in again.stderr) is (status != 0)
    assert refs(repo) == before


@pytest.mark.parametrize("stored", [False, True])
def test_no_remote_vouches_for_an_image_without_an_ostree_commit(tmp_path, keys, stored):
    reference = make_os(tmp_path / "plain")
    repo = repo_trusting(tmp_path, keys[0])
    if stored:
        bootc_orch("image", "pull", "--repo", repo, f"ostree-unverified-image:{reference}")
    before = refs(repo)
    refused = bootc_orch(
        "image", "pull", "--repo", repo, f"ostree-remote-image:vouching:{reference}", status=76
    )
    assert "no ostree commit that the remote vouching could vouch for" in refused.stderr
    assert refs(repo) == before


def test_a_remote_that_verifies_nothing_is_refused(tmp_path, keys):
    reference = signed_image(tmp_path / "image", tmp_path, keys[0], None)
    repo = init_repo(tmp_path / "repo")
    ostree("remote", "add", f"--repo={repo}", "--no-gpg-verify", "lax", "http://localhost/")
    pulled = bootc_orch(
        "image", "pull", "--repo", repo, f"ostree-remote-image:lax:{reference}", status=76
    )
    assert "verifies no signatures" in pulled.stderr


def test_an_unknown_remote_is_not_found(tmp_path, keys):
    reference = signed_image(tmp_path / "image", tmp_path, keys[0], None)
    repo = init_repo(tmp_path / "repo")
    pulled = bootc_orch(
        "image", "pull", "--repo", repo, f"ostree-remote-image:gone:{reference}", status=66
    )
    assert "no remote gone" in pulled.stderr


def skopeo_version() -> tuple[int, ...]:
    text = subprocess.run(["skopeo", "--version"], capture_output=True, text=True, check=True)
    return tuple(int(part) for part in text.stdout.split()[2].split("-")[0].split("."))[:2]


@pytest.mark.parametrize(
    ("policy", "status", "complaint"),
    [
        pytest.param({"default": [{"type": "insecureAcceptAnything"}]}, 76, "policy", id="open"),
        pytest.param({"default": [{"type": "reject"}]}, 76, "", id="closed"),
    ],
)
def test_a_signed_image_needs_a_policy_that_is_enforced(
    tmp_path, oci_layout_of, repo, policy, status, complaint
):
    path = tmp_path / "policy.json"
    path.write_text(json.dumps(policy))
    destination = repo()
    enforced = skopeo_version() >= POLICY_ENFORCED
    pulled = bootc_orch(
        "image",
        "pull",
        "--repo",
        destination,
        f"ostree-image-signed:oci:{oci_layout_of('base')}",
        status=status if enforced else 69,
        env={"CONTAINERS_POLICY_JSON": str(path), "HOME": str(tmp_path)},
    )
    assert (complaint if enforced else "does not check signatures") in pulled.stderr
    assert refs(destination) == {}


NEEDS_ENFORCEMENT = pytest.mark.skipif(
    skopeo_version() < POLICY_ENFORCED, reason="this skopeo enforces no signature policy"
)
ANYTHING = [{"type": "insecureAcceptAnything"}]
REJECT = [{"type": "reject"}]


class Policy:
    """The signature policy of a machine, and how a pull is told of it."""

    def __init__(self, path: Path) -> None:
        self.path = path / "policy.json"
        self.env = {"CONTAINERS_POLICY_JSON": str(self.path), "HOME": str(path)}

    def write(self, default: object, **transports: object) -> None:
        self.path.write_text(json.dumps({"default": default, "transports": transports}))

    def pull(self, repo: Path, reference: str, *options: str, status: int | None = 0):
        return bootc_orch(
            "image", "pull", "--repo", repo, *options, reference, status=status, env=self.env
        )


@pytest.fixture
def policy(tmp_path) -> Policy:
    return Policy(tmp_path)


@pytest.mark.parametrize("how", ["again", "offline", "by-digest", "by-digest-offline"])
def test_an_image_that_was_pulled_unverified_is_not_taken_for_a_signed_one(
    tmp_path, oci_layout_of, registry, policy, how
):
    """Whatever is stored of it: the policy was never asked about these bytes."""
    repo = init_repo(tmp_path / "repo")
    layout = oci_layout_of("base")
    name = registry.push(f"oci:{layout}", "os", "1")
    if how.startswith("by-digest"):
        manifest = manifest_digest(layout)
        name = f"{name.rpartition(':')[0]}@{manifest}"
    policy.write(ANYTHING)
    tls = "--insecure-skip-tls-verification"
    policy.pull(repo, f"ostree-unverified-image:docker://{name}", tls)
    policy.write(ANYTHING, docker={"": SIGNED_BY_NOBODY})
    options = [tls, *(["--offline"] if how.endswith("offline") else [])]
    refused = policy.pull(repo, f"ostree-image-signed:docker://{name}", *options, status=None)
    asks = skopeo_version() >= POLICY_ENFORCED or how.endswith("offline")
    assert refused.status == (76 if asks else 69), refused.stderr


def manifest_digest(layout: Path) -> str:
    digest: str = json.loads((layout / "index.json").read_text())["manifests"][0]["digest"]
    return digest


SIGNED_BY_NOBODY = [{"type": "signedBy", "keyType": "GPGKeys", "keyData": ""}]


@pytest.mark.parametrize(
    ("default", "transports", "complaint"),
    [
        pytest.param(ANYTHING, {}, "default in", id="default"),
        pytest.param(REJECT, {"oci": {"": ANYTHING}}, 'transports.oci."" in', id="transport"),
        pytest.param(REJECT, {}, "rejected by default in", id="rejected"),
    ],
)
def test_a_policy_that_vouches_for_nothing_is_named_with_the_scope_that_decides(
    tmp_path, oci_layout_of, policy, default, transports, complaint
):
    repo = init_repo(tmp_path / "repo")
    image = f"oci:{oci_layout_of('base')}"
    policy.write(ANYTHING)
    policy.pull(repo, f"ostree-unverified-image:{image}")
    policy.write(default, **transports)
    refused = policy.pull(repo, f"ostree-image-signed:{image}", "--offline", status=76)
    assert complaint in refused.stderr
    assert str(policy.path) in refused.stderr


@NEEDS_ENFORCEMENT
@pytest.mark.parametrize("before", ["nothing", "unverified"])
def test_a_signed_image_is_vouched_for_as_long_as_the_policy_stays_the_same(
    tmp_path, oci_layout_of, policy, keys, before
):
    home, (trusted, _) = keys
    signed = tmp_path / "signed"
    subprocess.run(
        [
            "skopeo", "--insecure-policy", "copy",
            "--sign-by", trusted,
            "--sign-identity", "localhost/os:1",
            f"oci:{oci_layout_of('base')}",
            f"dir:{signed}",
        ],
        env={**os.environ, "GNUPGHOME": str(home)},
        capture_output=True,
        check=True,
    )  # fmt: skip
    demand = {
        "type": "signedBy",
        "keyType": "GPGKeys",
        "keyPath": str(home / "trusted.asc"),
        "signedIdentity": {"type": "exactReference", "dockerReference": "localhost/os:1"},
    }
    repo = init_repo(tmp_path / "repo")
    image = f"ostree-image-signed:dir:{signed}"
    if before == "unverified":
        policy.write(ANYTHING)
        policy.pull(repo, f"ostree-unverified-image:dir:{signed}")
    policy.write(REJECT, dir={"": [demand]})
    if before == "unverified":
        policy.pull(repo, image, "--offline", status=76)
    policy.pull(repo, image)
    policy.pull(repo, image, "--offline")
    policy.write(REJECT, dir={"": [demand], str(tmp_path / "other"): ANYTHING})
    policy.pull(repo, image, "--offline", status=76)
    policy.pull(repo, image)
    policy.pull(repo, image, "--offline")
    verify_state(repo)
