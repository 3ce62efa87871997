"""What the three displays make of the events of an operation."""

from __future__ import annotations

import json
import os
import threading
import time
from pathlib import Path

import jsonschema
import pytest

from bootc_orch.cli.terminal.progress import Lines, PlainProgress, RichProgress, Several
from bootc_orch.cli.terminal.progress_stream import JsonLinesProgress
from bootc_orch.model.digest import Digest
from bootc_orch.model.image.difference import LayerDifference
from bootc_orch.model.image.layout import LayerKind
from bootc_orch.ops.stored.progress import NullProgress, Progress, Step, Transfer
from orch_frame import output
from orch_frame.errors import UsageError

IMAGE, ONE, TWO = Digest("a" * 64), Digest("1" * 64), Digest("2" * 64)
TRANSFER = Transfer(IMAGE, present=3, present_bytes=30, needed=2, needed_bytes=3000)
NATURAL = {"type": "integer", "minimum": 0}
TEXTS = {name: {"type": "string"} for name in ("type", "task", "description", "id", "subtask")}
BYTES = dict.fromkeys(("bytesCached", "bytes", "bytesTotal"), NATURAL)
STEPS = dict.fromkeys(("stepsCached", "steps", "stepsTotal"), NATURAL)


def closed(*parts: dict[str, object], **more: object) -> dict[str, object]:
    """A JSON schema of an object that has all of these fields and no others."""
    properties = {name: schema for part in (*parts, more) for name, schema in part.items()}
    return {"type": "object", "properties": properties, "required": list(properties),
            "additionalProperties": False}  # fmt: skip


def only(texts: dict[str, object], *names: str) -> dict[str, object]:
    return {name: texts[name] for name in names}


BYTE_TASK = only(TEXTS, "subtask", "description", "id")
EVENT = {
    "oneOf": [
        closed(only(TEXTS, "type"), version={"const": "0.1.0"}),
        closed(
            only(TEXTS, "type", "task", "description", "id"), BYTES, STEPS,
            subtasks={"type": "array", "items": closed(BYTE_TASK, BYTES)},
        ),
        closed(
            only(TEXTS, "type", "task", "description", "id"), STEPS,
            subtasks={"type": "array", "items": closed(BYTE_TASK, completed={"type": "boolean"})},
        ),
    ]
}  # fmt: skip


@pytest.fixture
def stream(tmp_path):
    """A stream into a file, and what was written so far."""
    path = tmp_path / "events"
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT)
    yield JsonLinesProgress(descriptor), lambda: events(path)
    os.close(descriptor)


def events(path: Path) -> list[dict[str, object]]:
    found = [json.loads(line) for line in path.read_text().splitlines()]
    for event in found:
        jsonschema.validate(event, EVENT)
    return found


def pull(progress: Progress, *steps: Step) -> None:
    """Report a pull of two layers."""
    progress.step(Step.OPENING)
    progress.planned(TRANSFER)
    for digest, kind, size in ((ONE, LayerKind.COMMIT, 1000), (TWO, LayerKind.DERIVED, 2000)):
        progress.layer_started(digest, kind=kind, size=size)
        progress.layer_advanced(digest, size)
        progress.layer_done(digest)
    for step in steps:
        progress.step(step)


def test_every_completion_is_told_in_bootcs_form(stream):
    progress, read = stream
    pull(progress)
    found = read()
    assert found[0] == {"type": "Start", "version": "0.1.0"}
    assert found[-1] == {
        "type": "ProgressBytes",
        "task": "pulling",
        "description": "Pulling image",
        "id": str(IMAGE),
        "bytesCached": 30,
        "bytes": 3000,
        "bytesTotal": 3000,
        "stepsCached": 3,
        "steps": 2,
        "stepsTotal": 2,
        "subtasks": [
            {
                "subtask": "layer",
                "description": f"layer {TWO}",
                "id": "sha256:" + "2" * 12,
                "bytesCached": 0,
                "bytes": 2000,
                "bytesTotal": 2000,
            }
        ],
    }
    names = {subtask["subtask"] for event in found[1:] for subtask in event["subtasks"]}
    assert names == {"ostree chunk", "layer"}


def test_a_layer_that_was_tried_again_counts_once(stream):
    progress, read = stream
    progress.planned(TRANSFER)
    progress.layer_started(ONE, kind=LayerKind.CHUNK, size=1000)
    progress.layer_advanced(ONE, 700)
    progress.layer_started(ONE, kind=LayerKind.CHUNK, size=1000)
    progress.layer_advanced(ONE, 999)
    progress.layer_done(ONE)
    assert read()[-1]["bytes"] == 1000


def test_no_more_than_five_lossy_events_a_second(stream):
    progress, read = stream
    progress.planned(TRANSFER)
    progress.layer_started(ONE, kind=LayerKind.CHUNK, size=10**9)
    end = time.monotonic() + 0.7
    while time.monotonic() < end:
        progress.layer_advanced(ONE, 1)
    lossy = len(read()) - 2
    assert 3 <= lossy <= 5


def test_a_slow_reader_loses_events_and_holds_up_nothing():
    reader, writer = os.pipe()
    progress = JsonLinesProgress(writer)
    progress.planned(TRANSFER)
    progress.layer_started(ONE, kind=LayerKind.CHUNK, size=10**9)
    os.set_blocking(writer, False)
    while True:  # fill the pipe
        try:
            os.write(writer, b"x" * 4096)
        except BlockingIOError:
            break
    os.set_blocking(writer, True)
    worker = threading.Thread(target=progress.layer_advanced, args=(ONE, 5), daemon=True)
    worker.start()
    worker.join(5)
    assert not worker.is_alive()
    os.close(reader)
    os.close(writer)


def test_a_write_error_ends_the_stream_and_not_the_operation():
    reader, writer = os.pipe()
    progress = JsonLinesProgress(writer)
    os.close(reader)
    pull(progress, Step.MERGING, Step.PUBLISHING)
    progress.close()
    os.close(writer)


@pytest.mark.parametrize(
    ("steps", "told"),
    [
        pytest.param(
            (Step.MERGING, Step.PUBLISHING, Step.CLEANUP),
            [("importing", 0, 1), ("importing", 1, 1)],
            id="pull",
        ),
        pytest.param(
            (Step.IMPORTING, Step.MERGING, Step.BOUND_IMAGES, Step.DEPLOYING, Step.CLEANUP),
            [
                ("importing", 0, 1),
                ("importing", 1, 1),
                ("staging", 1, 3),
                ("staging", 2, 3),
                ("staging", 3, 3),
                ("staging", 3, 3),
            ],
            id="upgrade",
        ),
    ],
)
def test_steps_are_told_by_bootcs_names(stream, steps, told):
    progress, read = stream
    pull(progress, *steps)
    progress.close()
    found = [e for e in read() if e["type"] == "ProgressSteps"]
    assert [(e["task"], e["steps"], e["stepsTotal"]) for e in found] == told
    assert all(subtask["completed"] for subtask in found[-1]["subtasks"])


@pytest.mark.parametrize("descriptor", [0, 2, 987])
def test_only_an_open_descriptor_from_three_on_will_do(descriptor):
    with pytest.raises(UsageError):
        JsonLinesProgress(descriptor)


def test_lines_for_scripts_go_to_standard_output_and_warnings_do_not(capsys):
    output.reset()
    progress = Lines()
    difference = LayerDifference(10, 201_100, 0, 0, 2, 999)
    progress.planned(
        Transfer(IMAGE, present=8, present_bytes=1, needed=2, needed_bytes=999,
                 difference=difference)
    )  # fmt: skip
    progress.message("a line")
    progress.warning("look out")
    shown = capsys.readouterr()
    assert shown.out == (
        "Total new layers: 10    Size: 201.1\u00a0kB\n"
        "Removed layers:   0     Size: 0 bytes\n"
        "Added layers:     2     Size: 999 bytes\n"
        "layers already present: 8; layers needed: 2 (999 bytes)\n"
        "a line\n"
    )
    assert shown.err == "warning: look out\n"


def test_quiet_keeps_warnings_only(capsys):
    output.reset()
    output.mode.quiet = True
    pull(Lines())
    Lines().message("a line")
    Lines().warning("look out")
    output.reset()
    assert capsys.readouterr() == ("", "warning: look out\n")


def test_plain_lines_name_each_step_and_layer(capsys):
    pull(PlainProgress(), Step.MERGING)
    assert capsys.readouterr().err == (
        "Opening the image\n"
        "Fetched layer 1/2: 111111111111 (1.0\u00a0kB)\n"
        "Fetched layer 2/2: 222222222222 (2.0\u00a0kB)\n"
        "Merging layers\n"
    )


def test_a_big_layer_gives_a_sign_of_life(capsys, monkeypatch):
    monkeypatch.setattr("bootc_orch.cli.terminal.progress.PLAIN_INTERVAL_SECONDS", 0.0)
    progress = PlainProgress()
    progress.planned(TRANSFER)
    progress.layer_started(ONE, kind=LayerKind.CHUNK, size=10**9)
    progress.layer_advanced(ONE, 5_000_000)
    assert capsys.readouterr().err == "Fetched 5.0\u00a0MB so far\n"


def test_the_live_display_survives_every_order_of_events():
    display = RichProgress()
    display.step(Step.OPENING)
    pull(display, Step.MERGING, Step.CLEANUP)
    display.layer_started(ONE, kind=LayerKind.CHUNK, size=10)
    display.layer_advanced(ONE, 5)
    display.layer_started(ONE, kind=LayerKind.CHUNK, size=10)
    display.layer_done(TWO)
    display.close()
    display.close()


def test_threads_never_meet_in_a_receiver():
    busy = threading.Lock()
    seen = []

    class Picky(NullProgress):
        def layer_advanced(self, digest: Digest, count: int) -> None:
            assert busy.acquire(blocking=False)
            time.sleep(0.001)
            seen.append(count)
            busy.release()

    several = Several([Picky()])
    threads = [
        threading.Thread(target=lambda: [several.layer_advanced(ONE, 1) for _ in range(20)])
        for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(seen) == 80
