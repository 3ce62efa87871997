import pytest

from bootc_orch.tools.proxy.errors import MAX_SHOWN, ProxyError, classify
from orch_frame.errors import TransientError


def test_the_words_of_the_proxy_are_the_evidence():
    found = classify("manifest unknown", subject="docker://127.0.0.1:1/x")
    assert (found.summary, found.details) == (
        "docker://127.0.0.1:1/x was not found.", "manifest unknown",
    )  # fmt: skip


def test_the_proxys_own_flag_needs_no_words():
    assert type(classify("new words", subject="x", code="retryable")) is TransientError
    assert type(classify("new words", subject="x", code="other")) is ProxyError
    assert type(classify("StatusCode: 503", subject="x", code="other")) is TransientError


def test_long_words_are_cut():
    assert classify("x" * 10_000, subject="x").details == "x" * MAX_SHOWN


@pytest.mark.parametrize(
    ("text", "subject", "summary"),
    [
        ("x509: no", "Layer sha256:00", "The registry of layer sha256:00 is not trusted."),
        ("x509: no", "docker://A b/x", "The registry of docker://A b/x is not trusted."),
        ("blob unknown", "Layer sha256:00", "Layer sha256:00 was not found."),
        ("no space left", "Layer sha256:00", "There is no space to fetch layer sha256:00."),
        ("new words", "The proxy", "skopeo could not read the proxy."),
        (
            'Get "file:///x": unsupported protocol scheme "file"', "Layer sha256:00",
            "The registry of layer sha256:00 refers to a place that is not followed: it is neither "
            "http nor https.",
        ),
    ],
)  # fmt: skip
def test_a_summary_is_a_sentence_whatever_it_is_about(text, subject, summary):
    assert classify(text, subject=subject).summary == summary
