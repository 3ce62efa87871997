import pytest

from bootc_orch.model.digest import Digest
from orch_frame.errors import InvalidImageError

HEX = "0123456789abcdef" * 4


def test_a_digest_is_shown_as_it_was_read():
    assert str(Digest.parse(f"sha256:{HEX}")) == f"sha256:{HEX}"


def test_the_digest_of_bytes_is_their_sha256():
    empty = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
    assert Digest.of(b"") == Digest(empty)


@pytest.mark.parametrize(
    "text",
    [
        pytest.param(f"sha512:{HEX}{HEX}", id="M05-sha512"),
        pytest.param(f"md5:{HEX[:32]}", id="M06-md5"),
        pytest.param(f"sha256:{HEX.upper()}", id="M07-upper-case"),
        pytest.param("sha256:../../x", id="M08-path"),
        pytest.param(f"sha256:{HEX[:-1]}", id="M08a-short"),
        pytest.param(f"sha256:{HEX}0", id="M08b-long"),
        pytest.param(f"sha256:{HEX}\n", id="M08c-newline"),
        pytest.param(f"SHA256:{HEX}", id="upper-case-algorithm"),
        pytest.param(HEX, id="no-algorithm"),
        pytest.param("", id="empty"),
        pytest.param(f"sha256:{chr(0x660) * 64}", id="digits-of-another-script"),
    ],
)
def test_anything_but_a_sha256_digest_is_refused(text):
    with pytest.raises(InvalidImageError, match="is not a digest"):
        Digest.parse(text)
