import logging
import os
from pathlib import Path

import pytest

from bootc_orch.tools import skopeo
from bootc_orch.tools.credentials import (
    MAX_AUTH_BYTES,
    descriptor_holding,
    find_authfile,
    read_authfile,
)
from bootc_orch.tools.proxy import options as proxy_options
from bootc_orch.tools.proxy.options import ProxyOptions, launch
from orch_frame.errors import ConfigError, PolicyError, UsageError

SECRET = b'{"auths": {"127.0.0.1:1": {"auth": "Y2FuYXJ5"}}}'


@pytest.fixture
def authfile(tmp_path):
    path = tmp_path / "auth.json"
    path.write_bytes(SECRET)
    path.chmod(0o600)
    return path


def place(root, name):
    path = root / name / "auth.json"
    path.parent.mkdir(parents=True)
    path.write_bytes(b"{}")
    return path


# --- the search


def test_a_host_has_its_credentials_in_one_of_three_places(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    assert find_authfile(tmp_path) is None
    last = place(tmp_path, "usr/lib/ostree")
    assert find_authfile(tmp_path) == last
    middle = place(tmp_path, "etc/ostree")
    assert find_authfile(tmp_path) == middle
    first = place(tmp_path, "run/ostree")
    assert find_authfile(tmp_path) == first


def test_a_user_has_credentials_of_his_own(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path / "runtime"))
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    place(tmp_path, "etc/ostree")
    assert find_authfile(tmp_path) is None
    config = place(tmp_path, "home/.config/ostree")
    assert find_authfile(tmp_path) == config
    runtime = place(tmp_path, "runtime/ostree")
    assert find_authfile(tmp_path) == runtime


def test_a_user_without_a_home_has_no_credentials(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    monkeypatch.delenv("XDG_RUNTIME_DIR", raising=False)
    monkeypatch.delenv("HOME", raising=False)
    assert find_authfile(tmp_path) is None


# --- reading


def test_s22_credentials_that_others_can_read_are_warned_of(authfile, caplog):
    caplog.set_level(logging.WARNING)
    assert read_authfile(authfile) == SECRET
    assert caplog.messages == []
    authfile.chmod(0o644)
    assert read_authfile(authfile) == SECRET
    assert caplog.messages == [f"{authfile} can be read by others; chmod 600 it"]


def test_s22_credentials_may_be_a_symbolic_link(authfile):
    link = authfile.with_name("link.json")
    link.symlink_to(authfile)
    assert read_authfile(link) == SECRET


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        pytest.param(None, "cannot be read: No such file", id="absent"),
        pytest.param(b"", "not a JSON object", id="empty"),
        pytest.param(b"[]", "not a JSON object", id="array"),
        pytest.param(b'{"auths": canary}', "not a JSON object", id="no-json"),
        pytest.param(b" " * (MAX_AUTH_BYTES + 1), "not a JSON object", id="too-large"),
    ],
)
def test_s21_wrong_credentials_are_refused_without_repeating_them(tmp_path, content, complaint):
    path = tmp_path / "auth.json"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ConfigError, match=complaint) as caught:
        read_authfile(path)
    assert caught.value.path == str(path)
    assert "canary" not in repr((caught.value.summary, caught.value.details, caught.value.hint))


def test_credentials_are_a_regular_file(tmp_path):
    with pytest.raises(ConfigError):
        read_authfile(tmp_path)
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    with pytest.raises(ConfigError, match="not a regular file"):
        read_authfile(fifo)


# --- handing over


def test_credentials_are_in_memory_under_a_high_descriptor():
    with descriptor_holding(SECRET) as descriptor:
        assert descriptor >= 100
        assert Path(f"/proc/self/fd/{descriptor}").read_bytes() == SECRET
        assert Path(f"/proc/self/fd/{descriptor}").read_bytes() == SECRET
        assert "memfd" in str(Path(f"/proc/self/fd/{descriptor}").readlink())
        assert not os.get_inheritable(descriptor)
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(descriptor)


# --- the command line


@pytest.fixture
def no_credentials(monkeypatch):
    monkeypatch.setattr(proxy_options, "find_authfile", lambda: None)


@pytest.fixture
def new_skopeo(monkeypatch):
    monkeypatch.setattr(skopeo, "version", lambda: (1, 21))


def argv(**options):
    with launch(ProxyOptions(user_agent=None, **options)) as command:
        return list(command.argv)


def test_without_credentials_the_registry_is_asked_anonymously(no_credentials):
    assert argv() == ["skopeo", "experimental-image-proxy", "--no-creds"]


def test_the_hosts_credentials_are_used_unless_anonymity_is_asked_for(authfile, monkeypatch):
    monkeypatch.setattr(proxy_options, "find_authfile", lambda: authfile)
    assert argv()[2] == "--authfile"
    assert argv(anonymous=True)[2] == "--no-creds"


def test_s20_neither_secret_nor_its_place_is_on_the_command_line(authfile):
    with launch(ProxyOptions(authfile=authfile, user_agent=None)) as command:
        (descriptor,) = command.descriptors
        assert command.argv == (
            "skopeo", "experimental-image-proxy", "--authfile", f"/proc/self/fd/{descriptor}",
        )  # fmt: skip
        assert Path(command.argv[-1]).read_bytes() == SECRET


def test_every_option_has_its_place(no_credentials):
    assert argv(
        cert_dir=Path("/certs"),
        tls_verify=False,
        policy=Path("/policy"),
        architecture="arm64",
        temporary=Path("/tmp/x"),
    ) == [
        "skopeo", "--policy", "/policy", "--override-arch", "arm64", "--tmpdir", "/tmp/x",
        "experimental-image-proxy", "--no-creds", "--cert-dir", "/certs", "--tls-verify=false",
    ]  # fmt: skip


def test_s24_certificates_are_checked_unless_told_otherwise(no_credentials):
    assert "--tls-verify=false" not in argv()


def test_credentials_and_anonymity_exclude_each_other(authfile):
    with pytest.raises(UsageError, match="exclude each other"):
        ProxyOptions(authfile=authfile, anonymous=True)


def test_a_new_skopeo_is_told_who_asks(no_credentials, new_skopeo):
    with launch(ProxyOptions(user_agent="bootc-orch/1")) as command:
        assert command.argv[:3] == ("skopeo", "--user-agent-prefix", "bootc-orch/1")


def test_an_old_skopeo_is_not_told_who_asks(no_credentials, monkeypatch):
    monkeypatch.setattr(skopeo, "version", lambda: (1, 20))
    with launch(ProxyOptions(user_agent="bootc-orch/1")) as command:
        assert command.argv[0:2] == ("skopeo", "experimental-image-proxy")


def test_root_can_have_skopeo_run_as_nobody(no_credentials, monkeypatch):
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    command = argv(unprivileged=True)
    assert command[: command.index("skopeo")][:5] == [
        "setpriv", "--no-new-privs", "--init-groups", "--reuid", "nobody",
    ]  # fmt: skip
    assert command[command.index("env") : command.index("skopeo")] == [
        "env", "--unset=HOME", "--unset=XDG_DATA_DIR", "--unset=USER",
    ]  # fmt: skip
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    assert argv(unprivileged=True)[0] == "skopeo"


# --- the policy's place


@pytest.fixture
def no_policy_variables(monkeypatch):
    for name in ("CONTAINERS_POLICY_JSON", "XDG_CONFIG_HOME"):
        monkeypatch.delenv(name, raising=False)


def test_a_policy_named_by_the_environment_must_exist(tmp_path, monkeypatch, no_policy_variables):
    named = tmp_path / "policy.json"
    monkeypatch.setenv("CONTAINERS_POLICY_JSON", str(named))
    with pytest.raises(PolicyError, match="There is no signature policy"):
        skopeo.policy_path()
    named.write_text("{}")
    assert skopeo.policy_path() == named


def test_a_users_policy_comes_before_the_systems(tmp_path, monkeypatch, no_policy_variables):
    monkeypatch.setenv("HOME", str(tmp_path))
    home = tmp_path / ".config/containers/policy.json"
    home.parent.mkdir(parents=True)
    home.write_text("{}")
    assert skopeo.policy_path() == home
    config = tmp_path / "config/containers/policy.json"
    config.parent.mkdir(parents=True)
    config.write_text("{}")
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    assert skopeo.policy_path() == config
