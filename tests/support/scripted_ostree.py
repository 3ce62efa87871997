"""A machine that runs from a handmade sysroot, and an ostree that changes nothing but its files.

It does what a decision about deployments can be seen by: it deploys, stages, removes, reorders and
pins, and notes each command line.  Every one of these is run for real by integration tests:
``deploy``, ``checkout``, ``refs``, ``prune`` and ``admin cleanup`` by ``test_host.py``; ``deploy
--stage``, ``lock-finalization``, ``set-default``, ``deploy --not-as-default``, ``undeploy``,
``pin`` and ``systemctl reboot`` by ``test_host_running.py``; ``config``, ``init-fs``, ``os-init``
and ``findmnt`` by every test that installs a system.
"""

from __future__ import annotations

import json
import shutil
import struct
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from pytest_subprocess import FakeProcess

from bootc_orch.model.gvariant import Variant, encode_dict
from bootc_orch.model.host.deployment import Deployment
from bootc_orch.model.host.origin import Origin
from bootc_orch.model.image.reference import OstreeImageReference
from bootc_orch.model.image.refs import image_ref
from bootc_orch.ops.opening.open_image import go_architecture
from bootc_orch.ops.stored.progress import NullProgress
from bootc_orch.process import _guard
from bootc_orch.tools.ostree import repo as ostree_repo
from support.handmade import HandmadeRepo, Tree, image_metadata
from support.handmade_sysroot import BOOTABLE, HandmadeSysroot

IMAGE = OstreeImageReference.parse("ostree-unverified-registry:quay.io/test/os:1")
OTHER_IMAGE = OstreeImageReference.parse("ostree-unverified-registry:quay.io/test/other:1")
CONFIG_KEY = "ostree.container.image-config"
PROGRAMS = ("ostree", "systemctl", "findmnt")


def origin_of(image: OstreeImageReference, more: str = "") -> str:
    """The text of the origin of a deployment that follows *image*."""
    return f"{Origin.for_container(str(image))}{more}"


class Told(NullProgress):
    """Keeps what an operation tells: steps, messages and warnings, in their order."""

    def __init__(self) -> None:
        self.events: list[tuple[str, str]] = []

    def step(self, step: str) -> None:
        self.events.append(("step", str(step)))

    def message(self, text: str) -> None:
        self.events.append(("message", text))

    def warning(self, text: str) -> None:
        self.events.append(("warning", text))


class ScriptedMachine:
    """A handmade sysroot below *path*, with the files that tell what runs and what is staged.

    Attributes:
        world: The sysroot.
        commands: Every command line that was run, without what it is guarded by.
        failing: How a command line that begins with these words fails: status and message.
    """

    def __init__(self, path: Path, fp: FakeProcess, monkeypatch: pytest.MonkeyPatch) -> None:
        self.root = path / "sysroot"
        self.run = path / "run"
        self.run.mkdir(parents=True)
        self.commands: list[tuple[str, ...]] = []
        self.failing: dict[tuple[str, ...], tuple[int, str]] = {}
        self.version = "2024.5"
        self.world = HandmadeSysroot(self.root)
        self.sysroot = self.world.sysroot
        self.repo = self.world.made.repo
        self._monkeypatch = monkeypatch
        self._play(fp, path / "bin")
        sysroot_module = "bootc_orch.tools.ostree.sysroot"
        monkeypatch.setattr(f"{sysroot_module}.RUN_OSTREE", self.run / "ostree")
        monkeypatch.setattr(f"{sysroot_module}.RUN_BOOTED", self.run / "ostree-booted")
        self.note = self.run / "reboot-required"
        monkeypatch.setattr("bootc_orch.tools.systemd.REBOOT_REQUIRED", self.note)
        monkeypatch.setattr("bootc_orch.tools.systemd.JOURNAL_SOCKET", self.run / "journal")
        (self.run / "ostree").mkdir()

    def _play(self, fp: FakeProcess, programs: Path) -> None:
        programs.mkdir()
        for name in PROGRAMS:
            (programs / name).touch(mode=0o755)
        self._monkeypatch.setenv("PATH", str(programs))
        _guard.cache_clear()
        ostree_repo.ostree_version.cache_clear()
        fp.register([fp.any()], callback=self._answer, occurrences=10_000)

    def install_ostree(self, version: str) -> None:
        """Let ostree be of *version*."""
        self.version = version
        ostree_repo.ostree_version.cache_clear()

    def image(
        self,
        number: int = 1,
        *,
        follow: OstreeImageReference = IMAGE,
        tree: Tree | None = None,
        labels: Mapping[str, str] | None = None,
    ) -> str:
        """Store version *number* of an image under its name, and return its commit."""
        made: HandmadeRepo = self.world.made
        layers = [f"base {follow.image.name}", f"layer {number} {follow.image.name}"]
        for layer in layers:
            made.layer(layer, {layer.replace("/", "-"): b""})
        said = {
            "containers.bootc": "1",
            "org.opencontainers.image.version": str(number),
            **(labels or {}),
        }
        config = json.loads(image_metadata(layers, said)[CONFIG_KEY])
        config["architecture"] = go_architecture()
        return made.image(
            image_ref(follow.image),
            layers,
            tree={**BOOTABLE, "version": b"%d" % number, **(tree or {})},
            **{CONFIG_KEY: json.dumps(config)},
        )

    def deploy(self, commit: str, **options: Any) -> Deployment:
        """Deploy *commit* behind what there is; it follows `IMAGE` if nothing else is said."""
        options.setdefault("origin", origin_of(IMAGE))
        return self.world.deploy(commit, **options)

    def boot(self, deployment: Deployment) -> None:
        """Let the machine run from *deployment*."""
        found = deployment.path.stat()
        inode = Variant("(tt)", struct.pack("<QQ", found.st_dev, found.st_ino))
        data = encode_dict([("backing-root-device-inode", inode)])
        (self.run / "ostree-booted").write_bytes(data)

    def stage(
        self, commit: str, *, origin: str | None = None, kargs: tuple[str, ...] = (), locked: bool
    ) -> Deployment:
        """Stage *commit*, as ``ostree admin deploy --stage`` does."""
        name = f"{commit}.{self.world.next_serial(commit, 'os')}"
        path = self.root / "ostree/deploy/os/deploy" / name
        self.world.check_out(self.repo.commit(commit).tree, path)
        path.with_name(f"{name}.origin").write_text(origin or origin_of(IMAGE))
        facts = {"name": name, "osname": "os", "bootcsum": "0" * 64}
        target = [(key, Variant.string(value)) for key, value in facts.items()]
        state = [
            ("kargs", Variant("as", strings(kargs))),
            ("locked", Variant.boolean(locked)),
            ("target", Variant("a{sv}", encode_dict(target))),
        ]
        (self.run / "ostree/staged-deployment").write_bytes(encode_dict(state))
        (self.run / "ostree/staged-deployment-locked").unlink(missing_ok=True)
        staged = self.sysroot.deployments().staged
        assert staged is not None
        return staged

    def order(self) -> list[str]:
        """What boots first and what comes next, by version; what is staged or booted is marked."""
        marks = {(True, False): "staged ", (False, True): "booted ", (False, False): ""}
        return [
            marks[one.staged, one.booted] + (one.path / "version").read_text()
            for one in self.sysroot.deployments().all
        ]

    def ran(self, *beginning: str) -> list[tuple[str, ...]]:
        """The command lines that began with these words, without where the sysroot is."""
        places = (f"--sysroot={self.root}", f"--repo={self.repo.path}")
        return [
            tuple(word for word in command[len(beginning) :] if word not in places)
            for command in self.commands
            if command[: len(beginning)] == beginning
        ]

    def _answer(self, process: Any) -> None:
        command = tuple(process.args)
        if command[0] == "setpriv":
            command = command[command.index("--") + 1 :]
        self.commands.append(command)
        process.returncode, said = self._failure(command)
        if process.returncode:
            process.kwargs["stderr"].write(said.encode())
            return
        if process.stdout is not None:
            process.stdout.write(self._carry_out(command).encode())
        else:
            self._carry_out(command)

    def _failure(self, command: tuple[str, ...]) -> tuple[int, str]:
        for beginning, failure in self.failing.items():
            if command[: len(beginning)] == beginning:
                return failure
        return 0, ""

    def _carry_out(self, command: tuple[str, ...]) -> str:
        acts: dict[tuple[str, ...], Callable[[tuple[str, ...]], str | None]] = {
            ("ostree", "--version"): lambda _: f"libostree:\n Version: '{self.version}'\n",
            ("ostree", "checkout"): self._checkout,
            ("ostree", "refs"): self._refs,
            ("ostree", "prune"): lambda _: "Total objects: 9\nNo unreachable objects\n",
            ("ostree", "admin", "deploy"): self._deploy,
            ("ostree", "admin", "undeploy"): self._undeploy,
            ("ostree", "admin", "set-default"): self._set_default,
            ("ostree", "admin", "pin"): self._pin,
            ("ostree", "admin", "lock-finalization"): self._lock_finalization,
            ("ostree", "admin", "os-init"): self._os_init,
            ("findmnt",): lambda _: "7b2d-11ee\n",
        }
        for beginning, act in acts.items():
            if command[: len(beginning)] == beginning:
                return act(command[len(beginning) :]) or ""
        assert command[0] == "systemctl" or command[1] in ("admin", "config", "init"), command
        return ""

    def _checkout(self, arguments: tuple[str, ...]) -> None:
        commit, target = arguments[-2:]
        self.world.check_out(self.repo.commit(commit).tree, Path(target))

    def _refs(self, arguments: tuple[str, ...]) -> None:
        heads = self.repo.path / "refs/heads"
        created = [word.partition("=")[2] for word in arguments if word.startswith("--create=")]
        if created:
            self.world.made.ref(created[0], arguments[-1])
            return
        for ref in (word for word in arguments if not word.startswith("-")):
            (heads / ref).unlink(missing_ok=True)

    def _deploy(self, arguments: tuple[str, ...]) -> None:
        commit = arguments[-1]
        values = [word.partition("=")[::2] for word in arguments]
        kargs = tuple(value for key, value in values if key == "--karg-append")
        given = dict(values)
        origin = Path(given["--origin-file"]).read_text()
        if "--stage" in given:
            self.stage(commit, origin=origin, kargs=kargs, locked="--lock-finalization" in given)
            return
        before = [one.path for one in self.sysroot.deployments().all if not one.staged]
        made = self.world.deploy(
            commit, origin=origin, options=" ".join(kargs), stateroot=given["--os"]
        )
        last = "--not-as-default" in given
        self._arrange([*before, made.path] if last else [made.path, *before])

    def _undeploy(self, arguments: tuple[str, ...]) -> None:
        removed = self.sysroot.deployments().all[int(arguments[-1])]
        if removed.staged:
            (self.run / "ostree/staged-deployment").unlink()
        else:
            self._entry_of(removed.path).unlink()

    def _set_default(self, arguments: tuple[str, ...]) -> None:
        paths = [one.path for one in self.sysroot.deployments().all if not one.staged]
        first = self.sysroot.deployments().all[int(arguments[-1])].path
        self._arrange([first, *(path for path in paths if path != first)])

    def _arrange(self, paths: list[Path]) -> None:
        entries = [self._entry_of(path) for path in paths]
        for place, entry in enumerate(entries):
            lines = entry.read_text().splitlines()
            lines[1] = f"version {100 - place}"
            entry.write_text("\n".join(lines) + "\n")

    def _entry_of(self, path: Path) -> Path:
        for entry in (self.root / "boot/loader/entries").iterdir():
            link = entry.read_text().rpartition("ostree=")[2].strip()
            if (self.root / link.lstrip("/")).resolve() == path:
                return entry
        raise AssertionError(f"{path} has no boot entry")

    def _pin(self, arguments: tuple[str, ...]) -> None:
        origin = self.sysroot.deployments().all[int(arguments[-1])].origin_path
        text = origin.read_text().partition("\n[libostree-transient]")[0]
        unpin = "--unpin" in arguments
        origin.write_text(text if unpin else f"{text}\n[libostree-transient]\npinned=true\n")

    def _lock_finalization(self, arguments: tuple[str, ...]) -> None:
        staged = self.sysroot.deployments().staged
        assert staged is not None
        origin = staged.origin_path.read_text()
        shutil.rmtree(staged.path)
        locked = "--unlock" not in arguments
        self.stage(staged.checksum, origin=origin, kargs=staged.kargs, locked=locked)

    def _os_init(self, arguments: tuple[str, ...]) -> None:
        (self.root / "ostree/deploy" / arguments[-1]).mkdir()


def strings(values: tuple[str, ...]) -> bytes:
    """Serialise ``as``: strings that end with NUL, then the offsets of their ends."""
    items = [value.encode() + b"\0" for value in values]
    ends = [sum(map(len, items[: number + 1])) for number in range(len(items))]
    body = b"".join(items)
    assert len(body) + len(ends) < 256
    return body + bytes(ends)
