"""SELinux labels as a policy demands them, from libselinux, without SELinux being on.

Source: libselinux, ``selabel_open(3)``, ``selabel_lookup(3)``; ostree's own use of them.
"""

from __future__ import annotations

import ctypes
import errno
import os
import threading
import time
from functools import cache
from pathlib import Path
from typing import Self

from orch_frame.errors import InvalidImageError, ToolError
from orch_frame.file_contexts import Budget

XATTR_NAME = b"security.selinux\0"
_LIBRARY = "libselinux.so.1"
_SELABEL_CTX_FILE = 0
_SELABEL_OPT_PATH = 3
_QUIET_TYPE = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_int, ctypes.c_char_p)
_SELINUX_CB_LOG = 0


class _Option(ctypes.Structure):
    """``struct selinux_opt``."""

    _fields_ = (("type", ctypes.c_int), ("value", ctypes.c_char_p))


class Labeler:
    """The labels of one policy; a context that releases it.

    Args:
        contexts: The policy's file ``file_contexts``; its siblings with longer names belong to it.
        policy: What identifies the policy.
        name: What it is called.

    Raises:
        ToolError: libselinux is not installed.
        InvalidImageError: the policy cannot be read.
    """

    def __init__(self, contexts: Path, policy: str, *, name: str = "of the image") -> None:
        self.policy = policy
        self._budget = Budget(name)
        self._library = _load()
        option = _Option(_SELABEL_OPT_PATH, os.fsencode(contexts))
        self._handle = self._library.selabel_open(_SELABEL_CTX_FILE, ctypes.byref(option), 1)
        if not self._handle:
            reason = os.strerror(ctypes.get_errno())
            raise InvalidImageError(f"The SELinux policy of the image cannot be read: {reason}.")
        self._lock = threading.Lock()

    def __enter__(self) -> Self:
        """It is open already."""
        return self

    def __exit__(self, *_: object) -> None:
        """Release the policy."""
        self._library.selabel_close(self._handle)

    def label(self, path: bytes, mode: int) -> bytes | None:
        """Return the label of *path* with its trailing NUL, or None where the policy has none.

        Args:
            path: Absolute, as in the commit: ``/usr/etc/passwd``.
            mode: With the file type bits.

        Raises:
            InvalidImageError: the policy cannot label it.
            LimitError: the policy has taken too long for all its answers.
        """
        # ostree deploys onto a bare mount point there, whatever the policy says of /proc.
        looked_up = b"/mnt" if path == b"/proc" else path
        context = ctypes.c_char_p()
        with self._lock:
            ctypes.set_errno(0)
            started = time.perf_counter()
            status = self._library.selabel_lookup_raw(
                self._handle, ctypes.byref(context), looked_up, mode
            )
            code = ctypes.get_errno()
            self._budget.charge(started)
        if status == 0 and context.value is not None:
            value = context.value
            self._library.freecon(context)
            return value + b"\0"
        if code == errno.ENOENT:
            return None
        raise InvalidImageError(
            f"The SELinux policy of the image cannot label {path!r}: {os.strerror(code)}."
        )


@cache
def _load() -> ctypes.CDLL:
    try:
        library = ctypes.CDLL(_LIBRARY, use_errno=True)
    except OSError as error:
        raise ToolError(
            f"The image has a SELinux policy, and {_LIBRARY} is not installed.",
            hint="Install libselinux (package libselinux1 or libselinux).",
        ) from error
    library.selabel_open.restype = ctypes.c_void_p
    library.selabel_open.argtypes = (ctypes.c_uint, ctypes.c_void_p, ctypes.c_uint)
    library.selabel_lookup_raw.argtypes = (
        ctypes.c_void_p,
        ctypes.c_void_p,
        ctypes.c_char_p,
        ctypes.c_int,
    )
    library.selabel_close.argtypes = (ctypes.c_void_p,)
    library.freecon.argtypes = (ctypes.c_char_p,)
    library.selinux_set_callback.argtypes = (ctypes.c_int, _QUIET_TYPE)
    # The library prints warnings about the policy to standard error, which is ours.
    library.selinux_set_callback(_SELINUX_CB_LOG, _QUIET)
    return library


_QUIET = _QUIET_TYPE(lambda _level, _format: 0)
