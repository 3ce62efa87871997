"""Single parts: plans, failures, retries, locks, programs, output, independence."""

import ast
import fcntl
import io
import json
import logging
import os
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from world import PACKAGE_PARENT

import bound_images
from bound_images.cli.output import Output, size
from bound_images.cli.progress import _plain_lines, short_name
from bound_images.errors import CommandError, exit_status
from bound_images.events import Event, State, silent
from bound_images.failures import error_of, essence
from bound_images.locking import locked
from bound_images.ops.plan import Action, plan_sync
from bound_images.ops.prune import Kept, plan_prune
from bound_images.ops.repair import apply_checks
from bound_images.parallel import Failures, for_each
from bound_images.programs import Cancelled, Execution, Runner
from bound_images.sources.access import Access, AccessBroker
from bound_images.sources.manifest import Blob
from bound_images.sources.pullargs import Platform, pull_arguments
from bound_images.sources.resolve import ResolvedImage
from bound_images.sources.retrying import with_retries
from bound_images.storage import verified
from bound_images.storage.storeimages import StoredImage, parse_images
from bound_images.units.options import PullOptions
from bound_images.units.quadlet import UnitType
from bound_images.units.scan import BoundImage, merge
from orch_frame.boundary import render, to_json
from orch_frame.errors import (
    AuthError,
    LockedError,
    NotFoundError,
    OrchError,
    PolicyError,
    SpaceError,
    StallError,
    StorageIOError,
    StoreDamagedError,
    ToolError,
    ToolMissingError,
    TransientError,
)
from orch_frame.several import SeveralError, raise_all
from orch_frame.text import escape_text
from orch_frame.transfer import TransferOptions

PACKAGE = Path(bound_images.__file__).parent
MODULES = sorted(PACKAGE.rglob("*.py"))
A, B, C = "a" * 64, "b" * 64, "c" * 64


def bound(name, **options):
    return BoundImage("x.image", UnitType.IMAGE, name, name, PullOptions(**options), ("/x.image",))


def resolved(name, image_id, *layers):
    blobs = tuple(Blob(f"sha256:{layer * 64}", 100) for layer in layers)
    diff_ids = tuple(f"diff-{layer}" for layer in layers)
    return ResolvedImage(
        bound(name), f"docker://{name}", Access(), f"sha256:{image_id}", image_id, blobs, diff_ids
    )


def planned(images, stored, *, trusted=(), layers=()):
    plan = plan_sync(images, stored, trusted=trusted, present_layers=layers)
    return [image.action for image in plan.images], plan.bytes


@pytest.mark.parametrize(
    ("stored", "trusted", "action"),
    [
        pytest.param((), (), Action.FETCH, id="absent"),
        pytest.param((StoredImage(A, ("q.io/a:1",)),), (A,), Action.KEEP, id="there"),
        pytest.param((StoredImage(A, ("q.io/a:1",)),), (), Action.CHECK, id="not-vouched-for"),
        pytest.param((StoredImage(A, ()),), (A,), Action.NAME, id="nameless"),
        pytest.param((StoredImage(B, ("q.io/a:1",)),), (A, B), Action.FETCH, id="moved"),
    ],
)
def test_what_is_done_for_an_image_follows_from_the_store(stored, trusted, action):
    assert planned([resolved("q.io/a:1", A)], stored, trusted=trusted)[0] == [action]


def test_layers_that_are_there_or_shared_are_not_counted_again():
    images = [resolved("q.io/a:1", A, "1", "2"), resolved("q.io/b:1", B, "2", "3")]
    assert planned(images, ()) == ([Action.FETCH, Action.FETCH], 300)
    assert planned(images, (), layers={"diff-1", "diff-3"}) == ([Action.FETCH] * 2, 100)


def test_a_plan_that_cannot_fit_is_refused():
    plan = plan_sync([resolved("q.io/a:1", A, "1")], (), trusted=(), present_layers=())
    plan.check_space(200, where="/store")
    with pytest.raises(SpaceError, match="/store"):
        plan.check_space(199, where="/store")


class ScriptedStore:
    """A store whose images read back as *answers* say: whole, damaged, or a failure."""

    def __init__(self, path, answers):
        self.path, self.answers, self.removed = path, answers, []

    def read_back(self, image_id):
        if self.answers[image_id] is not None:
            raise self.answers[image_id]

    def images(self):
        return tuple(StoredImage(image_id, ()) for image_id in self.answers)

    def layers(self, image_ids):
        return dict.fromkeys(image_ids, ("same",))

    def remove(self, image_id):
        self.removed.append(image_id)


def test_only_what_was_read_back_goes_on(tmp_path):
    answers = {A: SpaceError("full"), B: StoreDamagedError("damaged"), C: None}
    store = ScriptedStore(tmp_path / "storage", answers)
    stored = store.images()
    plan = plan_sync(
        [resolved(f"q.io/{i[0]}:1", i, "1") for i in (A, C, B)],
        stored,
        trusted=(),
        present_layers=(),
    )
    failures = Failures(keep_going=True)
    answers[A] = SpaceError("full")
    with pytest.raises(SpaceError):
        # What shares the damaged layer cannot be judged either, so nothing is removed.
        apply_checks(plan, store, silent, jobs=1, failures=failures)
    assert store.removed == []
    del answers[A]
    plan = plan_sync(
        [resolved(f"q.io/{i[0]}:1", i, "1") for i in (C, B)], stored, trusted=(), present_layers=()
    )
    left = apply_checks(plan, store, silent, jobs=2, failures=failures)
    assert [(i.resolved.image_id, i.action) for i in left.images] == [
        (C, Action.NAME), (B, Action.FETCH),
    ]  # fmt: skip
    assert store.removed == [B]


def test_prune_goes_by_ids_and_by_names():
    stored = [StoredImage(A, ("q.io/a:1",)), StoredImage(B, ()), StoredImage(C, ("q.io/c:1",))]
    kept = Kept(frozenset({B}), (bound("q.io/a:1"),), frozenset({Path("/keep.json")}))
    plan = plan_prune(stored, kept, [Path("/keep.json"), Path("/go.json")])
    assert [image.image_id for image in plan.remove] == [C]
    assert [image.image_id for image in plan.keep] == [A, B]
    assert plan.locks == (Path("/go.json"),)


def test_of_two_units_the_one_that_says_how_to_pull_counts():
    images, conflicts = merge([bound("q.io/a:1"), bound("q.io/a:1", auth_file="/a", retry="2")])
    assert conflicts == ()
    assert images[0].options == PullOptions(auth_file="/a", retry="2")


# Which words mean what is tested where both programs hear them.
@pytest.mark.parametrize(
    ("line", "kind"),
    [
        ("reading manifest x in q.io/a: manifest unknown", NotFoundError),
        ("something that nobody has seen", CommandError),
    ],
)
def test_the_message_decides_what_a_failure_is(line, kind):
    stderr = f"WARN[0000] no space left, 503 Service Unavailable\nError: {line}\n"
    error = error_of("Pulling q.io/a", 125, stderr, image="q.io/a")
    assert type(error) is kind
    assert error.details.startswith(f"Error: {line}")


def test_the_evidence_begins_at_the_error_and_is_safe_to_print():
    text = 'time="x" level=warning msg="w"\ntime="x" level=fatal msg="bad \x1b[31m thing"\n'
    assert essence(text) == '"bad \\x1b[31m thing"'


def test_what_a_log_quotes_is_shown_without_quotes():
    text = 'time="x" level=fatal msg="reading \\"/a\\": 2 errors:\\n\\t* one\\n\\t* two\\n\\n"\n'
    assert essence(text) == 'reading "/a": 2 errors:\n    * one\n    * two'
    assert essence('time="x" level=fatal msg="not \\q JSON"\n') == '"not \\q JSON"'


def failing(*errors):
    left = list(errors)

    def action():
        if left:
            raise left.pop(0)
        return "done"

    return action


def test_only_what_may_pass_is_tried_again():
    options, settings = PullOptions(retry="2", retry_delay="1ms"), TransferOptions()
    assert with_retries(failing(TransientError("x"), StallError("y")), options, settings) == "done"
    with pytest.raises(TransientError):
        with_retries(failing(*[TransientError("x")] * 3), options, settings)
    with pytest.raises(AuthError):
        with_retries(failing(AuthError("x")), options, settings)


def test_the_definition_comes_before_the_settings():
    slept = []
    settings = TransferOptions(retries=5, retry_delay=0.5)
    with pytest.raises(TransientError):
        with_retries(
            failing(*[TransientError("x")] * 9),
            PullOptions(retry="1"),
            settings,
            sleep=slept.append,
        )
    assert len(slept) == 1
    assert 0.5 <= slept[0] <= 1.0


def test_a_lock_is_waited_for_and_given_up(tmp_path, caplog):
    with locked(tmp_path), pytest.raises(LockedError), locked(tmp_path, timeout=0.3):
        pass
    assert "Waiting for the lock of" in caplog.text


def test_readers_share_the_lock(tmp_path):
    with locked(tmp_path, shared=True), locked(tmp_path, shared=True, timeout=0):
        pass


def test_the_lock_is_not_taken_through_a_link(tmp_path):
    (tmp_path / "lock").symlink_to("/etc/passwd")
    with pytest.raises(StorageIOError, match="symbolic link"), locked(tmp_path):
        pass


def test_failures_are_kept_apart_and_results_in_order():
    failures = Failures(keep_going=True)

    def half(number):
        if number % 2:
            raise NotFoundError(f"{number}")
        return number

    assert for_each(half, range(6), jobs=3, failures=failures) == [0, 2, 4]
    assert [error.summary for error in failures.errors] == ["1", "3", "5"]


def test_what_needs_the_same_is_not_done_at_the_same_time():
    needs = {"a": {"x"}, "b": {"x", "y"}, "c": {"y"}, "d": set()}
    running: set[str] = set()
    seen: set[frozenset[str]] = set()

    def act(name: str) -> str:
        running.add(name)
        time.sleep(0.05)
        seen.add(frozenset(running))
        running.remove(name)
        return name

    failures = Failures(keep_going=False)
    assert for_each(act, needs, jobs=4, failures=failures, needs=needs.__getitem__) == list(needs)
    assert not any({"a", "b"} <= group or {"b", "c"} <= group for group in seen)
    assert any(len(group) > 1 for group in seen)


def test_a_program_that_takes_too_long_is_ended():
    with pytest.raises(StallError, match=r"Sleeping took longer than 0\.2 seconds"):
        Runner().run("sleep", ["30"], what="Sleeping", timeout=0.2)


def test_a_program_that_moves_nothing_for_too_long_is_killed():
    with pytest.raises(StallError, match="moved nothing"):
        Runner().run("sleep", ["30"], what="Sleeping", execution=Execution(stall=0.4))


STEADY = "for i in 1 2 3 4 5 6 7 8 9 10; do head -c 20000 /dev/zero >/dev/null; sleep 0.15; done"


def test_a_program_that_moves_bytes_may_take_longer():
    assert Runner().run("sh", ["-c", STEADY], what="Copying", execution=Execution(stall=0.6)) == (
        0,
        "",
    )


def test_a_program_may_wait_for_another_that_moves_bytes():
    runner = Runner()
    with ThreadPoolExecutor() as pool:
        waiting = pool.submit(
            runner.run, "sleep", ["1.2"], what="Waiting", execution=Execution(stall=0.6)
        )
        assert runner.run("sh", ["-c", STEADY], what="Copying", execution=Execution(stall=0.6)) == (
            0,
            "",
        )
    assert waiting.result() == (0, "")


def test_anonymous_access_takes_no_credentials_of_any_place(tmp_path):
    broker = AccessBroker(tmp_path, None, TransferOptions(anonymous=True))
    for options in (PullOptions(), PullOptions(creds="u:p"), PullOptions(auth_file="/a.json")):
        found = broker.access("q.io/a:1", options).auth_file
        assert json.loads(found.read_text()) == {"auths": {}}


def test_a_program_that_floods_its_errors_neither_stalls_nor_fills_memory():
    script = "head -c 50000000 /dev/zero | tr '\\0' x >&2; echo Error: the end >&2; exit 3"
    with pytest.raises(CommandError) as caught:
        Runner().run("sh", ["-c", script], what="Flooding")
    assert len(caught.value.details) < 5000


def test_standard_output_comes_back_byte_for_byte():
    script = r"printf 'a\r\n\377\303\251 x'"
    _, text = Runner().run("sh", ["-c", script], what="Printing")
    assert text.encode(errors="surrogateescape") == b"a\r\n\xff\xc3\xa9 x"


def test_a_cancelled_runner_ends_what_runs_and_starts_nothing():
    runner = Runner()
    threading.Timer(0.3, runner.cancel).start()
    with pytest.raises(Cancelled):
        runner.run("sleep", ["30"], what="Sleeping")
    with pytest.raises(Cancelled):
        runner.run("true", [], what="Nothing")
    with pytest.raises(Cancelled):
        runner.sleep(30)


def test_a_program_that_is_missing_is_named():
    with pytest.raises(ToolMissingError, match="no-such-program"):
        Runner().run("no-such-program", [], what="Nothing")


@pytest.mark.parametrize(
    "name",
    ["STORAGE_OPTS", "CONTAINER_HOST", "LD_LIBRARY_PATH", "PYTHONPATH", "PYTHONSTARTUP"],
)
def test_nothing_hostile_reaches_a_child(monkeypatch, name):
    monkeypatch.setenv(name, "canary")
    monkeypatch.setenv("LC_ALL", "de_DE.UTF-8")
    _, text = Runner().run("env", [], what="Printing")
    assert f"{name}=" not in text
    assert "LC_ALL=C.UTF-8" in text.splitlines()


@pytest.mark.parametrize(
    ("options", "version", "error"),
    [
        (PullOptions(decryption_key="/key"), (4, 3), ToolError),
        (PullOptions(decryption_key="/key:phrase"), (5, 8), PolicyError),
    ],
)
def test_a_key_that_cannot_be_used_safely_is_refused(options, version, error):
    with pytest.raises(error):
        pull_arguments(options, version)


def test_only_the_platform_is_passed_between_the_command_and_the_image():
    options = PullOptions(
        arch="arm64",
        os="linux",
        variant="v8",
        creds="a:b",
        retry="3",
        policy="never",
        all_tags=True,
    )
    assert pull_arguments(options, (5, 8)) == ["--arch=arm64", "--os=linux", "--variant=v8"]


def test_words_come_before_keys():
    options = PullOptions(arch="amd64", podman_args=("--platform", "linux/arm/v7")).settled()
    assert Platform.of(options) == Platform("arm", "linux", "v7")


def test_credentials_become_a_file_that_only_the_owner_reads(tmp_path):
    access = AccessBroker(tmp_path, None, TransferOptions()).access(
        "q.io/a:1", PullOptions(creds="u:p:q")
    )
    assert access.auth_file.stat().st_mode & 0o777 == 0o600
    assert json.loads(access.auth_file.read_text()) == {"auths": {"q.io": {"auth": "dTpwOnE="}}}
    assert access.arguments == [f"--authfile={access.auth_file}"]


def test_an_authentication_file_that_others_may_read_is_warned_of(tmp_path, caplog):
    path = tmp_path / "auth.json"
    path.write_text("{}")
    path.chmod(0o600)
    AccessBroker(tmp_path, None, TransferOptions(authfile=path))
    assert caplog.text == ""
    path.chmod(0o644)
    AccessBroker(tmp_path, None, TransferOptions(authfile=path))
    assert "others than its owner may read it" in caplog.text
    with pytest.raises(NotFoundError):
        AccessBroker(tmp_path, None, TransferOptions(authfile=tmp_path / "none"))


def test_images_of_podman_are_read_and_what_is_none_is_refused():
    text = json.dumps(
        [
            {"Id": A, "Names": ["q.io/a:1"], "Size": 5, "Digest": "sha256:x", "Created": 7},
            {"Id": A, "Names": ["q.io/a:2"], "Size": 5},
            {"Id": B, "Names": None},
        ]
    )
    assert parse_images(text) == (
        StoredImage(A, ("q.io/a:1", "q.io/a:2"), 5, "sha256:x", 7),
        StoredImage(B, ()),
    )
    assert parse_images("null") == ()
    for bad in ("{", "[1]", '[{"Names": []}]', '[{"Id": "x", "Size": "y"}]'):
        with pytest.raises(StoreDamagedError):
            parse_images(bad)


def test_what_is_verified_is_noted_and_forgotten(tmp_path):
    verified.add(tmp_path, {A, B})
    verified.remove(tmp_path, {B, C})
    (tmp_path / "verified").open("a").write("nonsense\n")
    assert verified.read(tmp_path) == {A}


def test_several_failures_end_with_the_status_of_the_one_that_lasts():
    errors = (TransientError("first"), AuthError("second", hint="h"), TransientError("third"))
    error = SeveralError("Three failed.", errors)
    assert (exit_status(error), exit_status(SeveralError("x", errors[:1]))) == (76, 75)
    assert render(error).splitlines() == [
        "error: Three failed.", "    first", "    second", "    third", "hint: h",
    ]  # fmt: skip
    raise_all((), "nothing")
    with pytest.raises(AuthError):
        raise_all(errors[1:2], "one")


def test_hints_that_differ_stand_with_their_failures():
    errors = (AuthError("first", hint="h"), AuthError("second", hint="i"), AuthError("third"))
    assert render(SeveralError("Three failed.", errors)).splitlines() == [
        "error: Three failed.",
        "    first",
        "        hint: h",
        "    second",
        "        hint: i",
        "    third",
    ]


def test_a_failure_is_a_document_with_pinned_keys():
    error = NotFoundError("It is gone.", image="q.io/a:1", path="/x", details="why", hint="do")
    assert to_json(error, status=error.exit_code) == {
        "class": "not-found", "message": "It is gone.", "image": "q.io/a:1", "layer": None,
        "path": "/x", "details": "why", "hint": "do", "exit": 66,
    }  # fmt: skip


def test_what_a_terminal_would_act_on_is_escaped():
    assert escape_text("a\x1b[31m\n\u202e\tb\u00a0c") == "a\\x1b[31m\\n\\u202e\\tb\u00a0c"


@pytest.mark.parametrize(
    ("count", "text"),
    [(0, "0\u00a0bytes"), (999, "999\u00a0bytes"), (1500, "1.5\u00a0kB"), (10**13, "10.0\u00a0TB")],
)
def test_sizes_are_decimal(count, text):
    assert size(count) == text


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("q.io/app/web:1", "q.io/app/web:1"),
        (f"q.io/app/web@sha256:{A}", f"q.io/app/web@sha256:{A[:12]}"),
        ("registry.example.com/a/very/long/name/of/an/app:1", "…com/a/very/long/name/of/an/app:1"),
    ],
)
def test_a_row_of_the_display_leaves_room_for_what_happens(name, shown):
    assert short_name(name, 33) == shown


def test_plain_progress_says_each_state_once():
    stream = io.StringIO()
    show = _plain_lines(stream)
    for event in (
        Event("a", State.RESOLVING),
        Event("a", State.PULLING, 0, 1000),
        Event("a", State.PULLING, 500, 1000),
        Event("a", State.FAILED, detail="why\x1b"),
    ):
        show(event)
    assert stream.getvalue() == "a: pulling (1.0\u00a0kB)\na: failed: why\\x1b\n"


def test_json_is_one_line_with_a_version(capsys):
    output = Output()
    output.as_json = True
    output.result("images", [], ["not shown"])
    assert json.loads(capsys.readouterr().out) == {"version": 1, "images": []}


def imported(path):
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.module or ""


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_a_module_imports_only_what_the_component_may(path):
    ours = {"bound_images", "orch_frame"}
    allowed = {"sh", "tenacity", "typer", "yaml", "rich", *ours, *sys.stdlib_module_names}
    assert {name.partition(".")[0] for name in imported(path)} <= allowed


@pytest.mark.parametrize(
    ("library", "home"),
    [("sh", "programs.py"), ("tenacity", "sources/retrying.py"), ("yaml", "units/kube.py"),
     ("typer", "cli/"), ("rich", "cli/progress.py"), ("subprocess", "nowhere")],
)  # fmt: skip
def test_a_library_stays_in_its_home(library, home):
    users = [
        str(path.relative_to(PACKAGE))
        for path in MODULES
        if any(name.partition(".")[0] == library for name in imported(path))
    ]
    assert [user for user in users if not user.startswith(home)] == []


def test_everything_works_where_bootc_orch_cannot_be_imported(tmp_path):
    (tmp_path / "bootc_orch.py").write_text("raise ImportError('bootc_orch must not be used')")
    script = (
        "import pkgutil, sys, bound_images\n"
        "for module in pkgutil.walk_packages(bound_images.__path__, 'bound_images.'):\n"
        "    __import__(module.name)\n"
        "assert not [n for n in sys.modules if n.partition('.')[0] == 'bootc_orch']\n"
    )
    path = os.pathsep.join([str(tmp_path), str(PACKAGE_PARENT)])
    done = subprocess.run(
        [sys.executable, "-c", script],
        env={**os.environ, "PYTHONPATH": path},
        capture_output=True,
        text=True,
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_the_running_system_is_called_after_its_deployment(tmp_path):
    from bound_images.where import _booted, root_id

    line = tmp_path / "cmdline"
    line.write_text(f"quiet ostree=/ostree/boot.1/os/x/0 root=/dev/vda {A}\n")
    assert _booted(line) == Path("/sysroot/ostree/boot.1/os/x/0").resolve()
    line.write_text("quiet root=/dev/vda\n")
    assert _booted(line) is None
    deployment = tmp_path / f"{A}.0"
    deployment.mkdir()
    assert root_id(bound_images.Root(deployment)) == f"{A}.0"
    assert root_id(bound_images.Root(tmp_path)).startswith("root-")


def test_the_library_interface_is_what_it_says():
    for name in bound_images.__all__:
        assert hasattr(bound_images, name)


def errors_with_statuses():
    """Return every exit status that a class of failures has."""
    todo, found = [OrchError], set()
    while todo:
        kind = todo.pop()
        found.add(kind.exit_code)
        todo += kind.__subclasses__()
    return found


def test_errors_have_statuses_of_the_table():
    assert errors_with_statuses() == {1, 2, 65, 66, 69, 73, 74, 75, 76, 77, 78}


def test_sh_never_logs_a_command_line(caplog):
    with caplog.at_level(logging.DEBUG):
        Runner().run("true", ["secret-argument"], what="Nothing")
    assert not [r for r in caplog.records if r.name.startswith("sh")]


def test_the_lock_file_descriptor_is_not_inherited(tmp_path):
    with locked(tmp_path):
        Runner().run("sh", ["-c", "sleep 0.1"], what="Sleeping")
    with (tmp_path / "lock").open() as free:
        fcntl.flock(free, fcntl.LOCK_EX | fcntl.LOCK_NB)
