import pytest

from bootc_orch.tools.proxy.errors import MAX_SHOWN, RULES, ProxyError, classify
from orch_frame.errors import (
    AuthError,
    InvalidImageError,
    LimitError,
    MismatchError,
    NotFoundError,
    PolicyError,
    SpaceError,
    StorageIOError,
    TransientError,
    UsageError,
)

PING = 'pinging container registry 127.0.0.1:1: Get "https://127.0.0.1:1/v2/": '


@pytest.mark.parametrize(
    ("text", "error"),
    [
        # Seen with skopeo 1.9.3 and 1.22.
        ("open /nope/index.json: no such file or directory", NotFoundError),
        ('no descriptor found for reference "nope"', NotFoundError),
        ('opening file "/nope": open /nope: no such file or directory', NotFoundError),
        ('creating temp directory: archive file not found: "/nope"', NotFoundError),
        ('reference "[o@/r]localhost/n" does not resolve to an image ID', NotFoundError),
        ("reading manifest latest in 127.0.0.1:1/x: manifest unknown", NotFoundError),
        ("reading manifest x: name unknown: repository name not known to registry", NotFoundError),
        ("fetching blob: invalid status code from registry 404 (Not Found)", NotFoundError),
        ("StatusCode: 404, 404 page not found", NotFoundError),
        (f"{PING}dial tcp 127.0.0.1:1: connect: connection refused", TransientError),
        (f"{PING}read: connection reset by peer", TransientError),
        (f"{PING}dial tcp: lookup x on 127.0.0.1:53: no such host", TransientError),
        (f"{PING}dial tcp: lookup x: Temporary failure in name resolution", TransientError),
        (f"{PING}dial tcp 127.0.0.1:1: i/o timeout", TransientError),
        (f"{PING}net/http: TLS handshake timeout", TransientError),
        (f"{PING}dial tcp: connect: no route to host", TransientError),
        (f"{PING}dial tcp: connect: network is unreachable", TransientError),
        (f"{PING}EOF", TransientError),
        (f"{PING}unexpected EOF", TransientError),
        (f"{PING}context deadline exceeded (Client.Timeout exceeded)", TransientError),
        (f"{PING}stopped after 10 redirects", TransientError),
        ("received unexpected HTTP status: 503 Service Unavailable", TransientError),
        ("received unexpected HTTP status: 500 Internal Server Error", TransientError),
        ("fetching blob: invalid status code from registry 502 (Bad Gateway)", TransientError),
        ("StatusCode: 504, upstream timed out", TransientError),
        ("toomanyrequests: slow down", TransientError),
        ("too many requests to registry", TransientError),
        ("StatusCode: 429, later", TransientError),
        (
            "loading image from docker engine: Cannot connect to the Docker daemon at x",
            TransientError,
        ),
        (
            "reading manifest: unauthorized: authentication required", AuthError
        ),
        ("unable to retrieve auth token: invalid username/password: unauthorized", AuthError),
        ("errors:\ndenied: requested access to the resource is denied", AuthError),
        ("requesting bearer token: invalid status code from registry 403 (Forbidden)", AuthError),
        ("StatusCode: 401, x", AuthError),
        ("Requesting bearer token: invalid status code from registry 404 (Not Found)", AuthError),
        ("Requesting bearer token: received unexpected HTTP status: 500 Internal", AuthError),
        ('decoding bearer token (body start "<html>"): invalid character', AuthError),
        ("exceeded maximum allowed size of 1048576 bytes", AuthError),
        (f"{PING}x509: certificate signed by unknown authority", PolicyError),
        (f"{PING}tls: failed to verify certificate: x509: certificate has expired", PolicyError),
        (f"{PING}http: server gave HTTP response to HTTPS client", PolicyError),
        ('fetching blob: Get "file:///x": unsupported protocol scheme "file"', PolicyError),
        ("Source image rejected: Running image docker://x is rejected by policy.", PolicyError),
        ("A signature was required, but no signature exists", PolicyError),
        ("open /etc/containers/policy.json: no such file or directory", PolicyError),
        ("no policy.json file found at any of the following: x", PolicyError),
        ("corrupted blob, expecting sha256:00", MismatchError),
        ("expected 5 bytes in blob, got 6", MismatchError),
        ("expected -1 bytes in blob, got 6", MismatchError),
        ("manifest does not match provided manifest digest sha256:00", MismatchError),
        ("exceeded maximum allowed size of 4194304 bytes", LimitError),
        ('Invalid image name "foo:bar", unknown transport "foo"', UsageError),
        ("invalid reference format: repository name must be lowercase", UsageError),
        ("write /var/tmp/x: no space left on device", SpaceError),
        ("read /x: input/output error", StorageIOError),
        ("invalid character 'x' looking for beginning of value", InvalidImageError),
        ("unexpected end of JSON input", InvalidImageError),
        ("json: cannot unmarshal string into Go struct field", InvalidImageError),
        ('parsing time "x" as "2006-01-02T15:04:05Z07:00": cannot parse', InvalidImageError),
        ("no FSLayers in manifest", InvalidImageError),
        ("unsupported MIME type application/x", InvalidImageError),
        ('no image found in image index for architecture "amd64", OS "linux"', InvalidImageError),
        ("something that nobody has ever seen", ProxyError),
        ("", ProxyError),
    ],
)  # fmt: skip
def test_skopeos_words_have_a_class(text, error):
    found = classify(text, subject="docker://127.0.0.1:1/x")
    assert type(found) is error
    assert "docker://127.0.0.1:1/x" in found.summary
    assert found.details == text


def test_the_proxys_own_flag_needs_no_words():
    assert type(classify("new words", subject="x", code="retryable")) is TransientError
    assert type(classify("new words", subject="x", code="other")) is ProxyError
    assert type(classify("StatusCode: 503", subject="x", code="other")) is TransientError


def test_long_words_are_cut():
    assert classify("x" * 10_000, subject="x").details == "x" * MAX_SHOWN


def test_who_is_refused_or_mistrusted_is_told_what_to_do():
    assert "--authfile" in (classify("unauthorized", subject="x").hint or "")
    assert "--cert-dir" in (classify("x509: no", subject="x").hint or "")


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


def test_a_place_that_is_not_followed_is_no_matter_of_certificates():
    found = classify('Get "file:///x": unsupported protocol scheme "file"', subject="x")
    assert "cert" not in (found.hint or "")


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.summary)
def test_each_summary_names_its_subject_as_it_stands_there(rule):
    assert ("{subject}" in rule.summary) == rule.summary.startswith("{subject}")
    assert "{subject}" in rule.summary or "{inner}" in rule.summary
