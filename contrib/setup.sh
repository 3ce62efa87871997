# Sourced by quickstart and test: packages, and the virtual environment.  Nothing here asks a question.
# shellcheck shell=bash

checkout=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
# What is made stays in the checkout, or with the user where the checkout cannot be written.
place=$checkout
[ -w "$checkout" ] || place=${XDG_CACHE_HOME:-$HOME/.cache}/bootc-orch
venv=${BOOTC_ORCH_VENV:-$place/.venv}
# What the program itself needs; each entry is PROGRAM:PACKAGE, or FILE:PACKAGE.
# shellcheck disable=SC2034
runtime=(ostree:ostree skopeo:skopeo podman:podman setpriv:util-linux unshare:util-linux)
me=$(basename "$0")

say() { printf '%s: %s\n' "$me" "$*" >&2; }
die() { say "$*"; exit 1; }

# Runs a command and shows it first.
show() { printf '+ %s\n' "$*" >&2; "$@"; }

# Says whether this system has a program, or a file with an absolute path.
have() {
    case $1 in
    /*) [ -e "$1" ] ;;
    *) PATH=$PATH:/usr/sbin:/sbin command -v "$1" >/dev/null ;;
    esac
}

# Prints the packages whose programs or files are missing; arguments are PROGRAM:PACKAGE.
missing_packages() {
    local pair
    for pair; do
        have "${pair%%:*}" || echo "${pair#*:}"
    done | sort -u
    # Debian has the two parts of python3-venv apart from Python itself.
    if ! python3 -c 'import ensurepip, venv' 2>/dev/null; then
        printf '%s\n' python3 python3-venv
    fi
}

# Installs the packages whose programs or files are missing; arguments are PROGRAM:PACKAGE.
install_missing() {
    local packages as_root=()
    mapfile -t packages < <(missing_packages "$@")
    if [ ${#packages[@]} = 0 ]; then
        say "all packages are there"
        return
    fi
    if ! command -v apt-get >/dev/null; then
        die "please install, by the names that your system has for them: ${packages[*]}"
    fi
    if [ "$(id -u)" != 0 ]; then
        command -v sudo >/dev/null || die "please install as root: apt-get install ${packages[*]}"
        as_root=(sudo)
    fi
    say "installing packages: ${packages[*]}"
    show "${as_root[@]}" apt-get -q update ||
        say "some package sources did not answer; going on with those that did"
    show "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get -q install --yes \
        --no-install-recommends ca-certificates "${packages[@]}"
}

# Makes $venv hold this checkout and its dependencies; $1 is "" or "tests".  One that does is left alone.
ensure_venv() {
    local extra=$1 key
    python3 -c 'import sys; sys.exit(sys.version_info < (3, 11))' ||
        die "Python 3.11 or newer is needed, this is $(python3 --version)"
    key=$(python3 --version; echo "$checkout"; sha256sum <"$checkout/pyproject.toml")
    if venv_has "$key tests" || venv_has "$key $extra"; then
        say "using $venv"
        return
    fi
    say "making a virtual environment in $venv"
    if ! "$venv/bin/python" -m pip --version >/dev/null 2>&1; then
        mkdir -p "$place"
        show python3 -m venv --clear "$venv"
    fi
    show "$venv/bin/pip" install --quiet --disable-pip-version-check \
        --editable "$checkout${extra:+[$extra]}"
    echo "$key $extra" >"$venv/.bootc-orch"
}

venv_has() {
    [ "$(cat "$venv/.bootc-orch" 2>/dev/null)" = "$1" ] && "$venv/bin/python" -c 'import typer'
}
