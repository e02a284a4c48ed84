"""The page that the example shops show: the visitor's profile and last order."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from html import escape
from typing import Any
from urllib.parse import urlsplit

from personaclick_async import (
    PersonaClick,
    PersonaClickError,
    Product,
    Profile,
    ProfileUpdate,
    ValidationError,
)

GENDERS = {"f": "woman", "m": "man"}

STYLE = """
:root { color-scheme: light dark; --line: color-mix(in srgb, currentColor 18%, transparent); }
body { font: 16px/1.5 system-ui, sans-serif; max-width: 44rem; margin: 3rem auto; padding: 0 1rem; }
h1 { font-size: 1.6rem; margin-bottom: .25rem; } h2 { font-size: 1.1rem; margin-top: 2.5rem; }
.quiet { opacity: .7; } .notice { border-left: 4px solid #d97706; padding: .5rem 1rem; }
dl { display: grid; grid-template-columns: max-content 1fr; gap: .25rem 1.5rem; }
dt { opacity: .7; } dd { margin: 0; }
.shelf { display: grid; grid-template-columns: repeat(auto-fill, minmax(11rem, 1fr)); gap: 1rem;
  list-style: none; padding: 0; }
.shelf li { border: 1px solid var(--line); border-radius: .75rem; padding: 1rem; }
.shelf img { width: 100%; aspect-ratio: 1; object-fit: contain; } .price { font-weight: 600; }
form { display: flex; flex-wrap: wrap; gap: .75rem; align-items: end; }
label { display: grid; font-size: .85rem; gap: .25rem; }
input, select, button { font: inherit; padding: .45rem .7rem; border-radius: .5rem;
  border: 1px solid var(--line); }
button { background: #2563eb; color: white; border-color: transparent; cursor: pointer; }
"""


async def shop_page(client: PersonaClick) -> str:
    """Return the page for the current user, without profile and order if the service is down."""
    try:
        profile, bought = await asyncio.gather(client.profile.get(), client.orders.last_for_user())
    except PersonaClickError as error:
        return render(
            None, [], notice=f"We can't recognise you right now ({type(error).__name__})."
        )
    return render(profile, bought)


async def save_form(client: PersonaClick, form: Mapping[str, Any]) -> str | None:
    """Save what the visitor has filled in; return what is wrong with it, or None."""
    told = {name: form[name] for name in ("first_name", "email", "gender") if form.get(name)}
    try:
        if told:
            await client.profile.set(ProfileUpdate(**told))
    except ValidationError as error:
        return f"Please look at {error.field} again: {error.rule}."
    except PersonaClickError as error:
        return f"We could not save that right now ({type(error).__name__})."
    return None


def render(profile: Profile | None, bought: Iterable[Product], *, notice: str = "") -> str:
    """Return the page as HTML; every value is escaped."""
    name = (profile and profile.first_name) or "stranger"
    return f"""<!doctype html>
<html lang="en">
<head><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>The shop</title><style>{STYLE}</style></head>
<body>
<h1>Hello, {escape(name)}</h1>
<p class="quiet">What the shop knows about you, and what you bought last.</p>
{f'<p class="notice">{escape(notice)}</p>' if notice else ""}
<h2>You</h2>
{_facts(profile)}
<form method="post" action="/profile">
<label>First name <input name="first_name" autocomplete="given-name"></label>
<label>Email <input name="email" type="email" autocomplete="email"></label>
<label>You are a <select name="gender"><option value="">…</option>{_genders()}</select></label>
<button>Save</button>
</form>
<h2>Your last order</h2>
{_shelf(bought)}
</body>
</html>
"""


def _facts(profile: Profile | None) -> str:
    if profile is None:
        return ""
    sizes = [
        f"{kind} {', '.join(map(str, values))}"
        for kind, values in (profile.fashion_sizes or {}).items()
    ]
    facts = {
        "You are a": GENDERS.get(profile.gender or "", "not known yet"),
        "Email": "known" if profile.has_email else "not known yet",
        "Sizes": "; ".join(sizes) or "not known yet",
        "Customer": "yes" if profile.bought_something else "not yet",
    }
    rows = (f"<dt>{escape(name)}</dt><dd>{escape(value)}</dd>" for name, value in facts.items())
    return f"<dl>{''.join(rows)}</dl>"


def _genders() -> str:
    return "".join(f'<option value="{key}">{word}</option>' for key, word in GENDERS.items())


def _shelf(bought: Iterable[Product]) -> str:
    cards = "".join(map(_card, bought))
    return f'<ul class="shelf">{cards}</ul>' if cards else '<p class="quiet">Nothing yet.</p>'


def _card(product: Product) -> str:
    name = escape(product.name or product.id)
    link, image = _web_address(product.url), _web_address(product.image_url)
    picture = f'<img src="{image}" alt="">' if image else ""
    title = f'<a href="{link}">{name}</a>' if link else name
    price = escape(product.price_full_formatted or "")
    return f'<li>{picture}<div>{title}</div><div class="price">{price}</div></li>'


def _web_address(url: str | None) -> str:
    """Return an address that is safe to link to, escaped, or nothing: no ``javascript:``."""
    return escape(url) if url and urlsplit(url).scheme in {"http", "https"} else ""
