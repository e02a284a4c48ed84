"""A shop's page, ported from JavaScript: log-in, profile page, checkout.

Reads ``PERSONACLICK_SHOP_ID`` and, for an emulator, ``PERSONACLICK_API_URL``.
"""

from __future__ import annotations

from typing import Any

from personaclick_async.facade import CallError, Handle, create_personaclick

personaclick = create_personaclick()


def show_error(error: CallError) -> None:
    """Log a failed call."""
    print(f"personaclick: {error.message}")


def on_page_load() -> None:
    """Start, as the snippet in the page's head does."""
    personaclick("init", None, "web", None, show_error)


def on_log_in(customer: dict[str, Any]) -> None:
    """Send what the shop knows about the customer."""
    personaclick(
        "profile",
        "set",
        {
            "id": customer["id"],
            "email": customer["email"],
            "first_name": customer["name"],
            "location": "NY",
            "loyalty_bonuses": customer["bonuses"],
        },
        lambda _: print(f"welcome back, {customer['name']}"),
        show_error,
    )


def on_profile_page() -> Handle:
    """Show the profile, and offer the last order again."""

    def show_profile(profile: dict[str, Any]) -> None:
        print("gender:", profile["gender"] or "not known yet")
        sizes = (profile.get("fashion_sizes") or {}).get("shoe", [])
        print("shoe sizes:", ", ".join(map(str, sizes)) or "not known yet")

    def show_last_order(products: list[dict[str, Any]]) -> None:
        for product in products:
            print(f"buy again: {product['name']}, {product['price_formatted']}")

    personaclick("profile", "get", show_profile)
    return personaclick("orders", "last_for_user", show_last_order, show_error)


def on_checkout(bonuses_left: int) -> None:
    """Send what the order changed, and read the profile, not from the cache."""
    personaclick("profile", "set", {"bought_something": True, "loyalty_bonuses": bonuses_left})
    personaclick(
        "profile", "get", lambda profile: print("bought:", profile["bought_something"]), True
    )


def main() -> None:
    """Simulate one visit."""
    on_page_load()
    on_log_in({"id": 100500, "email": "ada@shop.example", "name": "Ada", "bonuses": 120})
    on_profile_page()
    on_checkout(bonuses_left=20)


if __name__ == "__main__":
    main()
