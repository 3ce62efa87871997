# Sourced by debian-root and fresh-root: makes Debian roots and enters them.
# shellcheck shell=bash

# shellcheck disable=SC2034 # for those who source this
checkout=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
# shellcheck disable=SC2034
cache=${BOOTC_ORCH_CACHE:-/var/cache/bootc-orch}
me=$(basename "$0")

say() { printf '%s: %s\n' "$me" "$*" >&2; }
die() { say "$*"; exit 1; }

require_root() { [ "$(id -u)" = 0 ] || die "making and entering roots needs root"; }

mirror() {
    if [ -n "${BOOTC_ORCH_MIRROR:-}" ]; then
        echo "$BOOTC_ORCH_MIRROR"
        return
    fi
    local codename
    # shellcheck source=/dev/null
    codename=$(. /etc/os-release && echo "${VERSION_CODENAME:-}")
    # shellcheck disable=SC2016 # apt-get expands these
    apt-get indextargets --format '$(REPO_URI) $(RELEASE) $(COMPONENT)' 'Created-By: Packages' |
        awk -v release="$codename" '$2 == release && $3 == "main" { print $1; exit }'
}

# Proxies, certificates and age checks of this machine's apt: what decides whether the mirror answers.
# Hooks that start programs stay behind, for the programs are not in the root.
apt_settings() {
    apt-config dump | grep -iE '^Acquire::(http|https|ftp|Retries|Check-Date|Languages)\b' || true
    echo 'Acquire::Check-Valid-Until "false";'
}

copy_settings() {
    local target=$1 file
    apt_settings >"$target/etc/apt/apt.conf.d/90machine"
    # The bundle is for now; ca-certificates, when it is installed, makes it anew with these.
    mkdir -p "$target/usr/local/share"
    cp -rT /usr/local/share/ca-certificates "$target/usr/local/share/ca-certificates" 2>/dev/null || true
    for file in /etc/resolv.conf /etc/hosts /etc/pip.conf /etc/ssl/certs/ca-certificates.crt; do
        if [ -e "$file" ]; then
            mkdir -p "$target$(dirname "$file")"
            rm -f "$target$file"
            cp --dereference "$file" "$target$file"
        fi
    done
}

# make_debian SUITE DIRECTORY [PACKAGE...]
make_debian() {
    local suite=$1 target=$2 from settings
    shift 2
    command -v mmdebstrap >/dev/null || {
        say "installing mmdebstrap"
        apt-get -q update >&2
        DEBIAN_FRONTEND=noninteractive apt-get -q install --yes --no-install-recommends mmdebstrap >&2
    }
    from=$(mirror)
    [ -n "$from" ] || die "no Debian mirror in the apt sources; name one in BOOTC_ORCH_MIRROR"
    say "making $target from $from"
    settings=$(mktemp)
    apt_settings >"$settings"
    local include=()
    [ $# = 0 ] || include=("--include=$(IFS=,; echo "$*")")
    mmdebstrap --mode=root --variant=minbase --components=main "${include[@]}" \
        --aptopt="$settings" \
        --aptopt='Acquire::Check-Valid-Until "false"' \
        --aptopt='APT::Install-Recommends "false"' \
        "$suite" "$target" "$from" >&2
    rm -f "$settings"
    copy_settings "$target"
}

# Gives ROOT what a program expects of a running system.  For use in a mount namespace of its own, which
# takes all these mounts with it.
mount_system() {
    local root=$1 tmpfs
    # containers-storage remounts "/", which must therefore be a mount point.
    mount --bind "$root" "$root"
    mount -t proc proc "$root/proc"
    mount --rbind /sys "$root/sys"
    mount --rbind /dev "$root/dev"
    for tmpfs in dev/shm tmp run; do
        mount -t tmpfs -o mode=1777 tmpfs "$root/$tmpfs"
    done
    chmod 0755 "$root/run"
}

# enter_root ROOT DIRECTORY COMMAND...: becomes COMMAND inside ROOT.
enter_root() {
    local root=$1 directory=$2
    shift 2
    export HOME=/root TMPDIR=/tmp
    [ -d "$root${PIP_FIND_LINKS:-}" ] || unset PIP_FIND_LINKS
    export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
    # shellcheck disable=SC2016 # the inner shell expands these
    exec chroot "$root" /bin/sh -c 'cd "$0" && exec "$@"' "$directory" "$@"
}
