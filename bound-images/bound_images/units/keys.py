"""The keys that podman's generator accepts in each section; one that is not here stops a unit.

Source: podman-systemd.unit(5) of podman 5.8.
"""

from __future__ import annotations

from bound_images.errors import DefinitionError
from bound_images.units.unitfile import UnitFile


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


SECTION_KEYS: dict[str, frozenset[str]] = {
    "Artifact": _words(
        """
        Artifact AuthFile CertDir ContainersConfModule Creds DecryptionKey GlobalArgs
        PodmanArgs Quiet Retry RetryDelay ServiceName TLSVerify
        """
    ),
    "Build": _words(
        """
        Annotation Arch AuthFile BuildArg ContainersConfModule DNS DNSOption DNSSearch
        Environment File ForceRM GlobalArgs GroupAdd IgnoreFile ImageTag Label Network
        PodmanArgs Pull Retry RetryDelay Secret ServiceName SetWorkingDirectory
        TLSVerify Target Variant Volume
        """
    ),
    "Container": _words(
        """
        AddCapability AddDevice AddHost Annotation AppArmor AutoUpdate CgroupsMode
        ContainerName ContainersConfModule DNS DNSOption DNSSearch DropCapability
        Entrypoint Environment EnvironmentFile EnvironmentHost Exec ExposeHostPort
        GIDMap GlobalArgs Group GroupAdd HealthCmd HealthInterval HealthLogDestination
        HealthMaxLogCount HealthMaxLogSize HealthOnFailure HealthRetries
        HealthStartPeriod HealthStartupCmd HealthStartupInterval HealthStartupRetries
        HealthStartupSuccess HealthStartupTimeout HealthTimeout HostName HttpProxy IP
        IP6 Image Label LogDriver LogOpt Mask Memory Mount Network NetworkAlias
        NoNewPrivileges Notify PidsLimit Pod PodmanArgs PublishPort Pull ReadOnly
        ReadOnlyTmpfs ReloadCmd ReloadSignal RemapGid RemapUid RemapUidSize RemapUsers
        Retry RetryDelay Rootfs RunInit SeccompProfile Secret SecurityLabelDisable
        SecurityLabelFileType SecurityLabelLevel SecurityLabelNested SecurityLabelType
        ServiceName ShmSize StartWithPod StopSignal StopTimeout SubGIDMap SubUIDMap
        Sysctl Timezone Tmpfs UIDMap Ulimit Unmask User UserNS VolatileTmp Volume
        WorkingDir
        """
    ),
    "Image": _words(
        """
        AllTags Arch AuthFile CertDir ContainersConfModule Creds DecryptionKey
        GlobalArgs Image ImageTag OS PodmanArgs Policy Retry RetryDelay ServiceName
        TLSVerify Variant
        """
    ),
    "Kube": _words(
        """
        AutoUpdate ConfigMap ContainersConfModule ExitCodePropagation GlobalArgs
        KubeDownForce LogDriver LogOpt Network PodmanArgs PublishPort RemapGid RemapUid
        RemapUidSize RemapUsers ServiceName SetWorkingDirectory UserNS Yaml
        """
    ),
    "Network": _words(
        """
        ContainersConfModule DNS DisableDNS Driver Gateway GlobalArgs IPAMDriver IPRange
        IPv6 InterfaceName Internal Label NetworkDeleteOnStop NetworkName Options
        PodmanArgs ServiceName Subnet
        """
    ),
    "Pod": _words(
        """
        AddHost ContainersConfModule DNS DNSOption DNSSearch ExitPolicy GIDMap
        GlobalArgs HostName IP IP6 Label Network NetworkAlias PodName PodmanArgs
        PublishPort RemapGid RemapUid RemapUidSize RemapUsers ServiceName ShmSize
        StopTimeout SubGIDMap SubUIDMap UIDMap UserNS Volume
        """
    ),
    "Volume": _words(
        """
        ContainersConfModule Copy Device Driver GlobalArgs Group Image Label Options
        PodmanArgs ServiceName Type User VolumeName
        """
    ),
    "Quadlet": frozenset({"DefaultDependencies"}),
}


def unknown_keys(unit: UnitFile, section: str) -> tuple[str, ...]:
    """Return the keys in *section* and ``[Quadlet]`` that the generator does not know."""
    return tuple(
        key
        for name in (section, "Quadlet")
        for key in unit.keys(name)
        if key not in SECTION_KEYS[name]
    )


def check_keys(unit: UnitFile, section: str, *, source: str) -> None:
    """Refuse what makes the generator drop the whole unit.

    Raises:
        DefinitionError: a key in *section* or ``[Quadlet]`` is unknown.
    """
    if unknown := unknown_keys(unit, section):
        raise DefinitionError(
            f"{source}: podman knows no key {unknown[0]} in [{section}], and drops the unit.",
            hint="Keys are case-sensitive; see podman-systemd.unit(5).",
            path=source,
        )
