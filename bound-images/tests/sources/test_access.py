"""Files that a definition names: those of its root, and none of this machine."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from bound_images.errors import DefinitionError
from bound_images.rootfs import Root
from bound_images.sources.access import AccessBroker
from bound_images.units.options import PullOptions
from orch_frame.errors import ConfigError, NotFoundError
from orch_frame.several import describe
from orch_frame.transfer import TransferOptions

SECRET = "q.io"
FILE_KEYS = [
    pytest.param(lambda name: PullOptions(auth_file=name), id="AuthFile"),
    pytest.param(lambda name: PullOptions(cert_dir=name), id="CertDir"),
    pytest.param(lambda name: PullOptions(decryption_key=name), id="DecryptionKey"),
    pytest.param(
        lambda name: PullOptions(decryption_key=f"/etc/key:file={name}"), id="the passphrase"
    ),
]


@pytest.fixture
def named(tmp_path: Path) -> tuple[Root, Path]:
    """A root, and beside it a file of this machine with a secret in it."""
    (tmp_path / "root/etc/app").mkdir(parents=True)
    secret = tmp_path / "secret"
    secret.write_text(f'{{"auths": {{"{SECRET}": {{}}}}}}')
    return Root(tmp_path / "root"), secret


@pytest.mark.parametrize("options", FILE_KEYS)
@pytest.mark.parametrize("name", ["{outside}", "/../../../{outside}", "/etc/link", "/etc/no/file"])
def test_a_file_of_this_machine_is_not_read_for_a_unit(tmp_path, named, options, name):
    root, secret = named
    (root.path / "etc/key").write_text("key")
    (root.path / "etc/link").symlink_to(secret)
    with pytest.raises((NotFoundError, DefinitionError)) as caught:
        AccessBroker(tmp_path, root, TransferOptions()).access(
            "q.io/a:1", options(name.format(outside=secret))
        )
    assert SECRET not in "\n".join(describe(caught.value))
    assert [path.name for path in tmp_path.glob("auth-*")] == []


def test_a_file_of_this_machine_is_read_where_its_administrator_allows_it(tmp_path, named):
    root, secret = named
    broker = AccessBroker(tmp_path, root, TransferOptions(), host_files=True)
    access = broker.access("q.io/a:1", PullOptions(auth_file=str(secret)))
    assert access.auth_file.parent == tmp_path
    assert access.auth_file.read_text() == secret.read_text()
    with pytest.raises(NotFoundError, match="neither in the root nor on this machine"):
        broker.access("q.io/a:1", PullOptions(auth_file="/no/such/file"))


def test_of_certificates_a_copy_is_handed_on_that_has_nothing_from_outside(tmp_path, named):
    root, secret = named
    certificates = root.path / "etc/app"
    for name in ("ca.crt", "client.cert", "client.key", "README"):
        (certificates / name).write_text(name)
    broker = AccessBroker(tmp_path, root, TransferOptions())
    copy = broker.access("q.io/a:1", PullOptions(cert_dir="/etc/app")).cert_dir
    found = {path.name: path.read_text() for path in copy.iterdir()}
    assert found == {name: name for name in ("ca.crt", "client.cert", "client.key")}
    (certificates / "client.key").unlink()
    (certificates / "client.key").symlink_to(secret)
    with pytest.raises(NotFoundError):
        broker.access("q.io/a:1", PullOptions(cert_dir="/etc/app"))


def test_a_key_is_handed_on_as_a_copy(tmp_path, named):
    root, _ = named
    (root.path / "etc/key").write_text("the key")
    (root.path / "etc/words").write_text("the words")
    options = PullOptions(decryption_key="/etc/key:file=/etc/words")
    access = AccessBroker(tmp_path, root, TransferOptions()).access("q.io/a:1", options)
    [argument] = access.pull_arguments
    key, words = argument.removeprefix("--decryption-key=").split(":file=")
    assert (Path(key).read_text(), Path(words).read_text()) == ("the key", "the words")
    assert access.arguments == []


@pytest.mark.parametrize(
    "content",
    [
        "root:$6$Pa55:19000:0:99999:7:::", "Pa55", "[]", '{"Pa55": 1}', '{"auths": "Pa55"}',
        '{"auths": {"q.io": "Pa55"}}', '{"auths": ' + "[" * 100_000, '{"auths": {}} Pa55',
    ],
)  # fmt: skip
def test_no_byte_of_what_is_no_authentication_file_is_told(tmp_path, named, content):
    root, _ = named
    (root.path / "etc/auth").write_text(content)
    with pytest.raises(ConfigError) as caught:
        AccessBroker(tmp_path, root, TransferOptions()).access(
            "q.io/a:1", PullOptions(auth_file="/etc/auth")
        )
    assert describe(caught.value) == ["/etc/auth is no authentication file."]
    assert caught.value.__cause__ is caught.value.__context__ is None


def test_helpers_that_an_authentication_file_names_are_not_run(tmp_path, named):
    root, _ = named
    auths = {"q.io": {"auth": "dTpw"}}
    document = {"auths": auths, "credHelpers": {"q.io": "x"}, "credsStore": "y"}
    (root.path / "etc/auth").write_text(json.dumps(document))
    access = AccessBroker(tmp_path, root, TransferOptions()).access(
        "q.io/a:1", PullOptions(auth_file="/etc/auth")
    )
    assert json.loads(access.auth_file.read_text()) == {"auths": auths}
