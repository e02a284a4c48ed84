"""Starting a session and going on with one."""

from __future__ import annotations

from personaclick_async.calls.scope import Core
from personaclick_async.config import CallOptions
from personaclick_async.models.session import SESSION_LIFETIME, InitAnswer, Session
from personaclick_async.protocol import requests
from personaclick_async.protocol.answers import Answer


async def start_session(
    core: Core, options: CallOptions, session: Session | None, *, tz: float | None = None
) -> InitAnswer:
    """Ask the service for a session, on the device that there is or on a new one.

    A session that is over is not mentioned, so that the service makes a new one; a device id that
    is known always is (protocol, sections 2.1 and 6).
    """
    did = seance = None
    if session is not None:
        did = session.did
        seance = None if session.is_over(core.now()) else session.seance
    call = requests.init(
        core.shop, did=did, seance=seance, stream=options.stream or core.config.stream, tz=tz
    )
    return await core.transport.send(call, options, Answer.parse)


def session_of(core: Core, answer: InitAnswer) -> Session:
    """Adopt the ids of an answer: also a device id other than the one sent (protocol, 6.1)."""
    return Session(
        did=answer.did,
        seance=answer.seance or answer.sid,
        expires_at=core.now() + SESSION_LIFETIME,
    )
