"""Whatever comes over the wire: the right error in time, nothing left behind, and on it goes."""

from __future__ import annotations

import asyncio
import gzip
import importlib.util
import resource
import shutil
import ssl
import subprocess
from pathlib import Path

import pytest

from personaclick_async import (
    AnswerTooLarge,
    ConnectionFailed,
    MalformedAnswer,
    PersonaClick,
    PersonaClickError,
    RetryPolicy,
    ServiceError,
    TimedOut,
    Timeouts,
)
from tests.wire.servers import (
    GOOD,
    Reader,
    Serve,
    Writer,
    answer,
    behaves,
    head_of,
    never_ends,
    nothing_left_behind,
    resets,
    says,
    says_nothing,
    wire,
)

QUICK = Timeouts(connect=1, read=0.3, total=3)
LARGEST = 1024 * 1024


def a_client(url: str, *, attempts: int = 1) -> PersonaClick:
    return PersonaClick(
        "e0" * 15,
        shop_secret="canarysecret",
        api_url=url,
        timeouts=QUICK,
        retry=RetryPolicy(attempts=attempts, first_wait=0.01),
        max_answer_bytes=LARGEST,
        cache=None,
    )


CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
GZIPPED = b"Content-Encoding: gzip"
FAULTS: dict[str, tuple[Serve, type[PersonaClickError]]] = {
    "never answers": (says_nothing, TimedOut),
    "closes at once": (says(), ConnectionFailed),
    "resets": (resets, ConnectionFailed),
    "ends in the status line": (says(b"HTTP/1."), ConnectionFailed),
    "ends in the headers": (says(b"HTTP/1.1 200 OK\r\nContent-Ty"), ConnectionFailed),
    "ends in the body": (says(answer()[:-5]), ConnectionFailed),
    "stops in the headers": (says(b"HTTP/1.1 200 OK\r\nConte", then_wait=True), TimedOut),
    "stops in the body": (says(answer()[:-5], then_wait=True), TimedOut),
    "says a length that is too long": (says(answer(GOOD + b"  ")[:-2], then_wait=True), TimedOut),
    "says a length that is too short": (
        says(answer(GOOD[:10]) + GOOD[10:], then_wait=True),
        ConnectionFailed,
    ),
    "says two lengths": (
        says(answer(GOOD, b"Content-Length: 5"), then_wait=True),
        ConnectionFailed,
    ),
    "has a length and chunks": (
        says(answer(GOOD, b"Transfer-Encoding: chunked"), then_wait=True),
        ConnectionFailed,
    ),
    "is a 204 with a body": (
        says(answer(status=b"204 No Content"), then_wait=True),
        ConnectionFailed,
    ),
    "switches protocols": (
        says(
            answer(b"", b"Upgrade: h2c", b"Connection: Upgrade", status=b"101 Switching Protocols")
        ),
        ServiceError,
    ),
    "says a length that is no number": (
        says(b"HTTP/1.1 200 OK\r\nContent-Length: many\r\n\r\n" + GOOD),
        ConnectionFailed,
    ),
    "has a chunk that is too short": (says(CHUNKED + b"5\r\n{}\r\n0\r\n\r\n"), ConnectionFailed),
    "has a chunk without a size": (says(CHUNKED + b"x\r\n{}\r\n0\r\n\r\n"), ConnectionFailed),
    "ends between chunks": (says(CHUNKED + b"2\r\n{}\r\n"), ConnectionFailed),
    "is no gzip": (says(answer(GOOD, GZIPPED)), ConnectionFailed),
    "is half a gzip": (
        says(answer(gzip.compress(GOOD * 100)[:-20], GZIPPED)),
        MalformedAnswer,
    ),
    "is a gzip bomb": (says(answer(gzip.compress(bytes(64 * LARGEST)), GZIPPED)), AnswerTooLarge),
    "is too large and says so": (says(answer(b" " * LARGEST + GOOD)), AnswerTooLarge),
    "never ends": (never_ends, AnswerTooLarge),
    "is no HTTP": (says(b"SSH-2.0-OpenSSH_9.6\r\n"), ConnectionFailed),
    "has a header without end": (
        says(b"HTTP/1.1 200 OK\r\nX: " + b"x" * 200_000 + b"\r\n\r\n"),
        ConnectionFailed,
    ),
    "has headers without end": (
        says(b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 50_000 + b"\r\n"),
        ConnectionFailed,
    ),
    "is a proxy's page": (says(answer(b"<html>Bad gateway</html>")), MalformedAnswer),
    "is empty": (says(answer(b"")), MalformedAnswer),
    "is a JSON array": (says(answer(b"[]")), MalformedAnswer),
    "is a redirect": (
        says(answer(b"", b"Location: http://127.0.0.1:1/", status=b"302 Found")),
        ServiceError,
    ),
}


@pytest.mark.parametrize("name", FAULTS)
async def test_an_answer_that_is_none(name: str) -> None:
    fault, error = FAULTS[name]
    async with nothing_left_behind(), wire(fault) as served, a_client(served.url) as client:
        user = client.user(did="canarydevice")
        with pytest.raises(error) as raised:
            async with asyncio.timeout(20):
                await user.profile.get()
        assert type(raised.value) is error
        assert "canary" not in str(raised.value)

        # The same client, and more calls at once than it may make: nothing is stuck.
        again = user.with_options(retries=2)
        profiles = await asyncio.gather(*(again.profile.get() for _ in range(150)))
        assert {profile.gender for profile in profiles} == {"f"}


@pytest.mark.parametrize("name", [name for name in FAULTS if FAULTS[name][1] is ConnectionFailed])
async def test_a_broken_connection_is_tried_again(name: str) -> None:
    fault, _ = FAULTS[name]
    async with wire(fault) as served, a_client(served.url, attempts=2) as client:
        assert (await client.user(did="device0001").profile.get()).gender == "f"


ODD: dict[str, Serve] = {
    "HTTP/1.0, to the end of the connection": says(b"HTTP/1.0 200 OK\r\n\r\n" + GOOD),
    "HTTP/1.1, to the end of the connection": says(
        b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n" + GOOD
    ),
    "100 Continue first": says(b"HTTP/1.1 100 Continue\r\n\r\n" + answer()),
    "103 Early Hints first": says(b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n" + answer()),
    "100 Continue twice": says(b"HTTP/1.1 100 Continue\r\n\r\n" * 2 + answer()),
    "HTTP/1.0, kept alive": says(
        answer(GOOD, b"Connection: keep-alive").replace(b"HTTP/1.1", b"HTTP/1.0")
    ),
    "one byte at a time": says(*(answer()[n : n + 1] for n in range(len(answer())))),
    "headers twice": says(answer(GOOD, b"X-Served: a", b"X-Served: b", b"Content-Type: text/html")),
    "gzip": says(answer(gzip.compress(GOOD), GZIPPED)),
    "chunks": says(CHUNKED + b"%x\r\n" % len(GOOD) + GOOD + b"\r\n0\r\n\r\n"),
}


@pytest.mark.parametrize("name", ODD)
async def test_an_odd_answer_is_an_answer(name: str) -> None:
    async with nothing_left_behind(), wire(ODD[name]) as served, a_client(served.url) as client:
        assert (await client.user(did="device0001").profile.get()).gender == "f"


@pytest.mark.parametrize(("encoding", "package"), [("br", "Brotli"), ("zstd", "backports.zstd")])
async def test_an_encoding_that_cannot_be_read_is_named(encoding: str, package: str) -> None:
    if importlib.util.find_spec(package.partition(".")[0].lower()):
        pytest.skip("it can be read here")
    encoded = says(answer(GOOD, b"Content-Encoding: " + encoding.encode()))
    async with wire(encoded) as served, a_client(served.url) as client:
        with pytest.raises(MalformedAnswer, match=f"encoded as {encoding}.*{package}"):
            await client.user(did="device0001").profile.get()


@pytest.mark.parametrize("encoding", ["gzip, br", "compress", "x-gzip"])
async def test_an_encoding_that_is_left_on_the_body_is_named(encoding: str) -> None:
    encoded = says(answer(b"\x8b\x02", b"Content-Encoding: " + encoding.encode()))
    async with wire(encoded) as served, a_client(served.url) as client:
        with pytest.raises(MalformedAnswer, match=f"not JSON.*encoded as {encoding}"):
            await client.user(did="device0001").profile.get()


async def test_an_answer_before_the_request_was_read() -> None:
    async def hasty(reader: Reader, writer: Writer) -> None:
        writer.write(answer(b"{}", status=b"413 Payload Too Large"))
        await writer.drain()
        await asyncio.sleep(0.2)

    async with wire(hasty) as served, a_client(served.url) as client:
        with pytest.raises(PersonaClickError):
            await client.user(external_id=1).profile.set(custom={"note": "x" * 5_000_000})
        assert (await client.user(did="device0001").profile.get()).gender == "f"


async def test_a_redirect_is_not_followed() -> None:
    async with wire() as elsewhere:
        away = answer(b"", b"Location: " + elsewhere.url.encode(), status=b"307 Temporary Redirect")
        async with wire(says(away)) as served, a_client(served.url) as client:
            with pytest.raises(ServiceError) as raised:
                await client.user(email="canary@shop.example").profile.get()
        assert raised.value.status == 307
        assert elsewhere.connections == 0


async def test_a_connection_that_was_closed_before_it_is_used_again() -> None:
    async def once(reader: Reader, writer: Writer) -> None:
        await head_of(reader)
        writer.write(answer())

    async with wire(*[once] * 20) as served, a_client(served.url, attempts=2) as client:
        for _ in range(10):
            assert (await client.user(did="device0001").profile.get()).gender == "f"


async def test_a_bomb_is_not_unpacked() -> None:
    bomb = gzip.compress(bytes(512 * LARGEST))
    async with wire(says(answer(bomb, GZIPPED))) as served, a_client(served.url) as client:
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        with pytest.raises(AnswerTooLarge):
            await client.user(did="device0001").profile.get()
        grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before

    assert grown < 64 * 1024, "KiB"


def test_a_table_has_every_kind_of_fault() -> None:
    assert len(FAULTS) > 25
    assert behaves not in {fault for fault, _ in FAULTS.values()}


AUTHORITY = """
[ca]
default_ca = itself
[itself]
database = index.txt
serial = serial
new_certs_dir = .
default_md = sha256
policy = any
x509_extensions = extensions
[any]
commonName = supplied
[extensions]
subjectAltName = IP:127.0.0.1
[req]
distinguished_name = name
prompt = no
[name]
commonName = 127.0.0.1
"""


def make_certificate(folder: Path, ends: str) -> ssl.SSLContext:
    """Make a certificate for this machine, signed by itself, and a server's context with it."""
    folder.mkdir()
    (folder / "authority.cnf").write_text(AUTHORITY)
    (folder / "index.txt").touch()
    (folder / "serial").write_text("01\n")
    dates = f"-startdate 20200101000000Z -enddate {ends}"
    for command in (
        "ecparam -name prime256v1 -genkey -noout -out key.pem",
        "req -new -config authority.cnf -key key.pem -out wish.pem",
        f"ca -batch -selfsign -config authority.cnf -keyfile key.pem -in wish.pem {dates}",
    ):
        subprocess.run(["openssl", *command.split()], cwd=folder, capture_output=True, check=True)
    (folder / "01.pem").rename(folder / "cert.pem")
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(folder / "cert.pem", folder / "key.pem")
    return context


needs_openssl = pytest.mark.skipif(
    shutil.which("openssl") is None, reason="no openssl to make certificates"
)


@needs_openssl
async def test_a_certificate_that_nobody_vouches_for(tmp_path: Path) -> None:
    tls = make_certificate(tmp_path / "made", "20990101000000Z")
    async with (
        nothing_left_behind(),
        wire(tls=tls) as served,
        a_client(served.url, attempts=3) as client,
    ):
        with pytest.raises(
            ConnectionFailed, match=r"the certificate of .* is not accepted"
        ) as raised:
            await client.user(did="device0001").profile.get()
        assert raised.value.attempts == 1


@needs_openssl
@pytest.mark.parametrize("ends", ["20990101000000Z", "20200201000000Z"])
async def test_a_certificate_that_the_caller_vouches_for(tmp_path: Path, ends: str) -> None:
    tls = make_certificate(tmp_path / "made", ends)
    trusting = ssl.create_default_context(cafile=str(tmp_path / "made" / "cert.pem"))
    async with (
        wire(tls=tls) as served,
        PersonaClick("e0" * 15, api_url=served.url, ssl_context=trusting) as client,
    ):
        if ends.startswith("2020"):
            with pytest.raises(ConnectionFailed, match=r"the certificate of .* is not accepted"):
                await client.user(did="device0001").profile.get()
        else:
            assert (await client.user(did="device0001").profile.get()).gender == "f"
