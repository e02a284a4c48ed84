"""A script that calls the facade and just ends has delivered everything, and never hangs."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import textwrap
from collections import Counter

import pytest

from personaclick_async.emulator import Emulator

PREAMBLE = """
import asyncio, os, sys, threading, time, personaclick_async
from personaclick_async.facade import create_personaclick
personaclick = create_personaclick(exit_timeout=float(os.environ.get("EXIT_TIMEOUT", "20")))
"""


def script(
    emulator: Emulator,
    text: str,
    *,
    host: str = "127.0.0.1",
    exit_timeout: float = 20,
    **variables: str,
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-X", "dev", "-c", PREAMBLE + textwrap.dedent(text)],
        env={
            **os.environ,
            "PERSONACLICK_SHOP_ID": emulator.shop_id,
            "PERSONACLICK_SHOP_SECRET": emulator.shop_secret,
            "PERSONACLICK_API_URL": emulator.url.replace("127.0.0.1", host),
            "EXIT_TIMEOUT": str(exit_timeout),
            **variables,
        },
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


CALLS = """
personaclick("init", None)
for number in range(20):
    personaclick("profile", "set", {"number": number}, lambda answer: print("stored"))
"""


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
@pytest.mark.parametrize(
    ("ending", "code"), [("", 0), ("sys.exit(3)", 3), ("raise ZeroDivisionError", 1)]
)
def test_a_script_that_just_ends_has_delivered_everything(
    emulator: Emulator, ending: str, code: int, host: str
) -> None:
    done = script(emulator, CALLS + ending, host=host)

    assert done.returncode == code, done.stderr
    assert done.stdout.split() == ["stored"] * 20
    sent = [request.body["number"] for request in emulator.requests_to("/profile/set")]
    assert sent == list(range(20))
    if not ending:
        assert done.stderr == ""


def test_threads_that_end_with_the_script_have_delivered_too(emulator: Emulator) -> None:
    done = script(
        emulator,
        """
        personaclick("init", None)
        def work():
            for number in range(10):
                personaclick("profile", "set", {"number": number})
        for _ in range(4):
            threading.Thread(target=work).start()
        """,
    )

    assert (done.returncode, done.stderr) == (0, "")
    assert len(emulator.requests_to("/profile/set")) == 40


def test_a_service_that_never_answers_does_not_keep_the_process(emulator: Emulator) -> None:
    with emulator.hold("POST", "/profile/set"):
        done = script(emulator, CALLS, exit_timeout=1)

    assert done.returncode == 0
    assert "not known to be delivered when the process ended: profile/set 20" in done.stderr


def test_a_callback_that_ends_the_background_loop_ends_later_calls_and_spoils_no_flush(
    emulator: Emulator,
) -> None:
    done = script(
        emulator,
        """
        personaclick("init", None)
        personaclick("profile", "get", lambda answer: sys.exit(5))
        print(personaclick.flush(), personaclick.flush())
        try:
            personaclick("profile", "get")
        except personaclick_async.ClientClosed as error:
            print("sys.exit" in str(error), personaclick.flush())
        """,
    )

    assert (done.returncode, done.stdout) == (0, "True True\nTrue True\n"), done.stderr
    assert "CancelledError" not in done.stderr


def test_a_flush_that_races_the_end_of_the_background_loop_ends(emulator: Emulator) -> None:
    done = script(
        emulator,
        """
        personaclick("init", None)
        ended = threading.Event()
        def flush_often():
            while not ended.is_set():
                personaclick.flush()
        threads = [threading.Thread(target=flush_often, daemon=True) for _ in range(4)]
        for thread in threads:
            thread.start()
        personaclick("profile", "get", lambda answer: sys.exit(5))
        time.sleep(0.2)
        ended.set()
        for thread in threads:
            thread.join(10)
        print([thread.is_alive() for thread in threads])
        """,
        exit_timeout=1,
    )

    assert done.stdout == f"{[False] * 4}\n", done.stderr


def test_calls_that_race_the_end_of_the_background_loop_are_each_answered_or_refused(
    emulator: Emulator,
) -> None:
    done = script(
        emulator,
        """
        made, refused, errors = [], [], []
        def call_often():
            for _ in range(2000):
                try:
                    made.append(personaclick("profile", "get", None, errors.append))
                except personaclick_async.ClientClosed as error:
                    refused.append(error)
        personaclick("init", None).result()
        calling = threading.Thread(target=call_often)
        calling.start()
        personaclick("did", lambda did: sys.exit(1))
        calling.join()
        for handle in made:
            try:
                handle.result()
            except personaclick_async.PersonaClickError as error:
                errors.remove(next(one for one in errors if one.error is error))
        print(len(made) + len(refused), len(errors), personaclick.flush())
        """,
    )

    assert (done.returncode, done.stdout) == (0, "2000 0 True\n"), done.stderr
    assert "unclosed event loop" not in done.stderr


def test_a_loop_that_is_closed_with_a_call_in_flight_leaves_nobody_waiting(
    emulator: Emulator,
) -> None:
    with emulator.hold("POST", "/profile/set"):
        done = script(
            emulator,
            """
            personaclick("init", None).result()
            loop = asyncio.new_event_loop()
            async def call():
                handle = personaclick("profile", "set", {"a": 1})
                await asyncio.sleep(0.1)
                return handle
            lost = loop.run_until_complete(call())
            following = personaclick("profile", "get")
            flushed = []
            flushing = threading.Thread(target=lambda: flushed.append(personaclick.flush()))
            flushing.start()
            loop.close()
            try:
                lost.result()
            except personaclick_async.PersonaClickError as error:
                print(error)
            print(type(following.result()))
            flushing.join()
            print(flushed)
            """,
        )

    assert done.stdout.splitlines() == [
        "profile/set: its event loop was closed before it was over",
        "<class 'dict'>",
        "[False]",
    ]
    assert "not known to be delivered when the process ended: profile/set 1" in done.stderr


def test_closing_waits_for_no_callback_longer_than_it_was_told(emulator: Emulator) -> None:
    done = script(
        emulator,
        """
        blocked, end = threading.Event(), threading.Event()
        def block(answer):
            blocked.set()
            end.wait()
        personaclick("init", None, None, block)
        blocked.wait()
        print(personaclick.close(0.1))
        end.set()
        print(personaclick.flush())
        """,
    )

    assert (done.returncode, done.stdout) == (0, "False\nTrue\n"), done.stderr


def test_a_callback_that_blocks_the_background_loop_does_not_keep_the_process(
    emulator: Emulator,
) -> None:
    done = script(
        emulator,
        """
        import time
        blocked = threading.Event()
        def block(answer):
            blocked.set()
            time.sleep(600)
        personaclick("init", None, None, block)
        personaclick("profile", "get")
        blocked.wait()
        print(personaclick.flush(0.1))
        """,
        exit_timeout=0.5,
    )

    assert (done.returncode, done.stdout) == (0, "False\n")
    assert "not known to be delivered when the process ended: profile 1" in done.stderr


def test_calls_that_wait_for_an_init_that_never_comes_are_reported(emulator: Emulator) -> None:
    done = script(emulator, 'personaclick("profile", "get", print)', exit_timeout=0.2)

    assert done.returncode == 0
    assert "not known to be delivered when the process ended: profile 1" in done.stderr
    assert emulator.requests == []


def test_a_script_with_asyncio_run_can_flush(emulator: Emulator) -> None:
    done = script(
        emulator,
        """
        async def main():
            personaclick("init", None)
            for number in range(20):
                personaclick("profile", "set", {"number": number}, lambda answer: print("stored"))
            await personaclick.aclose()
        asyncio.run(main())
        """,
    )

    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.split() == ["stored"] * 20


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
def test_a_forked_child_has_calls_of_its_own(emulator: Emulator) -> None:
    done = script(
        emulator,
        """
        personaclick("init", None)
        personaclick("profile", "set", {"who": "parent before"}).result(10)
        pid = os.fork()
        who = "parent" if pid else "child"
        for number in range(5):
            personaclick("profile", "set", {"who": who, "number": number})
        if pid:
            _, status = os.waitpid(pid, 0)
            print(who, os.waitstatus_to_exitcode(status))
        """,
    )

    assert done.returncode == 0, done.stderr
    assert "parent 0" in done.stdout
    sent = [request.body for request in emulator.requests_to("/profile/set")]
    assert len(sent) == 11
    for who in ("parent", "child"):
        assert [one["number"] for one in sent if one["who"] == who] == list(range(5))
    assert len({one["did"] for one in sent}) == 1


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
def test_a_fork_in_the_middle_of_calls_loses_and_doubles_none(emulator: Emulator) -> None:
    done = script(
        emulator,
        """
        personaclick("init", None)
        for number in range(30):
            personaclick("profile", "set", {"who": "parent", "number": number})
        pid = os.fork()
        if pid:
            _, status = os.waitpid(pid, 0)
            print(os.waitstatus_to_exitcode(status))
        else:
            personaclick("init", None, None, None, None, {"did": "childdevice"})
            personaclick("profile", "set", {"who": "child", "number": 0}).result(10)
        """,
    )

    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == ["0"]
    sent = [request.body for request in emulator.requests_to("/profile/set")]
    assert [one["number"] for one in sent if one["who"] == "parent"] == list(range(30))
    assert [one["number"] for one in sent if one["who"] == "child"] == [0]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
def test_a_fork_right_after_init_leaves_no_call_waiting(emulator: Emulator) -> None:
    done = script(
        emulator,
        """
        import time
        from personaclick_async.facade.background import background
        with background.loop() as loop:
            loop.call_soon_threadsafe(time.sleep, 0.5)
        personaclick("init", None)
        pid = os.fork()
        personaclick("profile", "set", {"who": "parent" if pid else "child"}).result(10)
        if pid:
            print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
        """,
    )

    assert (done.returncode, done.stdout) == (0, "0\n"), done.stderr
    sent = [request.body["who"] for request in emulator.requests_to("/profile/set")]
    assert sorted(sent) == ["child", "parent"]


@pytest.mark.parametrize(
    ("text", "reported"),
    [
        (
            """
            import atexit
            atexit.register(lambda: personaclick("profile", "set", {"late": 1}))
            """,
            "comes too late to be sent",
        ),
        (
            """
            class Cart:
                def __del__(self):
                    personaclick("profile", "set", {"late": 1})
            cart = Cart()
            """,
            "comes too late to be sent",
        ),
        (
            """
            import time
            def work():
                time.sleep(0.5)
                personaclick("profile", "set", {"late": 1})
            threading.Thread(target=work).start()
            """,
            "",
        ),
        (
            """
            import time
            async def work():
                await asyncio.sleep(0.5)
                personaclick("profile", "set", {"late": 1})
            threading.Thread(target=lambda: asyncio.run(work())).start()
            """,
            "cancelled before an answer came: profile/set 1",
        ),
    ],
    ids=["atexit", "__del__", "a thread that outlives main", "its event loop"],
)
def test_a_call_that_comes_late_is_sent_or_reported(
    emulator: Emulator, text: str, reported: str
) -> None:
    first = 'personaclick("profile", "set", {"first": 1})\n'
    done = script(emulator, 'personaclick("init", None)\n' + first + textwrap.dedent(text))

    assert done.returncode == 0
    assert reported in done.stderr
    sent = [request.body for request in emulator.requests_to("/profile/set")]
    assert [one["first"] for one in sent if "first" in one] == [1]
    if not reported:
        assert [one["late"] for one in sent if "late" in one] == [1]
        assert done.stderr == ""


def test_close_in_an_exit_function_works(emulator: Emulator) -> None:
    done = script(
        emulator,
        """
        import atexit
        atexit.register(lambda: print(personaclick.close()))
        personaclick("init", None)
        personaclick("profile", "set", {"number": 1})
        """,
    )

    assert (done.returncode, done.stdout, done.stderr) == (0, "True\n", "")
    assert len(emulator.requests_to("/profile/set")) == 1


def test_what_is_reported_is_what_was_not_answered(emulator: Emulator) -> None:
    done = script(
        emulator,
        """
        personaclick("init", None).result(10)
        personaclick("profile", "set", {"number": 1}).result(10)
        print("held", flush=True)
        personaclick("profile", "get")
        """,
        exit_timeout=20,
    )
    assert (done.returncode, done.stderr) == (0, "")

    with emulator.hold("GET", "/profile"):
        done = script(
            emulator,
            """
            personaclick("init", None).result(10)
            personaclick("profile", "set", {"number": 1}, lambda answer: asyncio.sleep(600))
            personaclick("profile", "get")
            """,
            exit_timeout=1,
        )

    # The set was answered, only its callback is not over.
    [line] = done.stderr.splitlines()
    assert line == "not known to be delivered when the process ended: profile 1"


def test_of_a_slow_service_what_was_answered_and_what_is_reported_are_all(
    emulator: Emulator,
) -> None:
    with emulator.fault(path="/profile/set", delay=0.15, times=None):
        done = script(emulator, CALLS, exit_timeout=0.6)

    assert done.returncode == 0
    stored = done.stdout.split().count("stored")
    found = re.findall("not known to be delivered .*: profile/set ([0-9]+)$", done.stderr)
    assert stored + sum(map(int, found)) == 20
    # The one in flight at the end may have been carried out.
    assert len(emulator.requests_to("/profile/set")) - stored in {0, 1}


def test_of_a_service_that_refuses_each_call_is_reported_by_its_name(emulator: Emulator) -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        port = closed.getsockname()[1]
        done = script(
            emulator,
            CALLS,
            PERSONACLICK_API_URL=f"http://127.0.0.1:{port}",
            PERSONACLICK_RETRIES="0",
        )

    assert (done.returncode, done.stdout) == (0, "")
    said = Counter(done.stderr.splitlines())
    reason = f"init: could not connect to 127.0.0.1:{port} (connection refused) (1 attempt)"
    assert said == {reason: 1, f"profile/set: {reason}": 20}


def test_what_hangs_is_named_beside_what_was_delivered(emulator: Emulator) -> None:
    with emulator.hold("POST", "/profile/set"):
        done = script(
            emulator,
            """
            from personaclick_async import PersonaClick
            client = PersonaClick()
            personaclick = create_personaclick(client, exit_timeout=1)
            ada = personaclick.for_user(client.user(did="adasdevice"))
            eve = personaclick.for_user(client.user(did="evesdevice"))
            for _ in range(3):
                ada("profile", "set", {"number": 1})
                eve("profile", "get", lambda profile: print("read"), True)
            """,
        )

    assert (done.returncode, done.stdout.split()) == (0, ["read"] * 3)
    [line] = done.stderr.splitlines()
    assert line == "not known to be delivered when the process ended: profile/set 3"


@pytest.mark.skipif(os.name == "nt", reason="signals are POSIX")
def test_an_interrupt_ends_the_wait_at_exit_and_the_report_is_made(emulator: Emulator) -> None:
    with emulator.hold("POST", "/profile/set") as held:
        running = subprocess.Popen(
            [sys.executable, "-c", PREAMBLE + textwrap.dedent(CALLS)],
            env={
                **os.environ,
                "PERSONACLICK_SHOP_ID": emulator.shop_id,
                "PERSONACLICK_API_URL": emulator.url,
                "EXIT_TIMEOUT": "600",
            },
            stderr=subprocess.PIPE,
            text=True,
        )
        held.wait()
        with pytest.raises(subprocess.TimeoutExpired):
            running.wait(1)
        running.send_signal(signal.SIGINT)
        _, said = running.communicate(timeout=20)

    assert "not known to be delivered when the process ended: profile/set 20" in said
