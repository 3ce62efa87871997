"""Registries that fail, lie or stall: each row R of the table, on loopback, in seconds.

``timeout``, ``retries`` and ``retry_delay`` are set low, so that what takes minutes in the field
takes seconds here.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

import pytest
from support.badreg import (
    BadRegistry,
    Fault,
    Sender,
    answered,
    bad_registry,
    changed,
    cut,
    cut_resumable,
    endless,
    send,
    silent,
    trickled,
)
from support.cli import Result, bootc_orch
from support.injection import Target, kill, seeded, start
from support.ociwriter import MANIFEST, Blob, ImageWriter, gzipped
from support.ostree import init_repo, refs, verify_state
from support.rawtar import archive, directory, file

pytestmark = pytest.mark.root

BAD_DATA, TRY_AGAIN, REFUSED = 65, 75, 76
RETRIES = 2
STALL_SECONDS = 4.0
ONCE = ("--retries", "0")
LAYERS = 10
# A try that stalls, the start of the program, and a busy machine.
BUDGET_SECONDS = 30.0
MANIFESTS = re.compile(r"/manifests/")
PING = re.compile(r"^/v2/$")


@dataclass(frozen=True, slots=True)
class World:
    """An image of ten layers in a layout, and a repository to pull it into.

    Attributes:
        layout: The image; a registry serves it.
        layers: The digests of its layers.
        repo: The repository.
        config: The program's configuration file.
    """

    layout: Path
    layers: tuple[str, ...]
    repo: Path
    config: Path

    def arguments(self, reference: str, *options: str) -> list[str | Path]:
        """Return the arguments that pull *reference* over plain HTTP."""
        return [
            *("--config", self.config, "image", "pull", "--repo", self.repo, "--json"),
            *("--insecure-skip-tls-verification", "--auth-anonymous", *options, reference),
        ]

    def pull(self, registry: BadRegistry, *options: str, status: int | None = 0) -> Result:
        """Pull from *registry*; whatever happens, it happens within the budget."""
        before = time.monotonic()
        result = bootc_orch(*self.arguments(registry.reference, *options), status=status)
        assert time.monotonic() - before < BUDGET_SECONDS
        return result

    def pull_refused(
        self, registry: BadRegistry, *statuses: int, options: Sequence[str] = ()
    ) -> dict[str, Any]:
        """Pull in vain; assert that one error says so and nothing was published."""
        result = self.pull(registry, *options, status=None)
        assert result.status in statuses, result.stdout + result.stderr
        assert result.stderr.count("error:") == 1
        error: dict[str, Any] = json.loads(result.stdout)["error"]
        assert error["exit"] == result.status
        assert f"127.0.0.1:{registry.port}" in result.stderr
        assert not [name for name in refs(self.repo) if name.startswith("ostree/container/image")]
        verify_state(self.repo)
        return error

    def blob(self, index: int = LAYERS - 1) -> re.Pattern[str]:
        """Match the path of the blob of one layer; the last is the largest."""
        return re.compile(self.layers[index])

    @contextmanager
    def registry(self, *faults: Fault) -> Iterator[BadRegistry]:
        """Serve the image with *faults*."""
        with bad_registry(self.layout, *faults) as registry:
            yield registry


def layer_of(number: int) -> Blob:
    """A layer that does not compress; the last one is larger than a pipe."""
    data = Random(number).randbytes(300_000 if number == LAYERS - 1 else 5_000)
    return gzipped(archive(directory(b"usr/"), file(b"usr/part-%d" % number, data)))


@pytest.fixture(scope="module")
def layout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    image = ImageWriter(
        tmp_path_factory.mktemp("served") / "image", [layer_of(number) for number in range(LAYERS)]
    )
    image.write()
    return image.path


@pytest.fixture
def world(layout: Path, tmp_path: Path) -> World:
    index = json.loads((layout / "index.json").read_text())
    manifest = json.loads(
        (layout / "blobs" / index["manifests"][0]["digest"].replace(":", "/")).read_text()
    )
    config = tmp_path / "config.yaml"
    config.write_text(f"timeout: {STALL_SECONDS}\nretries: {RETRIES}\nretry_delay: 0.05\n")
    layers = tuple(layer["digest"] for layer in manifest["layers"])
    return World(layout, layers, init_repo(tmp_path / "repo"), config)


@pytest.mark.parametrize("status", [500, 502, 503, 504], ids=lambda status: f"R01-{status}")
def test_a_server_error_that_passes_is_tried_again(status: int, world: World) -> None:
    faults = Fault(MANIFESTS, answered(status), times=1), Fault(world.blob(), answered(status), 1)
    with world.registry(*faults) as registry:
        world.pull(registry)
        assert registry.blobs_fetched().count(world.layers[-1]) == 2
    verify_state(world.repo)


@pytest.mark.parametrize("place", ["manifest", "blob"], ids=lambda place: f"R02-{place}")
def test_a_server_error_that_stays_is_given_up(place: str, world: World) -> None:
    path = MANIFESTS if place == "manifest" else world.blob()
    with world.registry(Fault(path, answered(503))) as registry:
        error = world.pull_refused(registry, TRY_AGAIN)
        tries = [request for request in registry.requests if path.search(request.path)]
        assert len(tries) == RETRIES + 1
    if place == "blob":
        assert error["layer"] == world.layers[-1]


@pytest.mark.parametrize(
    ("after", "times", "status"),
    [
        pytest.param({"Retry_After": "1"}, 1, 0, id="R03"),
        pytest.param({"Retry_After": "3600"}, None, TRY_AGAIN, id="R03-hour"),
        pytest.param({}, None, TRY_AGAIN, id="R03-absent"),
        pytest.param({"Retry_After": "soon"}, None, TRY_AGAIN, id="R03-garbage"),
    ],
)
def test_too_many_requests_are_waited_for_or_given_up(
    after: dict[str, str], times: int | None, status: int, world: World
) -> None:
    fault = Fault(MANIFESTS, answered(429, **after), times, methods=("GET", "HEAD"))
    with world.registry(fault) as registry:
        if status == 0:
            world.pull(registry)
        else:
            world.pull_refused(registry, status, options=ONCE)


def challenge(registry_path: str) -> Sender:
    """Ask for a token from *registry_path* on the same server."""

    def sender(handler: Any, answer: Any) -> int:
        realm = f'Bearer realm="http://127.0.0.1:{handler.registry.port}{registry_path}"'
        return answered(401, WWW_Authenticate=realm)(handler, answer)

    return sender


V2 = re.compile(r"^/v2/")
TOKEN = re.compile(r"^/token")


@pytest.mark.parametrize(
    ("faults", "statuses"),
    [
        pytest.param([Fault(V2, answered(401))], [REFUSED], id="R04"),
        pytest.param([Fault(MANIFESTS, answered(403))], [REFUSED], id="R04-403"),
        pytest.param(
            [Fault(V2, challenge("/token")), Fault(TOKEN, answered(500))],
            [REFUSED, TRY_AGAIN],
            id="R04-token-500",
        ),
        pytest.param(
            [Fault(V2, challenge("/token")), Fault(TOKEN, silent(60))],
            [REFUSED, TRY_AGAIN],
            id="R04-token-hangs",
        ),
        pytest.param(
            [Fault(V2, challenge("/token")), Fault(TOKEN, answered(200, b"[" * (2 << 20)))],
            [REFUSED, TRY_AGAIN],
            id="R04-token-huge",
        ),
        pytest.param(
            [Fault(V2, challenge("/token")), Fault(TOKEN, answered(200, b"no JSON"))],
            [REFUSED, TRY_AGAIN, BAD_DATA],
            id="R04-token-garbage",
        ),
    ],
)
def test_a_registry_that_lets_nobody_in_is_named(
    faults: list[Fault], statuses: list[int], world: World
) -> None:
    with world.registry(*faults) as registry:
        world.pull_refused(registry, *statuses, options=ONCE)


def test_a_layer_that_is_cut_off_is_fetched_again(world: World) -> None:
    """R05, passing."""
    with world.registry(Fault(world.blob(), cut(0.5), times=1)) as registry:
        world.pull(registry)
    verify_state(world.repo)


def test_a_layer_that_is_always_cut_off_is_given_up(world: World) -> None:
    """R05, for ever."""
    with world.registry(Fault(world.blob(), cut(0.5))) as registry:
        error = world.pull_refused(registry, TRY_AGAIN)
    assert error["layer"] == world.layers[-1]


def test_a_layer_that_comes_in_parts_is_put_together(world: World) -> None:
    """R06."""
    with world.registry(Fault(world.blob(), cut_resumable(100_000))) as registry:
        result = world.pull(registry, status=None)
    assert result.status in (0, TRY_AGAIN)
    verify_state(world.repo)


LIES = [
    pytest.param(changed(lambda body: body[:-1] + bytes([body[-1] ^ 1])), id="R08"),
    pytest.param(changed(lambda body: bytes(len(body))), id="R08-zeros"),
    pytest.param(changed(lambda body: body + b"more"), id="R09-longer"),
    pytest.param(changed(lambda body: body[:-9]), id="R09-shorter"),
    pytest.param(endless, id="R10"),
]


@pytest.mark.parametrize("lie", LIES)
@pytest.mark.parametrize("index", [0, LAYERS - 1], ids=["small", "large"])
def test_other_bytes_than_promised_are_refused(lie: Sender, index: int, world: World) -> None:
    with world.registry(Fault(world.blob(index), lie)) as registry:
        error = world.pull_refused(registry, BAD_DATA)
        assert error["layer"] == world.layers[index]
    with world.registry() as registry:
        world.pull(registry)
    verify_state(world.repo)


STALLS = [
    pytest.param(MANIFESTS, silent(60), id="R12-manifest"),
    pytest.param(None, silent(60), id="R12-blob"),
    pytest.param(None, silent(60, 0.5), id="R12-half"),
    pytest.param(None, trickled(2.0), id="R11"),
]


@pytest.mark.parametrize(("path", "stall"), STALLS)
def test_a_registry_that_falls_silent_is_given_up(
    path: re.Pattern[str] | None, stall: Sender, world: World
) -> None:
    with world.registry(Fault(path or world.blob(), stall)) as registry:
        world.pull_refused(registry, TRY_AGAIN, options=ONCE)


def test_one_manifest_is_used_throughout(world: World, tmp_path: Path) -> None:
    """R13: the tag moves while the image is pulled; no layer of the other image comes in."""
    other = ImageWriter(tmp_path / "other", [gzipped(archive(file(b"usr/other")))])
    other.write()
    moved = json.loads((other.path / "index.json").read_text())["manifests"][0]["digest"]
    body = (other.path / "blobs" / moved.replace(":", "/")).read_bytes()

    def second(handler: Any, answer: Any) -> int:
        seen = [r for r in handler.registry.requests if r.path.endswith("/manifests/latest")]
        if not seen:
            return send(handler, answer)
        return answered(200, body, Content_Type=MANIFEST)(handler, answer)

    with world.registry(Fault(re.compile("/manifests/latest"), second)) as registry:
        world.pull(registry)
        assert set(world.layers) <= set(registry.blobs_fetched())


def test_a_manifest_that_is_not_the_one_of_the_digest_is_refused(world: World) -> None:
    """R14."""
    digest = json.loads((world.layout / "index.json").read_text())["manifests"][0]["digest"]
    fault = Fault(MANIFESTS, changed(lambda body: body + b"\n"))
    with world.registry(fault) as registry:
        reference = registry.reference.replace(":latest", f"@{digest}")
        result = bootc_orch(*world.arguments(reference), status=BAD_DATA)
    assert result.stderr.count("error:") == 1


@pytest.mark.parametrize(
    "target", ["/v2/image/blobs/again", "file:///etc/passwd"], ids=["R15-loop", "R15-file"]
)
def test_a_redirect_that_leads_nowhere_is_refused(target: str, world: World) -> None:
    fault = Fault(re.compile(f"{world.layers[-1]}|again"), answered(307, Location=target))
    with world.registry(fault) as registry:
        world.pull_refused(registry, REFUSED, TRY_AGAIN)


@pytest.mark.parametrize("what", ["manifest", "config"], ids=lambda what: f"R17-{what}")
def test_a_document_beyond_the_limit_is_refused(what: str, world: World, tmp_path: Path) -> None:
    image = ImageWriter(tmp_path / "large", [layer_of(0)])
    padding = "x" * (4 << 20)
    if what == "manifest":
        image.manifest["annotations"] = {"padding": padding}
    else:
        image.config["config"]["Labels"] = {"padding": padding}
    image.write()
    with bad_registry(image.path) as registry:
        world.pull_refused(registry, BAD_DATA)


def test_a_registry_that_is_not_there_is_given_up_soon(world: World) -> None:
    """R20."""
    with world.registry() as registry:
        pass
    before = time.monotonic()
    world.pull_refused(registry, TRY_AGAIN)
    assert time.monotonic() - before < 10


def test_a_stored_image_named_by_digest_needs_no_registry(world: World) -> None:
    """R21."""
    digest = json.loads((world.layout / "index.json").read_text())["manifests"][0]["digest"]
    with world.registry() as registry:
        reference = registry.reference.replace(":latest", f"@{digest}")
        bootc_orch(*world.arguments(reference))
    bootc_orch(*world.arguments(reference))


def test_as_many_layers_are_fetched_at_once_as_were_asked_for(world: World) -> None:
    """R23."""

    def slow(handler: Any, answer: Any) -> int:
        handler.wait(0.1)
        return send(handler, answer)

    with world.registry(Fault(re.compile("/blobs/"), slow)) as registry:
        world.pull(registry, "--jobs", "2")
        assert 1 <= registry.busiest <= 2


@pytest.mark.parametrize("target", list(Target), ids=lambda target: f"P21-{target}")
def test_finished_layers_are_not_fetched_again(target: Target, world: World) -> None:
    """P21, P14: nine of ten layers are there when the run is killed."""
    chance = seeded(f"resume {target}")
    with world.registry(Fault(world.blob(), silent(60, 0.5))) as registry:
        process = start(world.arguments(registry.reference, "--retries", "0"))
        wait_for_blobs(registry, LAYERS - 1)
        time.sleep(0.3)
        kill(process, target, chance)
        process.wait(timeout=BUDGET_SECONDS)  # who lost a child keeps what is finished, then ends
        assert not [name for name in refs(world.repo) if name.startswith("ostree/container/image")]
        registry.faults.clear()
        registry.requests.clear()
        bootc_orch(*world.arguments(registry.reference))
        fetched = [digest for digest in registry.blobs_fetched() if digest in world.layers]
        assert fetched == [world.layers[-1]]
    verify_state(world.repo)


def wait_for_blobs(registry: BadRegistry, count: int) -> None:
    deadline = time.monotonic() + BUDGET_SECONDS
    while len(registry.blobs_fetched()) < count + 1:  # and the config
        assert time.monotonic() < deadline, registry.requests
        time.sleep(0.02)
