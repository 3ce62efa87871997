"""Quadlet trees for the comparison with podman's generator.

Each tree maps paths to content.  A path without a leading slash lies in
/usr/share/containers/systemd; content that begins with `-> ` is a symbolic link.
"""
# ruff: noqa: E501 - one tree a line is easier to read

IMG = "[Image]\nImage=quay.io/app/web:1\n"
CTR = "[Container]\nImage=quay.io/app/web:1\n"


def image(*lines):
    return {"a.image": "\n".join(["[Image]", "Image=quay.io/app/web:1", *lines, ""])}


def container(*lines, **others):
    files = {"a.container": "\n".join(["[Container]", "Image=quay.io/app/web:1", *lines, ""])}
    return files | {name.replace("_", "."): text for name, text in others.items()}


TREES = {
    # one tree for each key of [Image]
    "image-plain": image(),
    "image-all-tags": image("AllTags=true"),
    "image-all-tags-off": image("AllTags=no"),
    "image-arch": image("Arch=arm64"),
    "image-arch-empty": image("Arch=arm64", "Arch="),
    "image-authfile": image("AuthFile=/etc/app/auth.json"),
    "image-certdir": image("CertDir=/etc/app/certs"),
    "image-creds": image("Creds=user:p%%ss=word"),
    "image-decryption-key": image("DecryptionKey=/etc/key.pem:file=/etc/pass"),
    "image-os": image("OS=linux"),
    "image-variant": image("Variant=v8"),
    "image-policy": image("Policy=missing"),
    "image-retry": image("Retry=7", "RetryDelay=10s"),
    "image-tls-on": image("TLSVerify=1"),
    "image-tls-off": image("TLSVerify=off"),
    "image-tls-nonsense-is-false": image("TLSVerify=maybe"),
    "image-tls-shouted": image("TLSVerify=YES"),
    "image-tls-empty-is-false": image("TLSVerify="),
    "image-modules": image("ContainersConfModule=/etc/nvd.conf", "ContainersConfModule=b.conf"),
    "image-modules-reset": image("ContainersConfModule=/a.conf", "ContainersConfModule="),
    "image-global-args": image("GlobalArgs=--log-level=debug --syslog", 'GlobalArgs=--foo "a b"'),
    "image-podman-args": image("PodmanArgs=--os windows --variant=v7", "PodmanArgs='--a b'"),
    "image-podman-args-reset": image("PodmanArgs=--one", "PodmanArgs=", "PodmanArgs=--two"),
    "image-podman-args-escapes": image(r"PodmanArgs=--x=a\x20b --y=\t --z=\u00e9 --o=\101"),
    "image-podman-args-bad-escape": image(r"PodmanArgs=--x=\q --y", "PodmanArgs=--kept"),
    "image-podman-args-empty-word": image('PodmanArgs=--x "" --y'),
    "image-podman-args-open-quote": image('PodmanArgs=--x "a b'),
    "image-tag": image("ImageTag=localhost/web:hand"),
    "image-service-name": image("ServiceName=other"),
    "image-default-dependencies": image("[Quadlet]", "DefaultDependencies=false"),
    "image-all-keys": image(
        "Arch=arm64", "AuthFile=/a", "CertDir=/c", "OS=linux", "Variant=v8", "Policy=newer",
        "Retry=2", "RetryDelay=1m", "TLSVerify=true", "AllTags=0", "PodmanArgs=-q",
    ),
    # forms of a value
    "value-last-wins": {"a.image": "[Image]\nImage=quay.io/one:1\nImage=quay.io/two:2\n"},
    "value-empty-is-refused": {"a.image": "[Image]\nImage=quay.io/one:1\nImage=\n"},
    "value-missing": {"a.image": "[Image]\nArch=arm64\n"},
    "value-quoted": {"a.image": '[Image]\nImage="quay.io/one:1"\n'},
    "value-single-quotes-stay": {"a.image": "[Image]\nImage='quay.io/one:1'\n"},
    "value-half-quoted": {"a.image": '[Image]\nImage="quay.io/one:1\n'},
    "value-spaces": {"a.image": "[Image]\n  Image  =   quay.io/one:1  \t\n"},
    "value-no-break-space": {"a.image": "[Image]\nImage=\u00a0quay.io/one:1\u2003\n"},
    "value-crlf": {"a.image": "[Image]\r\nImage=quay.io/one:1\r\nArch=arm64\r\n"},
    "value-no-final-newline": {"a.image": "[Image]\nImage=quay.io/one:1"},
    "value-continued": {"a.image": "[Image]\nImage=quay.io/one\\\n:1\n"},
    "value-continued-indented": {"a.image": "[Image]\nPodmanArgs=--a \\\n   --b\nImage=quay.io/x:1\n"},
    "value-continued-over-comment": {
        "a.image": "[Image]\nPodmanArgs=--a \\\n# not this\n; nor this\n --b\nImage=quay.io/x:1\n"
    },
    "value-continued-over-blank": {"a.image": "[Image]\nPodmanArgs=--a \\\n\n--b\nImage=q.io/x:1\n"},
    "value-continued-at-end": {"a.image": "[Image]\nImage=quay.io/one:1\\"},
    "value-continued-into-nothing": {"a.image": "[Image]\nImage=quay.io/one:1\nArch=\\\n# end"},
    "value-with-equals": {"a.image": "[Image]\nImage=quay.io/one:1\nPodmanArgs=--x=a=b\n"},
    "value-percent": {"a.image": "[Image]\nImage=quay.io/one:%%1\n"},
    "value-short-name": {"a.image": "[Image]\nImage=nginx\n"},
    "value-digest": {"a.image": f"[Image]\nImage=quay.io/one:v1@sha256:{'ab' * 32}\n"},
    "value-transport": {"a.image": "[Image]\nImage=docker-archive:/x.tar\nImageTag=localhost/x:1\n"},
    # forms of a file
    "file-comments": {"a.image": "# one\n; two\n\n[Image]\n#three\nImage=quay.io/one:1\n;four\n"},
    "file-two-sections-of-one-name": {
        "a.image": "[Image]\nImage=quay.io/one:1\n[Service]\nRestart=no\n[Image]\nArch=arm64\n"
    },
    "file-section-with-blanks": {"a.image": "[Image]  \t\nImage=quay.io/one:1\n"},
    "file-section-is-case-sensitive": {"a.image": "[image]\nImage=quay.io/one:1\n"},
    "file-key-is-case-sensitive": {"a.image": "[Image]\nimage=quay.io/one:1\n"},
    "file-unknown-key": image("PullSecret=x"),
    "file-unknown-quadlet-key": image("[Quadlet]", "Foo=x"),
    "file-unknown-section": image("[X-Mine]", "Foo=x"),
    "file-no-section": {"a.image": "Image=quay.io/one:1\n"},
    "file-garbage": {"a.image": "[Image]\nImage=quay.io/one:1\nnonsense\n"},
    "file-bom": {"a.image": "\ufeff[Image]\nImage=quay.io/one:1\n"},
    "file-empty": {"a.image": ""},
    "file-linked": {"a.image": "-> ../../../lib/app/real.image", "/usr/lib/app/real.image": IMG},
    "file-in-subdirectory": {"web/a.image": IMG},
    "file-parent-beats-subdirectory": {
        "dup.image": IMG,
        "zz/dup.image": "[Image]\nImage=quay.io/other:2\n",
    },
    "file-etc-beats-usr": {
        "dup.image": IMG,
        "/etc/containers/systemd/dup.image": "[Image]\nImage=quay.io/other:2\n",
    },
    # drop-ins
    "dropin-own": {"a.image": IMG, "a.image.d/10.conf": "[Image]\nImage=quay.io/new:2\n"},
    "dropin-adds-option": {"a.image": IMG, "a.image.d/10.conf": "[Image]\nArch=arm64\n"},
    "dropin-not-conf": {"a.image": IMG, "a.image.d/10.txt": "[Image]\nImage=quay.io/new:2\n"},
    "dropin-order": {
        "a.image": IMG,
        "a.image.d/20.conf": "[Image]\nImage=quay.io/twenty:1\n",
        "a.image.d/10.conf": "[Image]\nImage=quay.io/ten:1\n",
    },
    "dropin-type": {"a.image": IMG, "image.d/10.conf": "[Image]\nRetry=9\n"},
    "dropin-dashes": {
        "a-b-c.image": IMG,
        "a-.image.d/1.conf": "[Image]\nArch=one\n",
        "a-b-.image.d/2.conf": "[Image]\nOS=two\n",
        "a-b-c.image.d/3.conf": "[Image]\nVariant=three\n",
    },
    "dropin-specific-hides-broad": {
        "a-b.image": IMG,
        "a-.image.d/1.conf": "[Image]\nArch=broad\n",
        "a-b.image.d/1.conf": "[Image]\nArch=specific\n",
        "image.d/1.conf": "[Image]\nArch=type\n",
    },
    "dropin-broad-merged-later-by-name": {
        "a.image": IMG,
        "a.image.d/1.conf": "[Image]\nArch=specific\n",
        "image.d/2.conf": "[Image]\nArch=type\n",
    },
    "dropin-from-etc": {
        "a.image": IMG,
        "/etc/containers/systemd/a.image.d/1.conf": "[Image]\nImage=quay.io/admin:1\n",
    },
    "dropin-etc-hides-usr": {
        "a.image": IMG,
        "a.image.d/1.conf": "[Image]\nArch=usr\n",
        "/etc/containers/systemd/a.image.d/1.conf": "[Image]\nArch=etc\n",
    },
    "dropin-resets-list": {
        "a.image": "[Image]\nImage=quay.io/x:1\nPodmanArgs=--a\n",
        "a.image.d/1.conf": "[Image]\nPodmanArgs=\nPodmanArgs=--b\n",
    },
    "dropin-of-subdirectory-unit": {
        "web/a.image": IMG,
        "web/a.image.d/1.conf": "[Image]\nArch=sub\n",
        "a.image.d/2.conf": "[Image]\nOS=top\n",
    },
    "dropin-broken": {"a.image": IMG, "a.image.d/1.conf": "nonsense\n"},
    "dropin-container-image": {
        "a.container": CTR,
        "a.container.d/1.conf": "[Container]\nImage=quay.io/new:2\n",
    },
    # templates
    "template-bare": {"t@.container": CTR},
    "template-instance": {
        "t@.container": "[Container]\nImage=quay.io/app/web:%i\n",
        "t@blue.container": "-> t@.container",
    },
    "template-instance-dropin": {
        "t@.container": CTR,
        "t@blue.container": "-> t@.container",
        "t@blue.container.d/1.conf": "[Container]\nImage=quay.io/blue:1\n",
        "t@.container.d/2.conf": "[Container]\nRetry=4\n",
    },
    "template-dashed-dropin": {
        "a-t@.container": CTR,
        "a-t@x.container": "-> a-t@.container",
        "a-@.container.d/1.conf": "[Container]\nRetry=1\n",
        "a-.container.d/2.conf": "[Container]\nRetryDelay=2s\n",
    },
    "template-image": {
        "t@.image": "[Image]\nImage=quay.io/app:%i\n",
        "t@one.image": "-> t@.image",
    },
    "template-default-instance": {
        "t@.container": CTR + "[Install]\nDefaultInstance=main\nWantedBy=default.target\n"
    },
    # containers
    "container-plain": container(),
    "container-quoted": {"a.container": '[Container]\nImage="quay.io/q:1"\n'},
    "container-rootfs": {"a.container": "[Container]\nRootfs=/srv/root\n"},
    "container-image-and-rootfs": container("Rootfs=/srv/root"),
    "container-neither": {"a.container": "[Container]\nExec=true\n"},
    "container-pull-retry": container("Pull=never", "Retry=5", "RetryDelay=3s"),
    "container-exec-looks-like-an-image": container("Exec=quay.io/not/this:1 --flag"),
    "container-global-args": container(
        "GlobalArgs=--storage-opt=additionalimagestore=/usr/lib/bootc/storage"
    ),
    "container-of-image": {"a.container": "[Container]\nImage=b.image\n", "b.image": IMG},
    "container-of-image-with-tag": {
        "a.container": "[Container]\nImage=b.image\n",
        "b.image": IMG + "ImageTag=localhost/hand:1\n",
    },
    "container-of-missing-image": {"a.container": "[Container]\nImage=b.image\n"},
    "container-of-build": {
        "a.container": "[Container]\nImage=b.build\n",
        "b.build": "[Build]\nImageTag=localhost/one:1\nImageTag=localhost/two:2\nFile=/x\n",
    },
    "container-of-missing-build": {"a.container": "[Container]\nImage=b.build\n"},
    "container-mount-image": container("Mount=type=image,source=quay.io/data:1,destination=/d"),
    "container-mount-image-src-last": container("Mount=type=image,src=quay.io/a:1,src=quay.io/b:2,dst=/d"),
    "container-mount-image-unit": container(
        "Mount=type=image,source=b.image,destination=/d", b_image="[Image]\nImage=quay.io/data:2\n"
    ),
    "container-mount-image-unit-missing": container("Mount=type=image,source=b.image,dst=/d"),
    "container-mount-quoted": container('Mount=type=image,"source=quay.io/data:1",destination=/d'),
    "container-mount-words": container('Mount="type=image,source=quay.io/data:1,destination=/a b"'),
    "container-mount-no-source": container("Mount=type=image,destination=/d"),
    "container-mount-tmpfs": container("Mount=type=tmpfs,destination=/d"),
    "container-mount-bind": container("Mount=type=bind,source=/srv,destination=/d"),
    "container-mount-default-type": container(
        "Mount=source=v.volume,destination=/d",
        v_volume="[Volume]\nDriver=image\nImage=quay.io/vol:1\n",
    ),
    "container-mount-artifact": container(
        "Mount=type=artifact,source=m.artifact,destination=/d",
        m_artifact="[Artifact]\nArtifact=quay.io/model:1\n",
    ),
    "container-volume-of-image": container(
        "Volume=v.volume:/data:ro", v_volume="[Volume]\nDriver=image\nImage=quay.io/vol:1\n"
    ),
    "container-volume-plain": container("Volume=v.volume:/data", v_volume="[Volume]\n"),
    "container-volume-missing": container("Volume=v.volume:/data"),
    "container-volume-path": container("Volume=/srv/x.volume:/data"),
    "container-in-pod": container(
        "Pod=p.pod", p_pod="[Pod]\nPodmanArgs=--infra-image=quay.io/pause:3\n"
    ),
    "container-in-missing-pod": container("Pod=p.pod"),
    "container-unknown-key": container("Imagee=x"),
    # the other types
    "volume-image": {"v.volume": "[Volume]\nDriver=image\nImage=quay.io/vol:1\n"},
    "volume-image-of-unit": {"v.volume": "[Volume]\nDriver=image\nImage=b.image\n", "b.image": IMG},
    "volume-image-missing": {"v.volume": "[Volume]\nDriver=image\n"},
    "volume-image-without-driver": {"v.volume": "[Volume]\nImage=quay.io/vol:1\n"},
    "volume-of-build": {
        "v.volume": "[Volume]\nDriver=image\nImage=b.build\n",
        "b.build": "[Build]\nImageTag=localhost/one:1\nFile=/x\n",
    },
    "build-tags": {"b.build": "[Build]\nImageTag=localhost/one:1\nImageTag=localhost/two:2\nFile=/x\n"},
    "build-tag-reset": {"b.build": "[Build]\nImageTag=localhost/a\nImageTag=\nImageTag=localhost/b\nFile=/x\n"},
    "build-no-tag": {"b.build": "[Build]\nFile=/x\n"},
    "artifact": {"m.artifact": "[Artifact]\nArtifact=quay.io/model:1\nTLSVerify=false\nRetry=2\n"},
    "artifact-missing": {"m.artifact": "[Artifact]\nQuiet=true\n"},
    "pod-plain": {"p.pod": "[Pod]\nPodName=web\n"},
    "pod-infra": {"p.pod": "[Pod]\nPodmanArgs=--infra-image quay.io/pause:3\n"},
    "pod-volume": {
        "p.pod": "[Pod]\nVolume=v.volume:/d\n",
        "v.volume": "[Volume]\nDriver=image\nImage=quay.io/vol:1\n",
    },
    "kube": {"k.kube": "[Kube]\nYaml=k.yml\n", "k.yml": "kind: Pod\nspec: {containers: [{image: quay.io/k:1}]}\n"},
    "kube-two-files": {
        "k.kube": "[Kube]\nYaml=k.yml 'l m.yml'\n",
        "k.yml": "kind: Pod\nspec: {containers: [{image: quay.io/k:1}]}\n",
        "l m.yml": "kind: Pod\nspec: {containers: [{image: quay.io/l:1}]}\n",
    },
    "kube-absolute": {
        "k.kube": "[Kube]\nYaml=/usr/lib/app/k.yml\n",
        "/usr/lib/app/k.yml": "kind: Pod\nspec: {containers: [{image: quay.io/k:1}]}\n",
    },
    "kube-no-yaml": {"k.kube": "[Kube]\n"},
    "kube-open-quote": {"k.kube": "[Kube]\nYaml='k.yml\n", "k.yml": "kind: Pod\n"},
    "several-units": {
        "a.image": IMG,
        "b.container": "[Container]\nImage=a.image\nVolume=v.volume:/v\n",
        "v.volume": "[Volume]\nDriver=image\nImage=quay.io/vol:1\n",
    },
}  # fmt: skip

# What podman's generator lets pass or refuses for reasons that are not about images, and why ours
# decides otherwise: (tree, unit) -> reason.
DIFFERENT = {
    ("dropin-broken", "a.image"): "the generator goes on with the drop-in left out",
}


def write_tree(tree, root):
    """Write the tree called *tree* below *root*."""
    for name, content in TREES[tree].items():
        path = root / (
            name.lstrip("/") if name.startswith("/") else f"usr/share/containers/systemd/{name}"
        )
        path.parent.mkdir(parents=True, exist_ok=True)
        if content.startswith("-> "):
            path.symlink_to(content[3:])
        else:
            path.write_bytes(content.encode())
