"""Images whose root is a composefs: only an ostree that knows it can make them a deployment.

Source: ostree-prepare-root(1), ``prepare-root.conf``.
"""

from __future__ import annotations

from configparser import ConfigParser
from configparser import Error as ConfigParserError

from bootc_orch.ops.stored.new_root import CommitTree
from bootc_orch.tools.ostree.admin import require
from orch_frame.errors import InvalidImageError

COMPOSEFS_SINCE = (2023, 4)
CONFIGURATIONS = (
    "etc/ostree/prepare-root.conf",
    "usr/etc/ostree/prepare-root.conf",
    "usr/lib/ostree/prepare-root.conf",
)
# With "maybe" a deployment without a composefs image still boots.
DEMANDED = ("yes", "true", "1", "signed", "verity")


def demands_composefs(text: str) -> bool:
    """Say whether a ``prepare-root.conf`` makes a composefs a condition of booting.

    Raises:
        InvalidImageError: it is not a key file.
    """
    config = ConfigParser(interpolation=None, strict=False)
    try:
        config.read_string(text)
    except ConfigParserError as error:
        raise InvalidImageError(
            "The prepare-root.conf of the image cannot be read.", details=str(error)
        ) from error
    return config.get("composefs", "enabled", fallback="").lower() in DEMANDED


def require_composefs(tree: CommitTree) -> None:
    """Make sure that ostree can make a composefs, if the image of *tree* does not boot without.

    Raises:
        ToolError: ostree is too old for it.
        InvalidImageError: the image's configuration cannot be read.
    """
    for path in CONFIGURATIONS:
        data = tree.read(path)
        if data is not None:
            if demands_composefs(data.decode(errors="replace")):
                require(COMPOSEFS_SINCE, "an image whose root is a composefs")
            return
