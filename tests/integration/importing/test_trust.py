"""An image speaks only for itself: nothing that one brings decides what another is made of."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from support.cli import bootc_orch
from support.injection import LS_LINE
from support.ociwriter import Blob, ImageWriter, digest_of, gzipped
from support.ostree import init_repo, ostree, refs, show, tree, verify_state
from support.rawtar import archive, directory, file

from bootc_orch.model.gvariant import Variant, encode_byte_strings, encode_dict
from bootc_orch.ops.stored.records import render_record
from bootc_orch.tools.ostree.repo import Repo

pytestmark = pytest.mark.root

MARKER = "marker-of-a-stranger"
OBJECTS = b"sysroot/ostree/repo/objects/"
LOW = archive(directory(b"usr/"), directory(b"usr/bin/"), file(b"usr/bin/hello", b"hello\n"))
LIBRARY = archive(directory(b"usr/"), directory(b"usr/lib/"), file(b"usr/lib/l.so", b"honest\n"))
EVIL = archive(
    directory(b"usr/"),
    directory(b"usr/lib/"),
    file(b"usr/lib/l.so", b"evil\n"),
    file(b"usr/door", b"x", mode=0o4755),
)


def pull(repo: Path, reference: str, *options: str, status: int | None = 0):
    name = f"ostree-unverified-image:{reference}"
    return bootc_orch("image", "pull", "--repo", repo, *options, name, status=status)


def write_image(path: Path, *layers: Blob, labels: dict[str, str] | None = None) -> str:
    """Write an image in place of what is at *path*, and return its reference."""
    writer = ImageWriter(path, layers)
    writer.config["config"]["Labels"] = labels or {}
    writer.write()
    return writer.reference


def image_commit(repo: Path) -> str:
    """The merge commit of the only image of *repo*."""
    [commit] = [commit for ref, commit in refs(repo).items() if "/image/" in ref]
    return commit


def encapsulated(repo: Path, commit: str, commitmeta: bytes) -> Blob:
    """An ostree layer with *commit* of *repo*, and with detached metadata beside it."""

    def part(checksum: str, suffix: str, data: bytes, mode: int = 0o644) -> bytes:
        name = OBJECTS + f"{checksum[:2]}/{checksum[2:]}.{suffix}".encode()
        return file(name, data, mode=mode)

    def stored(checksum: str, suffix: str) -> Path:
        return repo / "objects" / checksum[:2] / f"{checksum[2:]}.{suffix}"

    listing = LS_LINE.findall(ostree("ls", f"--repo={repo}", "-R", "-C", commit))
    parts = [
        part(commit, "commit", stored(commit, "commit").read_bytes()),
        part(commit, "commitmeta", commitmeta),
    ]
    for tree_ in dict.fromkeys(first for first, second in listing if second):
        parts.append(part(tree_, "dirtree", stored(tree_, "dirtree").read_bytes()))
    for meta in dict.fromkeys(second for _, second in listing if second):
        parts.append(part(meta, "dirmeta", stored(meta, "dirmeta").read_bytes()))
    for content in dict.fromkeys(first for first, second in listing if not second):
        path = stored(content, "file")
        parts.append(part(content, "file-xattrs-link", b""))
        parts.append(part(content, "file", path.read_bytes(), path.stat().st_mode & 0o7777))
    return gzipped(archive(*parts))


class Scene:
    """An honest image, and a stranger's that carries the honest merge commit as its base."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.repo = init_repo(path / "repo")

    def honest(self, *layers: bytes) -> str:
        return write_image(self.path / "honest", *map(gzipped, layers))

    def stranger(self, commitmeta: bytes, *derived: Blob) -> str:
        """Make the stranger's image of the honest one as a pull of its own makes it."""
        scratch = init_repo(self.path / "scratch")
        pull(scratch, self.honest(LOW))
        base = encapsulated(scratch, image_commit(scratch), commitmeta)
        labels = {"ostree.final-diffid": base.diff_id}
        return write_image(self.path / "stranger", base, *derived, labels=labels)

    def library(self) -> str:
        ref = next(ref for ref in refs(self.repo) if "/image/" in ref and "honest" in ref)
        return ostree("cat", f"--repo={self.repo}", ref, "/usr/lib/l.so")


@pytest.fixture
def scene(tmp_path) -> Scene:
    return Scene(tmp_path)


def claim(*lines: str) -> bytes:
    return encode_dict([("bootc-orch.verified-layers", Variant.string("\n".join(lines)))])


EVIL_CLAIM = claim(f"{digest_of(gzipped(EVIL).data)} {digest_of(LIBRARY)}")


@pytest.mark.parametrize("first", ["honest", "stranger"])
def test_no_claim_beside_a_commit_gives_one_image_the_layer_of_another(scene, first):
    stranger = scene.stranger(EVIL_CLAIM, gzipped(EVIL))
    references = [scene.honest(LOW), stranger]
    for reference in references if first == "honest" else references[::-1]:
        pull(scene.repo, reference)
    pull(scene.repo, scene.honest(LOW, LIBRARY))
    assert scene.library() == "honest\n"
    verify_state(scene.repo)


LOW_DIGEST = digest_of(gzipped(LOW).data)
STOPS = [
    pytest.param(claim("sha256:xx yy"), id="a-line-that-is-no-digest"),
    pytest.param(claim(f"{LOW_DIGEST} sha256:{'0' * 64}"), id="another-diff-id-for-its-layer"),
    pytest.param(
        encode_dict([("ostree-ext.cached.manifest-digest", Variant.string("sha256:no"))]),
        id="a-cached-update-that-is-none",
    ),
    pytest.param(
        encode_dict([("ostree-ext.cached.manifest-digest", Variant.string(f"sha256:{'1' * 64}"))]),
        id="half-a-cached-update",
    ),
    pytest.param(b"", id="nothing"),
]


@pytest.mark.parametrize("commitmeta", STOPS)
def test_no_detached_metadata_of_a_stranger_stops_a_later_pull(scene, commitmeta):
    pull(scene.repo, scene.honest(LOW))
    pull(scene.repo, scene.stranger(commitmeta))
    pull(scene.repo, scene.honest(LOW, LIBRARY))
    pull(scene.repo, write_image(scene.path / "unrelated", gzipped(EVIL)))
    assert scene.library() == "honest\n"
    bootc_orch("fsck", "--repo", scene.repo)
    bootc_orch("image", "list", "--repo", scene.repo)


@pytest.mark.parametrize(
    "commitmeta",
    [
        pytest.param(
            encode_dict([("Zkey", Variant.string("x"))]).replace(b"Zkey", b"\xffkey"), id="text"
        ),
        pytest.param(b"\1", id="cut"),
        pytest.param(b"nonsense that is no dictionary", id="nonsense"),
    ],
)
def test_detached_metadata_that_is_none_is_refused_with_its_layer(scene, commitmeta):
    pull(scene.repo, scene.honest(LOW))
    stranger = scene.stranger(commitmeta)
    failed = pull(scene.repo, stranger, status=65)
    layer = manifest_layers(scene.path / "stranger")[0]
    assert layer in failed.stderr
    pull(scene.repo, scene.honest(LOW, LIBRARY))
    assert scene.library() == "honest\n"
    verify_state(scene.repo)


def manifest_layers(layout: Path) -> list[str]:
    index = json.loads((layout / "index.json").read_text())
    digest = index["manifests"][0]["digest"].removeprefix("sha256:")
    manifest = json.loads((layout / "blobs/sha256" / digest).read_text())
    return [layer["digest"] for layer in manifest["layers"]]


def test_a_signature_that_is_there_is_not_taken_away_or_replaced(scene):
    signatures = {"ostree.gpgsigs": byte_strings(b"\1\2"), "other": Variant.string("kept")}
    pull(scene.repo, scene.honest(LOW))
    commit = image_commit(scene.repo)
    Repo(scene.repo).write_detached_metadata(commit, signatures)
    pull(scene.repo, scene.stranger(encode_dict([("other", Variant.string(MARKER))])))
    assert Repo(scene.repo).detached_metadata(commit) == signatures


def test_a_signature_beside_another_makes_neither_go(scene):
    pull(scene.repo, scene.honest(LOW))
    commit = image_commit(scene.repo)
    Repo(scene.repo).write_detached_metadata(commit, {"ostree.gpgsigs": byte_strings(b"good")})
    brought = encode_dict([("ostree.gpgsigs", byte_strings(b"other", b"good"))])
    pull(scene.repo, scene.stranger(brought))
    assert Repo(scene.repo).detached_metadata(commit) == {
        "ostree.gpgsigs": byte_strings(b"good", b"other")
    }


def byte_strings(*items: bytes) -> Variant:
    return Variant("aay", encode_byte_strings(items))


def test_what_lies_beside_a_commit_comes_along_where_nothing_is_there(scene):
    brought = encode_dict([("other", Variant.string("brought"))])
    pull(scene.repo, scene.stranger(brought))
    [base] = {show(scene.repo, c).parent for r, c in refs(scene.repo).items() if "/image/" in r}
    assert Repo(scene.repo).detached_metadata(base) == {"other": Variant.string("brought")}


def test_a_copy_carries_nothing_that_the_destination_believes(scene):
    stranger = scene.stranger(EVIL_CLAIM, gzipped(EVIL))
    pull(scene.repo, stranger)
    pull(scene.repo, scene.honest(LOW))
    target = init_repo(scene.path / "target")
    for image in (stranger, scene.honest(LOW)):
        bootc_orch("image", "copy", "--src-repo", scene.repo, "--dest-repo", target, image)
    scene.repo = target
    pull(target, scene.honest(LOW, LIBRARY))
    assert scene.library() == "honest\n"


def ambiguous(path: Path) -> tuple[str, str]:
    """Two images with one blob: the base of the first, a derived layer of the second.

    Its commit looks like that of a derived layer: it has no parent, and an importer's version.
    """
    repo = init_repo(path / "ambiguous")
    content = path / "content"
    (content / "usr/etc").mkdir(parents=True)
    (content / "usr/etc/x").write_text("x\n")
    commit = ostree(
        "commit", f"--repo={repo}", "--orphan", "--timestamp=@0", "--no-bindings",
        "--owner-uid=0", "--owner-gid=0", "--add-metadata-string=ostree.importer.version=0.1",
        f"--tree=dir={content}",
    ).strip()  # fmt: skip
    blob = encapsulated(repo, commit, b"")
    first = write_image(path / "first", blob, labels={"ostree.final-diffid": blob.diff_id})
    second = write_image(path / "second", gzipped(LOW), blob)
    return first, second


def test_the_same_manifest_gives_the_same_tree_whatever_was_pulled_before(tmp_path):
    first, second = ambiguous(tmp_path)
    fresh, used = init_repo(tmp_path / "fresh"), init_repo(tmp_path / "used")
    pull(fresh, second)
    pull(used, first)
    pull(used, second)
    [expected] = [c for ref, c in refs(fresh).items() if "/image/" in ref]
    assert expected in refs(used).values()
    assert tree(used, expected) == tree(fresh, expected)


def lying(path: Path) -> str:
    """An image that calls a blob, which is never fetched, by the content of another."""
    writer = ImageWriter(path, [gzipped(LOW), gzipped(LIBRARY)])
    writer.config["rootfs"]["diff_ids"][1] = digest_of(LOW)
    writer.write()
    return writer.reference


def test_a_wrong_claim_about_a_blob_does_not_stop_who_speaks_the_truth(scene):
    pull(scene.repo, write_image(scene.path / "first", gzipped(LOW)))
    pull(scene.repo, lying(scene.path / "lying"))
    pull(scene.repo, scene.honest(LOW, LIBRARY))
    assert scene.library() == "honest\n"
    verify_state(scene.repo)


def records(repo: Path) -> list[Path]:
    return sorted((repo / "extensions/bootc-orch/layers").iterdir())


@pytest.mark.parametrize(
    "damage",
    [
        pytest.param(lambda path: path.unlink(), id="gone"),
        pytest.param(lambda path: path.write_bytes(path.read_bytes()[:40]), id="cut"),
        pytest.param(lambda path: path.write_bytes(b""), id="empty"),
        pytest.param(lambda path: path.write_bytes(path.read_bytes()[::-1]), id="nonsense"),
    ],
)
def test_damage_to_what_is_known_costs_no_more_than_a_download(
    scene: Scene, damage: Callable[[Path], object]
):
    pull(scene.repo, scene.honest(LOW, LIBRARY))
    commit = image_commit(scene.repo)
    for path in records(scene.repo):
        damage(path)
    other = write_image(scene.path / "other", gzipped(LOW), gzipped(LIBRARY), gzipped(EVIL))
    pull(scene.repo, other)
    pull(scene.repo, scene.honest(LOW, LIBRARY))
    assert image_commit_of(scene.repo, "honest") == commit
    verify_state(scene.repo)


def image_commit_of(repo: Path, name: str) -> str:
    [commit] = [c for ref, c in refs(repo).items() if "/image/" in ref and name in ref]
    return commit


def test_a_layer_without_a_record_is_never_shared_by_content(scene):
    """Its diff_id is what an image says of it."""
    pull(scene.repo, scene.honest(LOW))
    for path in records(scene.repo):
        path.unlink()
    again = gzipped(LOW)
    other = Blob(again.data + gzipped(b"").data, again.media_type, again.diff_id)
    plan = bootc_orch(
        "image", "pull", "--plan", "--json", "--repo", scene.repo,
        f"ostree-unverified-image:{write_image(scene.path / 'other', other)}",
    ).json["plan"]  # fmt: skip
    assert (plan["reused"], len(plan["fetch"])) == (0, 1)


def test_what_another_tool_stored_counts_as_what_its_image_says(scene):
    pull(scene.repo, scene.honest(LOW, LIBRARY))
    for path in records(scene.repo):
        path.unlink()
    other = write_image(scene.path / "other", gzipped(LOW), gzipped(LIBRARY))
    plan = bootc_orch(
        "image",
        "pull",
        "--plan",
        "--json",
        "--repo",
        scene.repo,
        f"ostree-unverified-image:{other}",
    ).json["plan"]
    assert (plan["present"], plan["fetch"]) == (2, [])


def test_no_byte_of_an_image_gets_into_what_later_pulls_believe(tmp_path):
    """A marker in every field that an image can carry stays out of all records and notes."""
    scene = Scene(tmp_path)
    text = Variant.string(MARKER)
    commitmeta = encode_dict(
        [
            (f"{prefix}{MARKER}", text)
            for prefix in ("bootc-orch.", "ostree-ext.", "ostree-ext.cached.", "")
        ]
        + [("bootc-orch.verified-layers", text), ("ostree-ext.cached.manifest-digest", text)]
    )
    stranger = Path(scene.stranger(commitmeta, gzipped(EVIL)).removeprefix("oci:"))
    mark_documents(stranger)
    pull(scene.repo, f"oci:{stranger}")
    own = list((scene.repo / "extensions").rglob("*"))
    assert [path.name for path in own if path.is_file()]
    for path in own:
        assert MARKER not in path.name
        assert path.is_dir() or MARKER.encode() not in path.read_bytes()
    for ref, commit in refs(scene.repo).items():
        kept = Repo(scene.repo).detached_metadata(commit)
        ours = [key for key in kept if key.startswith(("bootc-orch.", "ostree-ext."))]
        assert ours == [], ref


def mark_documents(layout: Path) -> None:
    """Put the marker into every field of manifest and config that may be anything."""
    index = json.loads((layout / "index.json").read_text())
    blobs = layout / "blobs/sha256"
    manifest = json.loads((blobs / index["manifests"][0]["digest"][7:]).read_text())
    config = json.loads((blobs / manifest["config"]["digest"][7:]).read_text())
    config["config"]["Labels"] |= {MARKER: MARKER, "version": MARKER}
    config["author"] = config["comment"] = config[MARKER] = MARKER
    for entry in config["history"]:
        entry["created_by"] = entry["comment"] = entry["author"] = MARKER
    manifest["annotations"] = {MARKER: MARKER, "org.opencontainers.image.version": MARKER}
    for layer in manifest["layers"]:
        layer["annotations"] = {MARKER: MARKER}
    config_data = json.dumps(config).encode()
    manifest["config"] |= {"digest": digest_of(config_data), "size": len(config_data)}
    data = json.dumps(manifest).encode()
    for blob in (config_data, data):
        (blobs / digest_of(blob)[7:]).write_bytes(blob)
    index["manifests"][0] |= {"digest": digest_of(data), "size": len(data)}
    (layout / "index.json").write_text(json.dumps(index))


@pytest.mark.parametrize("damage", [b"", b"nonsense", None], ids=["empty", "nonsense", "cut"])
def test_a_damaged_record_is_found_and_rebuilt_by_repair(scene, damage):
    pull(scene.repo, scene.honest(LOW, LIBRARY))
    before = {path: path.read_bytes() for path in records(scene.repo)}
    for path, data in before.items():
        path.write_bytes(data[:-1] if damage is None else damage)
    found = bootc_orch("fsck", "--json", "--repo", scene.repo, status=65).json["fsck"]["findings"]
    assert sorted((one["kind"], one["subject"]) for one in found) == [
        ("damaged-record", str(path)) for path in before
    ]
    bootc_orch("repair", "--repo", scene.repo)
    assert {path: path.read_bytes() for path in records(scene.repo)} == before
    bootc_orch("fsck", "--repo", scene.repo)
    verify_state(scene.repo)


def test_a_record_of_another_commit_is_told_and_forgotten_by_repair(scene):
    pull(scene.repo, scene.honest(LOW))
    [path] = records(scene.repo)
    fields = path.read_text().split()[:4]
    path.write_bytes(render_record([*fields[:2], "0" * 64, fields[3]]))
    [found] = bootc_orch("fsck", "--json", "--repo", scene.repo).json["fsck"]["findings"]
    assert (found["kind"], found["severity"], found["subject"]) == (
        "stale-record",
        "warning",
        str(path),
    )
    bootc_orch("repair", "--repo", scene.repo)
    assert not path.exists()
    assert bootc_orch("fsck", "--json", "--repo", scene.repo).json["fsck"]["findings"] == []


def test_damaged_detached_metadata_is_found_and_removed_by_repair(scene):
    pull(scene.repo, scene.honest(LOW))
    place = Repo(scene.repo).object_path(image_commit(scene.repo), "commitmeta")
    place.write_bytes(b"\1nonsense")
    pull(scene.repo, scene.honest(LOW, LIBRARY))
    pull(scene.repo, scene.honest(LOW))
    [found] = bootc_orch("fsck", "--json", "--repo", scene.repo, status=65).json["fsck"]["findings"]
    assert (found["kind"], found["subject"]) == ("damaged-note", str(place))
    bootc_orch("repair", "--repo", scene.repo)
    assert not place.exists()


def test_the_record_of_a_layer_goes_with_it(scene):
    pull(scene.repo, scene.honest(LOW, LIBRARY))
    assert len(records(scene.repo)) == 2
    bootc_orch("image", "remove", "--repo", scene.repo, f"oci:{scene.path}/honest")
    bootc_orch("gc", "--repo", scene.repo)
    assert records(scene.repo) == []
