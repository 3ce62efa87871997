"""The configuration file."""

from __future__ import annotations

from pathlib import Path

import pytest

from bootc_orch import config
from bootc_orch.config import Config, load_config
from orch_frame.errors import ConfigError

WHOLE = """\
jobs: 3
retries: 0
retry_delay: 1.5
timeout: 60
lock_timeout: 10
authfile: /etc/a.json
store: /srv/store
policy: stage
"""


def test_every_key_is_read():
    assert Config.parse(WHOLE, source="x") == Config(
        jobs=3,
        retries=0,
        retry_delay=1.5,
        timeout=60.0,
        lock_timeout=10.0,
        authfile=Path("/etc/a.json"),
        store=Path("/srv/store"),
        policy="stage",
    )


@pytest.mark.parametrize("text", ["", "# nothing\n", "{}"])
def test_an_empty_file_is_the_defaults(text):
    assert Config.parse(text, source="x") == Config()


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        pytest.param("job: 3", "unknown key 'job'", id="unknown-key"),
        pytest.param("3: 3", "unknown key '3'", id="key-of-another-type"),
        pytest.param("jobs: 0", "jobs must be", id="no-jobs"),
        pytest.param("jobs: yes", "jobs must be", id="jobs-boolean"),
        pytest.param("jobs: 1.5", "jobs must be", id="jobs-fraction"),
        pytest.param("retries: -1", "retries must be", id="negative"),
        pytest.param("timeout: .nan", "timeout must be", id="not-a-number"),
        pytest.param("timeout: soon", "timeout must be", id="word"),
        pytest.param("authfile: a.json", "authfile must be", id="relative-path"),
        pytest.param("policy: reboot", "policy must be", id="policy"),
        pytest.param("- jobs", "not a mapping", id="list"),
        pytest.param("jobs: [", "not valid YAML", id="syntax"),
        pytest.param("a: &x [1]\nb: *x", "uses an alias", id="s13-alias"),
        pytest.param("[" * 5000, "not valid YAML", id="s13-depth"),
        pytest.param("jobs: !!python/object/apply:os.getpid []", "not valid YAML", id="object"),
    ],
)
def test_what_is_not_understood_is_an_error_of_its_own_status(text, complaint):
    with pytest.raises(ConfigError, match=complaint) as caught:
        Config.parse(text, source="/etc/x.yaml")
    assert "/etc/x.yaml" in caught.value.summary
    assert caught.value.exit_code == 78


def test_the_first_file_that_exists_is_read(tmp_path, monkeypatch):
    etc, usr = tmp_path / "etc.yaml", tmp_path / "usr.yaml"
    monkeypatch.setattr(config, "PATHS", (etc, usr))
    assert load_config() == Config()
    usr.write_text("jobs: 1")
    assert load_config() == Config(jobs=1)
    etc.write_text("jobs: 2")
    assert load_config() == Config(jobs=2)


def test_a_file_that_was_named_must_exist(tmp_path):
    with pytest.raises(ConfigError, match="does not exist"):
        load_config(tmp_path / "none.yaml")


def test_a_file_that_cannot_be_read_is_named(tmp_path):
    with pytest.raises(ConfigError, match="cannot be read"):
        load_config(tmp_path)


def test_a_huge_file_is_refused(tmp_path):
    (tmp_path / "c.yaml").write_text("#" * (config.MAX_BYTES + 1))
    with pytest.raises(ConfigError, match="has more than"):
        load_config(tmp_path / "c.yaml")
