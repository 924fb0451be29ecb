"""The runtime: the one object that owns everything open, and closes it.

It connects a storage, a snapshot, the workers and the gateway's application. The caller decides which parts run.
``framework.serving.server`` serves it on a port.
"""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager

from framework.access import audit
from framework.access.accounts import record_roles
from framework.access.roles import Roles
from framework.access.tokens import Tokens
from framework.definitions import Definitions
from framework.errors import CannotOpen, Stopping, StorageError
from framework.gateway import logon
from framework.gateway.app import Gateway
from framework.gateway.authentication import Authentication
from framework.gateway.forwarding.failover import Forwarding
from framework.gateway.wire.limits import DEFAULTS, Limits
from framework.process.shutdown import GRACE
from framework.process.watchdog import Watchdog
from framework.queue.fifo import Fifos
from framework.queue.policies import Policies, to_json
from framework.script.callout import Callout
from framework.script.debug import DebugChannel
from framework.script.settings import Settings
from framework.serving import neighbours, retention
from framework.serving.housekeeping import keep_house
from framework.serving.snapshot import Snapshot, bind
from framework.storage import Storage, open_storage
from framework.storage.holds import Hold
from framework.storage.operations import BeginStop, RecordPolicy, Release
from framework.storage.statements import Statements
from framework.transactions.block import Block
from framework.transactions.session import Session
from framework.values import jsontext
from framework.workers.reflector import Reflector

logger = logging.getLogger("framework.runtime")

# At a shutdown, acknowledgements that the database does not accept are given up after this many seconds. Their items
# are offered again at the next start.
SETTLE_GRACE = 5.0

End = Callable[[], Awaitable[None]]

START_WAIT = 10.0  # seconds that a start waits for another one on the same database


class Runtime:
    """Definitions at work on a database. Made by :func:`open_runtime`."""

    def __init__(
        self,
        definitions: Definitions,
        *,
        environ: Mapping[str, str] = os.environ,
        logon_expiry: float = logon.DEFAULT_EXPIRY,
        folder: str | None = None,
    ) -> None:
        jsontext.allow_long_numbers()
        self._logon_expiry = logon_expiry
        self._environ = environ
        self._folder = folder
        self.beside = neighbours.Beside()
        self.session = Session()
        self.debug = DebugChannel()
        self.callout = Callout()
        self._forwarding = Forwarding()
        self._policies = Policies(definitions.fifos)
        self._fifos = Fifos(self.session, self._policies)
        self.snapshot: Snapshot = bind(
            definitions,
            session=self.session,
            fifos=self._fifos,
            debug=self.debug,
            callout=self.callout,
            settings=Settings(environ),
        )
        self._reflector: Reflector | None = None
        self._announcing: asyncio.Task[None] | None = None
        self._closing = AsyncExitStack()
        self._left_running = False  # ended blocks have left threads that continue

    async def start(
        self, storage: Storage, *, workers: bool = True, gateway: bool = True, limits: Limits = DEFAULTS
    ) -> Gateway | None:
        """Update the tables, define methods, run modules and the top level of workers, and start the workers. Return
        the gateway.

        A runtime that serves nothing (a REPL) leaves policies and housekeeping to the servers. Raises ``CannotOpen``
        if the tables do not match, and whatever the top level of a definition raises.
        """
        self._closes("the forwarding", self._forwarding.close)
        self._closes("the callouts", self.callout.close)
        kept = retention.from_environ(self._environ)
        serving = workers or gateway
        await self._join(storage, serving=serving, gateway=gateway)
        self.session.bind(storage)
        self.callout.open()
        self.debug.connect(storage.broadcast)
        self.snapshot.atoms.define_methods(self.snapshot.scope)
        self.snapshot.scope["context"].run_modules()
        if serving:
            self._watch_over(kept)
        app = None
        if gateway:
            app = self._make_gateway(storage, limits)
            self.callout.connect(app.call)
        if workers:
            self._reflector = Reflector(self.snapshot.workers, self.session, self.snapshot.scope)
            self._reflector.start()
        return app

    def _watch_over(self, kept: retention.Retention) -> None:
        """The background tasks of a server. They end by themselves when the session stops."""
        self._closing.callback(Watchdog().stop)
        followed = asyncio.create_task(audit.follow(self.session), name="audit")
        self._closes("the log of what operators do", lambda: followed)
        housekeeping = asyncio.create_task(keep_house(self.session, kept), name="housekeeping")
        self._closes("the housekeeping", lambda: housekeeping)

    async def _join(self, storage: Storage, *, serving: bool, gateway: bool) -> None:
        """Check the running servers, update the tables, and become one of the servers.

        Only one start runs at a time, so that each sees the other.
        """
        mine = neighbours.reliance(self.snapshot.definitions, self.snapshot.atoms.records)
        try:
            async with asyncio.timeout(START_WAIT) as bound, storage.alone("(start)"):
                bound.reschedule(None)
                with Hold(storage.disowned):
                    self.beside = neighbours.compare(mine, await neighbours.running(storage))
                    await storage.ensure_tables(self.snapshot.atoms.records)
                    self._policies.adopt(self.beside.policies)
                    if serving:
                        await self._record_policies(storage)
                        await neighbours.enter(storage, mine, self._folder)
                    if gateway:  # the operator's verbs need no folder
                        await record_roles(storage, self.snapshot.definitions.roles, self.beside.roles)
        except TimeoutError:
            raise CannotOpen(
                f"another start on this database has not ended for {START_WAIT:g} s: it may be stopped or hang; "
                "end it, or try again"
            ) from None
        for line in self.beside.said if serving else ():
            alike = line.endswith("the same definitions")
            logger.log(logging.INFO if alike else logging.WARNING, "%s", line, extra={"action": "neighbour"})

    def _make_gateway(self, storage: Storage, limits: Limits) -> Gateway:
        """The application."""
        roles = Roles(self.snapshot.definitions.roles)
        if any(route.forwards for route in self.snapshot.routes):
            self._forwarding.open()
        return Gateway(
            self.snapshot.routes,
            self.session,
            authentication=Authentication(Tokens(storage, roles)),
            logon=logon.Logon(self.session, expiry=self._logon_expiry),
            forwarding=self._forwarding,
            max_body=limits.max_body,
            problems=self.problems,
        )

    async def _record_policies(self, storage: Storage) -> None:
        """Record the policies in force, and remove those of FIFOs without one, so that the operator's commands need
        no folder."""
        texts = {policy.name: to_json(policy) for policy in self._policies}
        names = {*texts, *await storage.fifo_names()}
        if names:
            await storage.write([RecordPolicy(name, texts.get(name)) for name in sorted(names)])

    async def until_lost(self) -> str:
        """See ``Storage``: wait until the files of the database were taken away."""
        return await self.session.storage.until_lost()

    async def give_back(self, block: Block) -> None:
        """Offer the item of an abandoned block again. No attempt is counted."""
        self._fifos.settlements.hand_in(Release(block.claim, settled=block.acknowledged))
        await self._fifos.settlements.settle()

    def problems(self) -> dict[str, str]:
        """Why workers of this process cannot currently run, by the names of their tasks."""
        return {} if self._reflector is None else self._reflector.problems

    @property
    def stuck(self) -> bool:
        """Did a worker or its thread not end although it was cancelled? Then only the end of the process ends it."""
        return self._left_running or (self._reflector is not None and self._reflector.stuck)

    def ask_to_stop(self) -> None:
        """``Runtime.running()`` becomes false, and all waiting tasks wake. Nothing is cancelled yet."""
        if self.session.running:
            self.session.stop()
            self.session.storage.wake_all()
            self._announcing = asyncio.create_task(self._announce_stop(), name="announce the stop")

    async def stop(self, grace: float | None = GRACE) -> None:
        """Let the blocks in work end, cancel those that take longer than ``grace`` seconds (None: never), and settle
        them.

        Requests may still be in work, so everything that their scripts use stays open until ``close``. May be called
        again, to settle what has become due since then.
        """

        async def asked() -> None:
            self.ask_to_stop()

        async def workers() -> None:
            if self._reflector is not None:
                await self._reflector.stop(grace)

        async def threads() -> None:
            left = None if over is None else max(0.0, over - loop.time())
            self._left_running = not await self._fifos.settlements.join(left)

        loop = asyncio.get_running_loop()
        over = None if grace is None else loop.time() + grace
        await _each(
            {
                "the wait of the workers": asked,
                "the workers": workers,
                "what blocks have left running": threads,
                "the FIFOs": self._settle,
            }
        )

    async def _announce_stop(self) -> None:
        """Record that the process ends before its items have ended, so that they are not blamed for it."""
        try:
            await self.session.storage.write([BeginStop()])
        except StorageError as error:
            logger.warning("the stop could not be recorded: %s", error)

    async def close(self) -> None:
        """Close everything that requests and workers used. Both have ended. May be called again."""
        await self._closing.aclose()

    def _closes(self, name: str, end: End) -> None:
        """``close`` ends this part too, before the parts that were added earlier."""
        self._closing.push_async_callback(_logged, name, end)

    async def _settle(self) -> None:
        try:
            async with asyncio.timeout(SETTLE_GRACE):
                await self._fifos.settlements.settle()
        except TimeoutError:
            logger.error(
                "the ends of some items could not be written; they are offered again at the next start"
            )
            await self._fifos.settlements.abandon()


async def _each(parts: Mapping[str, End]) -> None:
    """End each part in this order, even if an earlier one fails."""
    async with AsyncExitStack() as ending:
        for name, end in reversed([*parts.items()]):  # what is entered first ends last
            ending.push_async_callback(_logged, name, end)


async def _logged(name: str, end: End) -> None:
    """The failure of a part is logged and does not keep the others from ending."""
    try:
        await end()
    except Exception:
        logger.exception("%s could not be ended", name)


@asynccontextmanager
async def open_runtime(
    definitions: Definitions,
    url: str,
    *,
    workers: bool = True,
    gateway: bool = True,
    grace: float | None = GRACE,
    logon_expiry: float = logon.DEFAULT_EXPIRY,
    folder: str | None = None,
    limits: Limits = DEFAULTS,
    address: tuple[str, int] | None = None,
    statements: Statements | None = None,
    stopping: Callable[[], bool] = lambda: False,
) -> AsyncIterator[tuple[Runtime, Gateway | None]]:
    """A runtime on the database behind ``url``, stopped and closed with the block.

    ``folder`` holds the definitions. Other servers show it. ``address`` is where the gateway listens. ``statements``
    reports what is sent to the database. ``Stopping`` if ``stopping()`` came true during the start.
    """
    runtime = Runtime(definitions, logon_expiry=logon_expiry, folder=folder)
    if address is not None:
        runtime.snapshot.scope["options"].listening(*address)
    async with open_storage(url, statements=statements) as storage, AsyncExitStack() as ending:
        ending.push_async_callback(runtime.close)
        ending.push_async_callback(runtime.stop, grace)
        app = await runtime.start(storage, workers=workers, gateway=gateway, limits=limits)
        if stopping():  # for example while the top level of a module ran: no worker has taken anything yet
            raise Stopping("a stop was asked for during the start")
        yield runtime, app
