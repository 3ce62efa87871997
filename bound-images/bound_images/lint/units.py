"""Rules about what a bound unit says."""

from __future__ import annotations

from collections.abc import Iterator

from bound_images.errors import DefinitionError
from bound_images.lint.findings import Finding
from bound_images.reference import DOCKER, ImageName, is_short, transport_of
from bound_images.units.quadlet import ImageUse, Unit, UnitType
from bound_images.units.unitfile import FALSE_WORDS, TRUE_WORDS

# Keys that podman's generator reads as a boolean, in any section.
BOOLEAN_KEYS = frozenset(
    """
    AllTags DefaultDependencies DisableDNS EnvironmentHost ForceRM HttpProxy Internal IPv6
    KubeDownForce NetworkDeleteOnStop NoNewPrivileges Quiet ReadOnly ReadOnlyTmpfs RunInit
    SecurityLabelDisable SecurityLabelNested StartWithPod TLSVerify
    """.split()  # noqa: SIM905 - a list of thirty quoted words is hard to read
)
STORE_OPTION = "additionalimagestore="
_AT_START = ("always", "newer")
# Keys that a bound unit is better off without.
_UNWANTED = (
    ("AutoUpdate", "auto-update", "Updates would go to the store of the host, not to this one."),
    ("Creds", "password-in-unit", "Use AuthFile=, with a file outside the image."),
)


def findings_in_unit(unit: Unit, *, store_for_all: bool) -> Iterator[Finding]:
    """Yield what is wrong with a bound unit, or one that a bound unit refers to.

    Args:
        unit: The unit.
        store_for_all: Whether ``storage.conf`` names the store of bound images for all containers.
    """
    if unit.type is UnitType.CONTAINER and not store_for_all:
        yield from _without_store(unit)
    yield from _pulls(unit)
    yield from _booleans(unit)
    for key, rule, message in _UNWANTED:
        setting = unit.file.last_setting(unit.type.section, key)
        if setting is not None and setting.value:
            yield Finding(rule, message, setting.source, setting.line)


def findings_in_use(use: ImageUse, reference: str) -> Iterator[Finding]:
    """Yield what is wrong with the name of an image.

    Args:
        use: Where it is named.
        reference: The name, with specifiers expanded.
    """
    path, line = _place(use)
    if use.artifact:
        message = f"{reference} is an OCI artifact: sync refuses it, and no store can hold it."
        yield Finding("artifact", message, path, line)
        return
    if transport_of(reference) != DOCKER:
        return
    try:
        name = ImageName.parse(reference)
    except DefinitionError:
        return
    if is_short(reference):
        yield Finding(
            "short-name",
            f"{reference} has no registry; write {name.canonical}.",
            path,
            line,
        )
    if name.digest is None:
        floating = name.tag == "latest"
        rule = "floating-tag" if floating else "movable-tag"
        yield Finding(rule, f"{reference} can be moved; a digest cannot.", path, line)


def _without_store(unit: Unit) -> Iterator[Finding]:
    words = (
        *unit.file.arguments("Container", "GlobalArgs"),
        *unit.file.arguments("Container", "PodmanArgs"),
    )
    if not unit.value("Image") or any(STORE_OPTION in word for word in words):
        return
    setting = unit.file.last_setting("Container", "Image")
    yield Finding(
        "no-additional-store",
        "GlobalArgs=--storage-opt=additionalimagestore=/usr/lib/bootc/storage is missing.",
        setting.source if setting else unit.sources[0],
        setting.line if setting else 0,
    )


def _pulls(unit: Unit) -> Iterator[Finding]:
    key = {UnitType.CONTAINER: "Pull", UnitType.IMAGE: "Policy"}.get(unit.type)
    setting = unit.file.last_setting(unit.type.section, key) if key else None
    value = unit.value(key) if key else ""
    if value in _AT_START and setting:
        yield Finding(
            "pull-at-start",
            f"{key}={value} asks the registry at every start.",
            setting.source,
            setting.line,
        )
    elif unit.type is UnitType.IMAGE and not value:
        yield Finding(
            "pull-at-start",
            "Without Policy=missing it pulls at every start; sync --refresh updates all the same.",
            unit.sources[0],
        )
    elif key == "Policy" and value == "never" and setting:
        yield Finding(
            "never-fetched",
            "Policy=never holds for sync as well; missing asks for nothing at start either.",
            setting.source,
            setting.line,
        )


def _booleans(unit: Unit) -> Iterator[Finding]:
    for section in (unit.type.section, "Quadlet"):
        for key in BOOLEAN_KEYS.intersection(unit.file.keys(section)):
            setting = unit.file.last_setting(section, key)
            text = unit.file.value(section, key) or ""
            if setting is not None and text.lower() not in TRUE_WORDS | FALSE_WORDS:
                yield Finding(
                    "false-boolean",
                    f"podman reads {key}={text} as false.",
                    setting.source,
                    setting.line,
                )


def _place(use: ImageUse) -> tuple[str, int]:
    """Return the file and line that name the image, as well as they are known."""
    for setting in reversed(use.unit.file.settings):
        if use.reference in setting.value:
            return setting.source, setting.line
    return use.sources[-1], 0
