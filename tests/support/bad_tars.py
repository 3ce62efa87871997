"""Layers that are hostile or odd, one for each row T01-T99 of the bad-input table.

Each says what must become of it: refused with a class, or taken in with a known result.
"""

from __future__ import annotations

import io
import zipfile
from dataclasses import dataclass
from random import Random

from support.rawtar import (
    BLOCK,
    GNU_MAGIC,
    archive,
    base256,
    device,
    directory,
    file,
    gnu_long,
    hardlink,
    header,
    pax,
    raw_pax,
    record,
    symlink,
    xattr,
)

INVALID = "invalid-image"
LIMIT = "limit"
MISMATCH = "mismatch"
PLAIN = "plain"
OSTREE = "single"
HUGE = 1 << 30
MEGABYTE = 1 << 20


@dataclass(frozen=True, slots=True)
class TarCase:
    """One layer and what must become of it.

    Attributes:
        id: The row of the table.
        tar: The uncompressed layer.
        refused: The class of the error, or None if the layer is good.
        says: What must be read in the error, or in the warnings.
        tree: ``MODE PATH`` of what must be in the merged tree.
        absent: Paths that must not be there.
        contents: What files hold.
        over: What the layer lies on: `LOWER` with its liberties outside ``/usr``, or the fixture
            image of that name, which has ostree inside and allows nothing outside ``/usr``.
    """

    id: str
    tar: bytes
    refused: str | None = None
    says: tuple[str, ...] = ()
    tree: tuple[str, ...] = ()
    absent: tuple[str, ...] = ()
    contents: tuple[tuple[str, bytes], ...] = ()
    over: str = PLAIN


LOWER = archive(
    directory(b"usr/"),
    directory(b"usr/bin/"),
    directory(b"usr/lib/"),
    directory(b"usr/lib/dir/"),
    file(b"usr/lib/dir/inner"),
    file(b"usr/lib/lower", b"lower\n"),
    file(b"usr/lib/gone"),
    directory(b"etc/"),
    file(b"etc/lower.conf"),
)


def _refused(row: str, *parts: bytes, says: tuple[str, ...] = (), kind: str = INVALID) -> TarCase:
    return TarCase(row, archive(directory(b"usr/"), *parts), kind, says)


def _taken(
    row: str,
    *parts: bytes,
    tree: tuple[str, ...] = (),
    absent: tuple[str, ...] = (),
    contents: tuple[tuple[str, bytes], ...] = (),
    says: tuple[str, ...] = (),
    over: str = PLAIN,
) -> TarCase:
    tar = archive(directory(b"usr/"), *parts)
    return TarCase(row, tar, None, says, tree, absent, contents, over)


def _zip() -> bytes:
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w") as archive_file:
        archive_file.writestr("usr/x", "data")
    return data.getvalue()


X = b"usr/x"

PATHS = (
    _taken("T01", file(b"/usr/abs"), tree=("-00644 /usr/abs",)),
    _refused("T02", file(b"../escape"), says=("../escape",)),
    _refused("T03", file(b"usr/lib/../../../escape"), says=("usr/lib/../../../escape",)),
    _refused(
        "T04", symlink(b"usr/ln", b"/etc"), file(b"usr/ln/shadow"), says=("usr/ln", "usr/ln/shadow")
    ),
    _refused(
        "T05",
        symlink(b"usr/ln", b"lib"),
        directory(b"usr/ln/deep/"),
        file(b"usr/ln/deep/x"),
        says=("usr/ln", "usr/ln/deep"),
    ),
    _refused("T40", file(b"usr/caf\xe9"), says=("usr/caf\\xe9",)),
    _refused("T41", pax([(b"path", b"usr/caf\xe9")]) + file(X), says=("usr/caf\\xe9",)),
    _refused("T41b", symlink(b"usr/ln", b"caf\xe9"), says=("usr/ln", "caf\\xe9")),
    _taken("T38", file(b"usr/new\nline"), tree=("-00644 /usr/new\nline",)),
    _taken("T39", file(b"usr/\x1b[31mred"), tree=("-00644 /usr/\x1b[31mred",)),
    _refused("T42", file(b"usr/" + b"n" * 256), says=("usr/nnn",), kind=LIMIT),
    _taken("T42-at-limit", file(b"usr/" + b"n" * 255), tree=("-00644 /usr/" + "n" * 255,)),
    _refused("T43", file(b"usr/" + b"/".join([b"c" * 99] * 50)), says=("usr/ccc",), kind=LIMIT),
    _refused("T44", file(b"usr/" + b"a/" * 1000 + b"x"), says=("usr/a/a/",), kind=LIMIT),
    _refused("T45", file(b"")),
    _refused("T46", file(b".")),
    TarCase("T47", archive(file(b"usr")), INVALID, ("usr",)),
    TarCase("T47b", archive(symlink(b"usr", b"etc")), INVALID, ("usr",)),
    _taken("T47c", file(b"usr/lib/dir"), tree=("-00644 /usr/lib/dir",)),
    _taken(
        "T48",
        file(X, b"first\n"),
        file(X, b"last\n"),
        contents=(("/usr/x", b"last\n"),),
    ),
    _refused("T49", file(X), directory(b"usr/x/"), file(b"usr/x/y"), says=("usr/x",)),
    _refused("T50", directory(b"usr/x/"), file(b"usr/x/y"), file(X), says=("usr/x",)),
    _refused("T51", file(b"usr/x/"), says=("usr/x",)),
    _refused("T52", header(b"usr/x/", b"5", size=5) + bytes(BLOCK), says=("usr/x",)),
    _taken(
        "T84",
        file(b"usr/Name"),
        file(b"usr/name"),
        tree=("-00644 /usr/Name", "-00644 /usr/name"),
    ),
    _taken(
        "T85",
        file("usr/\u00e9".encode()),
        file("usr/e\u0301".encode()),
        tree=("-00644 /usr/\u00e9", "-00644 /usr/e\u0301"),
    ),
)

LINKS = (
    _refused("T06", hardlink(X, b"../etc/shadow"), says=("usr/x", "../etc/shadow")),
    _taken(
        "T07",
        file(b"usr/target", b"same\n"),
        hardlink(X, b"/usr/target"),
        contents=(("/usr/x", b"same\n"),),
    ),
    _refused("T08", hardlink(X, b"usr/missing"), says=("usr/x", "usr/missing")),
    _refused("T09", hardlink(X, X), says=("usr/x",)),
    _taken(
        "T10",
        hardlink(X, b"usr/later"),
        file(b"usr/later", b"late\n"),
        contents=(("/usr/x", b"late\n"),),
    ),
    _refused("T11", hardlink(X, b"usr/lib/lower"), says=("usr/x", "usr/lib/lower", "same layer")),
    _taken(
        "T12",
        symlink(b"usr/ln", b"/etc/shadow"),
        hardlink(X, b"usr/ln"),
        tree=("l00777 /usr/x",),
    ),
    _taken(
        "T10b",
        *(hardlink(b"usr/h%d" % n, b"usr/h%d" % (n + 1)) for n in range(3000)),
        file(b"usr/h3000", b"end\n"),
        contents=(("/usr/h0", b"end\n"), ("/usr/h1500", b"end\n"), ("/usr/h2999", b"end\n")),
    ),
    _taken(
        "T10c",
        file(X, b"first\n"),
        hardlink(b"usr/a", b"usr/b"),
        hardlink(b"usr/b", X),
        hardlink(X, b"usr/last"),
        file(b"usr/last", b"last\n"),
        contents=(("/usr/a", b"last\n"), ("/usr/b", b"last\n"), ("/usr/x", b"last\n")),
    ),
    _refused(
        "T09b",
        hardlink(b"usr/a", b"usr/b"),
        hardlink(b"usr/b", b"usr/c"),
        hardlink(b"usr/c", b"usr/b"),
        says=("itself",),
    ),
    _refused("T08b", hardlink(X, b"usr/y"), hardlink(b"usr/y", b"usr/z"), says=("usr/y", "usr/z")),
    _refused("T08c", hardlink(X, b"usr/lib"), directory(b"usr/lib/"), says=("usr/x", "usr/lib")),
    _refused("T86", symlink(b"usr/ln", b""), says=("usr/ln",)),
    _refused("T87", symlink(b"usr/ln", b"t" * 4096), says=("usr/ln",)),
    _taken("T87-at-limit", symlink(b"usr/ln", b"t" * 4095), tree=("l00777 /usr/ln",)),
    _taken("T88", symlink(b"usr/ln", b"ln"), tree=("l00777 /usr/ln",)),
)

DEVICES_AND_MODES = (
    _refused("T13", device(b"usr/null", b"3"), says=("usr/null",)),
    _refused("T14", device(b"usr/disk", b"4", (8, 0)), says=("usr/disk",)),
    _refused("T15", device(b"usr/pipe", b"6", (0, 0)), says=("usr/pipe",)),
    _refused("T16", device(b"usr/whiteout", b"3", (0, 0)), says=("usr/whiteout",)),
    _taken(
        "T13-in-dev",
        directory(b"dev/"),
        device(b"dev/null", b"3"),
        device(b"dev/initctl", b"6"),
        tree=("d00755 /dev",),
        absent=("/dev/null", "/dev/initctl"),
        says=("null",),
    ),
    _taken("T17", file(X, mode=0o4755), tree=("-04755 /usr/x",)),
    _taken("T18", file(X, mode=0o7777), tree=("-07777 /usr/x",)),
    _taken("T19", directory(b"usr/open/", mode=0o777), tree=("d00777 /usr/open",)),
)

XATTRS = (
    _refused("T20", xattr(X, b"security.ima", b"\3\2"), says=("usr/x", "security.ima")),
    _taken(
        "T21",
        xattr(X, b"security.capability", bytes.fromhex("0100000200200000000000000000000000000000")),
        tree=("-00644 /usr/x",),
    ),
    _taken(
        "T22",
        xattr(X, b"security.selinux", b"system_u:object_r:shadow_t:s0\0"),
        tree=("-00644 /usr/x",),
        says=("security.selinux",),
    ),
    _refused("T23", xattr(X, b"security.evm", b"\3"), says=("usr/x", "security.evm")),
    _refused("T24", xattr(X, b"trusted.overlay.opaque", b"y"), says=("trusted.overlay.opaque",)),
    _refused(
        "T25", xattr(X, b"user.overlay.redirect", b"/etc"), says=("usr/x", "user.overlay.redirect")
    ),
    _refused("T26", xattr(X, b"user.ostreemeta", bytes(12)), says=("usr/x", "user.ostreemeta")),
    _taken(
        "T27",
        xattr(X, b"user.note", b"dmFsdWU=", prefix=b"LIBARCHIVE.xattr."),
        tree=("-00644 /usr/x",),
    ),
    _refused(
        "T27b",
        xattr(X, b"trusted.overlay.redirect", b"L2V0Yw", prefix=b"LIBARCHIVE.xattr."),
        says=("usr/x", "trusted.overlay.redirect"),
    ),
    _refused("T28", xattr(X, b"user.big", b"v" * MEGABYTE), kind=LIMIT),
    _refused("T28b", xattr(X, b"user.big", b"v" * 65537), kind=LIMIT, says=("usr/x", "user.big")),
    _taken("T28c", xattr(X, b"user.big", b"v" * 2000), tree=("-00644 /usr/x",)),
    _refused(
        "T29",
        pax([(b"SCHILY.xattr.user.%d" % number, b"v") for number in range(5000)]) + file(X),
        kind=LIMIT,
        says=("usr/x",),
    ),
)

_CAPABILITY = bytes.fromhex("0100000200200000000000000000000000000000")
XATTRS += (
    # ostree does not read it back, so it is left out: see T21c for what would not be the same.
    _taken("T21b", xattr(X, b"user.empty", b""), tree=("-00644 /usr/x",)),
    _refused("T21c", xattr(X, b"security.capability", b""), says=("usr/x", "security.capability")),
    *(
        _refused(f"T21{row}", xattr(X, b"security.capability", value), says=("usr/x",))
        for row, value in (
            ("d", _CAPABILITY[:-1]),
            ("e", _CAPABILITY + bytes(4)),
            ("f", _CAPABILITY[:3] + b"\1" + _CAPABILITY[4:]),
            ("g", _CAPABILITY[:3] + b"\1" + _CAPABILITY[4:12]),
            ("h", b"\0"),
            ("j", _CAPABILITY[:3] + b"\3" + _CAPABILITY[4:] + bytes(4)),
        )
    ),
    _taken(
        "T21i",
        xattr(X, b"security.capability", _CAPABILITY[:3] + b"\3" + _CAPABILITY[4:] + b"\1\0\0\0"),
        tree=("-00644 /usr/x",),
    ),
    _refused(
        "T20b",
        pax([(b"SCHILY.xattr.user.note", b"v")]) + symlink(b"usr/ln", b"x"),
        says=("usr/ln", "user.note"),
    ),
    _taken(
        "T20c",
        pax([(b"SCHILY.xattr.user.note", b"")]) + symlink(b"usr/ln", b"x"),
        tree=("l00777 /usr/ln",),
    ),
    _refused("T20d", xattr(X, b"user.", b"v"), says=("usr/x",)),
    _refused("T20e", xattr(X, b"user." + b"n" * 251, b"v"), says=("usr/x",)),
    _refused(
        "T29b",
        pax([(b"SCHILY.xattr.user.%d" % number, b"v" * 40_000) for number in range(2)]) + file(X),
        kind=LIMIT,
        says=("usr/x",),
    ),
    _refused(
        "T29c",
        pax([(b"SCHILY.xattr.user.%d" % number, b"v" * 40_000) for number in range(2)])
        + directory(b"usr/lib/"),
        kind=LIMIT,
        says=("usr/lib",),
    ),
)

EXTENDED_HEADERS = (
    _refused("T30", raw_pax(b"", claims=HUGE), kind=LIMIT),
    _refused("T31", pax([(b"path", b"usr/everything")], b"g") + file(X)),
    _refused("T32", pax([(b"size", b"1024")]) + file(X, bytes(BLOCK)), says=("usr/x",)),
    _refused("T33", pax([(b"size", b"0")]) + file(X, file(b"usr/hidden")), says=("usr/x",)),
    _refused("T33b", pax([(b"size", b"%d" % (1 << 33))]) + header(X)),
    _refused("T34", raw_pax(b"99 path=usr/y\n") + file(X)),
    _refused("T35", raw_pax(b"-5 path=usr/y\n") + file(X)),
    _refused("T35b", raw_pax(b"0 path=usr/y\n") + file(X)),
    _refused("T36", raw_pax(b"13 path=usr/y_") + file(X)),
    _refused("T37", raw_pax(record(b"path", b"usr/a\0b")) + file(X), says=("usr/a\\x00b",)),
    _refused("T53", gnu_long(b"", claims=HUGE), kind=LIMIT),
    _refused("T53b", gnu_long(b"", b"K", claims=HUGE), kind=LIMIT),
    _refused("T54", header(X, b"S", size=512, magic=GNU_MAGIC) + bytes(BLOCK), says=("usr/x",)),
    _refused(
        "T55",
        pax([(b"GNU.sparse.major", b"1"), (b"GNU.sparse.realsize", b"%d" % (1 << 63))]) + file(X),
    ),
    _refused("T56", pax([(b"GNU.sparse.map", b"0,-5")]) + file(X)),
    _refused("T56b", pax([(b"GNU.sparse.name", b"../../escape")]) + file(X)),
)

HEADERS = (
    _refused("T57", header(X, size=base256(-1, 12))),
    _refused("T58", header(X, size=b"12garbage45")),
    _refused("T59", header(X, size=base256((1 << 63) - 1, 12))),
    _refused("T60", header(X, checksum=b"000001\0 "), says=("offset 512",)),
    TarCase("T61", archive(directory(b"usr/"), end_blocks=0) + file(X)[:300], INVALID, ("offset",)),
    TarCase("T62", archive(header(X, size=4096), b"cut", end_blocks=0), INVALID),
    TarCase("T63", archive(directory(b"usr/"), file(X), end_blocks=0), tree=("-00644 /usr/x",)),
    TarCase("T64", archive(directory(b"usr/"), file(X), end_blocks=1), tree=("-00644 /usr/x",)),
    TarCase("T65", archive(file(X)) + file(b"usr/hidden"), INVALID, ("offset",)),
    _refused("T77", file(X, uid=base256((1 << 32) - 1, 8)), says=("usr/x",)),
    _refused("T77b", file(X, gid=base256(-1, 8)), says=("usr/x",)),
    _taken("T78", file(X, mtime=base256(-1, 12)), tree=("-00644 /usr/x",)),
    _taken("T79", pax([(b"mtime", b"nan")]) + file(X), tree=("-00644 /usr/x",)),
    _refused("T80", header(X, b"Z"), says=("usr/x",)),
    _taken("T81", header(X, b"7", size=5) + b"data\n".ljust(BLOCK, b"\0"), tree=("-00644 /usr/x",)),
    _taken("T82", header(b"label", b"V"), file(X), tree=("-00644 /usr/x",), absent=("/label",)),
    _refused("T83", header(X, b"M", size=0, magic=GNU_MAGIC)),
    TarCase("T94", _zip(), INVALID),
    TarCase("T95", b"070701" + b"0" * 104 + b"TRAILER!!!\0".ljust(1024, b"\0"), INVALID),
    TarCase("T96", b"#mtree\n./usr type=dir\n./usr/x type=file\n".ljust(1024), INVALID),
    TarCase("T97", b"!<arch>\nusr_x/          0  ".ljust(1024), INVALID),
    TarCase("T98", Random(98).randbytes(4096), INVALID),
    TarCase("T99", b"", tree=("-00644 /usr/lib/lower",)),
    TarCase("T99b", bytes(512), tree=("-00644 /usr/lib/lower",)),
    TarCase("T99c", bytes(1024), tree=("-00644 /usr/lib/lower",)),
)

WHITEOUTS = (
    _taken(
        "T66",
        file(b"usr/lib/dir/new"),
        file(b"usr/lib/dir/.wh..wh..opq", b""),
        tree=("-00644 /usr/lib/dir/new",),
        absent=("/usr/lib/dir/inner", "/usr/lib/dir/.wh..wh..opq"),
    ),
    _refused("T67", file(b"usr/lib/.wh.", b""), says=("usr/lib/.wh.",)),
    _refused("T68", file(b"usr/lib/.wh..", b""), says=("usr/lib/.wh..",)),
    _refused("T69", file(b"usr/lib/.wh...", b""), says=("usr/lib/.wh...",)),
    _taken(
        "T70",
        file(b"usr/lib/.wh.gone", b""),
        tree=("-00644 /usr/lib/lower",),
        absent=("/usr/lib/gone", "/usr/lib/.wh.gone"),
    ),
    TarCase(
        "T71",
        archive(directory(b"usr/"), file(b".wh.usr", b"")),
        says=(".wh.usr",),
        over=OSTREE,
    ),
    TarCase("T71b", archive(file(b".wh.usr", b"")), INVALID, (".wh.usr",)),
    _taken(
        "T72",
        file(b"usr/lib/gone", b"anew\n"),
        file(b"usr/lib/.wh.gone", b""),
        contents=(("/usr/lib/gone", b"anew\n"),),
    ),
    _taken(
        "T73",
        file(b"usr/lib/.wh.gone", b""),
        file(b"usr/lib/gone", b"anew\n"),
        contents=(("/usr/lib/gone", b"anew\n"),),
    ),
    _taken(
        "T73b",
        file(b"usr/lib/+new", b"kept\n"),
        file(b"usr/lib/.wh.+new", b""),
        contents=(("/usr/lib/+new", b"kept\n"),),
    ),
    _refused("T74", directory(b"usr/lib/.wh.gone/"), says=("usr/lib/.wh.gone",)),
    TarCase("T75", archive(directory(b"usr/"), file(b"usr/.wh..wh.plnk", b""))),
)

PLACES = (
    TarCase(
        "T76",
        archive(directory(b"usr/"), file(b"sysroot/ostree/repo/objects/aa/x.file")),
        absent=("/sysroot/ostree/repo/objects/aa/x.file",),
        over=OSTREE,
    ),
    _taken(
        "T89",
        file(b"etc/both", b"first\n"),
        file(b"usr/etc/both", b"last\n"),
        contents=(("/usr/etc/both", b"last\n"),),
    ),
    _taken(
        "T89b",
        file(b"usr/etc/both", b"first\n"),
        file(b"etc/both", b"last\n"),
        contents=(("/usr/etc/both", b"last\n"),),
    ),
    _refused("T90", symlink(b"etc", b"usr/lib"), says=("etc",)),
    _taken("T91", file(b"boot/loader"), says=("boot",), absent=("/boot/loader",), over=OSTREE),
    _taken("T91b", file(b"boot/loader"), tree=("-00644 /boot/loader",)),
    _taken("T92", file(b"var/lib/x"), tree=("-00644 /var/lib/x",), over=OSTREE),
    _taken("T93", file(b"dev/shm/x"), says=("shm",), absent=("/dev/shm/x",)),
    _taken("T93b", device(b"dev/sda", b"4"), says=("sda",), absent=("/dev/sda",), over=OSTREE),
)

TAR_CASES = (
    *PATHS,
    *LINKS,
    *DEVICES_AND_MODES,
    *XATTRS,
    *EXTENDED_HEADERS,
    *HEADERS,
    *WHITEOUTS,
    *PLACES,
)
