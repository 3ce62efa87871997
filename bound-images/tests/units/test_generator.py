"""What we read from quadlet trees equals what podman's generator prints for them."""

import json
from pathlib import Path, PurePosixPath

import pytest
from generator import find_generator, run_generator
from quadlet_corpus import DIFFERENT, TREES, write_tree

from bound_images.errors import DefinitionError
from bound_images.rootfs import Root
from bound_images.units.library import Library
from bound_images.units.quadlet import UnitType, images_of

# Made by `python bound-images/tests/units/test_generator.py` where podman 5.8 is installed.
GOLDEN = Path(__file__).with_name("quadlet_golden.json")
FLAGS = {
    "arch": "--arch", "auth_file": "--authfile", "cert_dir": "--cert-dir", "creds": "--creds",
    "decryption_key": "--decryption-key", "os": "--os", "policy": "--policy", "retry": "--retry",
    "retry_delay": "--retry-delay", "variant": "--variant",
}  # fmt: skip


def described(unit, library):
    """Describe a unit as `generator.run_generator` does, from our own reading."""
    uses = images_of(unit, library)
    names = {use.reference for use in uses}
    if unit.type is not UnitType.IMAGE:
        names |= {use.options.image_tag for use in uses if use.options.image_tag}
    if unit.type is UnitType.KUBE:
        names = {f"yaml:{PurePosixPath(use.sources[-1]).name}" for use in uses}
    own = [use for use in uses if use.unit.name == unit.name]
    options = own[0].options if own else None
    pulls = unit.type in (UnitType.IMAGE, UnitType.ARTIFACT)
    return {
        "names": sorted(names),
        "pull": as_pull(options) if pulls else None,
        "run": as_run(unit) if unit.type is UnitType.CONTAINER else None,
    }


def as_pull(options):
    words = [w for name, flag in FLAGS.items() if (v := getattr(options, name)) for w in (flag, v)]
    for name, flag in (("all_tags", "--all-tags"), ("tls_verify", "--tls-verify")):
        value = getattr(options, name)
        words += [] if value is None else [flag if value else f"{flag}=false"]
    modules = [f"--module={module}" for module in options.modules]
    return {
        "global": [*modules, *options.global_args],
        "options": sorted([*words, *options.podman_args]),
    }


def as_run(unit):
    keys = {"--pull": "Pull", "--retry": "Retry", "--retry-delay": "RetryDelay"}
    return {flag: unit.value(key) for flag, key in keys.items() if unit.value(key)}


def ours(root):
    library = Library(Root(root))
    found = {}
    for name in library.paths:
        try:
            found[name] = described(library.find(name), library)
        except DefinitionError:
            continue
    return found


def expected(tree, golden):
    return {name: what for name, what in golden.items() if (tree, name) not in DIFFERENT}


def test_the_corpus_has_every_type_and_more_than_sixty_trees():
    suffixes = {PurePosixPath(name).suffix for files in TREES.values() for name in files}
    assert len(TREES) >= 60
    assert suffixes >= {f".{kind}" for kind in UnitType if kind is not UnitType.NETWORK}


@pytest.mark.parametrize("tree", TREES)
def test_ours_equals_what_the_generator_printed(tree, tmp_path):
    write_tree(tree, tmp_path)
    assert ours(tmp_path) == expected(tree, json.loads(GOLDEN.read_text())[tree])


@pytest.mark.skipif(find_generator() is None, reason="podman's generator is not installed")
@pytest.mark.parametrize("tree", TREES)
def test_the_generator_still_prints_what_was_recorded(tree, tmp_path):
    write_tree(tree, tmp_path)
    assert run_generator(find_generator(), tmp_path) == json.loads(GOLDEN.read_text())[tree]


def _record():
    import tempfile

    golden = {}
    for tree in TREES:
        with tempfile.TemporaryDirectory() as directory:
            write_tree(tree, Path(directory))
            golden[tree] = run_generator(find_generator(), directory)
    GOLDEN.write_text(json.dumps(golden, indent=1, sort_keys=True) + "\n")


if __name__ == "__main__":
    _record()
