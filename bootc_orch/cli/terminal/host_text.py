"""The status of a host for people."""

from __future__ import annotations

from typing import TYPE_CHECKING

from orch_frame.output import say

if TYPE_CHECKING:
    from bootc_orch.model.host.document import EntryStatus, Host


def say_host(host: Host, *, verbose: bool) -> None:
    """Print one block for each deployment, the running one marked."""
    entries = [
        ("  Staged", host.staged),
        ("● Booted", host.booted),
        ("  Rollback", host.rollback),
        *(("  Other", entry) for entry in host.others),
    ]
    shown = [(title, entry) for title, entry in entries if entry is not None]
    if host.booted is None and not shown:
        say("System is not deployed via bootc.")
        return
    for number, (title, entry) in enumerate(shown):
        if number:
            say("")
        _say_entry(title, entry, verbose=verbose)
        if entry is host.booted:
            _say_update(entry, host.staged)
    if host.rollback_queued and host.staged is None:
        say("")
        say("The rollback boots next.")
    elif host.next_boot is not None and host.staged is None:
        say("")
        say(f"Deployment {host.next_boot} boots next.")
    if host.usr_overlay is not None:
        say("")
        say(f"/usr has an overlay: {host.usr_overlay.access_mode}, {host.usr_overlay.persistence}")


def _say_entry(title: str, entry: EntryStatus, *, verbose: bool) -> None:
    image = entry.image
    if image is not None:
        say(f"{title} image: {image.image.image.name}")
        _say("Digest", f"{image.digest} ({image.architecture})")
        if image.version or image.timestamp:
            stamp = f" ({image.timestamp})" if image.timestamp else ""
            _say("Version", f"{image.version or 'unknown'}{stamp}")
    elif entry.refspec is not None:
        say(f"{title} ostree: {entry.refspec}")
        _say("Commit", entry.checksum)
    else:
        say(f"{title} ostree")
        _say("Commit", entry.checksum)
    _say_flags(entry)
    if verbose:
        _say_more(entry)


def _say_update(booted: EntryStatus, staged: EntryStatus | None) -> None:
    """Say what the last check found, unless it is staged by now."""
    update = booted.cached_update
    if update is None or (staged and staged.image and staged.image.digest == update.digest):
        return
    _say("UpdateVersion", f"{update.version or 'unknown'} ({update.digest})")


def _say_flags(entry: EntryStatus) -> None:
    flags = [
        ("Pinned", entry.pinned, "yes"),
        ("Incompatible", entry.incompatible, "changed by rpm-ostree"),
        ("Download-only", entry.download_only, "yes"),
    ]
    for name, wanted, text in flags:
        if wanted:
            _say(name, text)


def _say_more(entry: EntryStatus) -> None:
    _say("Stateroot", entry.stateroot)
    _say("Deployment", f"{entry.checksum}.{entry.serial}")
    if entry.image is not None:
        signature = entry.image.image.to_host_spec().get("signature", "none demanded")
        _say("Transport", str(entry.image.image.image.transport))
        _say("Signature", str(signature))
    for app in entry.bound_images:
        _say("Bound", f"{app['image']} ({app['imageDigest']})")


def _say(name: str, value: str) -> None:
    say(f"{name:>15}: {value}")
