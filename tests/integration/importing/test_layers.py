"""How layers find their way: older formats, reuse by content, and what must not be believed."""

from __future__ import annotations

import gzip
import json
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from support.bad_ostree import entries
from support.cli import bootc_orch
from support.images import FIXTURES, manifest_of
from support.ociwriter import Blob, ImageWriter, gzipped, stored
from support.ostree import init_repo, ostree, refs, show, verify_state
from support.rawtar import archive, directory, file, hardlink, xattr

pytestmark = pytest.mark.root

OBJECTS = "sysroot/ostree/repo/objects/"
LINK_SUFFIX = ".file-xattrs-link"


def pull(repo: Path, reference: str, *options: str, status: int | None = 0) -> Any:
    return bootc_orch(
        "image",
        "pull",
        "--repo",
        repo,
        "--var-content=keep",
        *options,
        f"ostree-unverified-image:{reference}",
        status=status,
    )


def plan(repo: Path, reference: str) -> dict[str, Any]:
    return pull(repo, reference, "--plan", "--json").json["plan"]


def fixture_tars(name: str) -> list[bytes]:
    return [
        gzip.decompress((FIXTURES / "images/blobs/sha256" / layer["digest"][7:]).read_bytes())
        for layer in manifest_of(name)["layers"]
    ]


def image_like(name: str, layout: Path, layers: list[Blob]) -> ImageWriter:
    """Return an image with the labels of the fixture *name* and other layers."""
    image = ImageWriter(layout, layers)
    digest = manifest_of(name)["config"]["digest"].removeprefix("sha256:")
    config = json.loads((FIXTURES / "images/blobs/sha256" / digest).read_bytes())
    image.config["config"] = config["config"]
    ostree_layers = len(manifest_of(name)["layers"])
    image.config["config"]["Labels"]["ostree.final-diffid"] = layers[ostree_layers - 1].diff_id
    return image


def as_v1_old(tar: bytes) -> bytes:
    """Write attributes once, named by their checksum, and link to them."""
    parts: list[bytes] = []
    known: set[str] = set()
    for entry in entries(tar):
        if not entry.name.endswith(LINK_SUFFIX):
            parts.append(entry.raw)
            continue
        data = entry_data(entry.raw)
        name = f"{OBJECTS}{(sum_ := sha256(data).hexdigest())[:2]}/{sum_[2:]}.file-xattrs"
        if name not in known:
            known.add(name)
            parts.append(file(name.encode(), data))
        parts.append(hardlink(entry.name.encode(), name.encode()))
    return archive(*parts)


def as_v0(tar: bytes) -> bytes:
    """Keep attributes apart from the objects, and the configuration above the repository."""
    parts = [file(b"sysroot/config", b"[core]\n")]
    known: set[str] = set()
    for entry in entries(tar):
        if not entry.name.endswith(LINK_SUFFIX):
            parts.append(entry.raw)
            continue
        data = entry_data(entry.raw)
        name = f"sysroot/ostree/repo/xattrs/{sha256(data).hexdigest()}"
        if name not in known:
            known.add(name)
            parts.append(file(name.encode(), data))
        link = entry.name.removesuffix(LINK_SUFFIX) + ".file.xattrs"
        parts.append(hardlink(link.encode(), name.encode()))
    return archive(*parts)


def entry_data(raw: bytes) -> bytes:
    import io
    import tarfile

    with tarfile.open(fileobj=io.BytesIO(raw + bytes(1024))) as tar:
        member = tar.next()
        assert member is not None
        stream = tar.extractfile(member)
        assert stream is not None
        return stream.read()


@pytest.mark.parametrize(
    "rewrite", [pytest.param(as_v1_old, id="v1-old"), pytest.param(as_v0, id="v0")]
)
def test_older_forms_of_ostree_layers_give_the_same_commits(tmp_path, oci_layout_of, rewrite):
    today, older = init_repo(tmp_path / "today"), init_repo(tmp_path / "older")
    pull(today, f"oci:{oci_layout_of('base')}")
    layers = [gzipped(rewrite(tar)) for tar in fixture_tars("base")]
    image = image_like("base", tmp_path / "image", layers)
    image.write()
    pull(older, image.reference)
    commits = [sorted(refs(repo, "ostree/container/blob").values()) for repo in (today, older)]
    assert commits[0] == commits[1]
    contents = [
        show(repo, commit).content
        for repo in (today, older)
        for commit in refs(repo, "ostree/container/image").values()
    ]
    assert contents[0] == contents[1]
    verify_state(older)


def test_layers_are_known_by_their_content_when_their_blobs_differ(tmp_path, oci_layout_of):
    repo = init_repo(tmp_path / "repo")
    pull(repo, f"oci:{oci_layout_of('derived')}")
    recompressed = f"oci:{oci_layout_of('derived-recompressed')}"
    planned = plan(repo, recompressed)
    assert planned["fetch"] == []
    assert planned["reused"] > 0
    pull(repo, recompressed)
    assert len(refs(repo, "ostree/container/blob")) > planned["present"]
    verify_state(repo)


def test_content_that_another_program_pulled_is_not_believed(tmp_path, oci_layout_of):
    repo = init_repo(tmp_path / "repo")
    pull(repo, f"oci:{oci_layout_of('derived')}")
    for record in (repo / "extensions/bootc-orch/layers").iterdir():
        record.unlink()
    planned = plan(repo, f"oci:{oci_layout_of('derived-recompressed')}")
    assert planned["reused"] == 0
    assert len(planned["fetch"]) > 0


def test_a_lie_about_stored_content_is_refused_and_poisons_nothing(tmp_path):
    repo = init_repo(tmp_path / "repo")
    honest = gzipped(archive(directory(b"usr"), file(b"usr/a", b"a\n")))
    other = gzipped(archive(directory(b"usr"), file(b"usr/b", b"b\n")))
    first = ImageWriter(tmp_path / "first", [honest])
    first.write()
    pull(repo, first.reference)
    liar = ImageWriter(tmp_path / "liar", [Blob(honest.data, honest.media_type, other.diff_id)])
    liar.write()
    refused = pull(repo, liar.reference, status=65)
    assert "does not match its diff_id" in refused.stderr
    second = ImageWriter(tmp_path / "second", [stored(gzip.decompress(other.data))])
    second.write()
    assert len(plan(repo, second.reference)["fetch"]) == 1
    pull(repo, second.reference)
    assert "/usr/b" in ostree("ls", f"--repo={repo}", "-R", image_ref(repo, "second"))
    verify_state(repo)


def image_ref(repo: Path, name: str) -> str:
    (ref,) = (ref for ref in refs(repo, "ostree/container/image") if ref.endswith(name))
    return ref


def test_a_base_without_one_of_its_objects_is_refused_whole(tmp_path):
    tars = fixture_tars("base")
    layer = next(i for i, tar in enumerate(tars) if i and len(entries(tar)) > 1)
    kept = entries(tars[layer])
    lost = next(i for i, entry in enumerate(kept) if entry.name.endswith(LINK_SUFFIX))
    checksum = kept[lost].name.removeprefix(OBJECTS).removesuffix(LINK_SUFFIX).replace("/", "")
    path = kept[lost + 1].name
    rest = [e.raw for e in kept if e.name not in (kept[lost].name, path) and not links(e, path)]
    tars[layer] = archive(*rest)
    image = image_like("base", tmp_path / "image", [gzipped(tar) for tar in tars])
    image.write()
    repo = init_repo(tmp_path / "repo")
    refused = pull(repo, image.reference, status=65)
    assert f"{checksum[:2]}/{checksum[2:]}" in refused.stderr
    assert refs(repo) == {}
    verify_state(repo)


def links(entry: Any, target: str) -> bool:
    return target.encode() in entry.raw[:2048]


def test_a_layer_that_is_there_twice_is_fetched_once_and_applied_twice(tmp_path):
    layer = gzipped(archive(directory(b"usr"), file(b"usr/a", b"a\n")))
    hidden = gzipped(archive(file(b"usr/.wh.a", b"")))
    image = ImageWriter(tmp_path / "image", [layer, hidden, layer])
    image.write()
    repo = init_repo(tmp_path / "repo")
    assert len(plan(repo, image.reference)["fetch"]) == 2
    pull(repo, image.reference)
    assert "/usr/a" in ostree("ls", f"--repo={repo}", "-R", image_ref(repo, "image"))


def test_attributes_of_a_present_directory_stay_and_the_warning_names_it(tmp_path):
    first = gzipped(archive(directory(b"usr"), directory(b"usr/d"), file(b"usr/d/a")))
    second = gzipped(archive(directory(b"usr/d", mode=0o700)))
    image = ImageWriter(tmp_path / "image", [first, second])
    image.write()
    repo = init_repo(tmp_path / "repo")
    pulled = pull(repo, image.reference)
    assert "no effect: /usr/d" in " ".join(pulled.stderr.split())
    assert "d00755 0 0      0 /usr/d\n" in ostree(
        "ls", f"--repo={repo}", "-R", image_ref(repo, "image")
    )


def test_a_manifest_longer_than_an_argument_can_be_is_recorded(tmp_path):
    layer = gzipped(archive(directory(b"usr"), file(b"usr/a")))
    image = ImageWriter(tmp_path / "image", [layer])
    image.manifest["annotations"] = {f"key{number}": "v" * 1000 for number in range(300)}
    image.config["config"]["Labels"] = {f"label{number}": "v" * 1000 for number in range(2000)}
    image.write()
    repo = init_repo(tmp_path / "repo")
    pull(repo, image.reference)
    stored_manifest = bootc_orch("image", "metadata", "--repo", repo, image.reference).json
    assert len(stored_manifest["annotations"]) == 300
    verify_state(repo)


def test_what_is_left_out_is_counted_and_its_first_paths_are_named(tmp_path, oci_layout_of):
    repo = init_repo(tmp_path / "repo")
    pulled = pull(repo, f"oci:{oci_layout_of('derived')}")
    text = " ".join(pulled.stderr.split())
    assert "boot: 2 junk: 1 opt: 3 secret: 1 toplevel-file: 1" in text
    assert "Left out (opt): " in text
    assert "opt/vendor/tool" in text


def test_layers_that_another_image_calls_derived_are_not_taken_for_its_base(
    tmp_path, oci_layout_of
):
    repo = init_repo(tmp_path / "repo")
    layers = [gzipped(tar) for tar in fixture_tars("base")]
    thief = ImageWriter(tmp_path / "thief", layers)
    thief.write()
    pull(repo, thief.reference)
    owner = image_like("base", tmp_path / "owner", layers)
    owner.write()
    assert len(plan(repo, owner.reference)["fetch"]) == len(layers)
    pull(repo, owner.reference)
    reference = init_repo(tmp_path / "reference")
    pull(reference, f"oci:{oci_layout_of('base')}")
    merged = [show(r, image_ref(r, n)).content for r, n in ((repo, "owner"), (reference, "base"))]
    assert merged[0] == merged[1]
    verify_state(repo)


def test_ima_signatures_are_kept_only_when_asked_for(tmp_path):
    layer = gzipped(archive(directory(b"usr"), xattr(b"usr/a", b"security.ima", b"\x03sig")))
    image = ImageWriter(tmp_path / "image", [layer])
    image.write()
    repo = init_repo(tmp_path / "repo", "archive")
    refused = pull(repo, image.reference, status=65)
    assert "usr/a has the extended attribute security.ima" in refused.stderr
    assert "--allow-ima" in refused.stderr
    pull(repo, image.reference, "--allow-ima")
    listing = ostree("ls", f"--repo={repo}", "-R", "-X", image_ref(repo, "image"))
    assert "security.ima" in listing


def test_skopeo_can_run_without_privileges(tmp_path, oci_layout_of):
    repo = init_repo(tmp_path / "repo")
    layout = oci_layout_of("single")
    for place in (*layout.parents, layout):
        place.chmod(place.stat().st_mode | 0o055)
    pull(repo, f"oci:{layout}", "--unprivileged-proxy")
    verify_state(repo)
