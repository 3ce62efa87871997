"""Run podman's quadlet generator on a tree, and read from what it prints which images it names.

Source of the command lines: podman 5.8, `quadlet -dryrun`.
"""

import os
import re
import subprocess
from pathlib import Path

PLACES = (
    "/usr/libexec/podman/quadlet",
    "/usr/lib/podman/quadlet",
    "/usr/lib/systemd/system-generators/podman-system-generator",
)
SWITCHES = {"--replace", "--rm", "-d", "--init", "--quiet", "--ignore", "--force-rm"}
SUFFIXES = ("image", "container", "volume", "kube", "pod", "build", "artifact")


def find_generator():
    """Return the generator of this machine, or None; BOUND_IMAGES_QUADLET names another one."""
    places = (os.environ.get("BOUND_IMAGES_QUADLET", ""), *PLACES)
    return next((path for path in places if path and Path(path).exists()), None)


def run_generator(generator, root):
    """Return {unit name: {"names": [...], "pull": {...}}} for every unit that it converts."""
    directories = [f"{root}/etc/containers/systemd", f"{root}/usr/share/containers/systemd"]
    done = subprocess.run(
        [generator, "-dryrun"],
        env={
            "QUADLET_UNIT_DIRS": ":".join(directories),
            "PATH": "/usr/bin:/bin",
            "PODMAN": "podman",
        },
        capture_output=True,
        text=True,
        timeout=60,
    )
    services = {}
    for block in re.split(r"^---", done.stdout, flags=re.MULTILINE)[1:]:
        head, _, text = block.partition("---\n")
        services[head.rpartition("/")[2]] = text
    return {unit_of(text): described(name, services) for name, text in services.items()}


def unit_of(text):
    return re.search(r"^SourcePath=(.*)$", text, re.MULTILINE)[1].rpartition("/")[2]


def described(service, services):
    names = set()
    for name, direct in closure(service, services):
        found = names_of(services[name])
        kind = unit_of(services[name]).rpartition(".")[2]
        # A build that is referred to stands for its first tag.
        names.update(found if direct or kind != "build" else found[:1])
    words = exec_start(services[service])
    return {"names": sorted(names), "pull": pull_of(words), "run": run_of(words)}


def closure(service, services):
    todo, seen = [(service, True)], {}
    while todo:
        name, direct = todo.pop()
        if name in seen or name not in services:
            continue
        seen[name] = direct
        needs = re.findall(r"^(?:Requires|BindsTo)=(.*)$", services[name], re.MULTILINE)
        todo += [(need, False) for need in needs]
    return seen.items()


def exec_start(text):
    line = re.findall(r"^ExecStart=(.*)$", text, re.MULTILINE)[-1]
    return unquote(line)


def unquote(line):
    """Split a line that the generator wrote: words in double quotes, with C escapes."""
    words = re.findall(r'"((?:[^"\\]|\\.)*)"|(\S+)', line)
    return [unescape(quoted) if quoted or not plain else plain for quoted, plain in words]


def unescape(text):
    simple = {"n": "\n", "t": "\t", "r": "\r", "a": "\a", "b": "\b", "f": "\f", "v": "\v"}
    return re.sub(
        r"\\(?:x([0-9a-f]{2})|(.))",
        lambda m: chr(int(m[1], 16)) if m[1] else simple.get(m[2], m[2]),
        text,
    )


def names_of(text):
    words = exec_start(text)
    kind = unit_of(text).rpartition(".")[2]
    if kind in ("image", "artifact"):
        return [words[-1]]
    if kind == "volume":
        return [w[6:] for w in words if w.startswith("image=")]
    if kind == "build":
        return [words[n + 1] for n, w in enumerate(words) if w == "--tag"]
    if kind == "pod":
        pre = re.findall(r"^ExecStartPre=(.*)$", text, re.MULTILINE)
        words = [w for line in pre for w in unquote(line)] + words
        after = [words[n + 1] for n, w in enumerate(words) if w == "--infra-image"]
        return after + [w.partition("=")[2] for w in words if w.startswith("--infra-image=")]
    if kind == "kube":
        play = words[words.index("play") + 1 :]
        return [f"yaml:{w.rpartition('/')[2]}" for w in positional(play)]
    run = words[words.index("run") + 1 :]
    mounts = [w for n, w in enumerate(run) if n and run[n - 1] == "--mount"]
    sources = [
        m.group(1)
        for w in mounts
        if w.startswith(("type=image", "type=artifact"))
        for m in [re.search(r'(?:^|,)"?source=([^,"]*)', w)]
        if m
    ]
    return ([] if "--rootfs" in run else positional(run)[:1]) + sources


def positional(words):
    """Return the words that are no options and no values of options."""
    found, rest = [], list(words)
    while rest:
        word = rest.pop(0)
        if not word.startswith("-"):
            found.append(word)
        elif "=" not in word and word not in SWITCHES and not found and rest:
            rest.pop(0)
    return found


def pull_of(words):
    """Return the options of `image pull` or `artifact pull`, sorted, for their order is random."""
    if "pull" not in words:
        return None
    at = words.index("pull")
    if words[at - 1] not in ("image", "artifact"):
        return None
    return {"global": words[1 : at - 1], "options": sorted(words[at + 1 : -1])}


def run_of(words):
    """Return what `run` is told of pulling: {option: value}."""
    if "run" not in words:
        return None
    options = ("--pull", "--retry", "--retry-delay")
    return {w: words[n + 1] for n, w in enumerate(words) if w in options}
