"""Kernel arguments: the command line, ``kargs.d`` files, and how an upgrade joins the two.

Source: bootc's ``usr/lib/bootc/kargs.d/*.toml``; quoting is that of the kernel's command line.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field

from bootc_orch.model import strict_toml
from bootc_orch.model.safe_text import MAX_KERNEL_ARGUMENT, safe_text
from orch_frame.errors import InvalidImageError

KARGS_DIRECTORY = "usr/lib/bootc/kargs.d"
# The deployment's own link, and what would start something else than the system's init.
RESERVED = ("ostree", "init")
# What bootc takes over to a new stateroot, and what its install writes.
ROOT_KEYS = ("root", "rootflags", "rootfstype", "rw", "ro", "boot")
INITRAMFS_PREFIX = "rd."


@dataclass(frozen=True, slots=True)
class KargsEdit:
    """Changes that an administrator asks for, applied in the order of the fields.

    Attributes:
        delete: Arguments to remove: ``KEY=VALUE`` that one, ``KEY`` all of that key.
        replace: ``KEY=VALUE`` arguments that take the place of all of that key; those of a key that
            is not there are added at the end.
        append: Arguments to add at the end.
    """

    delete: tuple[str, ...] = field(default=())
    replace: tuple[str, ...] = field(default=())
    append: tuple[str, ...] = field(default=())

    def __bool__(self) -> bool:
        """Say whether there is anything to change."""
        return bool(self.delete or self.replace or self.append)


def split_command_line(text: str) -> tuple[str, ...]:
    """Split a command line at blanks that are not inside double quotes; quotes are kept."""
    arguments: list[str] = []
    word = ""
    quoted = False
    for character in text:
        if character == '"':
            quoted = not quoted
        if character.isspace() and not quoted:
            if word:
                arguments.append(word)
            word = ""
        else:
            word += character
    return (*arguments, word) if word else tuple(arguments)


def key_of(argument: str) -> str:
    """Return the key of ``KEY`` or ``KEY=VALUE``; to the kernel, dash and underscore are one."""
    return argument.partition("=")[0].replace("-", "_")


def own_arguments(options: str) -> tuple[str, ...]:
    """Split the *options* of a boot entry, leaving out the link that libostree puts there."""
    return tuple(arg for arg in split_command_line(options) if key_of(arg) != "ostree")


def root_arguments(arguments: Sequence[str]) -> tuple[str, ...]:
    """Return those of *arguments* by which the initramfs finds and mounts the root."""
    return tuple(
        argument
        for argument in arguments
        if key_of(argument) in ROOT_KEYS or argument.startswith(INITRAMFS_PREFIX)
    )


def check_argument(argument: str, *, source: str) -> str:
    """Return *argument* if it can stand in a boot entry.

    Raises:
        InvalidImageError: it is empty, unquoted blanks split it, it holds a control character,
            is too long, or has a key that belongs to the deployment itself.
    """
    safe_text(argument, what=f"{source}: a kernel argument", limit=MAX_KERNEL_ARGUMENT)
    if split_command_line(argument) != (argument,) or argument.count('"') % 2:
        raise InvalidImageError(f"{source}: {argument!a} is not one kernel argument.")
    if key_of(argument) in RESERVED:
        raise InvalidImageError(
            f"{source}: the kernel argument {argument!a} belongs to the deployment itself."
        )
    return argument


def parse_kargs_file(text: str, *, source: str, machine: str) -> tuple[str, ...]:
    """Read one ``kargs.d`` file for *machine*, such as ``x86_64``.

    Returns:
        Its arguments; none where ``match-architectures`` leaves this machine out.

    Raises:
        InvalidImageError: it is no TOML, has an unknown key, a value of the wrong type, or an
            argument that cannot stand in a boot entry.
    """
    document = strict_toml.loads(text, source=source)
    if unknown := sorted(set(document) - {"kargs", "match-architectures"}):
        raise InvalidImageError(f"{source} has the unknown key {unknown[0]!a}.", path=source)
    if "kargs" not in document:
        raise InvalidImageError(f"{source} has no kargs.", path=source)
    arguments = _strings(document["kargs"], f"{source}: kargs")
    machines = _strings(document.get("match-architectures", []), f"{source}: match-architectures")
    checked = tuple(check_argument(argument, source=source) for argument in arguments)
    return checked if not machines or machine in machines else ()


def _strings(value: object, what: str) -> list[str]:
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        raise InvalidImageError(f"{what} is not an array of strings.")
    return value


def merge_image_kargs(
    current: Sequence[str], *, old: Collection[str], new: Collection[str] | None
) -> tuple[str, ...]:
    """Carry *current* over to a new image: three-way, what an administrator changed stays.

    Args:
        current: The arguments of the deployment that is upgraded.
        old: What its image asks for.
        new: What the new image asks for, in order; None if it has no ``kargs.d`` at all, which
            changes nothing.
    """
    if new is None:
        return tuple(current)
    removed = set(old) - set(new)
    kept = [argument for argument in current if argument not in removed]
    added = [argument for argument in new if argument not in set(old)]
    return (*kept, *added)


def edit_kargs(current: Sequence[str], edit: KargsEdit) -> tuple[str, ...]:
    """Apply *edit* to *current*; deleting what is not there is no error."""
    kept = [arg for arg in current if not any(_matches(arg, pattern) for pattern in edit.delete)]
    for key in dict.fromkeys(map(key_of, edit.replace)):
        place = next((i for i, arg in enumerate(kept) if key_of(arg) == key), len(kept))
        others = [arg for arg in kept if key_of(arg) != key]
        kept = [
            *others[:place],
            *(arg for arg in edit.replace if key_of(arg) == key),
            *others[place:],
        ]
    return (*kept, *edit.append)


def without_match(current: Sequence[str], edit: KargsEdit) -> tuple[str, ...]:
    """Return what *edit* is to delete and *current* does not have."""
    return tuple(
        pattern for pattern in edit.delete if not any(_matches(arg, pattern) for arg in current)
    )


def _matches(argument: str, pattern: str) -> bool:
    return argument == pattern if "=" in pattern else key_of(argument) == key_of(pattern)
