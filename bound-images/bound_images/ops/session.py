"""What a command that resolves images has open: the locked store, the source, the resolver."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from bound_images.locking import locked
from bound_images.programs import Runner
from bound_images.rootfs import Root
from bound_images.settings import SyncOptions
from bound_images.sources.access import AccessBroker
from bound_images.sources.resolve import Resolver
from bound_images.sources.source import Source, open_source, split_source
from bound_images.storage.store import ImageStore, open_store, sweep_spool
from bound_images.where import check_store, private_directory, state_directory


@dataclass(frozen=True, slots=True)
class Session:
    """What is open.

    Attributes:
        store: The store; None where there is none and none was to be made.
        source: Where images come from.
        resolver: Asks the source.
    """

    store: ImageStore | None
    source: Source
    resolver: Resolver


@contextmanager
def open_session(
    root: Root | None, store: Path | None, options: SyncOptions, runner: Runner, *, create: bool
) -> Iterator[Session]:
    """Lock and open what is needed, and close it afterwards.

    Args:
        root: The root whose files the definitions name.
        store: The store; None to do without.
        options: How to go about it.
        runner: Starts the programs.
        create: Whether the store is going to be written, and made where it is missing.

    Raises:
        UsageError: the options name a source that is none.
        NotFoundError: the store, or the source, is something else or not there.
        OrchError: the store cannot be locked or made.
    """
    if options.source is not None:
        split_source(options.source)
    if store is not None:
        check_store(store)
    with ExitStack() as stack:
        work = stack.enter_context(private_directory())
        images, spool = None, work
        if store is not None and (create or store.is_dir()):
            state = state_directory(store)
            stack.enter_context(
                locked(state, shared=not create, timeout=options.transfer.lock_timeout)
            )
            if create:
                sweep_spool(state)
            images = stack.enter_context(open_store(store, work=work, runner=runner, create=create))
            spool = images.spool
        source = open_source(options, spool=spool, runner=runner)
        broker = AccessBroker(work, root, options.transfer, host_files=options.host_files)
        yield Session(images, source, Resolver(runner, broker, source, options))
