"""Every option of a transfer arrives where an OS image is fetched, and where app images are."""

from __future__ import annotations

import fcntl
import json
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import pytest
import typer
from support.handmade import HandmadeRepo, image_metadata
from support.scripted_skopeo import Skopeo, install
from typer.testing import CliRunner

from bootc_orch.cli.options import configured
from bootc_orch.cli.options.host import transaction_options
from bootc_orch.model.image.reference import OstreeImageReference
from bootc_orch.ops.deploying import bound
from bootc_orch.ops.deploying.wanted import Wanted
from bootc_orch.ops.host.transaction import TransactionOptions, bound_options
from bootc_orch.ops.importing.pull import pull
from bootc_orch.ops.stored.lock import LOCK_NAME
from bootc_orch.ops.stored.progress import NullProgress
from bootc_orch.tools import skopeo as installed
from bootc_orch.tools.ostree.sysroot import Sysroot
from orch_frame.errors import LockedError, NotFoundError, OrchError, StallError
from orch_frame.options.fetching import Fetching
from orch_frame.options.printing import with_output
from orch_frame.transfer import TransferOptions

OS = OstreeImageReference.parse("ostree-unverified-registry:127.0.0.1:1/os:1")
SECRET = '{"auths": {"127.0.0.1:1": {"auth": "dTpw"}}}'
APPS = 4


@dataclass(frozen=True)
class World:
    """A host with a handmade repository, four bound images, and a scripted skopeo."""

    path: Path
    skopeo: Skopeo

    @property
    def repo(self) -> Path:
        return self.path / "sysroot/ostree/repo"

    @property
    def store_lock(self) -> Path:
        return self.path / "sysroot/ostree/bootc/bound-images/lock"


@dataclass(frozen=True)
class End:
    """One of the two places that fetch, tried until it fails.

    Attributes:
        fetch: Fetches what the options say.
        lock: The file whose lock it takes.
    """

    name: str
    fetch: Callable[[World, TransactionOptions], object]
    lock: Callable[[World], Path]

    def failure(self, world: World, options: TransactionOptions) -> OrchError:
        with pytest.raises(OrchError) as caught:
            self.fetch(world, options)
        return caught.value


def fetch_os(world: World, options: TransactionOptions) -> object:
    return pull(world.repo, OS, options.pull, NullProgress())


def fetch_apps(world: World, options: TransactionOptions) -> object:
    root, sysroot = world.path / "root", Sysroot(world.path / "sysroot")
    return bound.plan(root, sysroot, f"{'0' * 64}.0", bound_options(Wanted(OS, OS), options))


ENDS = [
    End("os", fetch_os, lambda world: world.repo / LOCK_NAME),
    End("apps", fetch_apps, lambda world: world.store_lock),
]


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    HandmadeRepo(tmp_path / "sysroot/ostree/repo")
    bound_directory = tmp_path / "root/usr/lib/bootc/bound-images.d"
    quadlets = tmp_path / "root/usr/share/containers/systemd"
    bound_directory.mkdir(parents=True)
    quadlets.mkdir(parents=True)
    for number in range(APPS):
        name = f"app{number}.image"
        (quadlets / name).write_text(f"[Image]\nImage=127.0.0.1:1/app:{number}\n")
        (bound_directory / name).symlink_to(f"/usr/share/containers/systemd/{name}")
    monkeypatch.delenv("REGISTRY_AUTH_FILE", raising=False)
    skopeo = install(tmp_path / "bin")
    monkeypatch.setenv("PATH", f"{skopeo.folder}:{os.environ['PATH']}")
    installed.version.cache_clear()
    return World(tmp_path, skopeo)


def from_command_line(*argv: str) -> TransactionOptions:
    """The options of a transaction whose command was given *argv*."""
    heard: list[TransactionOptions] = []
    app = typer.Typer(add_completion=False)

    @app.command()
    @with_output
    def command(*, fetching: Fetching) -> None:
        heard.append(transaction_options(fetching))

    done = CliRunner().invoke(app, argv)
    assert done.exit_code == 0, done.output
    return heard[0]


# What each option is set to, and how that is seen at either end.
Probe = Callable[[World, End, TransactionOptions], None]


def runs_so_many_at_once(world: World, end: End, options: TransactionOptions) -> None:
    texts = image_metadata([f"layer{number}" for number in range(APPS)])
    world.skopeo.behave(
        "serve" if end.name == "os" else "pause",
        manifest=texts["ostree.manifest"],
        config=texts["ostree.container.image-config"],
        digest=texts["ostree.manifest-digest"],
    )
    end.failure(world, options)
    assert world.skopeo.most_at_once == options.transfer.jobs


def tries_so_often(world: World, end: End, options: TransactionOptions) -> None:
    world.skopeo.behave("refuse")
    end.failure(world, options)
    tries = [call for call in world.skopeo.calls if is_first_image(call)]
    assert len(tries) == 1 + options.transfer.retries


def waits_so_long_before_it_tries_again(
    world: World, end: End, options: TransactionOptions
) -> None:
    world.skopeo.behave("refuse")
    end.failure(world, options)
    first, second = (call["start"] for call in world.skopeo.calls if is_first_image(call))
    assert options.transfer.retry_delay <= second - first


def gives_up_after_such_a_silence(world: World, end: End, options: TransactionOptions) -> None:
    world.skopeo.behave("hang")
    started = time.monotonic()
    assert end.failure(world, options).exit_code == StallError.exit_code
    assert time.monotonic() - started < 20


def gives_up_a_lock_so_soon(world: World, end: End, options: TransactionOptions) -> None:
    (world.path / "sysroot/ostree/bootc/storage").mkdir(parents=True)
    world.skopeo.behave("refuse")
    started = time.monotonic()
    with locked_by_another(end.lock(world)):
        assert isinstance(end.failure(world, options), LockedError)
    assert options.transfer.lock_timeout <= time.monotonic() - started < 20
    assert world.skopeo.calls == []


def hands_over_the_credentials(world: World, end: End, options: TransactionOptions) -> None:
    assert first_call(world, end, options)["auth"] == SECRET


def hands_over_no_credentials(world: World, end: End, options: TransactionOptions) -> None:
    call = first_call(world, end, options)
    assert "--no-creds" in call["argv"] or json.loads(call["auth"]) == {"auths": {}}


def names_the_certificates(world: World, end: End, options: TransactionOptions) -> None:
    argv = first_call(world, end, options)["argv"]
    assert "--cert-dir /certs" in " ".join(argv).replace("=", " ")


def accepts_any_certificate(world: World, end: End, options: TransactionOptions) -> None:
    assert "--tls-verify=false" in first_call(world, end, options)["argv"]


def asks_nobody(world: World, end: End, options: TransactionOptions) -> None:
    world.skopeo.behave("refuse")
    assert end.failure(world, options).exit_code == NotFoundError.exit_code
    assert world.skopeo.calls == []


@dataclass(frozen=True)
class Way:
    """How one option is given, and how it shows.

    Attributes:
        value: What it is then.
        argv: How the command line says so.
        probe: Sees whether it has arrived.
        config: How the configuration says so; None where it cannot.
        besides: What the probe needs as well.
    """

    value: Any
    argv: tuple[str, ...]
    probe: Probe
    config: str | None = None
    besides: tuple[str, ...] = ()


WAYS = {
    "jobs": Way(3, ("--jobs=3",), runs_so_many_at_once, "jobs: 3", ("--retries=0", "--timeout=4")),
    "retries": Way(2, ("--retries=2",), tries_so_often, "retries: 2", ("--retry-delay=0.01",)),
    "retry_delay": Way(
        1.5,
        ("--retry-delay=1.5",),
        waits_so_long_before_it_tries_again,
        "retry_delay: 1.5",
        ("--retries=1",),
    ),
    "timeout": Way(
        1.0, ("--timeout=1",), gives_up_after_such_a_silence, "timeout: 1", ("--retries=0",)
    ),
    "lock_timeout": Way(0.5, ("--lock-timeout=0.5",), gives_up_a_lock_so_soon, "lock_timeout: 0.5"),
    "authfile": Way(
        Path("{tmp}/auth.json"),
        ("--authfile={tmp}/auth.json",),
        hands_over_the_credentials,
        "authfile: {tmp}/auth.json",
    ),
    "anonymous": Way(True, ("--auth-anonymous",), hands_over_no_credentials),
    "cert_dir": Way(Path("/certs"), ("--cert-dir=/certs",), names_the_certificates),
    "tls_verify": Way(False, ("--no-tls-verify",), accepts_any_certificate),
    "offline": Way(True, ("--offline",), asks_nobody),
}


def is_first_image(call: dict) -> bool:
    """Say whether a call is for the OS image, or for the first of the apps."""
    image = call["argv"][-1]
    return "app:" not in image or image.endswith("app:0")


def first_call(world: World, end: End, options: TransactionOptions) -> dict:
    world.skopeo.behave("refuse")
    end.failure(world, options)
    return world.skopeo.calls[0]


@contextmanager
def locked_by_another(path: Path) -> Iterator[None]:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


@pytest.fixture
def configure(tmp_path: Path) -> Iterator[Callable[[str], None]]:
    def configure(text: str) -> None:
        (tmp_path / "config.yaml").write_text(text)
        configured.choose_config(str(tmp_path / "config.yaml"))

    configure("{}")
    yield configure
    configured.choose_config(None)


def test_every_option_has_a_way() -> None:
    assert set(WAYS) == {field.name for field in fields(TransferOptions)}


@pytest.mark.parametrize(
    "end",
    [
        # The repository that deployments come from is of mode bare, which only root writes.
        pytest.param(ENDS[0], marks=pytest.mark.root, id=ENDS[0].name),
        pytest.param(ENDS[1], id=ENDS[1].name),
    ],
)
@pytest.mark.parametrize("name", WAYS)
def test_what_the_command_line_says_arrives(name, end, world, configure, tmp_path):
    way = WAYS[name]
    (tmp_path / "auth.json").write_text(SECRET)
    (tmp_path / "auth.json").chmod(0o600)
    besides = () if way.besides else ("--retries=0",)
    argv = [word.replace("{tmp}", str(tmp_path)) for word in (*besides, *way.besides, *way.argv)]
    options = from_command_line(*argv)
    value = getattr(options.transfer, name)
    assert str(value) == str(way.value).replace("{tmp}", str(tmp_path))
    way.probe(world, end, options)


@pytest.mark.parametrize("name", [name for name, way in WAYS.items() if way.config])
def test_what_the_configuration_says_is_the_same(name, configure, tmp_path):
    way = WAYS[name]
    configure(way.config.replace("{tmp}", str(tmp_path)))
    value = getattr(from_command_line().transfer, name)
    assert str(value) == str(way.value).replace("{tmp}", str(tmp_path))


def test_the_command_line_comes_before_the_configuration(configure):
    configure("retries: 7\nauthfile: /a.json\n")
    assert from_command_line("--retries=0", "--auth-anonymous").transfer == TransferOptions(
        retries=0, anonymous=True
    )


@pytest.mark.parametrize(
    ("text", "field", "value"),
    [("retry_delay: 0.5", "retry_delay", 0.5), ("lock_timeout: 0", "lock_timeout", 0.0)],
)
def test_fractions_and_zero_are_values_like_others(text, field, value, configure):
    configure(text)
    assert getattr(from_command_line().transfer, field) == value


def test_the_name_that_ostree_has_for_it_still_works(configure):
    assert from_command_line("--insecure-skip-tls-verification").transfer.tls_verify is False


def test_app_images_are_fetched_as_the_os_image_is(configure):
    options = from_command_line("--jobs=2", "--retries=5")
    assert options.bound.transfer is options.pull.transfer
