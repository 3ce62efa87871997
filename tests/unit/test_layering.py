"""Imports point one way, and every module and every library has its place."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]

# The rooms of the house from the top to the bottom, one a line, and in each its modules by floors.
# A module may import what stands further right in its own line, and what stands in lines below;
# nothing else, be it at the top of a file, in a function, or for the type checker only.
BOOTC_ORCH = """
bootc_orch:            __main__
cli:                   app
cli.host:              deploy update verbs > bound edit install status transactions
cli.images:            image > fsck inspect pull upkeep
cli.options:           host > fetching > general > configured
cli.terminal:          transaction_plan > describe progress
                       > host_text render root_difference > names progress_stream
bootc_orch:            config
ops.installing:        install_plan > install > bootloader
ops.host:              transaction_plan
                       > change_kargs edit rollback status switch transaction upgrade usr_overlay
ops.checking:          repair > fsck_sysroot > fsck > deployed_files fsck_records fsck_verity
                       > finding verify_objects
ops.deploying:         cleanup > pin wanted > bound composefs deploy hooks kargs next_boot
ops.difference:        root_difference > package_databases tree_difference
ops.importing:         pull > fetch recover > publish > assemble > layer merge > base
                       > crew moves policy_tree staging
ops.opening:           open_image signature > pull_plan source > present vouching
ops.stored:            boot_files explain > copy new_root notes prune usage
                       > known_layers vouched > records > base_refs lock progress store workspace
tools.bootloaders:     bootctl bootupctl grub
tools.proxy:           client > pipes > channel options replies stream > errors timers
tools.ostree:          admin sysroot > repo > objects > files verity
tools:                 filesystem > credentials immutable mounts root_only rpm rpm_sqlite skopeo
                       systemd
stream:                derived encapsulated > commit_tree growing_tree > trees
                       > layer_stream objects tar > decompress object_format pax
                       > layer_report paths selinux storable tar_header
bootc_orch:            process
model.packages:        apk > dpkg rpm > package version_number
model.host:            deployment > bls bootloader document kargs origin progress_v0
model.image:           layout policy refs > difference reference > docker_reference manifest
model:                 typed_json > digest gvariant safe_text strict_json strict_toml timestamp
bootc_orch:            errors
"""
BOUND_IMAGES = """
bound_images:          __main__
cli:                   app bundling checking explaining linting listing locking pruning syncing
                       > options > progress session > documents output
lint:                  run > generator sarif tree units > findings
ops:                   bundle > sync > explain fetch planner repair > check plan prune session
storage:               store > labels record storeimages storelists unfinished verified
sources:               resolve > source > layout > access manifest pullargs retrying
units:                 scan > library > quadlet > keys options > system transport unitfile
                       > kube registries specifiers words
bound_images:          settings > locking programs where > stall
                       > failures files parallel reference rootfs strict > errors events namespace
"""
# What both may import, and what imports neither.
ORCH_FRAME = """
options:               fetching printing > grouping
orch_frame:            program > boundary transfer
                       > below file_contexts lock os_errors output several start tool_words
                       > environment errors redaction signals text
"""
LARGEST_ROOM = 16

# A library, and the places that may import it.
HOMES = {
    "subprocess": ("process.py",),
    "typer": ("cli/",),
    "rich": ("cli/",),
    "bound_images": ("ops/deploying/bound.py", "cli/host/bound.py"),
    "tenacity": ("tools/", "ops/"),
    "yaml": ("config.py", "cli/"),
    "isal": ("stream/",),
    "backports": ("stream/",),
    "sqlite3": ("tools/rpm_sqlite.py",),
}


@dataclass(frozen=True)
class House:
    """A package and the plan of its rooms.

    Attributes:
        places: The modules in the plan, by their dotted names: the line and the floor of each.
    """

    package: Path
    places: dict[str, tuple[int, int]]

    @property
    def name(self) -> str:
        return self.package.name

    def modules(self) -> list[Path]:
        return [path for path in sorted(self.package.rglob("*.py")) if path.name != "__init__.py"]

    def dotted(self, path: Path) -> str:
        return ".".join(path.relative_to(self.package.parent).with_suffix("").parts)

    def wrong_imports(self, path: Path) -> list[str]:
        """The modules that *path* imports from beside or above itself."""
        here = self.places[self.dotted(path)]
        return [name for name in self.imports(path) if self.places[name] <= here]

    def imports(self, path: Path) -> set[str]:
        """The modules of this house that *path* imports, wherever in its text."""
        found = (self.module(name) for name in imported_names(path))
        return {name for name in found if name is not None and name != self.dotted(path)}

    def module(self, name: str) -> str | None:
        """The module that a dotted name is in; None if it is a package, or not of this house."""
        while name and name not in self.places:
            name = name.rpartition(".")[0]
        return name or None


def house(package: Path, plan: str) -> House:
    places: dict[str, tuple[int, int]] = {}
    for line, text in enumerate(plan.strip().replace("\n ", " ").splitlines()):
        room, _, floors = text.partition(":")
        prefix = package.name if room == package.name else f"{package.name}.{room}"
        for floor, names in enumerate(floors.split(">")):
            for name in names.split():
                assert f"{prefix}.{name}" not in places, f"{prefix}.{name} stands twice"
                places[f"{prefix}.{name}"] = (line, floor)
    return House(package, places)


def imported_names(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative imports hide where a name comes from"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


HOUSES = [
    house(ROOT / "bootc_orch", BOOTC_ORCH),
    house(ROOT / "bound-images" / "bound_images", BOUND_IMAGES),
    house(ROOT / "bound-images" / "orch_frame", ORCH_FRAME),
]
MODULES = [pytest.param(h, path, id=h.dotted(path)) for h in HOUSES for path in h.modules()]
FOLDERS = sorted({path.parent for h in HOUSES for path in h.modules()})


def ids(path: Path) -> str:
    return str(path.relative_to(ROOT))


@pytest.mark.parametrize("built", HOUSES, ids=lambda h: h.name)
def test_every_module_is_where_the_plan_has_it(built: House) -> None:
    assert sorted(map(built.dotted, built.modules())) == sorted(built.places)


@pytest.mark.parametrize(("built", "path"), MODULES)
def test_imports_point_downward(built: House, path: Path) -> None:
    assert built.wrong_imports(path) == []


@pytest.mark.parametrize(("built", "path"), MODULES)
def test_modules_import_modules(built: House, path: Path) -> None:
    """Not packages, which could hide a way up: these hold a version and the interface of others."""
    ours = [name for name in imported_names(path) if name.split(".")[0] == built.name]
    assert [n for n in ours if built.module(n) is None] in ([], [f"{built.name}.__version__"])


@pytest.mark.parametrize("built", HOUSES, ids=lambda h: h.name)
def test_no_imports_go_in_a_circle(built: House) -> None:
    """What the floors promise, found out without them."""
    left = {built.dotted(path): built.imports(path) for path in built.modules()}
    while free := [name for name, needed in left.items() if not needed & set(left)]:
        for name in free:
            del left[name]
    assert sorted(left) == []


@pytest.mark.parametrize("folder", FOLDERS, ids=ids)
def test_a_room_can_be_looked_over(folder: Path) -> None:
    modules = [path for path in folder.glob("*.py") if path.name != "__init__.py"]
    assert len(modules) <= LARGEST_ROOM


@pytest.mark.parametrize(("library", "homes"), HOMES.items(), ids=HOMES)
def test_a_library_stays_in_its_home(library: str, homes: tuple[str, ...]) -> None:
    users = [
        path
        for path in HOUSES[0].package.rglob("*.py")
        if any(name.split(".")[0] == library for name in imported_names(path))
    ]
    places = [str(path.relative_to(HOUSES[0].package)) for path in users]
    assert [place for place in places if not place.startswith(homes)] == []


@pytest.mark.parametrize("path", HOUSES[1].modules(), ids=ids)
def test_bound_images_stands_alone(path: Path) -> None:
    roots = {name.split(".")[0] for name in imported_names(path)}
    assert roots & {"bootc_orch", "subprocess"} == set()


@pytest.mark.parametrize("path", HOUSES[2].modules(), ids=ids)
def test_what_both_programs_share_imports_neither(path: Path) -> None:
    roots = {name.split(".")[0] for name in imported_names(path)}
    foreign = {"bootc_orch", "bound_images", "subprocess", "sh", "tenacity", "yaml", "rich"}
    if path.stem not in {"boundary", "program"} and path.parent.name != "options":
        foreign.add("typer")
    assert roots & foreign == set()


@pytest.mark.parametrize(("built", "path"), MODULES)
def test_there_is_no_drawer_for_odds_and_ends(built: House, path: Path) -> None:
    assert path.stem not in {"utils", "util", "common", "helpers", "misc"}
