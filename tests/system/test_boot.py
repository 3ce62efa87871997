"""Install, boot, upgrade, boot, roll back, boot: what the machine itself says each time."""

from __future__ import annotations

import re

import pytest
from system.conftest import Laboratory
from system.machine import Disk, Start, boot
from system.script import Step, script, steps_of

pytestmark = [pytest.mark.root, pytest.mark.slow]

INSTALL = """\
bootc-orch install to-filesystem {root} --source-imgref oci:{os}:{tag} \
    --target-imgref 127.0.0.1:5000/os:{tag} --root-mount-spec LABEL=root \
    --karg console=ttyS0 --karg panic=-1 --bound-images pull {options}
"""
INSTALL_OPTIONS = {
    Start.DIRECT: "--skip-finalize",
    Start.BIOS: "--skip-finalize --bootloader grub --bootloader-device {device}",
    Start.UEFI: "--bootloader grub",
}
# Where it is heard what GRUB says, should it come no further.
GRUB_CONSOLE = "serial --unit=0\nterminal_output console serial\n"
INSTALL_PLAIN = """\
ostree admin init-fs --modern {root}
ostree admin os-init --sysroot={root} default
repo={root}/ostree/repo
ostree config --repo=$repo set sysroot.bootloader none
ostree config --repo=$repo set sysroot.bootprefix true
ostree config --repo=$repo set sysroot.readonly true
bootc-orch image pull $repo ostree-unverified-image:oci:{os}:plain
commit=$(ostree --repo=$repo rev-parse $(ostree --repo=$repo refs --list ostree/container/image))
ostree commit --repo=$repo --branch=debian/forky --tree=ref=$commit
bootc-orch image remove --repo $repo oci:{os}:plain
ostree admin deploy --sysroot={root} --os=default \
    --karg=root=LABEL=root --karg=rw --karg=console=ttyS0 --karg=panic=-1 debian/forky
"""
FACTS = {
    "state": "systemctl is-system-running --wait; systemctl --failed --no-legend",
    "cmdline": "cat /proc/cmdline",
    "status": "bootc-orch status --json",
    "unprivileged": "setpriv --reuid 65534 --clear-groups bootc-orch status --json",
    "image": "ostree --repo=/ostree/repo refs --list ostree/container/image; "
    "for r in $(ostree --repo=/ostree/repo refs --list ostree/container/image); do "
    'echo "$r $(ostree --repo=/ostree/repo rev-parse $r)"; done',
    "admin": "ostree admin status",
    "root": "findmnt --noheadings --output FSTYPE,SOURCE,OPTIONS /",
    "sysroot": "findmnt --noheadings --output OPTIONS /sysroot",
    "version": "cat /usr/share/demo/version",
    "etc": "cd /etc/demo && grep . *",
    "machine": "cat /etc/machine-id",
    "var": "cat /var/lib/demo-state",
    "app": "systemctl is-active app.service; journalctl -b --output=cat -u app.service",
    "container": "podman --storage-opt=additionalimagestore=/usr/lib/bootc/storage "
    "run --rm --pull=never --network=none $(sed -n s/^Image=//p "
    "/usr/share/containers/systemd/app.container)",
}
CHANGE_STATE = (
    "echo mine >/etc/demo/edited.conf && echo mine >/etc/demo/local.conf && "
    "echo kept >/var/lib/demo-state"
)


# What changes nothing that a later boot looks at.
OTHER_VERBS = {
    "fsck": "bootc-orch fsck",
    "edit": "bootc-orch status --format yaml | sed 's/bootOrder:.*/bootOrder: rollback/' "
    ">/tmp/host && bootc-orch edit --filename /tmp/host && bootc-orch status --json",
    "revert": "bootc-orch rollback",
    "kargs": "bootc-orch kargs --append added=1 && bootc-orch status --json",
    "pending": "bootc-orch cleanup --pending && bootc-orch status --json",
    "pin": "bootc-orch pin booted && bootc-orch status --json",
    "overlay": "bootc-orch usr-overlay && touch /usr/written && bootc-orch status --json",
}


def assert_other_verbs(steps: dict[str, Step]) -> None:
    shown = {name: steps[name] for name in OTHER_VERBS}
    assert {step.status for step in shown.values()} == {0}, shown
    assert "0 errors" in steps["fsck"].text
    assert steps["edit"].json()["status"]["rollbackQueued"] is True
    assert steps["revert"].text.splitlines()[-1] == "Next boot: current deployment"
    assert "added=1" in steps["kargs"].text
    assert steps["kargs"].json()["status"]["staged"] is not None
    assert steps["pending"].json()["status"]["staged"] is None
    assert steps["pin"].json()["status"]["booted"]["pinned"] is True
    overlay = {"accessMode": "readWrite", "persistence": "transient"}
    assert steps["overlay"].json()["status"]["usrOverlay"] == overlay


def run(laboratory: Laboratory, disk: Disk, name: str, **steps: str) -> dict[str, Step]:
    log = laboratory.directory / f"{disk.path.stem}-{name}"
    output = boot(disk, script(**steps), log, images=laboratory.disk)
    print(f"--- {log.name}\n{output}")
    return steps_of(output)


def booted(facts: dict[str, Step]) -> dict[str, str]:
    """Return what runs, having made sure that all sources agree on it."""
    document = facts["status"].json()
    entry = document["status"]["booted"]
    checksum = entry["ostree"]["checksum"]
    assert facts["unprivileged"].json() == document
    assert document["status"]["readOnly"] is False
    assert re.search(rf"^\* default {checksum}\.", facts["admin"].text, re.M)
    commits = dict(line.split() for line in facts["image"].text.splitlines() if " " in line)
    tag = entry["image"]["image"]["image"].rpartition(":")[2]
    assert (
        commits[f"ostree/container/image/docker_3A__2F__2F_127_2E_0_2E_0_2E_1_3A_5000/os_3A_{tag}"]
        == checksum
    )
    return {"checksum": checksum, "version": entry["image"]["version"], "tag": tag}


def assert_healthy(facts: dict[str, Step], number: int) -> None:
    assert facts["state"].text.split() == ["running"]
    assert facts["version"].text == f"{number}\n"
    assert f"demo.version={number}" in facts["cmdline"].text.split()
    assert "ro" in facts["sysroot"].text.strip().split(",")
    assert facts["app"].text.splitlines()[0] == "active"
    assert f"app {number}" in facts["app"].text
    assert facts["container"].text.splitlines()[-1] == f"app {number}"


def is_started_by_grub(facts: dict[str, Step]) -> bool:
    """GRUB tells the kernel where it found it."""
    return facts["cmdline"].text.startswith("BOOT_IMAGE=/boot/ostree/default-")


def etc(facts: dict[str, Step]) -> dict[str, str]:
    return dict(line.split(":", 1) for line in facts["etc"].text.splitlines())


def install(laboratory: Laboratory, disk: Disk, tag: str) -> None:
    """Install with the program, and with the boot loader that is to start the disk."""
    with disk.mounted() as root, disk.device() as device:
        if disk.start is Start.BIOS:
            (root / "boot/grub").mkdir(parents=True)
            (root / "boot/grub/custom.cfg").write_text(GRUB_CONSOLE)
        options = INSTALL_OPTIONS[disk.start].format(device=device)
        command = INSTALL.format(root=root, os=laboratory.images.os, tag=tag, options=options)
        laboratory.installer.run(command, binds=[root])


# Where a boot loader starts the machine, it is the one to choose the entry, also after a rollback.
@pytest.mark.parametrize(
    ("suffix", "start"),
    [
        pytest.param("", Start.BIOS, id="plain-grub"),
        pytest.param("-composefs", Start.DIRECT, id="composefs"),
    ],
)
def test_install_upgrade_and_rollback_boot(
    laboratory: Laboratory, suffix: str, start: Start
) -> None:
    disk = Disk.create(laboratory.directory / f"disk{suffix}", start)
    tags = [f"v{number}{suffix}" for number in (1, 2)]
    install(laboratory, disk, tags[0])

    first = run(
        laboratory,
        disk,
        "1",
        **{**FACTS, "var": CHANGE_STATE},
        check=f"bootc-orch upgrade --check --tag {tags[1]}",
        download=f"bootc-orch upgrade --download-only --tag {tags[1]}",
        held="bootc-orch status --json",
        upgrade="bootc-orch upgrade --from-downloaded",
        again="bootc-orch upgrade",
        refused="bootc-orch rollback",
        staged="bootc-orch status --json --pending-exit-77",
        required="cat /run/reboot-required",
        journal="journalctl --output=cat MESSAGE_ID=7d9f1b0c6e5a4c0f9a3e2d8b41c05e77",
        readonly="findmnt --noheadings --output OPTIONS /sysroot",
    )
    assert_healthy(first, 1)
    one = booted(first)
    assert one["version"] == "1"
    assert f"Update available for: docker://127.0.0.1:5000/os:{tags[1]}" in first["check"].text
    assert first["download"].status == 0, first["download"].text
    assert f"Queued for next boot: 127.0.0.1:5000/os:{tags[1]}" in first["download"].text
    assert first["held"].json()["status"]["staged"]["downloadOnly"] is True
    assert first["upgrade"].status == 0, first["upgrade"].text
    assert "The staged update boots next from now on." in first["upgrade"].text
    assert "Staged update present, not changed" in first["again"].text
    assert first["refused"].status != 0
    assert "--discard-staged" in first["refused"].text
    assert first["staged"].status == 77
    staged = first["staged"].json()["status"]["staged"]
    assert staged["image"]["version"] == "2"
    assert staged["downloadOnly"] is False
    assert (
        first["required"].text
        == f"bootc: Reboot required for image: {staged['image']['imageDigest']}\n"
    )
    assert "Staged" in first["journal"].text
    assert "ro" in first["readonly"].text.strip().split(",")

    second = run(
        laboratory,
        disk,
        "2",
        **FACTS,
        unchanged="bootc-orch upgrade --unchanged-exit-77",
        rollback="bootc-orch rollback",
        queued="bootc-orch status --json --pending-exit-77",
        journal="journalctl --output=cat MESSAGE_ID=26f3b1eb24464d12aa5e7b544a6b5468",
    )
    assert_healthy(second, 2)
    two = booted(second)
    assert two["checksum"] == staged["ostree"]["checksum"]
    assert etc(second) == {
        "edited.conf": "mine",
        "local.conf": "mine",
        "new-in-2.conf": "new",
        "untouched.conf": "from image 2",
    }
    assert second["machine"].text == first["machine"].text
    assert second["var"].text == "kept\n"
    assert second["unchanged"].status == 77
    assert "No update available." in second["unchanged"].text
    assert second["rollback"].text.splitlines()[-1] == "Next boot: rollback deployment"
    assert second["queued"].status == 77
    assert second["queued"].json()["spec"]["bootOrder"] == "rollback"
    assert second["queued"].json()["status"]["rollbackQueued"] is True
    assert "Rollback" in second["journal"].text

    # They take more than a minute, and do not depend on what starts the kernel.
    verbs = OTHER_VERBS if start is Start.DIRECT else {}
    third = run(laboratory, disk, "3", **FACTS, **verbs)
    if verbs:
        assert_other_verbs(third)
    assert_healthy(third, 1)
    assert booted(third) == one
    assert etc(third) == {
        "edited.conf": "mine",
        "local.conf": "mine",
        "untouched.conf": "from image 1",
    }
    assert third["var"].text == "kept\n"
    for facts in (first, second, third):
        is_composefs = facts["root"].text.split()[:2] == ["overlay", "composefs"]
        assert is_composefs == bool(suffix)
        assert is_started_by_grub(facts) == (start is Start.BIOS)


def test_a_plain_ostree_system_moves_to_images_and_back(laboratory: Laboratory) -> None:
    disk = Disk.create(laboratory.directory / "disk-migration")
    plain = {
        name: FACTS[name] for name in ("state", "cmdline", "status", "admin", "version", "etc")
    }
    with disk.mounted() as root:
        laboratory.installer.run(
            INSTALL_PLAIN.format(root=root, os=laboratory.images.os), binds=[root]
        )

    first = run(
        laboratory,
        disk,
        "1",
        **plain,
        change=CHANGE_STATE,
        upgrade="bootc-orch upgrade",
        switch="bootc-orch switch 127.0.0.1:5000/os:v2",
        staged="bootc-orch status --json",
    )
    assert first["state"].text.split() == ["running"]
    entry = first["status"].json()["status"]["booted"]
    assert (entry["image"], entry["refspec"]) == (None, "debian/forky")
    assert first["status"].json()["status"]["type"] is None
    assert "follows the ostree branch debian/forky" in first["upgrade"].text
    assert "Queued for next boot" in first["switch"].text
    staged = first["staged"].json()["status"]["staged"]
    assert staged["image"]["version"] == "2"

    second = run(laboratory, disk, "2", **FACTS, rollback="bootc-orch rollback")
    assert_healthy(second, 2)
    assert booted(second)["checksum"] == staged["ostree"]["checksum"]
    assert etc(second) == {
        "edited.conf": "mine",
        "local.conf": "mine",
        "new-in-2.conf": "new",
        "untouched.conf": "from image 2",
    }
    assert second["var"].text == "kept\n"
    rollback = second["status"].json()["status"]["rollback"]
    assert (rollback["refspec"], rollback["ostree"]) == ("debian/forky", entry["ostree"])
    assert "Next boot: rollback deployment" in second["rollback"].text

    third = run(laboratory, disk, "3", **plain, var=FACTS["var"])
    assert third["state"].text.split() == ["running"]
    assert third["status"].json()["status"]["booted"]["ostree"] == entry["ostree"]
    assert third["version"].text == "0\n"
    assert etc(third)["edited.conf"] == "mine"
    assert third["var"].text == "kept\n"


def test_uefi_boots_what_was_installed_on_partitions_of_its_own(laboratory: Laboratory) -> None:
    disk = Disk.create(laboratory.directory / "disk-uefi", Start.UEFI)
    install(laboratory, disk, "plain")

    facts = run(
        laboratory,
        disk,
        "1",
        **{name: FACTS[name] for name in ("state", "cmdline", "status")},
        firmware="ls /sys/firmware/efi",
        boot="findmnt --noheadings --output TARGET,OPTIONS /boot; ls /boot/loader/entries",
        fat="mkdir -p /tmp/new/boot && mount /dev/disk/by-label/ESP /tmp/new/boot && "
        "bootc-orch install to-filesystem /tmp/new --source-imgref oci:/none",
    )
    assert facts["state"].text.split() == ["running"]
    assert is_started_by_grub(facts)
    assert facts["firmware"].status == 0
    target, options, entry = facts["boot"].text.split()
    assert (target, entry) == ("/boot", "ostree-1.conf")
    assert "ro" in options.split(",")
    image = facts["status"].json()["status"]["booted"]["image"]["image"]["image"]
    assert image == "127.0.0.1:5000/os:plain"
    assert facts["fat"].status == 2, facts["fat"].text
    assert "/tmp/new/boot is vfat: ostree needs symbolic links there" in facts["fat"].text
