"""What the tree of an image says about how it is to be stored: its SELinux policy, its root.

Sources: ``/etc/selinux/config`` as ostree reads it, ``prepare-root.conf`` as ostree-rs-ext does.
"""

from __future__ import annotations

import os
from configparser import ConfigParser
from configparser import Error as ConfigParserError
from pathlib import Path

from bootc_orch.stream.selinux import Labeler
from bootc_orch.stream.trees import Trees
from orch_frame.errors import InvalidImageError
from orch_frame.file_contexts import check_rules, is_text

_SELINUX_DIRECTORIES = ("etc/selinux", "usr/etc/selinux")
_SELINUX_ON = ("enforcing", "permissive")
_PREPARE_ROOT = ("etc/ostree/prepare-root.conf", "usr/lib/ostree/prepare-root.conf")
_COMPOSEFS_ON = ("yes", "true", "1", "maybe", "signed", "verity")
_TRUE = ("true", "1")


def policy_id(trees: Trees, root: bytes) -> str | None:
    """Return what identifies the policy in the tree *root*, or None if no policy can be there.

    It is the checksum of the policy's directory, so it is known without reading any content.
    """
    for directory in _SELINUX_DIRECTORIES:
        tree = trees.find_directory(root, directory)
        if tree is not None and b"config" in trees.load(tree).files:
            return tree.hex()
    return None


def needed_contents(trees: Trees, root: bytes) -> frozenset[str]:
    """Return the checksums of the files that `load_labeler` and `allows_nonusr` may read."""
    found = [trees.find_file(root, path) for path in _PREPARE_ROOT]
    for directory in _SELINUX_DIRECTORIES:
        tree = trees.find_directory(root, directory)
        if tree is None:
            continue
        entries = trees.load(tree)
        found += [entries.files[b"config"].hex()] if b"config" in entries.files else []
        for policy in entries.dirs.values():
            contexts = trees.find_directory(policy.tree, "contexts/files")
            found += (
                [
                    file.hex()
                    for name, file in trees.load(contexts).files.items()
                    if is_text(os.fsdecode(name))
                ]
                if contexts
                else []
            )
    return frozenset(checksum for checksum in found if checksum is not None)


def load_labeler(trees: Trees, root: bytes, directory: Path) -> Labeler | None:
    """Open the SELinux policy of the tree *root*; None if it has none or switches it off.

    Args:
        trees: Where the tree is.
        root: Its dirtree.
        directory: A private directory for the policy's files.

    Raises:
        InvalidImageError: the policy that the configuration names is not there.
        ToolError: libselinux is missing.
    """
    for place in _SELINUX_DIRECTORIES:
        config = trees.find_file(root, f"{place}/config")
        if config is None:
            continue
        name = parse_selinux_config(trees.store.read_file(config).decode(errors="replace"))
        if name is None:
            return None
        contexts = trees.find_directory(root, f"{place}/{name}/contexts/files")
        if contexts is None or b"file_contexts" not in trees.load(contexts).files:
            raise InvalidImageError(
                f"The image names the SELinux policy {name}, but has no {place}/{name}/"
                "contexts/files/file_contexts.",
                path=f"{place}/{name}",
            )
        identity = policy_id(trees, root)
        copy = _copy_contexts(trees, contexts, directory / f"policy-{identity}", policy=name)
        return Labeler(copy / "file_contexts", str(identity), name=name)
    return None


def parse_selinux_config(text: str) -> str | None:
    """Return the name of the policy that ``/etc/selinux/config`` switches on, or None."""
    values = {}
    for line in text.splitlines():
        key, equals, value = line.strip().partition("=")
        if equals and not key.startswith("#"):
            values[key.strip()] = value.strip()
    if values.get("SELINUX", "").lower() not in _SELINUX_ON:
        return None
    name = values.get("SELINUXTYPE")
    return name if name and "/" not in name and name not in (".", "..") else None


def allows_nonusr(trees: Trees, root: bytes) -> bool:
    """Say whether the deployed root of the tree *root* shows content outside of ``/usr``."""
    for path in _PREPARE_ROOT:
        checksum = trees.find_file(root, path)
        if checksum is not None:
            return parse_prepare_root(trees.store.read_file(checksum).decode(errors="replace"))
    return False


def parse_prepare_root(text: str) -> bool:
    """Say whether a ``prepare-root.conf`` makes the root transient or a composefs.

    Raises:
        InvalidImageError: it is not a key file.
    """
    config = ConfigParser(interpolation=None, strict=False)
    try:
        config.read_string(text)
    except ConfigParserError as error:
        raise InvalidImageError(
            "The prepare-root.conf of the base image cannot be read.", details=str(error)
        ) from error
    transient = config.get("root", "transient", fallback="")
    enabled = config.get("composefs", "enabled", fallback="")
    return transient in _TRUE or enabled in _COMPOSEFS_ON


def _copy_contexts(trees: Trees, directory: bytes, target: Path, *, policy: str) -> Path:
    """Put the files of a policy where libselinux can read them, all equally old.

    Compiled ones stay behind: libselinux would trust them, and the text says the same.

    Raises:
        InvalidImageError: one of them is compiled although it is not called so.
        LimitError: they have more, or more costly, rules than any real policy.
    """
    target.mkdir(exist_ok=True)
    for raw, checksum in trees.load(directory).files.items():
        name = os.fsdecode(raw)
        path = target / name
        if is_text(name) and not path.exists():
            data = trees.store.read_file(checksum.hex())
            check_rules(name, data, policy=policy)
            path.write_bytes(data)
            os.utime(path, (0, 0))
    return target
