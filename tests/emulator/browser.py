"""A real browser, driven through chromedriver's HTTP interface."""

from __future__ import annotations

import asyncio
import base64
import shutil
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import attrs

CHROMEDRIVER = shutil.which("chromedriver")
ARGUMENTS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-dev-shm-usage",
)
PATIENCE_SECONDS = 30.0


@attrs.frozen
class Browser:
    """One window."""

    http: aiohttp.ClientSession
    session: str

    async def command(self, method: str, path: str, **body: Any) -> Any:
        async with self.http.request(
            method, f"/session/{self.session}/{path}", json=body if method == "POST" else None
        ) as response:
            answer = await response.json()
        assert response.status == 200, answer
        return answer["value"]

    async def open(self, url: str) -> None:
        await self.command("POST", "url", url=url)

    async def run(self, script: str, *arguments: Any) -> Any:
        """Run JavaScript in the page; gives what it returns."""
        return await self.command("POST", "execute/sync", script=script, args=list(arguments))

    async def until(self, script: str, *arguments: Any) -> Any:
        """Wait until an expression in JavaScript is truthy, and give its value."""
        end = time.monotonic() + PATIENCE_SECONDS
        while True:
            found = await self.run(f"return {script}", *arguments)
            if found:
                return found
            if time.monotonic() > end:
                text = await self.run("return document.body.innerText")
                raise AssertionError(f"never came true: {script}\n{text}")
            await asyncio.sleep(0.05)

    async def text(self, selector: str) -> str:
        return str(
            await self.run("return document.querySelector(arguments[0]).innerText", selector)
        )

    async def click(self, selector: str) -> None:
        await self.run("document.querySelector(arguments[0]).click()", selector)

    async def type(self, selector: str, text: str) -> None:
        """Type into a field as a person does, with its events."""
        await self.run(
            "const field = document.querySelector(arguments[0]); field.value = arguments[1];"
            "field.dispatchEvent(new Event('input', {bubbles: true}));"
            "field.dispatchEvent(new Event('change', {bubbles: true}));",
            selector,
            text,
        )

    async def resize(self, width: int, height: int) -> None:
        await self.command("POST", "window/rect", width=width, height=height)

    async def screenshot(self) -> bytes:
        return base64.b64decode(await self.command("GET", "screenshot"))


@asynccontextmanager
async def browser() -> AsyncIterator[Browser]:
    """Open a window of a new browser with an empty profile."""
    assert CHROMEDRIVER is not None
    driver = await asyncio.create_subprocess_exec(
        CHROMEDRIVER, "--port=0", stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.DEVNULL
    )
    try:
        assert driver.stdout is not None
        port = ""
        while not port:
            line = (await driver.stdout.readline()).decode()
            assert line, "chromedriver did not start"
            if "started successfully on port" in line:
                port = line.rstrip().rstrip(".").rpartition(" ")[2]
        with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
            async with aiohttp.ClientSession(f"http://127.0.0.1:{port}") as http:
                options = {"args": [*ARGUMENTS, f"--user-data-dir={folder}"]}
                wanted = {"alwaysMatch": {"goog:chromeOptions": options}}
                async with http.post("/session", json={"capabilities": wanted}) as response:
                    answer = await response.json()
                assert response.status == 200, answer
                window = Browser(http, answer["value"]["sessionId"])
                try:
                    yield window
                finally:
                    async with http.delete(f"/session/{window.session}") as response:
                        await response.read()
    finally:
        driver.terminate()
        await driver.wait()
