import pytest

from orch_frame.environment import child_environment

HOSTILE = ("LD_PRELOAD", "PYTHONPATH", "OSTREE_REPO", "G_MESSAGES_DEBUG", "TAR_OPTIONS")
STORE = ("STORAGE_OPTS", "STORAGE_DRIVER", "CONTAINER_HOST")
KEPT = ("HOME", "PATH", "HTTPS_PROXY", "CONTAINERS_STORAGE_CONF", "TMPDIR", "MY_LD_PATH")


@pytest.fixture(autouse=True)
def _variables(monkeypatch):
    for name in (*HOSTILE, *STORE, *KEPT):
        monkeypatch.setenv(name, "value")


@pytest.mark.parametrize("name", HOSTILE)
def test_what_changes_a_program_behind_its_arguments_is_kept_from_children(name):
    assert name not in child_environment()
    assert name not in child_environment(store_is_given=True)


@pytest.mark.parametrize("name", STORE)
def test_a_variable_that_chooses_a_store_is_kept_from_children_that_are_told_one(name):
    assert child_environment()[name] == "value"
    assert name not in child_environment(store_is_given=True)


@pytest.mark.parametrize("name", KEPT)
def test_everything_else_is_inherited(name):
    assert child_environment(store_is_given=True)[name] == "value"


def test_children_speak_the_language_that_is_parsed(monkeypatch):
    monkeypatch.setenv("LC_ALL", "de_DE.UTF-8")
    assert child_environment()["LC_ALL"] == "C.UTF-8"
