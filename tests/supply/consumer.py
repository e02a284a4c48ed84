"""An application as its type checker sees it; each wrong line must be found."""

from typing import assert_type

from personaclick_async import Answer, DeviceUser, PersonaClick, Product, Profile, RetryPolicy
from personaclick_async.facade import Handle, create_personaclick


async def shop() -> None:
    async with PersonaClick("shop", retry=RetryPolicy(attempts=2)) as client:
        visitor = await client.init()
        assert_type(visitor, DeviceUser)
        assert_type(await visitor.profile.get(force=True), Profile)
        assert_type(await visitor.orders.last_for_user(), list[Product])
        assert_type(await visitor.profile.raw.get(), Answer[Profile])
        await visitor.profile.set(email="ada@shop.example", kids=[{"gender": "m"}], age=36.5)

        await visitor.profile.set(emial="ada@shop.example")  # WRONG: no such field
        await visitor.profile.set(age="36")  # WRONG: a number of years
        await visitor.profile.get(True)  # WRONG: by keyword only
        client.user("did")  # WRONG: a device is named by keyword
        PersonaClick("shop", timeouts=30)  # WRONG: Timeouts, not a number


assert_type(create_personaclick()("profile", "get", print, True), Handle)
