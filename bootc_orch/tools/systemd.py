"""What this program tells the rest of the machine: journal messages, that a reboot is due.

Source of the journal's protocol: systemd's "Native Journal Protocol".
"""

from __future__ import annotations

import logging
import socket
import struct
from collections.abc import Mapping
from pathlib import Path

from bootc_orch.process import run

logger = logging.getLogger(__name__)

REBOOT_REQUIRED = Path("/run/reboot-required")
# As bootc words it.
NOTE = "bootc: Reboot required for image:"
JOURNAL_SOCKET = Path("/run/systemd/journal/socket")
# Documented by bootc; the other one is our own.
MESSAGE_ROLLBACK = "26f3b1eb24464d12aa5e7b544a6b5468"
MESSAGE_STAGED = "7d9f1b0c6e5a4c0f9a3e2d8b41c05e77"
PRIORITY_INFO = 6


def journal_entry(fields: Mapping[str, str]) -> bytes:
    """Serialise one journal entry; a value with a newline is sent with its length."""
    entry = bytearray()
    for name, value in fields.items():
        data = value.encode()
        if b"\n" in data:
            entry += name.encode() + b"\n" + struct.pack("<Q", len(data)) + data + b"\n"
        else:
            entry += name.encode() + b"=" + data + b"\n"
    return bytes(entry)


def journal(message: str, *, message_id: str, priority: int = PRIORITY_INFO, **fields: str) -> None:
    """Write *message* to the journal; a machine without one is no error.

    Args:
        message: The text.
        message_id: Its identity for programs, 32 hexadecimal digits.
        priority: As syslog has it.
        fields: Further fields, names in capitals.
    """
    entry = journal_entry(
        {
            "MESSAGE": message,
            "MESSAGE_ID": message_id,
            "PRIORITY": str(priority),
            "SYSLOG_IDENTIFIER": "bootc-orch",
            **fields,
        }
    )
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as connection:
            connection.sendto(entry, str(JOURNAL_SOCKET))
    except OSError as error:
        logger.debug("no journal: %s", error)


def reboot() -> None:
    """Ask for a reboot and return; systemd shuts the system down in order."""
    run(["systemctl", "--no-block", "reboot"])


def note_reboot(digest: str) -> None:
    """Tell the tools that watch for it that a reboot is due."""
    try:
        REBOOT_REQUIRED.write_text(f"{NOTE} {digest}\n")
    except OSError as error:
        logger.warning("%s cannot be written: %s", REBOOT_REQUIRED, error.strerror)


def forget_reboot() -> None:
    """Take back what `note_reboot` said; a reboot that others ask for stays asked for."""
    try:
        if REBOOT_REQUIRED.read_text(errors="replace").startswith(NOTE):
            REBOOT_REQUIRED.unlink()
    except FileNotFoundError:
        return
    except OSError as error:
        logger.warning("%s cannot be removed: %s", REBOOT_REQUIRED, error.strerror)
