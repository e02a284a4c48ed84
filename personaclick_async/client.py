"""The client: one per shop, for all its visitors, on any number of event loops."""

from __future__ import annotations

import asyncio
import logging
import os
import ssl
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from contextvars import ContextVar
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final, Self, TypeAlias
from weakref import WeakSet

import aiohttp
import attrs

from personaclick_async.cache import CacheStats, ProfileCache, ProfileStore
from personaclick_async.codec import Json
from personaclick_async.config import (
    UNSET,
    CachePolicy,
    CallOptions,
    Config,
    RateLimit,
    RetryPolicy,
    Seconds,
    Timeouts,
    Unset,
    load_config,
)
from personaclick_async.errors import ConfigurationError, NoCurrentUser, ValidationError
from personaclick_async.hooks import Hooks
from personaclick_async.models import rules
from personaclick_async.models.identity import Identity, Session
from personaclick_async.names import DID, EXTERNAL_ID, SEANCE, TELEGRAM_ID, Family, Segment
from personaclick_async.protocol.answers import Answer
from personaclick_async.protocol.requests import Shop, any_request
from personaclick_async.transport import Transport, TransportStats
from personaclick_async.user import (
    NO_DEVICE,
    Core,
    DeviceUser,
    OrderCalls,
    ProfileCalls,
    Scope,
    Start,
    User,
    Visit,
    checked_user,
    start_session,
)

if TYPE_CHECKING:
    from personaclick_async.sync import Records, Report, Sync, SyncOptions

log: Final = logging.getLogger("personaclick_async")

Current: TypeAlias = tuple[User | NoCurrentUser, asyncio.AbstractEventLoop | None]
"""The current user, or why there is none, and the event loop with which that ends, or None if a
``with`` block ends it: a WSGI worker's thread keeps its context from one request to the next."""

_NOBODY: Final[Mapping[int, Current]] = {}

# One variable for all clients, for a context keeps each variable it ever met; by client, because
# an application may serve several shops in one request.
_current: ContextVar[Mapping[int, Current]] = ContextVar("personaclick_user", default=_NOBODY)


class PersonaClick:
    """A client of the PersonaClick service for one shop.

    ::

        async with PersonaClick(shop_id="…") as client:
            user = await client.init()
            await user.profile.set(email="ada@shop.example", first_name="Ada")
            profile = await user.profile.get()

    Make one for the life of the application and share it: among requests, tasks, threads and
    event loops. Every call raises :class:`ServiceError` for an answer that is an error, and
    :class:`TransportError` where no usable answer came; see their subclasses. What is not passed
    is read from the environment (``PERSONACLICK_SHOP_ID``, ``PERSONACLICK_SHOP_SECRET``,
    ``PERSONACLICK_API_URL``, ``PERSONACLICK_STREAM``, ``PERSONACLICK_TIMEOUT_SECONDS``,
    ``PERSONACLICK_RETRIES``, ``PERSONACLICK_CACHE_TTL_SECONDS``,
    ``PERSONACLICK_MAX_CONCURRENCY``, ``PERSONACLICK_DISABLED``), else a default.

    :param shop_id: the shop's public key, 30 hexadecimal characters.
    :param shop_secret: the shop's secret key; only for what the back office does.
    :param api_url: where the service is.
    :param stream: the label of this data source in the service's reports, at most 16 characters.
    :param timeouts: how long one attempt may take.
    :param retry: when and how often a call is sent again.
    :param cache: how profile reads are kept; None turns the cache off.
    :param store: where processes share the profiles that they have read, such as
        :class:`~personaclick_async.integrations.redis.RedisStore`; closed with the client. With
        ``cache=None`` nothing is read from it, but writes still drop what others keep there.
    :param limits: requests per window, by family of endpoints; the documented ones if not given.
    :param max_concurrency: how many requests are in flight at once on one event loop.
    :param max_answer_bytes: how large an answer may be, decompressed.
    :param set_user_id_name: what ``profile/set`` calls the shop's own user id.
    :param query_user_id_name: what queries call it.
    :param disabled: check calls and send nothing: reads return an empty profile and no products.
        For staging, local work and tests without a service; needs no shop id and no secret.
    :param session: an aiohttp session to use in place of the client's own; never closed by it.
    :param ssl_context: for servers whose certificate needs more than the system's authorities.
    :param trust_env: whether aiohttp reads proxy settings from the environment.
    :param hooks: functions to call at each request, answer and retry; see :class:`Hooks`.
    :param clock: seconds, by a clock that never goes back; for the cache and the limits.
    :param now: the present time with its zone; for the ends of sessions.
    :raises ConfigurationError: a setting is missing or breaks its rule.
    """

    def __init__(
        self,
        shop_id: str | Unset = UNSET,
        *,
        shop_secret: str | Unset | None = UNSET,
        api_url: str | Unset = UNSET,
        stream: str | Unset | None = UNSET,
        timeouts: Timeouts | Unset = UNSET,
        retry: RetryPolicy | Unset = UNSET,
        cache: CachePolicy | Unset | None = UNSET,
        store: ProfileStore | None = None,
        limits: Mapping[Family, RateLimit] | Unset = UNSET,
        max_concurrency: int | Unset = UNSET,
        max_answer_bytes: int | Unset = UNSET,
        set_user_id_name: str | Unset = UNSET,
        query_user_id_name: str | Unset = UNSET,
        disabled: bool | Unset = UNSET,
        session: aiohttp.ClientSession | None = None,
        ssl_context: ssl.SSLContext | None = None,
        trust_env: bool = False,
        hooks: Hooks | Sequence[Hooks] = (),
        clock: Callable[[], Seconds] | Unset = UNSET,
        now: Callable[[], datetime] | Unset = UNSET,
    ) -> None:
        given = locals()  # each argument is the setting of its name
        config = load_config({at.name: given[at.name] for at in attrs.fields(Config)})
        if config.disabled:
            log.warning("this client is disabled: calls are checked and go nowhere")
            store = None  # other processes must not read the empty profiles
        if not (store is None or isinstance(store, ProfileStore)):
            raise ConfigurationError(f"store: expected a ProfileStore, got {type(store).__name__}")
        profiles = ProfileCache(config.cache, config.clock, store)
        if store is not None:
            store.open(config.shop_id, profiles.stats)
        shop = Shop(
            shop_id=config.shop_id,
            secret=config.shop_secret,
            set_user_id_name=config.set_user_id_name,
            query_user_id_name=config.query_user_id_name,
        )
        self._share(Core(config, shop, Transport(config, hooks), profiles), CallOptions())

    def _share(self, core: Core, options: CallOptions) -> None:
        self._core = core
        self._options = options
        self.profile = ProfileCalls(self)
        self.orders = OrderCalls(self)
        _clients.add(self)

    @property
    def scope(self) -> Scope:
        """What the current user's calls are made with, for the package's own modules."""
        who = self.current_user_or_reason or NoCurrentUser(
            "no current user: set one with client.set_current_user(…) or client.as_user(…), or "
            "make the call for a user: client.user(did=…).profile.get()"
        )
        if isinstance(who, NoCurrentUser):
            raise type(who)(*who.args)  # a new one: a raised one keeps its traceback
        return Scope(self._core, who.scope.visit, self._options)

    @property
    def config(self) -> Config:
        """The settings in force."""
        return self._core.config

    @property
    def cache_stats(self) -> CacheStats:
        """Hits, misses and coalesced reads since the client was made."""
        return self._core.profiles.stats

    @property
    def transport_stats(self) -> TransportStats:
        """Calls, requests and retries since the client was made."""
        return self._core.transport.stats

    def clear_cache(self) -> None:
        """Drop every cached profile; a shared store drops them with its next exchange."""
        self._core.profiles.clear()

    async def init(
        self,
        session: Session | None = None,
        /,
        *,
        did: str | None = None,
        seance: str | None = None,
        segment: Segment | str | None = None,
        tz: float | None = None,
    ) -> DeviceUser:
        """Start a visitor's session, or continue it, and return the visitor as a user.

        Without arguments the service makes a new device. With a session (or a ``did``) the device
        stays the same; a session that is over is renewed (two hours after the last event;
        protocol, section 6.2). Keep ``user.session`` in the visitor's cookies.

        :param tz: the visitor's offset from GMT in hours, if the service is to know it.
        :raises ValidationError: an argument is malformed, or says what another one says.
        """
        if session is not None and (did is not None or seance is not None):
            raise _both("a did or seance")
        if did is not None:
            session = Session(did=did, seance=seance)
        elif seance is not None and session is None:
            raise ValidationError("did", "the device that the seance belongs to", "none")
        session = None if session is None else _checked(session)
        group = _segment(segment)
        session, answer = await start_session(self._core, self._options, session, tz=tz)
        return DeviceUser(Scope(self._core, Visit.of(session, group), self._options), answer)

    def user(
        self,
        session: Session | None = None,
        /,
        *,
        did: str | None = None,
        seance: str | None = None,
        email: str | None = None,
        phone: str | None = None,
        external_id: str | int | None = None,
        loyalty_id: str | int | None = None,
        telegram_id: str | int | None = None,
        segment: Segment | str | None = None,
    ) -> User:
        """Name the user to make calls for: a device, or a customer by exactly one identifier.

        A device is named by the session that the application kept, or by ``did`` and ``seance``.
        The other identifiers are for the back office and need the shop's secret: ``external_id``
        and ``telegram_id`` for all calls but ``orders.last_for_user``. No I/O.

        :raises ValidationError: none or several identifiers were given, or one is malformed.
        :raises ConfigurationError: an identifier needs the secret and the client has none.
        """
        group = None if segment is None else _segment(segment)
        if session is not None:
            others = did, seance, email, phone, external_id, loyalty_id, telegram_id
            if any(one is not None for one in others):
                raise _both("an identifier or seance")
            return User(Scope(self._core, Visit.of(_checked(session), group), self._options))
        if seance is not None:
            seance = rules.identifier(SEANCE, seance)
        # Most calls are about a device, and this takes half the time of asking for all names.
        if did is not None and email is phone is external_id is loyalty_id is telegram_id is None:
            visit = Visit(Identity.device(did), group, seance)
            return User(Scope(self._core, visit, self._options))
        identity = Identity.of(
            did=did,
            email=email,
            phone=phone,
            external_id=external_id,
            loyalty_id=loyalty_id,
            telegram_id=telegram_id,
        )
        return self.user_of(identity, seance=seance, segment=group)

    def user_of(
        self, identity: Identity, *, seance: str | None = None, segment: Segment | None = None
    ) -> User:
        """Return the user with an identity made before; see :meth:`user`."""
        # The last order of the other two can be read without the secret.
        if not identity.is_device and identity.kind not in (EXTERNAL_ID, TELEGRAM_ID):
            self._core.shop.require_secret(f"name a user by {identity.kind}")
        return User(Scope(self._core, Visit(identity, segment, seance), self._options))

    def new_visitor(
        self, start: Start | None = None, /, *, segment: Segment | str | None = None
    ) -> User:
        """Return a visitor without a device; their first call starts the session. No I/O.

        Until then ``user.session`` is None. A call whose session can't be started raises what
        :meth:`init` raises, or ``start`` in its place, and the next one tries again.
        """

        async def init() -> Session:
            return (await start_session(self._core, self._options, None))[0]

        visit = Visit(NO_DEVICE, _segment(segment), start=start or init)
        return User(Scope(self._core, visit, self._options))

    @property
    def current_user(self) -> User | None:
        """The user of ``client.profile`` and ``client.orders`` in this task, or None."""
        user = self.current_user_or_reason
        return user if isinstance(user, User) else None

    @property
    def current_user_or_reason(self) -> User | NoCurrentUser | None:
        """The current user, or the reason given to :meth:`as_nobody`, or None."""
        who, loop = _current.get().get(id(self._core), (None, None))
        return who if loop is None or loop.is_running() else None

    def set_current_user(self, user: User | None) -> None:
        """Make a user the current one, in this task and in those it starts from now on.

        For the start of a request that has a task of its own; other requests are not affected.
        It ends with the task's event loop at the latest. Where several requests share a task or
        a thread, use :meth:`as_user`, which ends with its block.

        :raises ConfigurationError: no task is running.
        """
        task = None
        user = None if user is None else checked_user(user)
        with suppress(RuntimeError):
            task = asyncio.current_task()
        if user is not None and task is None:
            raise ConfigurationError(
                "set_current_user: expected a running task; elsewhere the user would still be "
                "current in the thread's next request: use a block, `with client.as_user(user):`"
            )
        self._set(None if user is None or task is None else (user, task.get_loop()))

    def as_user(self, user: User) -> AbstractContextManager[User]:
        """Make a user the current one for a ``with`` block."""
        return self._as(checked_user(user))

    def as_nobody(self, because: NoCurrentUser) -> AbstractContextManager[None]:
        """Have no current user for a ``with`` block; ``client.profile`` raises the reason given."""
        return self._as(because)

    @contextmanager
    def _as(self, who: User | NoCurrentUser) -> Iterator[Any]:
        before = _current.get().get(id(self._core))
        self._set((who, None))
        try:
            yield who if isinstance(who, User) else None
        finally:
            self._set(before)

    def _set(self, current: Current | None) -> None:
        own = id(self._core)
        others = {key: value for key, value in _current.get().items() if key != own}
        _current.set(others if current is None else {**others, own: current})

    def with_options(
        self,
        *,
        timeout: Seconds | None = None,
        retries: int | None = None,
        stream: str | None = None,
    ) -> Self:
        """Return a view of this client whose calls use other options; see :class:`CallOptions`.

        The view shares everything with its client and is not closed by itself.
        """
        view = object.__new__(type(self))
        options = self._options.changed(timeout=timeout, retries=retries, stream=stream)
        view._share(self._core, options)
        return view

    async def request(
        self,
        method: str,
        path: str,
        parameters: Mapping[str, Json] | None = None,
        *,
        repeat: bool = False,
    ) -> Answer[Json]:
        """Call an endpoint that has no method here, with this client's credentials and limits.

        ::

            answer = await client.request("POST", "/segments/add", {"email": …, "segment_id": 5})
            print(answer.json())

        A POST or DELETE drops the cached profiles, for it may have changed any of them.

        :param path: without a query; put nothing personal into it.
        :param parameters: the query of a GET, else the fields of the JSON body, whose values may
            be what a custom property may; ``shop_id`` and ``shop_secret`` are added.
        :param repeat: send it again after a failure, because twice has the effect of once.
        :raises ValidationError: the method, the path or a parameter is malformed.
        """
        core, options = self._core, self._options
        call = any_request(core.shop, method, path, parameters or {}, repeat=repeat)
        options = options if repeat else attrs.evolve(options, retries=0)
        try:
            return await core.transport.send(call, options, lambda answer: answer)
        finally:
            if method != "GET":
                core.profiles.clear()

    def sync(self, source: Records, *, options: SyncOptions | None = None) -> Sync:
        """Send many records: return a sync to iterate over, which yields the result of each.

        ::

            async with client.sync(source, options=SyncOptions(journal="sync.db")) as sync:
                async for result in sync:
                    ...
            print(sync.report)

        :param source: a :class:`~personaclick_async.sync.Source`, or any iterable or async
            iterable of :class:`ProfileUpdate` or of flat mappings, of any length.
        :param options: how to go about it; see :class:`~personaclick_async.sync.SyncOptions`.
        :raises ConfigurationError: the client is disabled, and there is a journal.
        """
        from personaclick_async.sync import Sync, SyncOptions  # noqa: PLC0415 - most never sync

        options = SyncOptions() if options is None else options
        if not isinstance(options, SyncOptions):
            given = type(options).__name__
            raise ConfigurationError(f"options: expected SyncOptions, got {given}")
        if self.config.disabled and options.journal is not None:
            raise ConfigurationError("journal: it would say that a disabled client sent the rows")
        return Sync(self._core, self._options, source, options)

    async def sync_all(self, source: Records, *, options: SyncOptions | None = None) -> Report:
        """Send many records and return the report when all have a result; see :meth:`Sync.run`."""
        return await self.sync(source, options=options).run()

    def start_over_after_fork(self) -> None:
        """Forget the parent's connections and locks, in a fork that ``os.fork`` has not made."""
        self._core.transport.start_over_after_fork()
        self._core.profiles.start_over_after_fork()

    async def close(self, *, patience: Seconds = 30.0) -> None:
        """Refuse new calls, wait for those in progress (``patience`` seconds at most), and close.

        A call made later raises :class:`ClientClosed`.
        """
        await self._core.transport.pools.close(patience)
        await self._core.profiles.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    def __repr__(self) -> str:
        if not hasattr(self, "_core"):  # shown in the traceback of a construction that failed
            return "<PersonaClick, not set up>"
        return f"<PersonaClick shop {self.config.shop_id[:4]}… at {self.config.api_url}>"


_clients: Final[WeakSet[PersonaClick]] = WeakSet()


def _start_over_after_fork() -> None:
    for client in _clients:
        client.start_over_after_fork()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_start_over_after_fork)


def _both(other: str) -> ValidationError:
    return ValidationError("user", f"a session or {other}", "both")


def _checked(session: Session) -> Session:
    """Return a session that the application passed, with ids that may be sent."""
    if not isinstance(session, Session):
        rule = "a Session; a device id goes by the name of did"
        raise ValidationError("session", rule, type(session).__name__)
    did, seance = rules.identifier(DID, session.did), session.seance
    seance = None if seance is None else rules.identifier(SEANCE, seance)
    return attrs.evolve(session, did=did, seance=seance)


def _segment(value: Segment | str | None) -> Segment | None:
    if value is None:
        return None
    with suppress(ValueError):
        return Segment(value)
    raise ValidationError("segment", "A or B", "another value")
