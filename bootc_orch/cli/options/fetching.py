"""How layers are fetched, as every command that fetches any lets its user say."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bootc_orch.cli.options.general import LockTimeout, config, exclusive, first_given, lock_timeout

if TYPE_CHECKING:
    from bootc_orch.ops.opening.pull_plan import PullOptions
    from bootc_orch.tools.proxy.options import ProxyOptions


@dataclass(frozen=True, slots=True, kw_only=True)
class Fetching:
    """The options, None where the command line leaves it to the configuration or the default."""

    jobs: Annotated[
        int | None,
        typer.Option(
            "--jobs", "-j", min=1, max=64, metavar="N", help="How many layers to fetch at once."
        ),
    ] = None
    retries: Annotated[
        int | None,
        typer.Option(
            "--retries",
            min=0,
            max=100,
            metavar="N",
            help="How often to try again what may pass later.",
        ),
    ] = None
    retry_delay: Annotated[
        float | None,
        typer.Option(
            "--retry-delay",
            min=0,
            metavar="SECONDS",
            help="The pause before the first of these; it doubles each time.",
        ),
    ] = None
    authfile: Annotated[
        Path | None,
        typer.Option("--authfile", metavar="FILE", help="Credentials for registries."),
    ] = None
    auth_anonymous: Annotated[
        bool, typer.Option("--auth-anonymous", help="Send no credentials, whatever is configured.")
    ] = False
    cert_dir: Annotated[
        Path | None,
        typer.Option("--cert-dir", metavar="DIR", help="Certificates (.crt, .cert, .key)."),
    ] = None
    insecure_skip_tls_verification: Annotated[
        bool,
        typer.Option(
            "--insecure-skip-tls-verification", help="Accept any certificate, and plain HTTP."
        ),
    ] = False
    offline: Annotated[
        bool, typer.Option("--offline", help="Fetch nothing: only what is stored will do.")
    ] = False
    wait: LockTimeout = None

    def proxy_options(self, *, unprivileged: bool = False) -> ProxyOptions:
        """Combine what the command line and the configuration say of reaching registries.

        Raises:
            UsageError: credentials and none are asked for at once.
        """
        from bootc_orch.tools.proxy.options import ProxyOptions
        from bootc_orch.tools.proxy.timers import Timers

        exclusive(authfile=self.authfile, auth_anonymous=self.auth_anonymous)
        timeout = config().timeout
        timers = Timers() if timeout is None else Timers(timeout, first_byte=timeout, stall=timeout)
        return ProxyOptions(
            authfile=(
                None if self.auth_anonymous else first_given(self.authfile, config().authfile, None)
            ),
            anonymous=self.auth_anonymous,
            cert_dir=self.cert_dir,
            insecure=self.insecure_skip_tls_verification,
            unprivileged=unprivileged,
            timers=timers,
        )

    def pull_options(
        self, *, var_content: str = "auto", unprivileged: bool = False, allow_ima: bool = False
    ) -> PullOptions:
        """Combine the options of the command line with the configuration and the defaults.

        Raises:
            UsageError: credentials and none are asked for at once.
        """
        from bootc_orch.ops.opening.pull_plan import PullOptions, VarContent

        proxy = self.proxy_options(unprivileged=unprivileged)
        defaults = PullOptions(proxy)
        chosen = config()
        return PullOptions(
            proxy,
            jobs=first_given(self.jobs, chosen.jobs, defaults.jobs),
            retries=first_given(self.retries, chosen.retries, defaults.retries),
            retry_delay=first_given(self.retry_delay, chosen.retry_delay, defaults.retry_delay),
            var_content=VarContent(var_content),
            offline=self.offline,
            lock_timeout=lock_timeout(self.wait),
            allow_ima=allow_ima,
        )
