"""What skopeo and podman say has one class and one status in both programs.

Each message goes through every door: as the proxy's answer, and as what podman and skopeo write to
standard error.  All were printed by skopeo 1.9.3 to 1.22 or podman 4.3.1 to 5.8.
"""

import json

import pytest
from support.proxy_peer import OLD, playing

from bootc_orch.tools.proxy.errors import ProxyError
from bound_images.errors import CommandError
from bound_images.failures import error_of
from orch_frame.errors import (
    AuthError,
    ConfigError,
    InvalidImageError,
    LimitError,
    MismatchError,
    NotFoundError,
    OrchError,
    PolicyError,
    ReadOnlyError,
    SpaceError,
    StorageIOError,
    StoreDamagedError,
    ToolError,
    TransientError,
    UsageError,
)
from orch_frame.tool_words import MEANINGS, meaning_of

PING = 'pinging container registry 127.0.0.1:1: Get "https://127.0.0.1:1/v2/": '
READING = "reading manifest latest in 127.0.0.1:1/x: "
FETCHING = "Error fetching blob: invalid status code from registry "
TOKEN = "Requesting bearer token: invalid status code from registry "
CREDENTIALS = "getting username and password: 1 error occurred:\n\t* "
HELPER = "docker-credential-nonesuch"
REGISTRIES = '"/etc/containers/registries.conf"'
POLICY = 'invalid policy in "/etc/containers/policy.json": '
A, B = "sha256:" + 64 * "a", "sha256:" + 64 * "b"

# The status of each class is that of the table of exit statuses.
STATUSES = {
    UsageError: 2, InvalidImageError: 65, MismatchError: 65, LimitError: 65, StoreDamagedError: 65,
    NotFoundError: 66, ToolError: 69, SpaceError: 73, ReadOnlyError: 73, StorageIOError: 74,
    TransientError: 75, AuthError: 76, PolicyError: 76, ConfigError: 78,
}  # fmt: skip

WORDS: dict[type[OrchError], tuple[str, ...]] = {
    SpaceError: (
        "writing blob: storing blob to file: write /var/tmp/x: no space left on device",
        "write /store/x: disk quota exceeded",
    ),
    ReadOnlyError: ("mkdir /store/overlay: read-only file system",),
    StorageIOError: ("read /x: input/output error",),
    ConfigError: (
        f"{POLICY}invalid character ',' after top-level value",
        f"{POLICY}invalid character ']' looking for beginning of value",
        f'{POLICY}Unknown policy requirement type "nonsense"',
        f'{POLICY}Unknown key "defaul"',
        f"{POLICY}Default policy is missing",
        f"loading registries configuration {REGISTRIES}: toml: line 0 (last key "
        '"unqualified"): unexpected EOF; expected value',
        f"loading registries configuration: loading registries configuration {REGISTRIES}: "
        "mixing sysregistry v1/v2 is not supported",
        'loading drop-in registries configuration "/etc/containers/registries.conf.d/a.conf": '
        "toml: line 1: unexpected '=': key name appears blank",
        "parsing /etc/containers/registries.d/a.yaml: error converting YAML to JSON: yaml: line 1: "
        "did not find expected node content",
        f"{CREDENTIALS}error getting credentials - err: {HELPER} resolves to executable in current "
        f"directory (./{HELPER}), out: ``\n\n",
        f'{CREDENTIALS}error getting credentials - err: exec: "{HELPER}": executable file not '
        "found in $PATH, out: ``\n\n",
        f'{CREDENTIALS}reading JSON file "/a.json": unmarshaling JSON at "/a.json": unexpected end '
        "of JSON input\n\n",
        f"{CREDENTIALS}illegal base64 data at input byte 0\n\n",
        "missing client certificate a.cert for key a.key",
        f"{PING}http: server gave HTTP response to HTTPS client",
        f"{PING}tls: first record does not look like a TLS handshake",
    ),
    PolicyError: (
        "registry 127.0.0.1:1 is blocked in /etc/containers/registries.conf or "
        "/root/.config/containers/registries.conf.d",
        "open /etc/containers/policy.json: no such file or directory",
        "no policy.json file found at any of the following: x",
        "Source image rejected: Running image docker://127.0.0.1:1/x:1 is rejected by policy.",
        "Source image rejected: A signature was required, but no signature exists",
        "A signature was required, but no signature exists",
        f"{PING}x509: certificate signed by unknown authority",
        f"{PING}tls: failed to verify certificate: x509: certificate has expired",
        'Get "file:///etc/passwd": unsupported protocol scheme "file"',
        'fetching blob: Get "file:///x": unsupported protocol scheme "file"',
    ),
    MismatchError: (
        "corrupted blob, expecting sha256:00",
        "expected 5 bytes in blob, got 6",
        "expected -1 bytes in blob, got 6",
        "manifest does not match provided manifest digest sha256:00",
        f"Download config.json digest {A} does not match expected {B}",
        f"Digest did not match, expected {A}, got {B}",
    ),
    TransientError: (
        "toomanyrequests: You have reached your pull rate limit",
        "toomanyrequests: slow down",
        "too many requests to registry",
        "StatusCode: 429, later",
        f"{TOKEN}429 (Too Many Requests)",
        *(
            f"{READING}received unexpected HTTP status: {answer}"
            for answer in (
                "500 Internal Server Error", "502 Bad Gateway", "503 Service Unavailable",
                "504 Gateway Timeout", "507 Insufficient Storage", "520 ",
            )
        ),
        "StatusCode: 504, upstream timed out",
        f"{FETCHING}500 (Internal Server Error)",
        f"{FETCHING}502 (Bad Gateway)",
        f"{FETCHING}503 (Service Unavailable)",
        f"parsing image configuration: {FETCHING}503 (Service Unavailable)",
        f"{TOKEN}500 (Internal Server Error)",
        f"{TOKEN}503 (Service Unavailable)",
        "Requesting bearer token: received unexpected HTTP status: 500 Internal Server Error",
        f"{PING}stopped after 10 redirects",
        'Get "/v2/image/manifests/latest": stopped after 10 redirects',
        'Get "/token?scope=repository%3Aimage%3Apull&service=x": stopped after 10 redirects',
        f"{PING}dial tcp 127.0.0.1:1: connect: connection refused",
        f"{PING}read tcp 127.0.0.1:2->127.0.0.1:1: read: connection reset by peer",
        f"{PING}write: broken pipe",
        f"{PING}dial tcp: lookup x on 127.0.0.1:53: no such host",
        f"{PING}dial tcp: lookup x on 127.0.0.1:53: server misbehaving",
        f"{PING}dial tcp: lookup x: Temporary failure in name resolution",
        f"{PING}dial tcp 127.0.0.1:1: i/o timeout",
        f"{PING}net/http: TLS handshake timeout",
        f"{PING}dial tcp: connect: no route to host",
        f"{PING}dial tcp: connect: network is unreachable",
        f"{PING}EOF",
        f"{PING}unexpected EOF",
        "unexpected EOF",
        "reading blob sha256:x: unexpected EOF",
        f"{PING}context deadline exceeded (Client.Timeout exceeded while awaiting headers)",
        f"{PING}http2: server sent GOAWAY and closed the connection",
        f"{PING}http: server closed idle connection",
        "use of closed network connection",
        "loading image from docker engine: Cannot connect to the Docker daemon at x",
    ),
    AuthError: (
        f"{READING}unauthorized: authentication required",
        f"{READING}denied",
        f"{READING}denied: requested access to the resource is denied",
        f"{READING}StatusCode: 403, {{}}",
        "errors:\ndenied: requested access to the resource is denied",
        "StatusCode: 401, x",
        f"{FETCHING}403 (Forbidden)",
        "unable to retrieve auth token: invalid username/password: unauthorized: authentication "
        "required",
        f"{TOKEN}403 (Forbidden)",
        f"{TOKEN}404 (Not Found)",
        'decoding bearer token (body start "<html>"): invalid character',
        "exceeded maximum allowed size of 1048576 bytes",
    ),
    LimitError: ("exceeded maximum allowed size of 4194304 bytes",),
    StoreDamagedError: (
        "database static dir /a does not match our static dir /b: database configuration mismatch",
    ),
    ToolError: ("unknown flag: --policy", "unknown shorthand flag: 'z' in -z"),
    NotFoundError: (
        "open /nope/index.json: no such file or directory",
        'opening file "/nope": open /nope: no such file or directory',
        'creating temp directory: archive file not found: "/nope"',
        'no descriptor found for reference "nope"',
        'reference "[o@/r]localhost/n" does not resolve to an image ID',
        f"{READING}manifest unknown",
        "manifest unknown: manifest unknown",
        f"{READING}name unknown",
        f"{READING}name unknown: repository name not known to registry",
        f"{READING}StatusCode: 404, {{}}",
        "StatusCode: 404, 404 page not found",
        f"{FETCHING}404 (Not Found)",
        "localhost/x:1: image not known",
    ),
    UsageError: (
        'Invalid image name "foo:bar", unknown transport "foo"',
        "invalid reference format: repository name must be lowercase",
        "repository name must be lowercase",
    ),
    InvalidImageError: (
        "invalid character 'x' looking for beginning of value",
        "unexpected end of JSON input",
        "json: cannot unmarshal string into Go struct field",
        'parsing time "x" as "2006-01-02T15:04:05Z07:00": cannot parse',
        "no FSLayers in manifest",
        "unsupported schema version 0",
        "unsupported MIME type application/x",
        'unsupported docker v2s2 media type: "application/vnd.docker.image.rootfs.diff.tar.zstd"',
        'choosing image instance: no image found in image index for architecture amd64, variant "",'
        " OS linux",
        "parsing manifest: missing layers",
    ),
}  # fmt: skip
TABLE = [
    pytest.param(text, kind, id=f"{kind.kind}-{number}")
    for kind, texts in WORDS.items()
    for number, text in enumerate(texts)
]
NEW_WORDS = ("something that nobody has ever seen", f"{READING}StatusCode: 418, {{}}", "")


def refused_by_proxy(text: str) -> OrchError:
    script = {"OpenImage": lambda peer, name: peer.refuse(text)}
    with pytest.raises(OrchError) as caught, playing(OLD, **script):
        pass
    return caught.value


def failed_podman(text: str) -> OrchError:
    said = f"WARN[0000] no space left, 503 Service Unavailable\nError: initializing: {text}\n"
    return error_of("Pulling q.io/a", 125, said, image="q.io/a")


def failed_skopeo(text: str) -> OrchError:
    message = json.dumps(f'Error parsing image name "docker://127.0.0.1:1/x:1": {text}')
    said = f'time="2026-01-01T00:00:00Z" level=fatal msg={message}\n'
    return error_of("Asking what q.io/a is", 1, said, image="q.io/a")


DOORS = (refused_by_proxy, failed_podman, failed_skopeo)


@pytest.mark.parametrize(("text", "kind"), TABLE)
@pytest.mark.parametrize("door", DOORS)
def test_a_message_has_one_class_and_one_status_whichever_program_hears_it(door, text, kind):
    error = door(text)
    assert (type(error), error.exit_code) == (kind, STATUSES[kind])


@pytest.mark.parametrize(("text", "kind"), TABLE)
def test_both_programs_advise_the_same(text, kind):
    assert len({(error.hint, error.path) for error in (door(text) for door in DOORS)}) == 1


@pytest.mark.parametrize("text", NEW_WORDS)
def test_words_that_nobody_knows_are_any_other_error(text):
    errors = [door(text) for door in DOORS]
    assert [type(error) for error in errors] == [ProxyError, CommandError, CommandError]
    assert {error.exit_code for error in errors} == {1}


def test_every_class_of_the_table_has_words_here():
    assert {meaning.error for meaning in MEANINGS} == WORDS.keys()
    known = {meaning_of(text) for texts in WORDS.values() for text in texts}
    assert [meaning.summary for meaning in MEANINGS if meaning not in known] == []


@pytest.mark.parametrize(
    ("text", "file"),
    [
        (WORDS[ConfigError][0], "/etc/containers/policy.json"),
        (WORDS[ConfigError][5], "/etc/containers/registries.conf"),
        (WORDS[ConfigError][7], "/etc/containers/registries.conf.d/a.conf"),
        (WORDS[ConfigError][8], "/etc/containers/registries.d/a.yaml"),
        (WORDS[ConfigError][11], "/a.json"),
        (WORDS[ConfigError][12], None),
        ('Get "/v2/image/manifests/latest": stopped after 10 redirects', None),
    ],
)
def test_a_broken_configuration_is_named_by_its_file(text, file):
    assert {door(text).path for door in DOORS} == {file}


def test_who_is_refused_or_mistrusted_is_told_what_to_do():
    assert "--authfile" in failed_podman("unauthorized").hint
    assert "--cert-dir" in failed_podman("x509: no").hint
    assert "registries.conf" in failed_podman("server gave HTTP response to HTTPS client").hint


def test_a_place_that_is_not_followed_is_no_matter_of_certificates():
    assert "cert" not in failed_podman('Get "file:///x": unsupported protocol scheme "file"').hint


@pytest.mark.parametrize("meaning", MEANINGS, ids=lambda meaning: meaning.summary)
def test_each_summary_names_its_subject_as_it_stands_there(meaning):
    assert ("{subject}" in meaning.summary) == meaning.summary.startswith("{subject}")
    assert "{subject}" in meaning.summary or "{inner}" in meaning.summary
